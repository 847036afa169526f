"""``/docs``: the reference for people, Swagger UI over our own OpenAPI document, without asking any other site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from gzip import compress
from hashlib import blake2b
from importlib.resources import files

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.security.permissions import Permission
from marketplace_api.views.responses import Answer, unpacks

_STATIC = files("marketplace_api") / "static"
# What may be asked for, and nothing else -> where it lies and what it is.
_FILES = {
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
    "LICENSE": ("swagger-ui/LICENSE", "text/plain"),
    "reference.js": ("reference.js", "text/javascript"),
}
# Swagger UI draws its icons from data: URLs; all else is ours.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = "/docs"
# The routes of this file by name: their pattern and what they give.
ROUTES = {
    "root": ("/", "Leads browsers to the reference and programs to the entry point."),
    "docs": (_PAGE, "The reference for people, an interactive page."),
    "docs-file": (f"{_PAGE}/{{version}}/{{name}}", "A file that the page is made of."),
}


@dataclass(frozen=True)
class _Asset:
    body: bytes
    packed: bytes
    media: str


@cache
def _assets() -> dict[str, _Asset]:
    read = {name: (_STATIC.joinpath(path).read_bytes(), media) for name, (path, media) in _FILES.items()}
    return {name: _Asset(body, compress(body, mtime=0), media) for name, (body, media) in read.items()}


@cache
def _version() -> str:
    """Names the content of all assets: their addresses change with it, so they may be kept for ever."""
    return blake2b(b"\0".join(asset.body for asset in _assets().values()), digest_size=8).hexdigest()


@cache
def _page() -> bytes:
    text = _STATIC.joinpath("reference.html").read_text(encoding="utf-8")
    return text.replace("{assets}", f"{_PAGE}/{_version()}").encode()


def lead(request: Request) -> Response:
    """The way in: what asks for HTML before JSON is a browser."""
    offers = request.accept.acceptable_offers(["application/json", "text/html"])
    location = _PAGE if offers and offers[0][0] == "text/html" else "/api"
    headers = [("Location", location), ("Cache-Control", "public, max-age=300"), ("Content-Length", "0")]
    return Answer(status="303 See Other", headerlist=headers, app_iter=[])


def show(_request: Request) -> Response:
    """The page itself."""
    response = Response(_page(), content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


def send(request: Request) -> Response:
    """One of the files that the page is made of."""
    asset = _assets().get(request.matchdict["name"])
    if asset is None or request.matchdict["version"] != _version():
        raise HTTPNotFound
    response = Response(asset.body, content_type=asset.media, charset="utf-8")
    if unpacks(request):
        response.body = asset.packed
        response.content_encoding = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def includeme(config: Configurator) -> None:
    for name, view in (("root", lead), ("docs", show), ("docs-file", send)):
        pattern, _meaning = ROUTES[name]
        config.add_route(name, pattern)
        config.add_view(view, route_name=name, request_method="GET", permission=Permission.API_READ.value)
