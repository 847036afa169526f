"""The tween around everything (request id, alias, headers, CORS, access log, metrics) and the rate limits."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.errors import DomainError, Invalid, RateLimited
from marketplace_api.gateways.rate_limiter import LIMITS, Allowance
from marketplace_api.views.errors import answer, crash
from marketplace_api.views.request_properties import SAFE
from marketplace_api.views.responses import VARY

log = logging.getLogger("marketplace_api.access")

REFUSED = "marketplace.refused"
"""The key of the WSGI environment for what the server refuses before the application is asked: a DomainError."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{8,100}")
_MAX_TARGET = 8_000
_MAX_HEADERS = 32_000
_HOST = re.compile(r"[^\s,/@?#]+")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_COUNTED = frozenset(_METHODS.split(", "))
_REQUEST_HEADERS = "Authorization, Content-Type, Accept, If-Match, If-None-Match, Idempotency-Key, Prefer, X-Request-ID"
_EXPOSED = "ETag, Link, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-ID, Idempotent-Replayed"

REQUESTS = Counter("marketplace_http_requests_total", "Requests answered.", ["method", "route", "status"])
LIMITED = Counter("marketplace_rate_limited_total", "Requests refused because too many came.", ["group", "counted_by"])
SECONDS = Histogram("marketplace_http_request_seconds", "Time to answer, in seconds.", ["route"])

# What is absent cannot be seen to rise.
for _group in LIMITS:
    for _subject in ("address", "account"):
        LIMITED.labels(_group, _subject)

_SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
_ALWAYS = (*_SECURITY, ("Vary", VARY))
_HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

Handler = Callable[[Request], Response]
Fixed = tuple[tuple[str, tuple[str, str]], ...]
"""Headers for every answer that has none of the name, which is told in lower case before them."""


def edge_factory(handler: Handler, registry: object) -> Handler:
    """The outermost tween."""
    settings = registry.app_settings  # type: ignore[attr-defined]
    fixed = tuple(
        (name.lower(), (name, value)) for name, value in ((*_ALWAYS, _HSTS) if settings.production else _ALWAYS)
    )
    origins = frozenset(settings.cors_origins)

    def edge(request: Request) -> Response:
        began = time.perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID")
        request.id = given if given and _SANE_ID.fullmatch(given) else os.urandom(16).hex()
        bound = structlog.contextvars.bind_contextvars(request_id=request.id)
        try:
            response = _handled(handler, request, origins)
            _finish(request, response, fixed, origins)
            _account(request, response, time.perf_counter() - began)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
        return response

    return edge


def _handled(handler: Handler, request: Request, origins: frozenset[str]) -> Response:
    environ = request.environ
    if (
        REFUSED not in environ
        and environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    ):
        return _preflight(environ.get("HTTP_ORIGIN", ""), origins)
    refused = environ.get(REFUSED) or _misaddressed(environ) or _too_much(environ)
    if refused is not None:
        return answer(refused, request)
    path = environ.get("PATH_INFO", "")
    if path == "/api/v1" or path.startswith("/api/v1/"):
        environ["PATH_INFO"] = "/api" + path[len("/api/v1") :]
    try:
        return handler(request)
    except Exception as error:
        return crash(error, request)


def _misaddressed(environ: dict[str, str]) -> DomainError | None:
    """RFC 9112, 3.2: HTTP/1.1 has exactly one Host. Of two, servers make one with a comma; of none, some an empty one."""
    host = environ.get("HTTP_HOST")
    if not host:
        if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            return None
        return Invalid("The request has no Host header.", code="malformed_request")
    if _HOST.fullmatch(host) is None:
        return Invalid("The request must have one Host header that names one host.", code="malformed_request")
    return None


