"""What providers tell us by themselves: Twilio, what became of text messages and who wants none any more.

No operations of the API: the provider says what it sends, fields that we do not know among them, and takes no answer
that is not empty. It is believed for its signature alone.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.outbound.phones import reports
from marketplace_api.errors import DomainError, Forbidden, Invalid, NotFound
from marketplace_api.gateways.sms import HOOK, hook_address, is_signed
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import FORM, bounded_body
from marketplace_api.views.responses import STATUS, Answer

MOST_FIELDS = 100
# The routes of this file by name: their pattern and what they are for.
ROUTES = {"hook-twilio": (HOOK, "Twilio tells what became of text messages, and who answered STOP or START.")}


def take_report(request: Request) -> Response:
    """One report of Twilio's. Whatever it tells of that we do not know is fine: it shall not ask again."""
    settings = request.registry.app_settings
    if settings.sms_backend != "twilio":
        raise NotFound("Text messages do not go through Twilio here.")
    form = _form(request)
    query = request.environ.get("QUERY_STRING", "")
    url = hook_address(settings) + (f"?{query}" if query else "")
    if not is_signed(settings.sms_auth_token, url, form, request.headers.get("X-Twilio-Signature", "")):
        raise Forbidden("This was not signed by Twilio.")
    reports.take(request.db, request.registry.account_rules, dict(form))
    return Answer(STATUS[204], [("Cache-Control", "no-store")], [])


def _form(request: Request) -> list[tuple[str, str]]:
    if request.content_type != FORM:
        raise DomainError(f"Send the body as {FORM}.", code="unsupported_media_type")
    try:
        text = bounded_body(request).decode()
        form = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Invalid("The form cannot be read.", code="malformed_body") from error
    if any("\x00" in value for _, value in form):
        raise Invalid("The form holds NUL characters.", code="malformed_body")
    return form


def includeme(config: Configurator) -> None:
    for name, (pattern, _meaning) in ROUTES.items():
        config.add_route(name, pattern)
        config.add_view(take_report, route_name=name, request_method="POST", permission=Permission.SMS_REPORT.value)
        config.registry.limit_groups[name] = "hooks"
