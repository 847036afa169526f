"""Files and their rows, together: whatever crashes when, none is there without the other for long.

A row is committed as ``pending`` before the first byte is written, and becomes ``stored`` in the transaction of what
the file is for. To delete is to mark the row for deletion in such a transaction; the object goes after it, the row last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from io import SEEK_END, BytesIO
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.errors import DomainError, Unavailable
from marketplace_api.gateways.storage import Storage, content_type_of
from marketplace_api.models.media.files import File

PUBLIC_KINDS = frozenset({"photo", "picture", "video"})
"""Kinds of files that anybody may fetch who knows the key; of others only those with a signed address."""

KINDS = (*sorted(PUBLIC_KINDS), "document")

PENDING_FOR = timedelta(hours=1)
"""No request takes so long: what is still pending then belongs to one that died."""

BATCH = 100

_t = table_of(File)
_f = _t.c
_KEYS = sa.bindparam("keys", type_=postgresql.ARRAY(sa.Text))
_KEEP = sa.update(_t).where(_f.key == sa.any_(_KEYS), _f.state == "pending").values(state="stored").returning(_f.key)
_DOOM = sa.update(_t).where(_f.key == sa.any_(_KEYS)).values(state="doomed")
_OF_THESE = _f.key == sa.any_(_KEYS)


def is_public(kind: str) -> bool:
    """Whether files of this kind may be fetched without a signed address."""
    return kind in PUBLIC_KINDS


@contextmanager
def staged(
    databases: Databases, storage: Storage, owner_id: int, contents: Mapping[str, bytes | IO[bytes]]
) -> Iterator[list[str]]:
    """Writes the ``contents`` by key and gives their keys, for the block to :func:`commit_staged` in its own transaction.

    Contents that are streams are taken from their beginning; they must be able to seek.

    If the block raises, or the storage does (Unavailable), what was written goes at once, or with the next sweep.
    """
    streams = {key: BytesIO(some) if isinstance(some, bytes) else some for key, some in contents.items()}
    keys = list(streams)
    with databases.separately(owner_id) as session:
        session.execute(sa.insert(_t), [_row(owner_id, key, stream) for key, stream in streams.items()])
    try:
        for key, stream in streams.items():
            stream.seek(0)
            storage.put(key, stream)
        yield keys
    except Exception:
        # The sweep will come upon what cannot go now.
        with suppress(DomainError), databases.separately(owner_id) as session:
            _remove(session, storage, sa.and_(_OF_THESE, _f.state == "pending"), {"keys": keys})
        raise


def _row(owner_id: int, key: str, stream: IO[bytes]) -> dict[str, Any]:
    stream.seek(0)
    digest = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
    return {
        "key": key,
        "kind": key.partition("-")[0],
        "owner_id": owner_id,
        "content_type": content_type_of(key),
        "size": stream.seek(0, SEEK_END),
        "sha256": digest,
    }


def commit_staged(session: Session, keys: Sequence[str]) -> None:
    """The staged files are in use from this transaction on.

    Raises Unavailable where the sweep took them for left behind.
    """
    kept = session.execute(_KEEP, {"keys": list(keys)}).all()
    if len(kept) < len(keys):
        raise Unavailable("Saving the file took too long; nothing was saved. Send it again.", retry_after=5)


def mark_for_deletion(session: Session, keys: Sequence[str]) -> None:
    """The files are of no use any more from this transaction on; :func:`clear` deletes them after it."""
    session.execute(_DOOM, {"keys": list(keys)})


def clear(session: Session, storage: Storage, now: datetime) -> int:
    """Delete a batch of doomed files and of those that a dead request left behind; commits, and returns how many.

    Raises Unavailable while the storage is away; what was deleted until then stays so.
    """
    left_behind = sa.and_(_f.state == "pending", _f.date_created < now - PENDING_FOR)
    removed = _remove(session, storage, sa.or_(_f.state == "doomed", left_behind), {})
    session.commit()
    return removed


def _remove(
    session: Session, storage: Storage, condition: sa.ColumnElement[bool], parameters: Mapping[str, Any]
) -> int:
    """The object first: a row without one is deleted again, an object without a row would be forgotten.

    Rows that somebody holds are left for another time: a request may be about to keep them.
    """
    some = sa.select(_f.key).where(condition).order_by(_f.key).limit(BATCH).with_for_update(skip_locked=True)
    keys = list(session.execute(some, parameters).scalars())
    for key in keys:
        storage.delete(key)
    if keys:
        session.execute(sa.delete(_t).where(_OF_THESE), {"keys": keys})
    return len(keys)
