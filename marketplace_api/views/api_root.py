"""The entry point, the catalogues, categories, suggestions and the OpenAPI document."""

from __future__ import annotations

from functools import cache

from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.search import suggest
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.hal import api_root as represent
from marketplace_api.hal.representation import JSON, Representation
from marketplace_api.resources.root import ApiContext, CategoriesContext, SuggestionsContext
from marketplace_api.schemas.catalog.listings import SuggestionQuery
from marketplace_api.security.permissions import Permission as P
from marketplace_api.version import VERSION
from marketplace_api.views.openapi import openapi
from marketplace_api.views.responses import Description, described, description
from marketplace_api.views.service import Service

api = Service("api", "/api", ApiContext)
error_list = Service("errors", "/api/errors", ApiContext, on="/api")
error_item = Service("error", "/api/errors/{code}", ApiContext, on="/api")
relation_item = Service("relation", "/api/rels/{rel}", ApiContext, on="/api")
openapi_document = Service("openapi", "/api/openapi.json", ApiContext, on="/api")
category_list = Service("categories", "/api/categories", CategoriesContext)
suggestion_list = Service("suggestions", "/api/search/suggestions", SuggestionsContext, limits="search")


@api.operation("GET", "read-entry", P.API_READ, title="The entry point", result="entry")
def enter(request: Request) -> Representation:
    return represent.entry(request.context, request.actor, VERSION, request.registry.app_settings.realtime_url)


@error_list.operation("GET", "list-errors", P.API_READ, title="All error codes", result="errors")
def list_errors(request: Request) -> Response:
    return described(request, _errors(request.media), request.media, "public, max-age=300")


@cache
def _errors(media: str) -> Description:
    return description(represent.errors().render(media, ANONYMOUS))


@error_item.operation("GET", "read-error", P.API_READ, title="One error code", result="error")
def read_error(request: Request) -> Representation:
    try:
        return represent.error(request.matchdict["code"])
    except KeyError as missing:
        raise HTTPNotFound from missing


@relation_item.operation("GET", "read-relation", P.API_READ, title="What a relation means", result="relation")
def read_relation(request: Request) -> Representation:
    try:
        return represent.relation(request.matchdict["rel"])
    except KeyError as missing:
        raise HTTPNotFound from missing


@openapi_document.operation("GET", "read-openapi", P.API_READ, title="The OpenAPI description", result="openapi")
def read_openapi(request: Request) -> Response:
    return described(request, _openapi(), JSON, "public, max-age=300")


@cache
def _openapi() -> Description:
    return description(openapi())


@category_list.operation("GET", "list-categories", P.CATEGORY_READ, title="The category tree", result="categories")
def list_categories(request: Request) -> Representation:
    return represent.categories(categories.tree(request.db))


@suggestion_list.operation(
    "GET", "suggest", P.LISTING_SEARCH, title="Complete a search", query=SuggestionQuery, result="suggestions"
)
def complete(request: Request) -> Representation:
    found = suggest(request.db, request.query["query"], request.query["limit"])
    return represent.suggestions(found, request.path_qs)
