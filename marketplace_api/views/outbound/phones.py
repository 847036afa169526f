"""The caller's telephone number: shown to be theirs by a code, and forgotten."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.outbound.phones import confirmation
from marketplace_api.hal.outbound import phones as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.outbound.phones import PHONE, PhoneContext
from marketplace_api.schemas.outbound import phones as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.service import Service

own = Service("me-phone", PHONE, PhoneContext)
confirming_one = Service("me-phone-confirm", f"{PHONE}/confirm", PhoneContext, on=PHONE, limits="auth")


def _there(context: PhoneContext, _actor: Actor) -> bool:
    return not context.is_empty


def _sent(context: PhoneContext, _actor: Actor) -> bool:
    return context.awaits_code


@own.operation("GET", "read-phone", P.PHONE_READ, title="Your telephone number", result="phone")
def read(request: Request) -> Representation:
    return represent.phone(request.context)


@own.operation(
    "POST",
    "send-phone-code",
    P.PHONE_CHANGE,
    title="Have a code sent to your number",
    body=schemas.RequestPhoneCode,
    result="phone",
    description="By text message, good for ten minutes from when it is sent (`expires_at` is null until then). The number that was confirmed before stays until this one is.",
)
def send_code(request: Request) -> Representation:
    confirmation.request_code(request.db, request.actor, request.registry.account_rules, request.validated["phone"])
    return represent.phone(request.context.refreshed())


@confirming_one.operation(
    "POST",
    "confirm-phone",
    P.PHONE_CHANGE,
    title="Confirm your number",
    body=schemas.ConfirmPhone,
    applies=_sent,
    result="phone",
    description="After five wrong codes another one has to be asked for.",
)
def confirm(request: Request) -> Representation:
    registry = request.registry
    code = request.validated["code"]
    confirmation.confirm(request.db, registry.databases, request.actor, registry.account_rules, code)
    return represent.phone(request.context.refreshed())


@own.operation("DELETE", "remove-phone", P.PHONE_CHANGE, title="Forget your number", applies=_there, result="message")
def remove(request: Request) -> Representation:
    confirmation.remove(request.db, request.actor)
    return message("Phone number removed", PHONE)
