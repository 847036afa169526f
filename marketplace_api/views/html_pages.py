"""Pages for people who came here by a link of a mail: whole in themselves, without a script and without any other site."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any

import jinja2
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.hal import affordances
from marketplace_api.views.negotiation import HTML, OFFERS, media_for

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1f2937}"
    "button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.4rem;background:#0f766e;color:#fff}"
    "a{color:#0f766e}"
)
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(name: str, status: int = 200, **context: Any) -> Response:
    """The page ``name`` of the templates, escaped; nobody keeps it, for its address holds a token."""
    text = _templates().get_template(f"{name}.html.jinja2").render(style=_STYLE, **context)
    response = Response(text, status, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def is_wanted(request: Request) -> bool:
    """Whether it is a browser that asks for something where there are pages, or would be."""
    path = request.environ.get("PATH_INFO", "")
    if not any(path == place or path.startswith(f"{place}/") for place in _places()):
        return False
    return media_for(request.environ.get("HTTP_ACCEPT", ""), (*OFFERS, HTML)) == HTML


@cache
def _places() -> frozenset[str]:
    return frozenset(found.path.partition("{")[0].rstrip("/") for found in affordances.ALL if found.has_page)


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("marketplace_api.views")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
