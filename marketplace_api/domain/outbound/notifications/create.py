"""Making notifications of events: for one person, or for many in batches.

Whatever runs twice for one event, even at the same time, tells once: the event is claimed in ``notified_events`` in the
transaction that tells. Notifications of one ``group_key`` are added to the unread one that there is. The same statement
makes the outbound ones: a row of ``deliveries`` for each other channel by which the person wants to be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import Entry, EventType, record_quietly
from marketplace_api.domain.outbound.notifications.preferences import WANTED, wanted, wanting
from marketplace_api.domain.outbound.notifications.types import NotificationType, by_default, is_mailed_otherwise
from marketplace_api.models.outbound.deliveries import CHANNELS
from marketplace_api.models.outbound.notifications import OPEN_GROUP, NotifiedEvent

BATCH = 1_000
_DUE_CHANNELS = "channels with something due"

_claims = table_of(NotifiedEvent)


@dataclass(frozen=True, slots=True)
class NewNotification:
    """What is to be told: the ids of what it is about, and in ``data`` whatever else is needed, JSON-ready.

    ``actor_id`` is the person who did it, where it was somebody whom the receiver may know of.
    """

    type: NotificationType
    event_id: int
    actor_id: int | None = None
    listing_id: int | None = None
    conversation_id: int | None = None
    review_id: int | None = None
    session_id: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    group_key: str | None = None

    def parameters(self) -> dict[str, Any]:
        names = ("event_id", "actor_id", "listing_id", "conversation_id", "review_id", "session_id", "group_key")
        return {
            **{name: getattr(self, name) for name in names},
            "data": orjson.dumps(self.data).decode(),
            **wanting(self.type, "in_app"),
            **self._channels(),
        }

    def _channels(self) -> dict[str, Any]:
        """Channels other than the application itself, and whether they are for those who chose nothing."""
        channels = [channel for channel in CHANNELS if channel != "email" or not is_mailed_otherwise(self.type)]
        return {"channels": channels, "channel_defaults": [by_default(self.type, channel) for channel in channels]}


GATHER = "CASE WHEN channel = 'email' AND group_key IS NOT NULL THEN interval '2 minutes' ELSE interval '0' END"
"""SQL: how long a delivery waits after it was made. E-mails of a group do for more of it, and for being read in the
application."""

CLAIM = """
    INSERT INTO notified_events (event_id, type) VALUES (:event_id, CAST(:type AS text))
    ON CONFLICT DO NOTHING RETURNING event_id
