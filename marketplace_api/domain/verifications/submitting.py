"""Sending a document for verification: it is checked, sealed and kept, or nothing is."""

from __future__ import annotations

from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases, table_of
from marketplace_api.domain.accounts import refusals
from marketplace_api.domain.accounts.rows import LIVING, lock_user
from marketplace_api.domain.actors import Actor
from marketplace_api.domain.events import EventType, record
from marketplace_api.domain.files import store
from marketplace_api.domain.verifications import rows, workflow
from marketplace_api.domain.verifications.documents import KIND, document_id
from marketplace_api.gateways import documents
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import Storage, new_key
from marketplace_api.models.verifications import LONGEST_DOCUMENT_NAME, Verification

_t = table_of(Verification)


def submit(
    session: Session, databases: Databases, storage: Storage, keys: DocumentKeys, actor: Actor, *,
    document_type: str, stream: IO[bytes], name: str = "", declared_type: str = "",
) -> Any:  # fmt: skip
    """Put the actor's document before the moderators; returns the new row.

    ``name`` is what the document is called, ``declared_type`` the media type that its sender names. Only what was
    sealed ever leaves the memory. Raises Invalid (``invalid_file``), Conflict ``wrong_state`` while another one waits
    or holds, and Unavailable while the storage is away.
    """
    user_id = actor.user_id or 0
    _require_possible(session, user_id)  # what is hopeless is refused before anything is kept
    media_type = documents.media_type_of(stream.read(), declared_type)
    stream.seek(0)
    key = new_key(KIND, "bin")
    envelope, chunks = keys.seal(document_id(user_id, key), stream)
    with store.staged(databases, storage, user_id, {key: b"".join(chunks)}) as staged:
        user, _now = lock_user(session, user_id)
        if user.state not in LIVING:
            raise refusals.session_ended()
        _require_possible(session, user_id)
        store.keep(session, staged)
        values = {
            "user_id": user_id, "document_type": document_type, "media_type": media_type, "file_key": key,
            "document_name": name[-LONGEST_DOCUMENT_NAME:] or f"{document_type}.{documents.ENDINGS[media_type]}",
            "key_id": envelope.key_id, "envelope": envelope.wrapped,
        }  # fmt: skip
        verification_id = session.execute(sa.insert(_t).values(values).returning(_t.c.verification_id)).scalar_one()
        row: Any = rows.find(session, verification_id)
        new = {"user_id": user_id, "date_submitted": row.date_submitted.isoformat()}
        record(session, actor, EventType.VERIFICATION_SUBMITTED, verification_id, new=new)
    return row


def _require_possible(session: Session, user_id: int) -> None:
    workflow.require_possible(workflow.status_of(rows.latest(session, user_id)), "submit", workflow.OWN)
