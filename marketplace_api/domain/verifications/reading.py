"""The moderators' queue: verifications in one state, oldest first."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.db import Reader, table_of
from marketplace_api.domain.paging import (
    TOTAL_CAP,
    Page,
    PageRequest,
    assemble,
    decode_cursor,
    fingerprint,
    offset_of,
)
from marketplace_api.domain.verifications import rows
from marketplace_api.models.verifications import Verification

_v = table_of(Verification).c
_STATUS = sa.bindparam("wanted", type_=sa.String)
_COUNT = sa.select(sa.func.count()).select_from(
    sa.select(sa.literal_column("1")).where(_v.status == _STATUS).limit(TOTAL_CAP + 1).subquery()
)


def waiting(db: Reader) -> int:
    """How many verifications wait for a decision, counted to one beyond ``TOTAL_CAP``."""
    return int(db.execute(_COUNT, {"wanted": "pending"}).scalar_one())


def listed(db: Reader, status: str, page: PageRequest) -> Page:
    """The verifications with this ``status``, in the order that they were sent in, as rows of ``rows.COLUMNS``.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("verifications", status)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"wanted": status, "count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values["key"] = position.keys[0]
    found = db.execute(_statement(position is not None, position is not None and position.backward), values).all()
    total = db.execute(_COUNT, {"wanted": status}).scalar_one()
    return assemble(found, page, position, list_hash, lambda row: (row.verification_id,), total=total)


@lru_cache(maxsize=4)
def _statement(keyed: bool, backward: bool) -> sa.Select[Any]:
    statement = sa.select(*rows.COLUMNS).select_from(rows.SOURCE).where(_v.status == _STATUS)
    if keyed:
        key = sa.bindparam("key", type_=sa.BigInteger)
        statement = statement.where(_v.verification_id < key if backward else _v.verification_id > key)
    number = sa.Integer()
    return (
        statement.order_by(_v.verification_id.desc() if backward else _v.verification_id.asc())
        .limit(sa.bindparam("count", type_=number))
        .offset(sa.bindparam("offset", type_=number))
    )
