"""Which batches somebody carries out at this moment: who does holds a lock of the database, which goes with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Reader

# Shared, for several may carry out the same one. Its number is that of the batch, told apart from other locks by a hash.
_HOLD = sa.text("SELECT pg_advisory_lock_shared(hashtextextended('moderation batch', :batch_id))")
_HELD = sa.text(
    """
    SELECT batch_id FROM unnest(CAST(:batch_ids AS bigint[])) AS batch_id WHERE EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32) | objid::bigint = hashtextextended('moderation batch', batch_id)
    )
    """
)


@contextmanager
def batch_lock(databases: Databases, batch_id: int) -> Iterator[None]:
    """For the time of the block everybody sees that the batch is carried out; a process that dies is seen at once."""
    with databases.session_connection() as connection:
        connection.execute(_HOLD, {"batch_id": batch_id})
        try:
            yield
        finally:
            # Nobody else shall get a connection that holds the lock.
            connection.invalidate()


def locked_batches(db: Reader, batch_ids: Collection[int]) -> frozenset[int]:
    """Those of the batches that somebody carries out."""
    return frozenset(db.execute(_HELD, {"batch_ids": list(batch_ids)}).scalars())
