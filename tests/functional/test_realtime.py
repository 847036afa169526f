"""Open connections: real processes, two of them, and the npm clients of socket.io and of server-sent events, untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy as sa
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from marketplace_api import boot
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import feed
from tests.factories.accounts import People, open_session
from tests.factories.listings import make_listing
from tests.factories.notifications import notify
from tests.support.client import Client
from tests.support.npm import needs_node
from tests.support.postgres import as_owner
from tests.support.realtime import Driver, Process, ask

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
    assert "subscribe, unsubscribe" in stranger.emit("join", topic)["error"]["detail"]
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
        "#connect",
        "ready",
        "unread.changed",
        "listing.updated",
        "subscription.ended",
        "#ack",
    }
    assert at_one.ids("message.created") == at_two.ids("message.created") == [sent["message_id"]]


def test_who_connects_and_how_long(start: Start, driver: Driver, live_people: People) -> None:
    process = start()
    people = live_people
    anna, ben, eve, mod = people.customer(), people.customer(), people.customer(), people.moderator()
    keys, now = anna.app.registry.signing_keys, datetime.now(UTC)

    def token(client: Client, seconds: int) -> str:
        opened = open_session(people.session, client.user)
        people.session.commit()
        return str(keys.sign(client.user.user_id, opened.session_id, datetime.now(UTC), timedelta(seconds=seconds)))

    dead = keys.sign(anna.user.user_id, 1, now - timedelta(hours=1))
    installation = process.wait_until(ready=True)["installation"]
    assert installation == anna.get("/readyz").json["installation"], "one and the same, to whoever looks after several"
    for given, code in ((None, "unauthenticated"), ("forged", "token_invalid"), (dead, "token_expired")):
        refused = driver.socket(process, given).wait_for("#error")
        assert refused["problem"]["code"] == code and refused["problem"]["status"] == 401
        assert refused["message"] == refused["problem"]["detail"]
    slip = driver.socket(process, anna.token, lastid=7).wait_for("#error")["problem"]
    assert (slip["status"], "last_id" in slip["detail"]) == (400, True)
    socket = f"{process.address}/socket.io/?EIO=4&transport=websocket"
    assert "origin" in ask(socket, Origin="https://evil.example")[1]

    # A token that runs out is told of; who brings another one stays, who does not has to come anew.
    stays, goes = driver.socket(process, token(anna, 4)), driver.socket(process, token(anna, 4))
    stays.wait_for("token.expiring")
    goes.wait_for("token.expiring")
    assert stays.emit("authenticate", {"token": ben.token})["error"]["code"] == "forbidden"
    assert stays.emit("authenticate", {"token": anna.token})["ok"]
    assert goes.wait_for("ended")["code"] == "token_expired"
    assert goes.wait_for("#disconnect") == "io server disconnect"

    # What ends a session, or takes rights away, is felt at once.
    at_ben, at_eve = driver.socket(process, ben.token), driver.socket(process, eve.token)
    for connection in (at_ben, at_eve):
        connection.wait_for("unread.changed")
    sent = send(ben, eve, "Hello?")
    assert at_eve.emit("subscribe", f"conversation:{sent['conversation_id']}")["ok"]
    ben.post("/api/auth/logout", {})
    assert at_ben.wait_for("ended")["code"] == "session_ended"
    reason = {"reason": "Insults in three messages."}
    assert mod.post(f"/api/admin/users/{eve.user.user_id}/suspend", reason).status_int == 200
    # The suspended may read, and no more.
    answer = at_eve.emit("typing", {"conversation_id": sent["conversation_id"]})
    assert answer["error"]["code"] == "account_suspended"
    send(anna, eve, "I still can write to you.")
    at_eve.wait_for("message.created", lambda told: told["message"]["sender_id"] == anna.user.user_id)
    mod.post(f"/api/admin/users/{eve.user.user_id}/ban", reason)
    assert at_eve.wait_for("ended")["code"] == "session_ended"
    assert stays.emit("unsubscribe", "nothing")["ok"] and not stays.all("ended")
    assert not stays.emit("unsubscribe", f"user:{anna.user.user_id}")["ok"], "it would still be followed"
    assert driver.socket(process, eve.token).wait_for("#error")["problem"]["code"] == "session_ended"
    for _ in range(50):
        refused = stays.emit("typing", {"conversation_id": 1})
        if refused["error"]["code"] == "rate_limited":
            break
    assert refused["error"]["status"] == 429

    # What no client of ours sends ends a connection at once, and is no error of ours.
    with connect(socket.replace("http", "ws", 1)) as hostile:
        hostile.send("40" + orjson.dumps({"token": token(anna, 60)}).decode())
        while not str(hostile.recv(10)).startswith('42["unread.changed"'):
            pass
        hostile.send("")
        with pytest.raises(ConnectionClosed):
            while True:
                hostile.recv(10)
    assert 'marketplace_realtime_ended_total{reason="bad_frame"} 1.0' in ask(f"{process.address}/metrics")[1]
    assert "traceback" not in process.log.read_text()


def test_nothing_is_lost_and_nothing_comes_twice_whatever_ends(
    start: Start, driver: Driver, live_people: People, committed_databases: Databases, api_databases: Databases
) -> None:
    process = start()
    process.wait_until(ready=True)
    anna, ben, carl = (live_people.customer() for _ in range(3))
    by_socket = driver.socket(process, ben.token)
    by_stream = driver.stream(process, token=ben.token or "")
    for connection in (by_socket, by_stream):
        connection.wait_for("unread.changed")

    def burst(count: int = 10) -> None:
        with ThreadPoolExecutor(2) as pool:
            for sender in (anna, carl):
                pool.submit(lambda sender: [send(sender, ben, f"{n}") for n in range(count)], sender)

    def caught_up() -> None:
        with committed_databases.session() as session:
            sent = (
                session.execute(sa.text("SELECT subject_id FROM events WHERE type = 'message.sent' ORDER BY event_id"))
                .scalars()
                .all()
            )
        for connection in (by_socket, by_stream):
            while len(connection.ids("message.created")) < len(sent):
                connection.wait_for("message.created")
            assert connection.ids("message.created") == sent

    burst()
    caught_up()
    # One that is told to end lets everybody go, who come back by themselves; what is sent meanwhile waits for them, what
    # is sent while they are brought up to date comes after it.
    assert process.stop() == 0, process.log.read_text()
    assert by_socket.wait_for("#disconnect") == "transport close"
    burst()
    process.start()
    burst()
    caught_up()
    # PostgreSQL goes away and comes back; nobody is thrown out.
    url = boot.connection_url(committed_databases)
    name = url.rpartition("/")[2]
    with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        checks = process.wait_until(ready=False)["checks"]
        assert checks["database"] == "unavailable"
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    for databases in (committed_databases, api_databases):
        databases.dispose()  # of the test itself, whose connections were lost as well
    process.wait_until(ready=True)
    burst()
    caught_up()
    assert len(by_socket.all("#connect")) == 2
    # One that is killed says nothing at all.
    process.kill()
    burst(3)
    process.start()
    burst(3)
    caught_up()
    assert not by_socket.all("reset") and not by_stream.all("reset")
    # A database that was restored knows nothing of the last events: who has seen them fetches anew, and goes on from there.
    with committed_databases.session() as session, as_owner(session):
        seen = feed.horizon(session)
        for statement in (
            "ALTER TABLE events DISABLE TRIGGER events_append_only",
            "DELETE FROM events WHERE event_id > :newest",
            "ALTER TABLE events ENABLE TRIGGER events_append_only",
            "SELECT setval('events_event_id_seq', :newest)",
        ):
            session.execute(sa.text(statement), {"newest": seen - 50} if ":newest" in statement else {})
        session.commit()
    with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    for databases in (committed_databases, api_databases):
        databases.dispose()
    for connection in (by_socket, by_stream):
        assert connection.wait_for("reset")["id"] < seen
    after = send(anna, ben, "After the backup.")["message_id"]
    for connection in (by_socket, by_stream):
        connection.wait_for("message.created", lambda told: told["message"]["message_id"] == after)


def test_replay_asks_for_permission_anew_and_ends_somewhere(
    start: Start, driver: Driver, live_people: People, committed_databases: Databases
) -> None:
    anna, ben, eve = (live_people.customer() for _ in range(3))
    listing = make_listing(live_people.session, anna.user)
    live_people.session.commit()
    first = send(anna, ben, "Gone from Ben's view before he looks.")
    ben.delete(f"/api/conversations/{first['conversation_id']}")
    second = send(anna, ben, "This is still there.")
    anna.patch(f"/api/listings/{listing.listing_id}", {"price": 5})
    anna.post(f"/api/listings/{listing.listing_id}/deactivate")
    long, short = start(), start(REALTIME_REPLAY_EVENTS="2")
    for process in (long, short):
        process.wait_until(ready=True)
    topics = [f"conversation:{first['conversation_id']}", f"listing:{listing.listing_id}"]
    at_ben = driver.socket(long, ben.token, last_id=0, topics=topics)
    ready = at_ben.wait_for("ready")
    assert ready["topics"][1:] == topics[:1]
    assert [(each["topic"], each["error"]["code"]) for each in ready["refused"]] == [(topics[1], "not_found")]
    at_ben.wait_for("unread.changed")
    assert at_ben.ids("message.created") == [second["message_id"]]
    assert at_ben.all("listing.updated") == []
    # To its owner it is there, so that she is told of all that happened to it.
    at_anna = driver.socket(long, anna.token, last_id=0, topics=topics)
    at_anna.wait_for("unread.changed")
    assert len(at_anna.all("listing.updated")) == 2
    assert at_anna.ids("message.created") == [first["message_id"], second["message_id"]]
    # Longer ago than is kept, or an id of another log: they fetch anew, and go on from here.
    with committed_databases.primary_reader() as db:
        head = feed.horizon(db)
    for last_id in (0, head + 1_000):
        late = driver.socket(short, ben.token, last_id=last_id)
        assert late.wait_for("reset")["id"] == head
        late.wait_for("unread.changed")
        assert late.ids("message.created") == []
    # Nor does the log tell what a stranger could not see when it happened.
    assert driver.socket(long, eve.token, last_id=0, topics=topics).wait_for("ready")["topics"][1:] == []


def test_streams_by_header_and_by_ticket(start: Start, driver: Driver, live_people: People) -> None:
    process = start(CORS_ORIGINS="https://app.example")
    anna, ben, eve = (live_people.customer() for _ in range(3))
    sent = send(anna, ben, "Before anybody listened.")
    process.wait_until(ready=True)
    stream = f"{process.address}/api/stream"
    topics = f"?topics=conversation:{sent['conversation_id']}"
    links = ben.get("/api").json["_links"]
    assert links["mkt:stream"] == {
        "href": "/api/stream{?topics,last_id,ticket}",
        "templated": True,
        "type": "text/event-stream",
        "title": "What happens, as it happens",
    }
    answer = ben.post(links["mkt:stream-tickets"]["href"])
    ticket = answer.json["ticket"]
    assert answer.status_int == 200 and answer.json["expires_in"] == 30
    assert answer.json["_links"]["mkt:stream"]["href"] == f"/api/stream?ticket={ticket}"
    at_ben = driver.stream(process, f"{topics}&last_id=0&ticket={ticket}")
    ready = at_ben.wait_for("ready")
    assert ready["topics"] == [f"user:{ben.user.user_id}", f"conversation:{sent['conversation_id']}"]
    got = at_ben.wait_for("message.created")
    assert got["message"] == ben.get(f"/api/messages/{sent['message_id']}").json
    assert got["lastEventId"] == str(got["id"])
    # A ticket opens one stream; a token in the address opens none.
    statuses = [
        ask(f"{stream}?ticket={ticket}"),
        ask(stream),
        ask(f"{stream}?token={ben.token}"),
        ask(stream, Origin="https://evil.example"),
        ask(stream, **{"Last-Event-ID": "x"}, Authorization=f"Bearer {eve.token}"),
        ask(f"{stream}?{'&'.join(f'p{n}=1' for n in range(20))}"),
        ask(stream, Origin="http://[::1"),
    ]
    assert [status for status, _ in statuses] == [401, 401, 400, 403, 400, 400, 403]
    # What one may not follow is no reason to be told of nothing.
    told = driver.stream(process, topics, eve.token).wait_for("ready")
    assert told["topics"] == [f"user:{eve.user.user_id}"]
    assert [(each["topic"], each["error"]["code"]) for each in told["refused"]] == [
        (f"conversation:{sent['conversation_id']}", "not_found")
    ]
    assert live_people.anonymous().post("/api/stream/tickets").status_int == 401
    # As long as the session lives: EventSource tries again with its ticket, is refused, and gives up.
    ben.post("/api/auth/logout", {})
    assert at_ben.wait_for("ended")["code"] == "session_ended"
    at_ben.wait_for("#error", lambda told: told["closed"])
    # A clock that stands still does not bring the position: signs of life do, which are events without data.
    metrics = ask(f"{process.address}/metrics")[1]
    assert 'marketplace_realtime_pushes_total{event="message.created"} 1.0' in metrics
    assert 'marketplace_realtime_ended_total{reason="session_ended"} 1.0' in metrics
