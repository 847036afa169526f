"""Keys with which programs call: made, shown, revoked, and recognised."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases, now_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.domain.kernel.tokens import hash_opaque
from marketplace_api.errors import Conflict, FieldError, Invalid, NotFound, Unauthenticated
from marketplace_api.models.identity.api_keys import ApiKey

PREFIX = "mkt_"

_k = table_of(ApiKey).c
_TODAY = sa.text("(now() AT TIME ZONE 'UTC')::date")
COLUMNS = tuple(column for column in _k if column.key != "key_hash")
"""What a representation of a key is made from."""

_IDENTIFY = Prepared(
    sa.select(_k.api_key_id, _k.name, _k.scopes, _k.last_used.is_distinct_from(_TODAY).label("is_first_today")).where(
        _k.key_hash == sa.bindparam("key_hash"),
        _k.revoked_at.is_(None),
        sa.or_(_k.expires_at.is_(None), _k.expires_at > sa.func.now()),
    )
)


def issue(
    session: Session, actor: Actor, *, name: str, scopes: Collection[str], expires_at: datetime | None = None
) -> tuple[Any, str]:
    """A new key, as a row of :data:`COLUMNS` and as the words that its holder sends, which nobody can tell later.

    Raises Invalid for a time that has passed.
    """
    if expires_at is not None and expires_at <= now_of(session):
        error = FieldError("body", "expires_at", "in_the_past", "This time has passed; name a later one.")
        raise Invalid(f"expires_at: {error.message}", errors=[error])
    token = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        key_hash=hash_opaque(token), name=name, scopes=sorted(scopes), created_by=actor.user_id, expires_at=expires_at
    )
    session.add(key)
    session.flush()
    new = {"name": name, "scopes": sorted(scopes), "expires_at": expires_at.isoformat() if expires_at else None}
    record(session, actor, EventType.KEY_ISSUED, key.api_key_id, new=new)
    return find(session, key.api_key_id), token


def revoke(session: Session, actor: Actor, api_key_id: int) -> Any:
    """End a key at once; returns its row. Raises NotFound, and Conflict for one that was revoked before."""
    revoking = sa.update(ApiKey).where(_k.api_key_id == api_key_id, _k.revoked_at.is_(None))
    found = session.execute(revoking.values(revoked_at=sa.func.now()).returning(_k.api_key_id)).first()
    row = find(session, api_key_id)
    if row is None:
        raise NotFound(f"There is no API key {api_key_id}.")
    if found is None:
        raise Conflict("The key was revoked before.", code="wrong_state")
    record(session, actor, EventType.KEY_REVOKED, api_key_id)
    return row


def find(db: Reader, api_key_id: int) -> Any | None:
    """One key as a row of :data:`COLUMNS`, or ``None``."""
    return db.execute(sa.select(*COLUMNS).where(_k.api_key_id == api_key_id)).first()


def list_page(db: Reader, page: PageRequest) -> Page:
    """All keys there ever were, the newest first. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``."""
    list_hash = fingerprint("api_keys")
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values["key"] = position.keys[0]
    rows = db.execute(_page(position is not None, position is not None and position.backward), values).all()
    counted = sa.select(sa.literal_column("1")).select_from(table_of(ApiKey)).limit(paging.TOTAL_CAP + 1).subquery()
    total = db.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()
    return assemble(rows, page, position, list_hash, lambda row: (row.api_key_id,), total=total)


@lru_cache(maxsize=4)
def _page(keyed: bool, backward: bool) -> sa.Select[Any]:
    number = sa.BigInteger()
    statement = sa.select(*COLUMNS)
    if keyed:
        key = sa.bindparam("key", type_=number)
        statement = statement.where(_k.api_key_id > key if backward else _k.api_key_id < key)
    order = _k.api_key_id.asc() if backward else _k.api_key_id.desc()
    count, offset = (sa.bindparam(name, type_=number) for name in ("count", "offset"))
    return statement.order_by(order).limit(count).offset(offset)


def identify(db: Reader, databases: Databases, token: str, request_id: str | None) -> Actor:
    """The program that holds the key; raises Unauthenticated for one that we never made, or that is over.

    The first call of a day notes the day, in a transaction of its own.
    """
    row = _IDENTIFY.first(db, {"key_hash": hash_opaque(token)})
    if row is None:
        raise Unauthenticated(
            "This API key is unknown, revoked or expired; ask an administrator for another.", "token_invalid"
        )
    if row.is_first_today:
        with databases.separately() as short:
            short.execute(sa.update(ApiKey).where(_k.api_key_id == row.api_key_id).values(last_used=_TODAY))
    return Actor(username=row.name, key_id=row.api_key_id, scopes=frozenset(row.scopes), request_id=request_id)
