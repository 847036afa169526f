"""One effect for one Idempotency-Key, however often the request arrives.

The semantics are those of draft-ietf-httpapi-idempotency-key-header: same key and request give the stored answer, a
key in use is a conflict, a key with another request is refused.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.errors import Conflict, Unprocessable
from marketplace_api.models.kernel.idempotency import StoredAnswer

KEPT_FOR = timedelta(hours=24)


def key_hash(caller: str, key: str) -> bytes:
    """What a key is stored under: keys of different callers never meet."""
    return hashlib.sha256(f"{len(caller)}:{caller}{key}".encode()).digest()


def find_answer(session: Session, hashed: bytes, request_hash: bytes) -> bytes | None:
    """The stored answer to repeat, or ``None`` when this request is the first and now holds the key.

    Raises :class:`Conflict` (``request_in_flight``) while another request holds it, and :class:`Unprocessable`
    when the key came with another request. The hold ends with the session's transaction.
    """
    lock = int.from_bytes(hashed[:8], "big", signed=True)
    if not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(lock))):
        raise Conflict("A request with this Idempotency-Key is still running.", code="request_in_flight", retry_after=1)
    stored = session.get(StoredAnswer, hashed)
    if stored is None:
        return None
    if session.scalar(sa.select(sa.func.now() - stored.date_created > KEPT_FOR)):
        session.delete(stored)
        session.flush()
        return None
    if stored.request_hash != request_hash:
        raise Unprocessable("This Idempotency-Key was used with another request; choose a new one.")
    return stored.answer


def keep_answer(session: Session, hashed: bytes, request_hash: bytes, answer: bytes) -> None:
    """Store the answer in the transaction of the effect itself: both exist or neither."""
    session.add(StoredAnswer(key_hash=hashed, request_hash=request_hash, answer=answer))
    session.flush()
