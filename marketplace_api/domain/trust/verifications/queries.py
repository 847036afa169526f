"""The light rows that reading a verification gives, and finding and locking them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.errors import NotFound, PreconditionFailed
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.verifications import Verification

_v, _u = table_of(Verification).c, table_of(User).c

_LIVES = sa.or_(*(_u.state == sa.literal_column(f"'{state}'") for state in LIVING))

COLUMNS = (
    _v.verification_id,
    _v.user_id,
    _v.status,
    _v.document_type,
    _v.document_name,
    _v.media_type,
    _v.date_submitted,
    _v.date_decided,
    _v.decided_by,
    _v.reason,
    _v.expires_at,
    _v.documents_purged_at,
    _v.version,
    sa.case((_LIVES, _u.username)).label("username"),
)
"""What every representation is made from; ``username`` is ``None`` for an account that is deactivated or banned."""

SOURCE = table_of(Verification).join(table_of(User), _u.user_id == _v.user_id)

_FIND = sa.select(*COLUMNS).select_from(SOURCE).where(_v.verification_id == sa.bindparam("verification_id"))
_FIND_PREPARED = Prepared(_FIND)
_LATEST = Prepared(
    sa.select(*COLUMNS)
    .select_from(SOURCE)
    .where(_v.user_id == sa.bindparam("owner_id"))
    .order_by(_v.verification_id.desc())
    .limit(1)
)


def find(db: Reader, verification_id: int) -> Any | None:
    """The row of one verification, or ``None``; the caller asks the ACL who may see it."""
    return _FIND_PREPARED.first(db, {"verification_id": verification_id})


def latest(db: Reader, user_id: int) -> Any | None:
    """The row of an account's newest verification, ``None`` if it never sent anything."""
    return _LATEST.first(db, {"owner_id": user_id})


def lock(session: Session, verification_id: int, expected_version: int | None = None) -> Any:
    """The row, held until the transaction ends; its account is locked before (``accounts.rows.lock_user``).

    Raises NotFound, and PreconditionFailed when its version is not the expected one.
    """
    held = _FIND.with_for_update(key_share=True, of=table_of(Verification))
    row = session.execute(held, {"verification_id": verification_id}).first()
    if row is None:
        raise absent()
    if expected_version is not None and row.version != expected_version:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")
    return row


def absent() -> NotFound:
    return NotFound("There is no such verification.")
