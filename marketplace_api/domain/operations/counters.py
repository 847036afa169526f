"""Holding the counters that are kept beside what they count against it, and mending those that drifted.

Triggers and the domain change a counter in the transaction that changes what it counts, so none should ever drift; this
finds what a restored table, a hand in the database or a mistake of ours has left apart. Nobody waits for it but who
writes to the very row that is repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of one table: ``truth`` is a SELECT that gives the ``columns`` anew for a row named ``kept``.

    Rows are looked at in the order of ``key``; ``others`` are the further columns of the primary key.
    """

    name: str
    table: str
    key: str
    columns: tuple[str, ...]
    truth: str
    others: tuple[str, ...] = ()

    @property
    def find(self) -> sa.TextClause:
        """Of the next keys after ``:after``: the ``last`` one and those that ``drifted``, from one snapshot, in which a
        counter and what it counts always belong together."""
        part = f"SELECT DISTINCT {self.key} FROM {self.table} WHERE {self.key} > :after ORDER BY 1 LIMIT {BATCH}"  # noqa: S608
        return sa.text(
            f"SELECT max(kept.{self.key}) AS last, array_agg(DISTINCT kept.{self.key}) FILTER (WHERE {self._differ}) "  # noqa: S608
            f"AS drifted FROM ({part}) AS part JOIN {self.table} AS kept USING ({self.key}) "
            f"CROSS JOIN LATERAL ({self.truth}) AS truth"
        )

    @property
    def lock(self) -> sa.TextClause:
        order = ", ".join((self.key, *self.others))
        return sa.text(f"SELECT FROM {self.table} WHERE {self.key} = :key ORDER BY {order} FOR NO KEY UPDATE")

    @property
    def repair(self) -> sa.TextClause:
        changes = ", ".join(f"{column} = truth.{column}" for column in self.columns)
        same = " AND ".join(f"target.{column} = kept.{column}" for column in (self.key, *self.others))
        return sa.text(
            f"UPDATE {self.table} AS target SET {changes} FROM {self.table} AS kept "  # noqa: S608
            f"CROSS JOIN LATERAL ({self.truth}) AS truth WHERE kept.{self.key} = :key AND {same} AND {self._differ}"
        )

    @property
    def _differ(self) -> str:
        kept, truth = (", ".join(f"{row}.{column}" for column in self.columns) for row in ("kept", "truth"))
        return f"ROW({kept}) IS DISTINCT FROM ROW({truth})"


def _ratings(table: str, key: str, target: str) -> Counters:
    bars = ", ".join(f"count(*) FILTER (WHERE rating = {star})" for star in range(1, 6))
    truth = (
        "SELECT count(*)::integer AS rating_count, coalesce(sum(rating), 0)::integer AS rating_sum, "  # noqa: S608
        f"ARRAY[{bars}]::integer[] AS rating_histogram "
        f"FROM reviews WHERE reviews.{target} = kept.{key} AND deleted_at IS NULL"
    )
    return Counters(f"ratings_of_{table}", table, key, ("rating_count", "rating_sum", "rating_histogram"), truth)


COUNTERS: Sequence[Counters] = (
    _ratings("listings", "listing_id", "listing_id"),
    _ratings("users", "user_id", "reviewee_id"),
    Counters(
        "photos",
        "listings",
        "listing_id",
        ("photo_count",),
        "SELECT count(*)::smallint AS photo_count FROM listing_photos "
        "WHERE listing_photos.listing_id = kept.listing_id",
    ),
    Counters(
        "conversations",
        "conversation_sides",
        "conversation_id",
        ("message_count", "unread_count"),
        "SELECT count(*)::integer AS message_count, count(*) FILTER (WHERE receiver_id = kept.user_id AND NOT is_read "
        "AND deleted_at IS NULL AND message_id > kept.read_through)::integer AS unread_count "
        "FROM messages WHERE messages.conversation_id = kept.conversation_id AND message_id > kept.hidden_through",
        ("user_id",),
    ),
    # After the sides, whose trigger carries what is repaired there on to the inbox.
    Counters(
        "inboxes",
        "inboxes",
        "user_id",
        ("unread_count", "current_count", "archived_count"),
        "SELECT coalesce(sum(side.unread_count), 0)::integer AS unread_count, "
        "count(*) FILTER (WHERE NOT archived)::integer AS current_count, "
        "count(*) FILTER (WHERE archived)::integer AS archived_count FROM conversation_sides AS side "
        "WHERE side.user_id = kept.user_id AND side.last_message_id > side.hidden_through",
    ),
    Counters(
        "notifications",
        "notification_boxes",
        "user_id",
        ("total_count", "unread_count"),
        "SELECT count(*)::integer AS total_count, count(*) FILTER (WHERE NOT is_read)::integer AS unread_count "
        "FROM notifications WHERE notifications.user_id = kept.user_id",
    ),
)
"""What is recounted, in this order. The counts of search terms are not: to count them anew stops all writers, and
``recount_terms`` is there for it."""


def repair(session: Session) -> dict[str, int]:
    """How many rows of each of :data:`COUNTERS` were repaired, by its name; commits after each."""
    return {counters.name: _recount(session, counters) for counters in COUNTERS}


def _recount(session: Session, counters: Counters) -> int:
    find, after, repaired = counters.find, 0, 0
    while True:
        last, drifted = session.execute(find, {"after": after}).one()
        session.commit()
        if last is None:
            return repaired
        for key in drifted or ():
            # Whoever was about to change the counter has committed, or waits: the next statement counts what is true.
            session.execute(counters.lock, {"key": key})
            changed = session.execute(counters.repair, {"key": key})
            repaired += changed.rowcount  # type: ignore[attr-defined]
            session.commit()
        after = last
