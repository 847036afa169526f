"""Open connections: real processes, two of them, and the npm clients of socket.io and of server-sent events, untouched."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from marketplace_api import boot
from marketplace_api.db import Databases
from marketplace_api.settings import Settings
from tests.client import Client
from tests.factories.accounts import People, open_session
from tests.factories.listings import make_listing
from tests.factories.notifications import notify
from tests.npm import needs_node
from tests.realtime import Driver, Process, ask

pytestmark = needs_node
Start = Callable[..., Process]


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.stop()


@pytest.fixture
def start(committed_databases: Databases, settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts processes on the test's database, with the keys of the API of the tests."""
    started: list[Process] = []

    def begin(**environment: str) -> Process:
        url = boot.connection_url(committed_databases)
        log = tmp_path / f"realtime{len(started)}.log"
        started.append(Process(url, settings.data_dir, log, **environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def send(sender: Client, receiver: Client, content: str) -> dict[str, Any]:
    answer = sender.post("/api/messages", {"receiver_id": receiver.user.user_id, "content": content})
    assert answer.status_int == 201, answer.text
    return dict(answer.json)


def test_what_happens_reaches_those_it_concerns_by_two_processes_and_nobody_else(
    start: Start, driver: Driver, live_people: People
) -> None:
    one, two = start(), start()
    anna, ben, eve = (live_people.customer() for _ in range(3))
    for process in (one, two):
        process.wait_until(ready=True)
    at_one, at_two = driver.socket(one, anna.token), driver.socket(two, ben.token)
    stranger = driver.socket(two, eve.token)
    ready = at_one.wait_for("ready")
    assert ready["user_id"] == anna.user.user_id and ready["topics"] == [f"user:{anna.user.user_id}"]
    assert at_one.wait_for("unread.changed")["messages"]["unreadCount"] == 0
    for connection in (at_two, stranger):
        connection.wait_for("unread.changed")

    # A message, to either of the two, in the words of a GET of theirs; and the total that it changes.
    sent = send(anna, ben, "Is it still there?")
    got, own = at_two.wait_for("message.created"), at_one.wait_for("message.created")
    path = f"/api/messages/{sent['message_id']}"
    assert got["id"] == own["id"] and got["_links"]["about"]["href"] == path
    assert got["message"] == ben.get(path).json
    assert own["message"] == anna.get(path).json
    assert at_two.wait_for("unread.changed")["messages"]["unreadCount"] == 1

    # A conversation can be followed by the two, and by nobody else; so can what is on offer by everybody.
    conversation = sent["conversation_id"]
    topic = f"conversation:{conversation}"
    answer = at_one.emit("subscribe", {"topic": topic})
    assert (answer["ok"], answer["topic"], answer["online"]) == (True, topic, True)
    assert at_two.emit("subscribe", topic)["ok"]
    refused = stranger.emit("subscribe", topic)["error"]
    assert (refused["status"], refused["code"]) == (404, "not_found")
    assert refused["detail"] == eve.get(f"/api/conversations/{conversation}").json["detail"]
    assert stranger.emit("subscribe", f"user:{anna.user.user_id}")["error"]["code"] == "not_found"
    assert stranger.emit("subscribe", "conversation:x")["error"]["code"] == "not_found"
    with live_people.session as session:
        listing = make_listing(session, anna.user)
        draft = make_listing(session, anna.user, status="draft")
        session.commit()
    assert stranger.emit("subscribe", f"listing:{draft.listing_id}")["error"]["code"] == "not_found"
    assert stranger.emit("subscribe", f"listing:{listing.listing_id}")["ok"]
    anna.patch(f"/api/listings/{listing.listing_id}", {"price": 5})
    changed = stranger.wait_for("listing.updated")
    assert changed.keys() == {"id", "listing_id", "_links"} and changed["listing_id"] == listing.listing_id

    # Typing and presence go past the log, between the processes.
    assert at_one.emit("typing", {"conversation_id": conversation})["ok"]
    assert at_two.wait_for("typing")["user_id"] == anna.user.user_id
    assert stranger.emit("typing", {"conversation_id": conversation})["error"]["code"] == "not_found"

    # Who has read tells the other, and the notification of it is read as well.
    notify(live_people.session)
    notice = at_two.wait_for("notification.created")
    assert notice["notification"] == ben.get(f"/api/notifications/{notice['notification_id']}").json
    assert at_two.wait_for("unread.changed")["notifications"]["unreadCount"] == 1
    ben.post(f"/api/conversations/{conversation}/read")
    read = at_one.wait_for("message.read")
    assert (read["conversation_id"], read["user_id"], read["message_id"]) == (conversation, ben.user.user_id, None)
    totals = at_two.wait_for("unread.changed")
    assert [totals[name]["unreadCount"] for name in ("messages", "notifications")] == [0, 0]

    # A listing that is hidden from those who follow it is followed no more.
    anna.post(f"/api/listings/{listing.listing_id}/deactivate")
    ended = stranger.wait_for("subscription.ended")
    assert (ended["topic"], ended["error"]["code"]) == (f"listing:{listing.listing_id}", "not_found")
    at_two.close()
    assert at_one.wait_for("presence", lambda told: not told["online"])["user_id"] == ben.user.user_id
    assert {name for name, _ in stranger.seen} == {
        "#connect", "ready", "unread.changed", "listing.updated", "subscription.ended", "#ack"
    }  # fmt: skip
    assert at_one.ids("message.created") == at_two.ids("message.created") == [sent["message_id"]]
