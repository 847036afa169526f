"""What a process holds to, however fast it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import Invalid
from marketplace_api.realtime.app import Realtime
from marketplace_api.realtime.clients import MOST_TOPICS
from marketplace_api.realtime.sse import StreamClient
from tests.factories.accounts import make_user, open_session
from tests.factories.conversations import actor_of
from tests.factories.listings import make_listing


async def nowhere(_message: Any) -> None:
    """A client that takes everything."""


def within(settings: Settings, databases: Databases, what: Callable[[Realtime], Awaitable[None]]) -> None:
    """Do ``what`` with a process that runs."""

    async def live() -> None:
        app = Realtime(settings, databases)
        await app.start()
        try:
            await what(app)
        finally:
            await app.stop()

    asyncio.run(live())


def test_topics_that_are_asked_for_at_once_are_counted_together(
    committed_databases: Databases, settings: Settings
) -> None:
    with committed_databases.session() as session:
        user = make_user(session)
        names = [f"listing:{make_listing(session, user).listing_id}" for _ in range(MOST_TOPICS + 10)]
        opened = open_session(session, user)
        claims = AccessClaims(user.user_id, opened.session_id, datetime.now(UTC) + timedelta(minutes=5))
        actor = actor_of(user)
        session.commit()

    async def ask_for_all(app: Realtime) -> None:
        client = StreamClient(nowhere, app.hub, claims, actor, 0)
        app.hub.add(client, [])
        answers = await asyncio.gather(*(app.hub.join(client, [name]) for name in names), return_exceptions=True)
        assert len(client.topics) == MOST_TOPICS
        assert sum(isinstance(answer, Invalid) for answer in answers) == len(names) + 1 - MOST_TOPICS

    within(settings, committed_databases, ask_for_all)


def test_a_crash_is_told_as_a_problem(committed_databases: Databases, settings: Settings) -> None:
    """Of a server that does not keep to ASGI, for want of a mistake of ours."""
    sent: list[dict[str, Any]] = []

    async def note(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask(app: Realtime) -> None:
        await app({"type": "http", "method": "GET", "path": "/api/stream", "headers": []}, note, note)

    within(settings, committed_databases, ask)
    assert sent[0]["status"] == 500
    assert orjson.loads(sent[1]["body"])["code"] == "internal_error"


def test_who_comes_to_a_stream_while_the_process_ends_is_sent_away_and_not_refused(
    committed_databases: Databases, settings: Settings
) -> None:
    """Browsers come back to an answer that ended, and give up on one with another status (WHATWG HTML, section 9.2.3)."""
    sent: list[dict[str, Any]] = []

    async def note(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask(app: Realtime) -> None:
        app.hub.is_draining = True
        scope = {"type": "http", "method": "GET", "path": "/api/stream", "headers": [], "query_string": b""}
        await app(scope, note, note)

    within(settings, committed_databases, ask)
    assert (sent[0]["status"], sent[1]) == (200, {"type": "http.response.body", "body": b"retry: 2000\n\n"})
