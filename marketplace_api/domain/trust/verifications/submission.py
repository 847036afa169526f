"""Sending a document for verification: it is checked, sealed and kept, or nothing is."""

from __future__ import annotations

from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import errors
from marketplace_api.domain.identity.accounts.queries import LIVING, lock_user
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.media.files import store
from marketplace_api.domain.trust.verifications import queries, workflow
from marketplace_api.domain.trust.verifications.documents import KIND, document_id
from marketplace_api.gateways import documents
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import Storage, new_key
from marketplace_api.models.trust.verifications import LONGEST_DOCUMENT_NAME, Verification

_t = table_of(Verification)


def submit(
    session: Session,
    databases: Databases,
    storage: Storage,
    keys: DocumentKeys,
    actor: Actor,
    *,
    document_type: str,
    stream: IO[bytes],
    name: str = "",
    declared_type: str = "",
) -> Any:
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
            raise errors.session_ended()
        _require_possible(session, user_id)
        store.commit_staged(session, staged)
        values = {
            "user_id": user_id,
            "document_type": document_type,
            "media_type": media_type,
            "file_key": key,
            "document_name": name[-LONGEST_DOCUMENT_NAME:] or f"{document_type}.{documents.ENDINGS[media_type]}",
            "key_id": envelope.key_id,
            "envelope": envelope.wrapped,
        }
        verification_id = session.execute(sa.insert(_t).values(values).returning(_t.c.verification_id)).scalar_one()
        row: Any = queries.find(session, verification_id)
        new = {"user_id": user_id, "date_submitted": row.date_submitted.isoformat()}
        record(session, actor, EventType.VERIFICATION_SUBMITTED, verification_id, new=new)
    return row


def _require_possible(session: Session, user_id: int) -> None:
    workflow.require_possible(workflow.status_of(queries.latest(session, user_id)), "submit", workflow.OWN)
