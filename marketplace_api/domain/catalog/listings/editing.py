"""Writing listings: create, edit, delete and restore, each with its event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.listings import queries, workflow
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import Conflict, FieldError, Forbidden, Gone, Invalid, NotFound
from marketplace_api.models.catalog.listings import Listing

_t = table_of(Listing)

PLACE = ("address", "city", "state", "zip", "country", "latitude", "longitude")
RESTORABLE_FOR = timedelta(days=30)

_REVIEW_AGAIN: Mapping[str, Any] = {"is_verified_listing": False, "review_requested_at": sa.func.now()}


def create(session: Session, actor: Actor, *, fields: Mapping[str, Any]) -> Any:
    """A new listing of ``actor``'s; ``fields`` as the schema gives them (``location`` is a mapping). Returns its row.

    Raises Invalid for an unknown category or one half of a pair of coordinates.
    """
    values = _columns(fields)
    _check(session, values)
    values["user_id"] = actor.user_id
    row = session.execute(sa.insert(_t).values(values).returning(*queries.COLUMNS)).one()
    record(
        session,
        actor,
        EventType.LISTING_CREATED,
        row.listing_id,
        new={
            "title": row.title,
            "category": row.category,
            "price": str(row.price),
            "currency": row.currency,
            "status": row.status,
        },
    )
    return row


def edit(
    session: Session,
    actor: Actor,
    listing_id: int,
    *,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
    merge: bool = False,
    may_step: frozenset[str] = frozenset(),
) -> Any:
    """Change what ``changes`` names and return the row; an edit that changes nothing leaves no trace.

    ``merge`` keeps the parts of ``location`` that are not named (merge patch). A ``status`` goes through the
    workflow, as a step whose permission is in ``may_step``. Raises NotFound, Gone, PreconditionFailed, Conflict
    (suspended, or no such step), Forbidden (step not permitted) and Invalid.
    """
    row = workflow.lock_editable(session, listing_id, expected_version, "edit")
    fields = dict(changes)
    target = fields.pop("status", row.status)
    row = _write(session, actor, row, _columns(fields, merge=merge))
    if target != row.status:
        row = _step_to(session, actor, row, target, may_step)
    return row


def _write(session: Session, actor: Actor, row: Any, values: dict[str, Any]) -> Any:
    """The content part of an edit."""
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    if not changed:
        return row
    _check(session, {**{name: getattr(row, name) for name in (*PLACE, "category")}, **changed}, "category" in changed)
    badge = _badge_after(session, row, changed) if row.is_verified_listing else {}
    statement = (
        sa.update(_t)
        .where(_t.c.listing_id == row.listing_id)
        .values({**changed, **badge, "date_updated": sa.func.now(), "version": _t.c.version + 1})
        .returning(*queries.COLUMNS)
    )
    written = session.execute(statement).one()
    record(
        session,
        actor,
        EventType.LISTING_EDITED,
        row.listing_id,
        previous={name: _event_data(name, getattr(row, name)) for name in changed}
        | _badge_event_data(row, written, row),
        new={name: _event_data(name, value) for name, value in changed.items()}
        | _badge_event_data(row, written, written),
        on_behalf_of=None if actor.owns(row.user_id) else row.user_id,
    )
    return written


def media_changed(
    session: Session,
    actor: Actor,
    row: Any,
    type: EventType,
    *,
    values: Mapping[str, Any],
    previous: Mapping[str, Any],
    new: Mapping[str, Any],
) -> Any:
    """After a change of the photos or the video of the locked ``row``: writes ``values``, returns the new row.

    As with wording, a moderator has to look at them again before the badge comes back.
    """
    badge = _REVIEW_AGAIN if row.is_verified_listing else {}
    written = {**values, **badge, "date_updated": sa.func.now(), "version": _t.c.version + 1}
    statement = sa.update(_t).where(_t.c.listing_id == row.listing_id).values(written).returning(*queries.COLUMNS)
    changed = session.execute(statement).one()
    record(
        session,
        actor,
        type,
        row.listing_id,
        previous={**previous} | _badge_event_data(row, changed, row),
        new={**new} | _badge_event_data(row, changed, changed),
        on_behalf_of=None if actor.owns(row.user_id) else row.user_id,
    )
    return changed


def _step_to(session: Session, actor: Actor, row: Any, target: str, may_step: frozenset[str]) -> Any:
    transition = LISTING_WORKFLOW.between(row.status, target)
    if transition is None or not workflow.possible(row, transition):
        raise Conflict(
            f"A listing that is {row.status.replace('_', ' ')} cannot become {target.replace('_', ' ')}.",
            code="wrong_state",
            extra={"state": row.status},
            link=f"/api/listings/{row.listing_id}",
        )
    if transition.permission not in may_step:
        raise Forbidden(f"Your account may not take the step `{transition.name}`.")
    return workflow.apply(session, actor, row, transition, None)


def delete(session: Session, actor: Actor, listing_id: int, *, expected_version: int | None = None) -> None:
    """Soft deletion; :func:`restore` undoes it for 30 days. Raises NotFound, Gone, PreconditionFailed."""
    row = queries.lock(session, listing_id, expected_version)
    values = {"deleted_at": sa.func.now(), "version": _t.c.version + 1}
    session.execute(sa.update(_t).where(_t.c.listing_id == row.listing_id).values(values))
    record(
        session,
        actor,
        EventType.LISTING_DELETED,
        row.listing_id,
        previous={"status": row.status},
        on_behalf_of=None if actor.owns(row.user_id) else row.user_id,
    )


def is_restorable(deleted_at: datetime | None, now: datetime) -> bool:
    return deleted_at is not None and deleted_at > now - RESTORABLE_FOR


def restore(session: Session, actor: Actor, listing_id: int, *, expected_version: int | None = None) -> Any:
    """Bring a deleted listing back as it was.

    Raises NotFound, PreconditionFailed, Conflict if it is there, and Gone after 30 days.
    """
    statement = (
        sa.select(*queries.COLUMNS, sa.func.now().label("now")).where(_t.c.listing_id == listing_id).with_for_update()
    )
    row = session.execute(statement).first()
    if row is None:
        raise NotFound("There is no such listing.")
    if row.deleted_at is None:
        raise workflow.refused(row, "restore")
    queries.require_version(row.version, expected_version)
    if not is_restorable(row.deleted_at, row.now):
        raise Gone("This listing was deleted more than 30 days ago.")
    values = {"deleted_at": None, "date_updated": sa.func.now(), "version": _t.c.version + 1}
    restored = session.execute(
        sa.update(_t).where(_t.c.listing_id == listing_id).values(values).returning(*queries.COLUMNS)
    ).one()
    record(session, actor, EventType.LISTING_RESTORED, listing_id, new={"status": restored.status})
    return restored


def _columns(fields: Mapping[str, Any], *, merge: bool = False) -> dict[str, Any]:
    """The fields of the wire as columns: ``location`` is spread out."""
    values = {name: value for name, value in fields.items() if name != "location"}
    if "location" in fields:
        place = fields["location"] or {}
        named = [part for part in PLACE if part in place] if merge and fields["location"] is not None else PLACE
        values |= {part: place.get(part) for part in named}
    return values


def _check(session: Session, values: Mapping[str, Any], category_changed: bool = True) -> None:
    errors = []
    if category_changed and "category" in values and not categories.exists(session, values["category"]):
        errors.append(
            FieldError(
                "body", "category", "unknown_category", "There is no such category; `GET /api/categories` lists them."
            )
        )
    if (values.get("latitude") is None) != (values.get("longitude") is None):
        errors.append(FieldError("body", "location", "half_a_position", "Send latitude and longitude together."))
    if errors:
        raise Invalid(f"{errors[0].name}: {errors[0].message}", errors=errors)


def _badge_after(session: Session, row: Any, changed: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an edit of a verified listing does to its badge.

    It is lost where the edit touches what a moderator looked at: wording, photos, or the price by more than half of
    what that was then.
    """
    if not changed.keys().isdisjoint(("title", "description", "photos_urls", "currency")):
        return _REVIEW_AGAIN
    if "price" not in changed:
        return {}
    verified = sa.select(sa.func.coalesce(_t.c.verified_price, _t.c.price)).where(_t.c.listing_id == row.listing_id)
    price = session.execute(verified).scalar_one()
    return _REVIEW_AGAIN if abs(changed["price"] - price) > price / 2 else {"verified_price": price}


def _badge_event_data(before: Any, after: Any, row: Any) -> dict[str, bool]:
    """The badge as ``row`` has it, for the event, where the change took it away."""
    lost = before.is_verified_listing and not after.is_verified_listing
    return {"is_verified_listing": row.is_verified_listing} if lost else {}


def _event_data(name: str, value: Any) -> Any:
    """A value as the event log keeps it: no street addresses or exact positions."""
    if name in ("address", "zip", "latitude", "longitude"):
        return None if value is None else "(changed)"
    return f"{value:.2f}" if isinstance(value, Decimal) else value
