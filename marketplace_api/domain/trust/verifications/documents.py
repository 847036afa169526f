"""The documents of verifications: opened on the record, deleted when their time is over, wrapped under new keys."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.media.files import store
from marketplace_api.domain.trust.verifications import queries
from marketplace_api.errors import DomainError, Forbidden, Gone, Unavailable
from marketplace_api.gateways.document_cipher import DamagedDocument, DocumentKeys, Envelope, UnknownKey
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.trust.verifications import Verification

KIND = "document"
BATCH = 100

_t = table_of(Verification)
_v = _t.c

_SEALED = sa.select(
    _v.verification_id, _v.user_id, _v.media_type, _v.file_key, _v.key_id, _v.envelope, _v.date_submitted
)
_UNDER_OTHER_KEYS = sa.and_(_v.file_key.is_not(None), _v.key_id != sa.bindparam("current", type_=sa.String))
_TO_REWRAP = (
    _SEALED.where(_UNDER_OTHER_KEYS, _v.verification_id > sa.bindparam("last", type_=sa.BigInteger))
    .order_by(_v.verification_id)
    .limit(BATCH)
)
_LEFT = sa.select(sa.func.count()).select_from(_t).where(_UNDER_OTHER_KEYS)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Document:
    """A document in clear text: for the eyes of whoever asked, and for no disk."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many envelopes were ``rewrapped``, and how many are ``left`` under other keys than the current one."""

    rewrapped: int
    left: int


def document_id(user_id: int, key: str) -> str:
    """What a sealed document is bound to: whose it is and where it lies."""
    return f"{user_id}:{key}"


def open_document(
    databases: Databases, storage: Storage, keys: DocumentKeys, actor: Actor, verification_id: int, *, reason: str
) -> Document:
    """The document, whole and genuine. That it was opened, by whom and why, is committed when this returns.

    Raises NotFound, Forbidden for one's own, Gone after its deletion, Unavailable while the storage is away or its
    key unknown, and DomainError ``document_damaged``.
    """
    with databases.separately(actor.user_id, actor.powers) as session:
        row = _required(session, _SEALED, actor, verification_id)
    content = _opened(storage, keys, row)
    with databases.separately(actor.user_id, actor.powers) as session:
        # It may have been deleted meanwhile; from here on that waits for the record.
        _required(session, _SEALED.with_for_update(read=True), actor, verification_id)
        new = {"user_id": row.user_id, "date_submitted": row.date_submitted.isoformat()}
        witness = replace(actor, reason=reason)
        record(session, witness, EventType.VERIFICATION_DOCUMENT_OPENED, verification_id, new=new)
    return Document(content, row.media_type)


def _required(session: Session, statement: sa.Select[Any], actor: Actor, verification_id: int) -> Any:
    row = session.execute(statement.where(_v.verification_id == verification_id)).first()
    if row is None:
        raise queries.absent()
    if actor.owns(row.user_id):
        raise Forbidden("Nobody opens the document of their own verification.")
    if row.file_key is None:
        raise deleted()
    return row


def deleted() -> Gone:
    return Gone("The document was deleted, as all are some time after the decision.")


def _opened(storage: Storage, keys: DocumentKeys, row: Any) -> bytes:
    """In full before any of it is shown: half a document is none."""
    envelope = Envelope(row.key_id, row.envelope)
    try:
        with closing(_sealed(storage, row.file_key)) as sealed:
            return b"".join(keys.open(document_id(row.user_id, row.file_key), envelope, sealed))
    except DamagedDocument as error:
        raise _damaged(row, str(error)) from error
    except UnknownKey as error:
        _warn(row, str(error))
        raise Unavailable("The key of this document is not at hand; nothing was shown.", retry_after=300) from error


def _sealed(storage: Storage, key: str) -> Generator[bytes]:
    """The pieces of the file, which is opened when the first is asked for."""
    pieces = storage.read(key)
    if pieces is None:
        raise DamagedDocument("the file is lost")
    yield from pieces


def _damaged(row: Any, reason: str) -> DomainError:
    _warn(row, reason)
    message = "The document is not as it was sent, so it is not shown; its owner has to send it again."
    return DomainError(message, code="document_damaged")


def _warn(row: Any, reason: str) -> None:
    """Operators have to know of a document that cannot be opened."""
    log.error("document.unreadable", verification_id=row.verification_id, reason=reason)


def purge_due(session: Session, decided_before: datetime, limit: int = BATCH) -> int:
    """Let go of up to ``limit`` documents that were decided about before then (aware); returns how many, for the caller
    to commit.

    Name and dates stay; the files are deleted by the job that the event starts. Several may run at once.
    """
    due = (
        sa.select(_v.verification_id, _v.user_id, _v.file_key)
        .where(_v.file_key.is_not(None), _v.date_decided <= decided_before)
        .order_by(_v.date_decided)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = session.execute(due).all()
    gone = {"file_key": None, "key_id": None, "envelope": None, "documents_purged_at": sa.func.now()}
    for row in found:
        changed = sa.update(_t).where(_v.verification_id == row.verification_id)
        moment = session.execute(
            changed.values(**gone, version=_v.version + 1).returning(_v.documents_purged_at)
        ).scalar_one()
        new = {"user_id": row.user_id, "documents_purged_at": moment.isoformat()}
        actor = Actor(username="purging")
        record(session, actor, EventType.VERIFICATION_DOCUMENTS_PURGED, row.verification_id, new=new)
    store.mark_for_deletion(session, [row.file_key for row in found])
    return len(found)


def forget(session: Session, user_id: int) -> None:
    """Delete the verifications of a locked account that is erased; their files go after the commit."""
    gone = session.execute(sa.delete(_t).where(_v.user_id == user_id).returning(_v.file_key)).scalars()
    store.mark_for_deletion(session, [key for key in gone if key is not None])


def count_by_key(session: Session) -> dict[str, int]:
    """How many documents there are under each key, by its id."""
    counted = (
        sa.select(_v.key_id, sa.func.count().label("documents")).where(_v.file_key.is_not(None)).group_by(_v.key_id)
    )
    return {row.key_id: row.documents for row in session.execute(counted)}


def rotate(databases: Databases, keys: DocumentKeys) -> Rotation:
    """Wrap the key of every document under the current key-encryption key, each in a transaction of its own.

    Documents can be sent, opened and deleted all the while, and it may be broken off and begun again. Those whose key
    is unknown or whose envelope is damaged stay as they are and count as left.
    """
    last = rewrapped = 0
    while True:
        with databases.separately() as session:
            batch = session.execute(_TO_REWRAP, {"current": keys.current, "last": last}).all()
        for row in batch:
            rewrapped += _rewrap(databases, keys, row)
        if len(batch) < BATCH:
            break
        last = batch[-1].verification_id
    with databases.separately() as session:
        return Rotation(rewrapped, session.execute(_LEFT, {"current": keys.current}).scalar_one())


def _rewrap(databases: Databases, keys: DocumentKeys, row: Any) -> int:
    try:
        envelope = keys.rewrap(document_id(row.user_id, row.file_key), Envelope(row.key_id, row.envelope))
    except (DamagedDocument, UnknownKey) as error:
        _warn(row, str(error))
        return 0
    unchanged = sa.and_(_v.verification_id == row.verification_id, _v.envelope == row.envelope)
    with databases.separately() as session:
        changed = sa.update(_t).where(unchanged).values(key_id=envelope.key_id, envelope=envelope.wrapped)
        return len(session.execute(changed.returning(_v.verification_id)).all())
