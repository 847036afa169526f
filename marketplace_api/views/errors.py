"""The only exception views: every refusal and every crash leaves as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPMethodNotAllowed, HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.database.engines import is_outage
from marketplace_api.domain.identity.accounts import errors, profiles
from marketplace_api.domain.outbound.notifications.unsubscribe import PREFERENCES
from marketplace_api.errors import (
    DomainError,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
    Unavailable,
)
from marketplace_api.gateways.email.templates import service_of
from marketplace_api.hal.forms import templates
from marketplace_api.hal.problems import CODES, PROBLEM, problem
from marketplace_api.hal.registry import represent
from marketplace_api.hal.representation import JSON
from marketplace_api.resources.base import Context
from marketplace_api.security.permissions import Permission
from marketplace_api.views import html_pages
from marketplace_api.views.responses import Answer, document

log = logging.getLogger(__name__)

_NOT_QUOTABLE = re.compile(r"[^ !#-\[\]-~]")  # RFC 6750 allows no more in a description
_CODE_BY_STATUS = {400: "invalid_input", 406: "not_acceptable", 413: "body_too_large", 415: "unsupported_media_type"}


def answer(error: DomainError, request: Request, headers: list[tuple[str, str]] | None = None) -> Response:
    """The problem document for ``error``, or a page of it, with the headers that its status calls for."""
    status, body = problem(error, getattr(request, "id", None))
    sent = [("Cache-Control", "no-store"), *(headers or [])]
    if status == 401:
        sent.append(("WWW-Authenticate", _challenge(error, request)))
    if status in (429, 503) or error.retry_after is not None:
        sent.append(("Retry-After", str(error.retry_after or 5)))
    if html_pages.is_wanted(request):
        shown = _refusal_page(request, body, status)
        shown.headers.update(sent)
        return shown
    return document(body, status, PROBLEM, sent)


def _challenge(error: DomainError, request: Request) -> str:
    """RFC 6750, section 3: an error is named where a bearer token was sent and is what was refused."""
    scheme = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    if scheme != "bearer" or "actor" in request.__dict__:  # with an actor the token was good
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{_NOT_QUOTABLE.sub("", error.detail)}"'


def domain_error(error: DomainError, request: Request) -> Response:
    if isinstance(error, PreconditionFailed):
        current = represent(request.context.refreshed())
        error.extra = {**error.extra, "current": current.render(JSON, request.actor)}
    context = getattr(request, "context", None)  # what is gone may have been met on the way through the tree
    if isinstance(error, Gone) and isinstance(context, Context):
        # Who may bring it back is told how.
        forms = templates(context, request.actor, {})
        error.extra = {**error.extra, **({"_templates": forms} if forms else {})}
    return answer(error, request)


def not_found(_error: HTTPNotFound, request: Request) -> Response:
    path = request.environ.get("PATH_INFO", "")
    if path.endswith("/") and path.strip("/"):
        query = request.environ.get("QUERY_STRING")
        # A path that starts with // would be another host.
        location = "/" + path.strip("/") + (f"?{query}" if query else "")
        return Answer(status="308 Permanent Redirect", headerlist=[("Location", _ascii(location))], app_iter=[])
    return answer(NotFound("There is nothing at this address."), request)


def _ascii(location: str) -> str:
    """The WSGI path (bytes as Latin-1) as a header value; browsers read ``\\`` as ``/``, so it must not stay."""
    return "".join(
        c if "!" <= c <= "~" and c != "\\" else "".join(f"%{b:02X}" for b in c.encode("latin-1", "ignore"))
        for c in location
    )


def forbidden(_error: HTTPForbidden, request: Request) -> Response:
    """401 for the unknown, 403 for the known, 404 where the context conceals itself, 410 where it is gone."""
    return answer(refusal_of(request), request)


def refusal_of(request: Request) -> DomainError:
    context, actor = request.context, request.actor
    special: DomainError | None = context.refusal()
    if special is not None:
        return special
    if context.conceal and not request.has_permission(_reading(context), context):
        return NotFound("There is nothing at this address.")
    if actor.key_id is not None:
        return Forbidden("The API key is not for this: its scopes say what it is for.")
    if actor.user_id is None:
        return Unauthenticated("Log in first: this needs an account.")
    if actor.state == "suspended":
        row = profiles.find_own(request.db, actor.user_id)
        return errors.suspended(row.state_reason, row.suspended_until)
    return Forbidden("Your account may not do this.")


def _reading(context: Any) -> str:
    return str(getattr(context, "read_permission", Permission.API_READ))


def method_not_allowed(error: HTTPMethodNotAllowed, request: Request) -> Response:
    context = request.context
    if context.conceal and not request.has_permission(_reading(context), context):
        return answer(NotFound("There is nothing at this address."), request)
    allow = ", ".join(sorted({*error.allow, "OPTIONS"}))
    if request.method == "OPTIONS":
        return Response(status="204 No Content", headerlist=[("Allow", allow)], app_iter=[])
    refused = DomainError(f"{request.method} does not work here; {allow} do.", code="method_not_allowed")
    return answer(refused, request, [("Allow", allow)])


def http_error(error: HTTPException, request: Request) -> Response:
    """What Pyramid or WebOb raised by themselves; redirects pass as they are."""
    if error.status_int < 400:
        return error
    code = _CODE_BY_STATUS.get(error.status_int, "internal_error" if error.status_int >= 500 else "invalid_input")
    return answer(DomainError(CODES[code].advice, code=code), request)


def undecodable(_error: UnicodeDecodeError, request: Request) -> Response:
    return answer(Invalid("The address is not valid UTF-8."), request)


def crash(error: Exception, request: Request) -> Response:
    return answer(what_failed(error, request.registry), request)


def what_failed(error: Exception, registry: Any) -> DomainError:
    """What the caller is told of an error: a refusal itself, and else whose fault it is; ours is recorded."""
    if isinstance(error, DomainError):
        return error
    misfit = registry.schema_watch.explain(error, registry.databases)
    if misfit is not None:
        return Unavailable(f"{misfit} Nothing was saved.", code="schema_mismatch", retry_after=30)
    if is_outage(error):
        log.warning("database unavailable", extra={"error_type": type(error).__name__})
        return Unavailable("The database does not answer; nothing was saved. Try again soon.", retry_after=5)
    log.error("unhandled exception", exc_info=error)
    return DomainError("Something went wrong on our side; it has been recorded.", code="internal_error")


def includeme(config: Configurator) -> None:
    views = {
        DomainError: domain_error,
        HTTPNotFound: not_found,
        HTTPForbidden: forbidden,
        HTTPMethodNotAllowed: method_not_allowed,
        HTTPException: http_error,
        URLDecodeError: undecodable,
        UnicodeDecodeError: undecodable,
        Exception: crash,
    }
    for context, view in views.items():
        config.add_exception_view(view, context=context)


def _refusal_page(request: Request, problem: Mapping[str, Any], status: int) -> Response:
    """A problem document as a page."""
    settings = request.registry.app_settings
    return html_pages.page(
        "refused",
        status,
        service=service_of(settings.email_from),
        title=problem["title"],
        detail=problem["detail"],
        preferences=settings.page_of(PREFERENCES),
    )
