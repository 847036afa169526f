"""From where in the log a process knows everything."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import event_partitions, feed
from marketplace_api.domain.kernel.actors import ANONYMOUS, operator
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.realtime.app import Realtime
from tests.support.postgres import as_owner


def test_nobody_is_brought_up_to_date_from_a_month_that_was_dropped(
    committed_databases: Databases, settings: Settings
) -> None:
    """Where little happens what is kept in memory would reach further back than the log; who was away for longer than
    that has to fetch anew."""
    old = (
        "INSERT INTO events (type, subject_type, date_created) VALUES ('user.edited', 'user', now() - interval '20 months') "
        "RETURNING event_id"
    )
    with committed_databases.session() as session:
        with as_owner(session):
            session.execute(sa.text("SELECT make_event_month(now() - interval '20 months')"))
        last = session.execute(sa.text(old)).scalar_one()
        assert event_partitions.drop_oldest(session, operator("test"), 12)
        record(session, ANONYMOUS, EventType.LISTING_EDITED, 1)
        session.commit()
        newest = feed.horizon(session)

    async def begin() -> tuple[int, int]:
        app = Realtime(settings, committed_databases)
        await app.start()
        known = app.hub.recent.floor, app.hub.recent.head
        await app.stop()
        return known

    assert asyncio.run(begin()) == (last, newest)
