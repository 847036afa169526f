"""Loading the demo data once: first the people, for files need owners; then all that happened, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.operations.demo import accounts, fixtures, listings, messages, moderation, reviews
from marketplace_api.domain.operations.demo.image_pool import ImagePool
from marketplace_api.domain.operations.demo.timeline import Progress, Timeline
from marketplace_api.errors import Forbidden, Unavailable
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import make_storage
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

PARTS: tuple[Callable[[Timeline], None], ...] = (
    accounts.plan,
    listings.plan,
    messages.plan,
    reviews.plan,
    moderation.plan,
)
"""What the market is made of. Another part is a file with a ``plan`` and a place in this row: what it plans for a moment
happens then, after whatever was planned before it for the same moment."""

# Another process may need longer than any request.
_PATIENCE = sa.text("SET LOCAL statement_timeout = 0")
# Any number, the same in every process.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(7405002)")


def load_once(databases: Databases, settings: Settings, progress: Progress = lambda _text: None) -> None:
    """Load the demo data into a database that has no accounts yet, or go on where that was cut off.

    Several processes may try. Of what happened in the last days its people are told by jobs that follow, as they chose:
    their addresses lead nowhere. ``progress`` hears how far it is. Raises :class:`Forbidden` in production, for everybody
    knows the password, and :class:`Unavailable` while files cannot be kept.
    """
    if settings.production:
        raise Forbidden("The demo data has a public password: load it in development only.", "development_only")
    with _transaction(databases) as session:
        needs_people = not session.execute(sa.select(sa.exists(sa.select(User.user_id)))).scalar_one()
        if not needs_people and not _is_begun(session):
            return
        with _explained():
            make_storage(settings).check()
        if needs_people:
            progress("Loading the demo data: people …")
            accounts.make(session, settings, datetime.now(UTC))
    with _transaction(databases) as session, _explained():
        if _is_begun(session):
            _fill(session, databases, settings, progress)


def _is_begun(session: Session) -> bool:
    """Whether the people are there, and nothing that was loaded after them has ever been."""
    offered = sa.exists(sa.select(Event.event_id).where(Event.type == EventType.LISTING_CREATED.value))
    if session.execute(sa.select(offered)).scalar_one():
        return False
    return accounts.find(session).keys() == fixtures.people().keys()


def _fill(session: Session, databases: Databases, settings: Settings, progress: Progress) -> None:
    with ImagePool() as studio:
        market = Timeline(
            session,
            databases,
            make_storage(settings),
            studio,
            datetime.now(UTC),
            accounts.find(session),
            DocumentKeys.from_settings(settings),
            databases.on_event,
        )
        for plan in PARTS:
            plan(market)
        market.run(progress)


@contextmanager
def _transaction(databases: Databases) -> Iterator[Session]:
    """One that nobody else loads in at the same time, and whose events lead to no jobs: the demo's people are not told
    of what happened long ago."""
    with databases.session() as session, session.begin():
        session.info["on_event"] = None
        session.execute(_PATIENCE)
        session.execute(_LOCK)
        yield session


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        remedy = "mend it (DATA_DIR, or STORAGE_BACKEND and what belongs to it) and say `marketplace-admin db seed`."
        raise Unavailable(f"The demo data is not there: {error} Then {remedy}") from error