def _too_much(environ: dict[str, str]) -> DomainError | None:
    if len(environ.get("QUERY_STRING", "")) + len(environ.get("PATH_INFO", "")) > _MAX_TARGET:
        return DomainError(f"The address may have {_MAX_TARGET} characters at most.", code="uri_too_long")
    # A slice takes a third of the time of ``startswith``, of which every request needs thirty: 1 % of a cheap one.
    if sum([len(value) for name, value in environ.items() if name[:5] == "HTTP_"]) > _MAX_HEADERS:
        return DomainError(f"The headers may have {_MAX_HEADERS} characters at most.", code="headers_too_large")
    return None


def _preflight(origin: str, origins: frozenset[str]) -> Response:
    headers: list[tuple[str, str]] = []
    if origin in origins:
        headers += [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
            ("Access-Control-Max-Age", "600"),
        ]
    return Response(status="204 No Content", headerlist=headers, app_iter=[])


def _finish(request: Request, response: Response, fixed: Fixed, origins: frozenset[str]) -> None:
    headers = response.headerlist
    present = {name.lower(): value for name, value in headers}
    if "immutable" in present.get("cache-control", ""):
        present["vary"] = ""  # the same for everybody, so that a CDN keeps one copy
    headers += [header for name, header in fixed if name not in present]
    headers.append(("X-Request-ID", request.id))
    allowance: Allowance | None = getattr(request, "allowance", None)
    if allowance is not None:
        headers += [
            ("RateLimit-Limit", str(allowance.limit)),
            ("RateLimit-Remaining", str(allowance.remaining)),
            ("RateLimit-Reset", str(allowance.reset)),
        ]
    origin = request.environ.get("HTTP_ORIGIN")
    if origin and origin in origins:
        headers += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]


@lru_cache(maxsize=2048)
def _meters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """The counter and the histogram of one kind of request."""
    return REQUESTS.labels(method, route, str(status)), SECONDS.labels(route)


def _account(request: Request, response: Response, seconds: float) -> None:
    route = getattr(request, "matched_route", None)
    name = route.name if route is not None else "-"
    status = response.status_int
    method = request.environ["REQUEST_METHOD"]
    requests, duration = _meters(method if method in _COUNTED else "other", name, status)
    requests.inc()
    duration.observe(seconds)
    if log.isEnabledFor(logging.INFO):
        actor = request.__dict__.get("actor")
        log.info(
            "request",
            extra={
                "method": method,
                "path": _logged_path(request, route),
                "status": status,
                "ms": round(seconds * 1000, 2),
                "user_id": actor.user_id if actor is not None else None,
            },
        )


def _logged_path(request: Request, route: Any) -> str:
    """The path as it came; of one that holds a token the pattern, for the token is good for what the mail says."""
    if route is not None and "{token}" in route.pattern:
        return str(route.pattern)
    return str(request.environ.get("PATH_INFO", ""))[:200]


def limit_rate(request: Request) -> None:
    """Count the request before anything costly happens; raises :class:`RateLimited`."""
    limiter = request.registry.limiter
    if limiter is None:
        return
    groups = request.registry.limit_groups
    route = request.matched_route
    group = groups.get(route.name, "default") if route is not None else "default"
    safe = request.environ["REQUEST_METHOD"] in SAFE
    if group == "default" and not safe:
        group = "write"
    elif group == "upload" and safe:
        group = "default"
    counted_by = "address"
    allowance = request.allowance = limiter.hit(group, request.address, account=False)  # told even if the token is dead
    if allowance is not None and allowance.allowed and "HTTP_AUTHORIZATION" in request.environ:
        own = limiter.hit(group, request.actor.caller, account=True)
        if own is not None and (not own.allowed or own.remaining < allowance.remaining):
            allowance, counted_by = own, "account"
    request.allowance = allowance
    if allowance is not None and not allowance.allowed:
        LIMITED.labels(group, counted_by).inc()
        raise RateLimited(f"Too many requests; wait {allowance.reset} seconds.", retry_after=max(1, allowance.reset))


def includeme(config: Configurator) -> None:
    config.add_tween("marketplace_api.views.middleware.edge_factory")