"""
# Events may be handled in another order than they happened in: the latest one says what is shown.
_LATEST = ", ".join(
    f"{name} = CASE WHEN excluded.event_id > note.event_id THEN excluded.{name} ELSE note.{name} END"
    for name in ("actor_id", "listing_id", "review_id", "session_id", "data")
)
_IDS = "actor_id, listing_id, conversation_id, review_id, session_id"
_LIVING = ", ".join(f"'{state}'" for state in LIVING)


def statement(source: str, start: str = "", **own: str) -> sa.TextClause:
    """Tell the accounts of ``source`` (rows with a ``user_id``), those of them that are there and want to know.

    ``own`` are expressions for what is another for each: of how many things (``count``), and ids of what they are.
    """
    count = own.pop("count", "1")
    ids = ", ".join(f"{own.get(name, f'CAST(:{name} AS bigint)')} AS {name}" for name in _IDS.split(", "))
    columns = f"user_id, type, group_key, event_id, {_IDS}, data, count"
    return sa.text(
        f"""
        WITH {start}person AS (
            SELECT person.user_id, CAST(:type AS text) AS type, CAST(:group_key AS text) AS group_key,
                CAST(:event_id AS bigint) AS event_id, {ids}, CAST(:data AS jsonb) AS data, {count} AS count
            FROM {source} JOIN users AS person USING (user_id)
            WHERE person.state IN ({_LIVING}) AND person.user_id IS DISTINCT FROM CAST(:actor_id AS bigint)
                AND NOT EXISTS (
                    SELECT FROM blocks WHERE blocks.user_id = person.user_id AND blocked_id = CAST(:actor_id AS bigint)
                )
        ), told AS (
            INSERT INTO notifications AS note ({columns})
            SELECT {columns} FROM person WHERE {WANTED} ORDER BY user_id
            ON CONFLICT (user_id, group_key) WHERE {OPEN_GROUP} DO UPDATE SET
                count = note.count + excluded.count, event_id = greatest(note.event_id, excluded.event_id), {_LATEST},
                date_updated = greatest(note.date_updated, excluded.date_updated)
            RETURNING note.notification_id, note.user_id
        ), made AS (
            INSERT INTO deliveries ({columns}, channel, due_at)
            SELECT {columns}, channel, now() + {GATHER}
            FROM person CROSS JOIN unnest(CAST(:channels AS text[]), CAST(:channel_defaults AS boolean[]))
                AS chosen (channel, is_default)
            WHERE {wanted(channel="chosen.channel", by_default="chosen.is_default")}
            ORDER BY user_id, channel
            ON CONFLICT DO NOTHING
            RETURNING channel, due_at
        )
        SELECT notification_id, user_id, NULL AS channel FROM told
        UNION ALL SELECT DISTINCT CAST(NULL AS bigint), CAST(NULL AS bigint), channel FROM made WHERE due_at <= now()
        """  # noqa: S608  made of constants only
    )


_NOTIFY_ONE = statement(
    "claimed CROSS JOIN (SELECT CAST(:user_id AS bigint) AS user_id) AS receiver", f"claimed AS ({CLAIM}), "
)
_NOTIFY_MANY = statement("unnest(CAST(:user_ids AS bigint[])) AS receiver (user_id)")


def due_channels(session: Session) -> list[str]:
    """The channels by which something is to be sent at once that this session told of, since this was last asked."""
    return sorted(session.info.pop(_DUE_CHANNELS, ()))


def remember_due(session: Session, channels: Iterable[str]) -> None:
    """Remember that something is to be sent at once by these channels, for :func:`due_channels`."""
    session.info.setdefault(_DUE_CHANNELS, set()).update(channels)


def notify(session: Session, user_id: int, notice: NewNotification) -> None:
    """Tell one person, once for each event and type, in one statement.

    Nobody is told of what they did themselves, of what somebody did whom they have blocked, or of what they chose not to
    be told; nor is anybody who is not there any more.
    """
    run(session, _NOTIFY_ONE, {"user_id": user_id}, notice)


def notify_bookmarkers(session: Session, notice: NewNotification, except_ids: tuple[int | None, ...]) -> bool:
    """Tell the next :data:`BATCH` of those who keep the notice's listing; returns whether there may be more.

    The caller commits after each batch, so that a job that is broken off goes on where it was. A listing that is not
    public any more is not talked about.
    """
    listing_id = notice.listing_id or 0
    claim = {"event_id": notice.event_id, "type": notice.type.value}
    session.execute(postgresql.insert(_claims).values(**claim, is_done=False).on_conflict_do_nothing())
    mine = sa.and_(_claims.c.event_id == notice.event_id, _claims.c.type == notice.type.value)
    progress = session.execute(sa.select(_claims).where(mine).with_for_update()).one()
    if progress.is_done:
        return False
    listing = listing_rows.find(session, listing_id)
    bookmarkers = (
        bookmarks.bookmarkers(session, listing_id, after=progress.through_id, limit=BATCH)
        if listing is not None and listing.is_public
        else ()
    )
    told = [user_id for user_id in bookmarkers if user_id not in except_ids]
    if told:
        run(session, _NOTIFY_MANY, {"user_ids": told}, notice)
    is_done = len(bookmarkers) < BATCH
    through_id = bookmarkers[-1] if bookmarkers else progress.through_id
    session.execute(sa.update(_claims).where(mine).values(through_id=through_id, is_done=is_done))
    return not is_done


def run(session: Session, statement: sa.TextClause, receivers: Mapping[str, Any], notice: NewNotification) -> None:
    """Run a statement that tells; record whom it told, because open connections follow the log and nothing else, and
    remember by which channels something is due at once."""
    rows = session.execute(statement, {**receivers, **notice.parameters()}).all()
    entries = [Entry(row.notification_id, None, {"user_id": row.user_id}) for row in rows if row.channel is None]
    record_quietly(session, ANONYMOUS, EventType.NOTIFICATION_CREATED, entries)
    remember_due(session, (row.channel for row in rows if row.channel is not None))
