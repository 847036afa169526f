"""Endpoints: making, changing and removing them, their secrets, switching them on and off."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.base import table_of
from marketplace_api.domain.eventlog.event_patterns import PATTERNS
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.webhooks import signing
from marketplace_api.domain.outbound.webhooks.queries import ENDPOINT_COLUMNS
from marketplace_api.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, PreconditionFailed
from marketplace_api.gateways import ssrf
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint, WebhookPosition

MOST_ENDPOINTS = 50
"""Each event is held against all of them."""
OLD_SECRET_COUNTS = timedelta(hours=24)
STEPS = {"enable": ("disabled",), "disable": ("enabled",), "test": ("enabled",), "resend": ("enabled",)}
"""What can be done by hand, and in which states."""

_t = table_of(WebhookEndpoint)
_deliveries = table_of(WebhookDelivery)
_position = table_of(WebhookPosition)


class CreatedEndpoint(NamedTuple):
    """An endpoint's row and its secret, which nobody is shown again."""

    row: Any
    secret: str


def possible(status: str, step: str) -> bool:
    return status in STEPS[step]


def refused(row: Any, step: str) -> Conflict:
    """The answer to a step that is not possible now."""
    return Conflict(
        f"The step `{step}` is not possible while the endpoint is {row.status}.",
        code="wrong_state",
        extra={"state": row.status},
        link=f"/api/admin/webhooks/{row.endpoint_id}",
    )


def create(
    session: Session, actor: Actor, settings: Settings, *, url: str, event_types: Collection[str], description: str = ""
) -> CreatedEndpoint:
    """A new endpoint, told of what is recorded from now on.

    Raises Invalid for an address that may not be called or a type that there is not, and Conflict
    (``too_many_webhooks``).
    """
    _require_admin(actor)
    _check_url(settings, url)
    types = _checked_types(event_types)
    _hold_position(session)
    if session.execute(sa.select(sa.func.count()).select_from(_t)).scalar_one() >= MOST_ENDPOINTS:
        raise Conflict(f"There are {MOST_ENDPOINTS} webhooks already; delete one first.", code="too_many_webhooks")
    secret = signing.new_secret()
    values = {
        "url": url,
        "event_types": types,
        "description": description,
        "secret": signing.sealed(settings, secret),
        "since_event_id": 0,
    }
    endpoint_id = session.execute(sa.insert(_t).values(values).returning(_t.c.endpoint_id)).scalar_one()
    event = record(session, actor, EventType.WEBHOOK_CREATED, endpoint_id, new={"event_types": types})
    # Not of its own making either.
    begun = sa.update(_t).where(_t.c.endpoint_id == endpoint_id).values(since_event_id=event.event_id)
    row = session.execute(begun.returning(*ENDPOINT_COLUMNS)).one()
    return CreatedEndpoint(row, secret)


def edit(
    session: Session,
    actor: Actor,
    settings: Settings,
    endpoint_id: int,
    *,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
) -> Any:
    """Change ``url``, ``event_types`` or ``description``; returns the row. The event names the fields only, for an
    address may hold a password. Raises as :func:`create`, NotFound and PreconditionFailed."""
    row = _lock(session, actor, endpoint_id, expected_version)
    wanted = dict(changes)
    if "event_types" in wanted:
        wanted["event_types"] = _checked_types(wanted["event_types"])
    changed = {name: value for name, value in wanted.items() if value != getattr(row, name)}
    if not changed:
        return row
    if "url" in changed:
        _check_url(settings, changed["url"])
    written = _write(session, endpoint_id, changed)
    record(session, actor, EventType.WEBHOOK_EDITED, endpoint_id, new={"fields": sorted(changed)})
    return written


def delete(session: Session, actor: Actor, endpoint_id: int, *, expected_version: int | None = None) -> None:
    """Remove an endpoint with what is known of its deliveries. Raises NotFound and PreconditionFailed."""
    _lock(session, actor, endpoint_id, expected_version)
    session.execute(sa.delete(_t).where(_t.c.endpoint_id == endpoint_id))
    record(session, actor, EventType.WEBHOOK_DELETED, endpoint_id)


def rotate_secret(session: Session, actor: Actor, settings: Settings, endpoint_id: int) -> CreatedEndpoint:
    """A new secret; the old one signs beside it for :data:`OLD_SECRET_COUNTS`. Raises NotFound."""
    _lock(session, actor, endpoint_id, None)
    secret = signing.new_secret()
    values = {
        "previous_secret": _t.c.secret,
        "previous_until": sa.func.now() + OLD_SECRET_COUNTS,
        "secret": signing.sealed(settings, secret),
    }
    row = _write(session, endpoint_id, values)
    record(session, actor, EventType.WEBHOOK_SECRET_ROTATED, endpoint_id)
    return CreatedEndpoint(row, secret)


