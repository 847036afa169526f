"""Batches that came upon the same things are undone in turn, the last first.

Undoing a batch gives a thing a new version, though all is as the batch before it left it. So that one must know the new
version for its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.trust.moderation.targets import Target
from marketplace_api.models.trust.batches import BatchRow

# An action makes one version more; where its batch was undone, that one was put back to what it was. Each is looked up by
# itself, however many things all batches hold.
_FORWARD = sa.text(
    """
    WITH RECURSIVE forward AS (
        SELECT subject_id, version FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS part (subject_id bigint, version bigint)
        UNION ALL
        SELECT forward.subject_id, later.restored_version FROM forward CROSS JOIN LATERAL (
            SELECT restored_version FROM moderation_batch_rows JOIN moderation_batches USING (batch_id)
            WHERE subject_id = forward.subject_id AND version = forward.version + 1 AND outcome = 'restored'
                AND target = :target
            LIMIT 1
        ) AS later
    )
    SELECT subject_id, max(version) AS version FROM forward GROUP BY subject_id
    """
)


_r = table_of(BatchRow).c
_DONE = (
    sa.select(_r.subject_id, _r.version)
    .where(
        _r.batch_id == sa.bindparam("batch_id"),
        _r.outcome.in_(("changed", "kept")),
        _r.subject_id > sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(_r.subject_id)
    .limit(2_000)
)


def changed_since(db: Reader, batch_id: int, target: Target) -> int:
    """How many of the things that undoing a batch would come to have changed since, and would be kept."""
    found = after = 0
    while rows := db.execute(_DONE, {"batch_id": batch_id, "after": after}).all():
        after = rows[-1].subject_id
        ours = versions_now(db, target.name, rows)
        present = sa.select(target.key, target.key.table.c.version).where(target.key.in_(list(ours)))
        there = {row[0]: row.version for row in db.execute(present)}
        found += sum(there.get(subject_id) != version for subject_id, version in ours.items())
    return found


def versions_now(db: Reader, target: str, done: Sequence[Any]) -> Mapping[int, int]:
    """By the ids of things in which version each is what an action made of it: a later one, where later batches on it
    were undone.

    ``done`` are rows with ``subject_id`` and the ``version`` that the action made; ``target`` is what they are.
    """
    rows = [{"subject_id": row.subject_id, "version": row.version} for row in done]
    values = {"target": target, "rows": orjson.dumps(rows).decode()}
    return {row.subject_id: row.version for row in db.execute(_FORWARD, values)}
