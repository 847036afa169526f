"""What the tests of the operator's commands share: the audit trail, listings by the dozen, verifications by the hundred."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from marketplace_api.database.engines import Databases
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import make_user


def told(databases: Databases, type_: str) -> list[Event]:
    """The events of one type, each of an operator's run: who, and the id of the run."""
    with databases.session() as session:
        found = list(session.scalars(sa.select(Event).where(Event.type == type_).order_by(Event.event_id)))
    for event in found:
        assert event.actor_id is not None or (event.actor_name or "").startswith("operator")
        assert re.fullmatch("cli-[0-9a-f]{32}", event.request_id or "")
    return found


def count(databases: Databases, *conditions: Any) -> int:
    with databases.session() as session:
        return session.scalar(sa.select(sa.func.count()).where(*conditions)) or 0


def person(databases: Databases, **values: Any) -> int:
    with databases.session() as session:
        user_id = make_user(session, **values).user_id
        session.commit()
    return user_id


def offer(databases: Databases, number: int = 1, **values: Any) -> list[int]:
    """The ids of so many new listings of one new owner."""
    owner = values.pop("user_id", None) or person(databases)
    fields = {"category": "cars", "price": 1, "photos_urls": [], "amenities": [], "user_id": owner, "title": "Car"}
    fields |= values
    with databases.session() as session:
        made = session.execute(sa.insert(Listing).returning(Listing.listing_id), [fields] * number).scalars().all()
        session.commit()
    return list(made)


def waiting(databases: Databases, number: int) -> list[int]:
    """The ids of so many pending verifications, each of an account of its own; their documents are in no storage."""
    with databases.session() as session:
        users = [make_user(session).user_id for _ in range(number)]
        keys = [f"document-{uuid4().hex}.bin" for _ in users]
        stored = {"kind": "document", "content_type": "application/octet-stream", "size": 1, "state": "stored"}
        session.execute(
            sa.insert(File),
            [
                {**stored, "key": key, "owner_id": user, "sha256": b"0" * 32}
                for key, user in zip(keys, users, strict=True)
            ],
        )
        fields = {"document_type": "passport", "document_name": "mine.png", "media_type": "image/png"}
        made = session.execute(
            sa.insert(Verification).returning(Verification.verification_id),
            [
                {**fields, "user_id": user, "file_key": key, "key_id": "test", "envelope": b"sealed"}
                for key, user in zip(keys, users, strict=True)
            ],
        )
        ids = sorted(made.scalars())
        session.commit()
    return ids