def enable(session: Session, actor: Actor, endpoint_id: int, *, expected_version: int | None = None) -> Any:
    """Tell it again, of what is recorded from now on and of what was waiting; returns the row.

    Raises NotFound, PreconditionFailed, and Conflict (``wrong_state``).
    """
    # In this order, as everywhere: the position before endpoints.
    _hold_position(session)
    row = _lock(session, actor, endpoint_id, expected_version)
    _require(row, "enable")
    told = {"disabled_reason": row.disabled_reason}
    event = record(session, actor, EventType.WEBHOOK_ENABLED, endpoint_id, previous=told)
    values = {
        "status": "enabled",
        "disabled_reason": None,
        "failures": 0,
        "failing_since": None,
        "since_event_id": event.event_id,
    }
    return _write(session, endpoint_id, values)


def disable(session: Session, actor: Actor, endpoint_id: int, *, expected_version: int | None = None) -> Any:
    """Tell it of nothing more until it is enabled; returns the row. Raises as :func:`enable`."""
    row = _lock(session, actor, endpoint_id, expected_version)
    _require(row, "disable")
    return disabled(session, actor, endpoint_id, "by_hand")


def disabled(session: Session, actor: Actor, endpoint_id: int, reason: str) -> Any:
    """Switch off an endpoint that is locked and enabled, for one of the model's reasons; returns the row."""
    row = _write(session, endpoint_id, {"status": "disabled", "disabled_reason": reason})
    record(session, actor, EventType.WEBHOOK_DISABLED, endpoint_id, new={"disabled_reason": reason})
    return row


def test(session: Session, actor: Actor, endpoint_id: int) -> int:
    """Send an event of the type ``webhook.tested`` to this endpoint alone; returns the id of its delivery.

    Raises NotFound and Conflict (``wrong_state``).
    """
    _require(_lock(session, actor, endpoint_id, None), "test")
    event = record(session, actor, EventType.WEBHOOK_TESTED, endpoint_id)
    return _add(session, endpoint_id, event.event_id, event.type, "test")


def resend(session: Session, actor: Actor, endpoint_id: int, delivery_id: int) -> int:
    """Send an event once more, as a delivery of its own with another id, which is returned.

    Raises NotFound and Conflict (``wrong_state``).
    """
    _require(_lock(session, actor, endpoint_id, None), "resend")
    c = _deliveries.c
    statement = sa.select(c.event_id, c.type).where(c.delivery_id == delivery_id, c.endpoint_id == endpoint_id)
    row = session.execute(statement).first()
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id} of this webhook.")
    added = _add(session, endpoint_id, row.event_id, row.type, "resend")
    record(session, actor, EventType.WEBHOOK_RESENT, endpoint_id, new={"delivery_id": added, "of": delivery_id})
    return added


def _add(session: Session, endpoint_id: int, event_id: int, type: str, kind: str) -> int:
    values = {"endpoint_id": endpoint_id, "event_id": event_id, "type": type, "kind": kind}
    added = session.execute(sa.insert(_deliveries).values(values).returning(_deliveries.c.delivery_id))
    return int(added.scalar_one())


def _hold_position(session: Session) -> None:
    """Until the transaction ends nothing is passed on: else it could be past what is recorded before this commits."""
    session.execute(sa.select(_position.c.event_id).with_for_update())


def _require_admin(actor: Actor) -> None:
    if not actor.administers:
        raise Forbidden("Webhooks are for admins.")


def _lock(session: Session, actor: Actor, endpoint_id: int, expected_version: int | None) -> Any:
    _require_admin(actor)
    statement = sa.select(*ENDPOINT_COLUMNS).where(_t.c.endpoint_id == endpoint_id).with_for_update()
    row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {endpoint_id}.")
    if expected_version is not None and row.version != expected_version:
        raise PreconditionFailed("The webhook has changed since you read it.", extra={"version": row.version})
    return row


def _require(row: Any, step: str) -> None:
    if not possible(row.status, step):
        raise refused(row, step)


def _write(session: Session, endpoint_id: int, values: Mapping[str, Any]) -> Any:
    statement = sa.update(_t).where(_t.c.endpoint_id == endpoint_id).returning(*ENDPOINT_COLUMNS)
    stamped = {**values, "version": _t.c.version + 1, "date_updated": sa.func.now()}
    return session.execute(statement.values(stamped)).one()


def _check_url(settings: Settings, url: str) -> None:
    try:
        ssrf.check_url(settings, url)
    except ssrf.OutboundRefused as error:
        raise _invalid("url", "address_refused", str(error)) from error


def _checked_types(event_types: Collection[str]) -> list[str]:
    """Each once, in the order of the list of types."""
    unknown = sorted(set(event_types).difference(PATTERNS))
    if unknown or not event_types:
        told = f"There is no type {unknown[0]!r}." if unknown else "Choose at least one type."
        raise _invalid("event_types", "not_a_choice", told)
    return [pattern for pattern in PATTERNS if pattern in event_types]


def _invalid(field: str, code: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[FieldError("body", field, code, message)])
