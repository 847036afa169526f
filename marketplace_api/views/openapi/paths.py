"""One declared operation as an OpenAPI operation object."""

from __future__ import annotations

import re
from inspect import getattr_static
from typing import Any

from pyramid.authorization import Allow, Everyone

from marketplace_api.gateways.documents import ACCEPTED as DOCUMENT_TYPES
from marketplace_api.hal.affordances import Operation, always
from marketplace_api.hal.api_root import RELATIONS
from marketplace_api.hal.problems import CODES
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON
from marketplace_api.hal.shapes import DOCUMENTS, SHAPES, component_name
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.catalog.photos import PhotoContext, PhotosContext
from marketplace_api.resources.catalog.videos import VideoContext
from marketplace_api.resources.community.reviews import ReviewContext
from marketplace_api.resources.identity.accounts import MeContext
from marketplace_api.resources.root import Root
from marketplace_api.schemas.describe import form_schema, json_schema
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import HTML
from marketplace_api.views.openapi.components import Json, headers, problem_name, reference

# What contexts grant to everyone by an ACL that is computed: always, or depending on the row and the request.
_ALWAYS_PUBLIC = {(Root, Permission.API_READ)}
_SOMETIMES_PUBLIC = {
    (PhotosContext, Permission.LISTING_READ),
    (PhotoContext, Permission.LISTING_READ),
    (VideoContext, Permission.LISTING_READ),
    (ListingContext, Permission.LISTING_READ),
    (ReviewContext, Permission.REVIEW_READ),
    (Root, Permission.METRICS_READ),
}
# Operations on versioned resources to which it does not matter what the caller has read.
_UNCONDITIONAL = {(MeContext, "deactivate"), (MeContext, "change-password")}
_IDENTIFIER: Json = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_PATH_PARAMETERS: dict[str, Json] = {
    "code": {"type": "string", "enum": list(CODES)},
    "rel": {"type": "string", "enum": list(RELATIONS)},
    "key": {"type": "string", "pattern": "^[a-z]{1,20}-[0-9a-f]{32}(-[a-z]{1,20})?\\.[a-z0-9]{2,4}$"},
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TAGGED = {*SHAPES, "openapi", "file"}  # answers with an ETag
_MEDIA = {"metrics": ("text/plain",), "file": ("image/webp",), "document": DOCUMENT_TYPES}  # of what is no JSON
_EVERYWHERE = (400, 401, 406, 414, 429, 431, 500, 503)


def describe(operation: Operation) -> Json:
    """The operation object."""
    described: Json = {
        "operationId": operation_id(operation),
        "summary": operation.title,
        "tags": [_tag(operation.path)],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": {str(status): answer for status, answer in sorted(_responses(operation).items())},
        "security": [{}, {"bearer": []}] if is_public(operation) else [{"bearer": []}],
        "x-permission": str(operation.permission),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None and (operation.body.children or operation.method != "DELETE"):
        form = operation.upload
        schema = json_schema(operation.body) if form is None else form_schema(form, operation.body)
        described["requestBody"] = {
            "required": "required" in schema,
            "content": {media: {"schema": schema} for media in operation.content_types},
        }
    return described


def operation_id(operation: Operation) -> str:
    """A stable name: the context's, the operation's and, as PUT and PATCH share theirs, a mark for PATCH."""
    context = "_".join(_WORDS.split(operation.context.__name__.removesuffix("Context"))).lower()
    ending = "_patch" if operation.method == "PATCH" else ""
    return f"{context}_{operation.name.replace('-', '_')}{ending}"


def is_public(operation: Operation) -> bool:
    """Whether callers who are not known may run it, at least on some resources."""
    granted: Any = getattr_static(operation.context, "__acl__")
    if isinstance(granted, list):
        return any(
            action == Allow and principal == Everyone and operation.permission in permissions
            for action, principal, permissions in granted
        )
    return (operation.context, operation.permission) in _ALWAYS_PUBLIC | _SOMETIMES_PUBLIC


def _is_always_public(operation: Operation) -> bool:
    return is_public(operation) and (operation.context, operation.permission) not in _SOMETIMES_PUBLIC


def _tag(path: str) -> str:
    first, *rest = path.strip("/").split("/")
    if first != "api":
        return first if first == "files" else "service"
    return rest[0] if rest and rest[0] not in ("errors", "rels", "openapi.json") else "api"


def _path_parameters(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS.get(name, _IDENTIFIER)}
        for name in _PLACEHOLDER.findall(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[Json]:
    found = []
    for child in operation.query.children if operation.query is not None else ():
        schema = json_schema(child)
        parameter = {"name": child.name, "in": "query", "required": bool(child.required)}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        found.append({**parameter, "schema": schema})
    return found


def _header_parameters(operation: Operation) -> list[Json]:
    names = []
    if operation.is_safe:
        names += ["If-None-Match"] if operation.result in _TAGGED else []
    else:
        names += ["If-Match"] if is_conditional(operation) else []
        names += ["Idempotency-Key"] if operation.method == "POST" else []
        names += ["PreferRehearsal" if operation.step else "Prefer"]
    return [reference("parameters", name) for name in names]


def is_conditional(operation: Operation) -> bool:
    """Whether it fails with 412 when ``If-Match`` names another state than the present one."""
    versioned = not operation.is_safe and hasattr(operation.context, "version")
    return versioned and (operation.context, operation.name) not in _UNCONDITIONAL


def _responses(operation: Operation) -> dict[int, Json]:
    found = {status: reference("responses", problem_name(status)) for status in _problems(operation)}
    found[operation.success] = _success(operation)
    if operation.again is not None:
        found[operation.again] = _success(operation)
    if operation.is_safe and operation.result in _TAGGED:
        found[304] = reference("responses", "NotModified")
    if not operation.is_safe:
        found[204] = reference("responses", "Minimal")
    if operation.result == "readiness":
        found[503] = {**_success(operation), "description": "The database is away, or its schema does not fit."}
    return found


def _problems(operation: Operation) -> set[int]:
    """The statuses of everything that can go wrong, those that the operation names itself included."""
    found = {*_EVERYWHERE, *operation.errors}
    if not operation.is_safe or not _is_always_public(operation):
        found.add(403)
    if _PLACEHOLDER.search(operation.path):
        found.add(404)
    if operation.body is not None:
        found |= {413, 415}
    if not operation.is_safe:
        found |= {409, 412} if is_conditional(operation) else {409}
    if operation.context.refusal is not Context.refusal or operation.applies is not always:
        found.add(410)
    if operation.method == "POST":
        found.add(422)
    return found


def _success(operation: Operation) -> Json:
    names = ["ETag"] if operation.result in _TAGGED else []
    names += ["Link"] if operation.query is not None and operation.query.get("cursor") is not None else []
    names += ["Location"] if operation.success == 201 else []
    names += ["Idempotent-Replayed"] if operation.method == "POST" else []
    names += ["Preference-Applied"] if operation.step else []
    return {"description": operation.title, "headers": headers(*names), "content": _content(operation)}


def _content(operation: Operation) -> Json:
    if operation.result in DOCUMENTS:
        schema = {"schema": reference("schemas", operation.result)}
        return dict.fromkeys(_MEDIA.get(operation.result, (JSON,)), schema)
    sparse = operation.query is not None and operation.query.get("fields") is not None
    found: Json = {
        media: {"schema": reference("schemas", component_name(operation.result, media, sparse=sparse))}
        for media in (JSON, HAL, HAL_FORMS)
    }
    return found | ({HTML: {"schema": {"type": "string"}}} if operation.has_page else {})
