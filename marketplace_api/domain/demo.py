"""The demo data: twenty people and about two hundred listings, so that a fresh marketplace looks like one.

The content lies beside this file in ``demo_data``; ages are in days before the loading, so that it is always recent.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases
from marketplace_api.domain import passwords
from marketplace_api.domain.accounts import profiles, registration
from marketplace_api.domain.accounts.rules import AccountRules
from marketplace_api.domain.actors import Actor, operator
from marketplace_api.domain.listings import editing, workflow
from marketplace_api.errors import Forbidden
from marketplace_api.models.accounts import User
from marketplace_api.settings import Settings

PASSWORD = "demo-marketplace-2026"
DOMAIN = "demo.example"

LOGINS = tuple(
    (role, f"{name}@{DOMAIN}", PASSWORD)
    for role, name in (
        ("admin", "admin"), ("moderator", "moderator"), ("staff", "staff"), ("customer", "anna"), ("customer", "ben"),
    )
)  # fmt: skip
"""Role, e-mail address and password of a few of the accounts; all others have the same password."""

LISTING_FILES = ("vehicles", "housing", "electronics", "home-garden", "leisure", "everything-else")

# How a listing comes to its status; the moderator takes the steps of the second kind.
STEPS: Mapping[str, tuple[str, ...]] = {
    "sold": ("mark-sold",),
    "pending_verification": ("submit-for-verification",),
    "verified": ("submit-for-verification", "verify"),
    "rejected": ("submit-for-verification", "reject"),
    "suspended": ("suspend",),
}
MODERATORS_STEPS = frozenset({"verify", "reject", "suspend"})

# Any number, the same in every process.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(7405002)")

# A market in which everything happened in the same second looks like none, and no act of the domain is back-dated.
_DATE_LISTINGS = sa.text(
    "UPDATE listings SET date_created = dates.created, date_updated = dates.updated "
    "FROM json_to_recordset(CAST(:dates AS json)) AS dates (id bigint, created timestamptz, updated timestamptz) "
    "WHERE listing_id = dates.id"
)
_DATE_USERS = sa.text(
    "UPDATE users SET date_joined = dates.created, date_updated = dates.updated "
    "FROM json_to_recordset(CAST(:dates AS json)) AS dates (id bigint, created timestamptz, updated timestamptz) "
    "WHERE user_id = dates.id"
)


def load_once(databases: Databases, settings: Settings) -> None:
    """Load the demo data into a database that has no accounts yet, in one transaction; several processes may try.

    Raises :class:`Forbidden` in production: everybody knows the password.
    """
    if settings.production:
        raise Forbidden("The demo data has a public password: load it in development only.", "development_only")
    with databases.session() as session, session.begin():
        session.execute(_LOCK)
        if not session.execute(sa.select(sa.exists(sa.select(User.user_id)))).scalar_one():
            _load(session, settings)


def _load(session: Session, settings: Settings) -> None:
    now = datetime.now(UTC)
    rows = {row["username"]: row for row in _rows("people")}
    actors = _people(session, settings, rows)
    _date(session, _DATE_USERS, [(actors[name].user_id, row) for name, row in rows.items()], now)
    places = {row["place"]: row for row in _rows("places")}
    listings = [row for name in LISTING_FILES for row in _rows(name)]
    # The oldest first, so that the ids have the order of the dates.
    listings.sort(key=lambda row: -float(row["days_ago"]))
    made = []
    for row in listings:
        place = places[row["place"] or rows[row["owner"]]["place"]]
        made.append((_listing(session, actors, row, place), row))
    _date(session, _DATE_LISTINGS, made, now)


def _people(session: Session, settings: Settings, people: Mapping[str, Mapping[str, str]]) -> dict[str, Actor]:
    """Make the accounts; returns each as one who can act."""
    rules = AccountRules.from_settings(settings)
    # Hashing is slow on purpose, so one hash serves all.
    hashed = passwords.hash_password(PASSWORD, rules.bcrypt_cost)
    actors = {}
    for name, row in people.items():
        user = registration.create_account(
            session, rules, username=name, email=f"{name}@{DOMAIN}", password=None, roles=(row["role"],),
            actor=operator("demo data"), confirmed=True,
        )  # fmt: skip
        user.password_hash = hashed
        session.flush()
        actors[name] = Actor(user_id=user.user_id, username=name, roles=frozenset(user.roles))
        profiles.edit(session, actors[name], user.user_id, changes={"bio": row["bio"]})
    return actors


def _listing(session: Session, actors: Mapping[str, Actor], row: Mapping[str, str], place: Mapping[str, str]) -> int:
    """Make one listing by the steps that its owner and a moderator would take; returns its id."""
    owner, status = actors[row["owner"]], row["status"]
    fields = {
        **{name: row[name] for name in ("title", "description", "category")},
        "price": Decimal(row["price"]),
        "currency": place["currency"],
        "location": {
            **{name: place[name] for name in ("address", "city", "state", "zip", "country")},
            "latitude": Decimal(place["latitude"]),
            "longitude": Decimal(place["longitude"]),
        },
        "amenities": [amenity for amenity in row["amenities"].split("|") if amenity],
        "photos_urls": [],
        "status": status if status in workflow.LISTING_WORKFLOW.initial else "active",
    }
    listing_id: int = editing.create(session, owner, fields=fields).listing_id
    for step in STEPS.get(status, ()):
        actor = actors["moderator"] if step in MODERATORS_STEPS else owner
        reason = row["reason"] if step in ("reject", "suspend") else None
        workflow.take(session, actor, listing_id, step, reason=reason)
    return listing_id


def _date(
    session: Session, statement: sa.TextClause, made: Sequence[tuple[int | None, Mapping[str, str]]], now: datetime
) -> None:
    """Put back the dates of what was ``made``; what changed its status did so some time after it was made."""
    dates = []
    for id_, row in made:
        age = timedelta(days=float(row["days_ago"]))
        since = min(age / 2, timedelta(days=9)) if row.get("status") in STEPS else timedelta()
        dates.append({"id": id_, "created": now - age, "updated": now - age + since})
    session.execute(statement, {"dates": orjson.dumps(dates).decode()})


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (files("marketplace_api.domain") / "demo_data" / f"{name}.csv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines(), restval="", strict=True)
