"""A buyer and a seller write to each other: the whole way over HTTP, with all that can go wrong on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.gateways.rate_limiter import Limiter
from marketplace_api.models.community.conversations import Conversation, Message
from tests.factories.accounts import People
from tests.factories.conversations import block, send
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named
from tests.support.sql_recorder import recorded


@pytest.fixture
def anna(people: People) -> Client:
    return people.caller(username="anna")


@pytest.fixture
def ben(people: People) -> Client:
    return people.caller(username="ben", profile_picture_url="https://pictures.example/ben.jpg")


def write(sender: Client, receiver: Client, content: str = "Is it still there?", **more: Any) -> dict[str, Any]:
    response = sender.post("/api/messages", {"receiver_id": receiver.user.user_id, "content": content, **more})
    assert response.status_int == 201, response.text
    return dict(response.json)


def test_a_message_is_answered_with_itself(anna: Client, ben: Client, db: Session) -> None:
    listing = make_listing(db, ben.user)
    response = anna.post(
        "/api/messages",
        {"receiver_id": ben.user.user_id, "content": "  Is it\nstill there? ", "listing_id": listing.listing_id},
    )
    assert response.status_int == 201
    message = response.json
    links = message.pop("_links")
    assert message == {
        "message_id": message["message_id"],
        "conversation_id": message["conversation_id"],
        "sender_id": anna.user.user_id,
        "receiver_id": ben.user.user_id,
        "listing_id": listing.listing_id,
        "content": "Is it\nstill there?",
        "timestamp_sent": message["timestamp_sent"],
        "is_read": False,
        "is_removed": False,
    }
    assert response.headers["Location"] == links["self"]["href"] == f"/api/messages/{message['message_id']}"
    assert links["mkt:listing"]["href"] == f"/api/listings/{listing.listing_id}"
    for reader in (anna, ben):
        again = reader.get(links["self"]["href"]).json
        assert again.items() >= message.items()
    assert anna.get(links["mkt:conversation"]["href"]).status_int == 200


def test_both_see_their_side_of_the_conversation(anna: Client, ben: Client) -> None:
    first = write(anna, ben, "First")
    answer = ben.post("/api/messages", {"conversation_id": first["conversation_id"], "content": "Second"}).json
    write(anna, ben, "Third")
    assert answer["receiver_id"] == anna.user.user_id
    for reader, other, unread in ((anna, ben, 1), (ben, anna, 2)):
        found = reader.get("/api/conversations").json
        assert (found["unreadCount"], found["totalItems"], found["totalPages"], found["currentPage"]) == (
            unread,
            1,
            1,
            1,
        )
        (shown,) = found["conversations"]
        assert shown["conversation_id"] == first["conversation_id"] and shown["unreadCount"] == unread
        assert shown["last_message_preview"] == "Third" and shown["archived"] is False
        participant = shown["other_participant"]
        assert (participant["user_id"], participant["username"], participant["is_available"]) == (
            other.user.user_id,
            other.user.username,
            True,
        )
        messages = reader.get(shown["_links"]["mkt:messages"]["href"]).json
        assert [m["content"] for m in messages["messages"]] == ["Third", "Second", "First"]
        assert messages["messages"][0]["message_id"] == shown["last_message_id"]


def test_twenty_messages_make_a_page(anna: Client, ben: Client) -> None:
    for number in range(22):
        first = write(anna, ben, str(number))
    path = f"/api/conversations/{first['conversation_id']}/messages"
    page = ben.get(path).json
    assert len(page["messages"]) == 20 and (page["totalPages"], page["currentPage"], page["totalItems"]) == (2, 1, 22)
    rest = ben.get(page["_links"]["next"]["href"]).json
    assert [m["content"] for m in rest["messages"]] == ["1", "0"] and rest["currentPage"] == 2
    assert [m["content"] for m in ben.get(f"{path}?page=2").json["messages"]] == ["1", "0"]
    assert ben.get(f"{path}?limit=2&fields=content").json["messages"][0].keys() == {"message_id", "content", "_links"}
    assert_problem(ben.get(f"{path}?limit=101"), 400, "invalid_input")
    assert_problem(ben.get(f"{path}?cursor=abc"), 400, "invalid_cursor")


def test_messages_are_marked_as_read(anna: Client, ben: Client) -> None:
    first, second = write(anna, ben, "First"), write(anna, ben, "Second")
    path = f"/api/messages/{first['message_id']}"
    assert_problem(anna.post(f"{path}/read"), 403, "forbidden")
    for _ in range(2):
        answer = ben.post(f"{path}/read")
        assert (answer.status_int, answer.json["message"]) == (200, "Message marked as read")
    assert anna.get(path).json["is_read"] and not anna.get(f"/api/messages/{second['message_id']}").json["is_read"]
    assert ben.get("/api/conversations").json["unreadCount"] == 1
    done = ben.post(f"/api/conversations/{first['conversation_id']}/read")
    assert (done.status_int, done.json["unreadCount"]) == (200, 0)
    assert ben.post(f"/api/conversations/{first['conversation_id']}/read").status_int == 200
    assert ben.get("/api/conversations").json["unreadCount"] == 0
    assert anna.get(f"/api/messages/{second['message_id']}").json["is_read"]


def test_a_conversation_is_archived_and_taken_out(anna: Client, ben: Client) -> None:
    path = f"/api/conversations/{write(anna, ben)['conversation_id']}"
    assert ben.post(f"{path}/archive").json["archived"] is True
    again = assert_problem(ben.post(f"{path}/archive"), 409, "wrong_state")
    assert again["state"] == "archived"
    write(anna, ben)
    assert ben.get("/api/conversations").json["conversations"] == []
    archived = ben.get("/api/conversations?archived=true").json
    assert [c["unreadCount"] for c in archived["conversations"]] == [2] and archived["unreadCount"] == 2
    assert anna.get("/api/conversations?archived=false").json["totalItems"] == 1
    assert ben.post(f"{path}/unarchive").json["archived"] is False
    assert_problem(ben.post(f"{path}/unarchive"), 409, "wrong_state")
    assert ben.get("/api/conversations").json["totalItems"] == 1


def test_a_deleted_conversation_comes_back_with_a_new_message(anna: Client, ben: Client) -> None:
    old = write(anna, ben, "Old")
    path = f"/api/conversations/{old['conversation_id']}"
    assert ben.delete(path).json["message"] == "Conversation deleted"
    for gone in (path, f"{path}/messages", f"/api/messages/{old['message_id']}"):
        assert_problem(ben.get(gone), 404, "not_found")
    assert_problem(ben.delete(path), 404, "not_found")
    assert ben.get("/api/conversations").json["totalItems"] == 0
    assert anna.get(path).status_int == 200
    write(anna, ben, "New")
    assert [m["content"] for m in ben.get(f"{path}/messages").json["messages"]] == ["New"]
    assert [m["content"] for m in anna.get(f"{path}/messages").json["messages"]] == ["New", "Old"]


def test_strangers_learn_nothing(anna: Client, ben: Client, people: People) -> None:
    message = write(anna, ben)
    conversation, single = f"/api/conversations/{message['conversation_id']}", f"/api/messages/{message['message_id']}"
    body = {"conversation_id": message["conversation_id"], "content": "Let me in"}
    for stranger in (people.customer(), people.moderator(), people.admin()):
        for method, path in (
            ("GET", conversation),
            ("GET", f"{conversation}/messages"),
            ("GET", single),
            ("DELETE", conversation),
            ("POST", f"{conversation}/read"),
            ("POST", f"{conversation}/archive"),
            ("POST", f"{conversation}/unarchive"),
            ("POST", f"{single}/read"),
            ("PUT", conversation),
            ("DELETE", single),
        ):
            assert_problem(stranger.request(method, path, {}), 404, "not_found")
        assert_problem(stranger.post("/api/messages", body), 404, "not_found")
    nobody = people.anonymous()
    for path in (
        "/api/conversations",
        conversation,
        f"{conversation}/messages",
        single,
        "/api/users/me/blocks",
        "/api/messages",
    ):
        assert_problem(nobody.get(path), 401, "unauthenticated")
    assert_problem(nobody.post("/api/messages", body), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"content": "Hi"}, {"receiver_id": "required", "conversation_id": "required"}),
        (
            {"content": "Hi", "receiver_id": 1, "conversation_id": 1},
            {"receiver_id": "two_targets", "conversation_id": "two_targets"},
        ),
        ({"receiver_id": 1}, {"content": "required"}),
        ({"receiver_id": 1, "content": ""}, {"content": "too_short"}),
        ({"receiver_id": 1, "content": " \n\t "}, {"content": "too_short"}),
        ({"receiver_id": 1, "content": "x" * 5001}, {"content": "too_long"}),
        ({"receiver_id": 1, "content": ["Hi"]}, {"content": "not_text"}),
        ({"receiver_id": "1", "content": "Hi"}, {"receiver_id": "not_an_integer"}),
        ({"receiver_id": 1, "content": "Hi", "listing_id": 0}, {"listing_id": "out_of_range"}),
        ({"receiver_id": 1, "content": "Hi", "subject": "Offer"}, {"subject": "unknown_field"}),
    ],
)
def test_what_cannot_be_sent(body: dict[str, Any], wrong: dict[str, str], anna: Client, db: Session) -> None:
    assert named(assert_problem(anna.post("/api/messages", body), 400, "invalid_input")) == wrong
    assert db.execute(sa.select(sa.func.count()).select_from(Message)).scalar_one() == 0


def test_five_thousand_characters_of_any_kind_arrive_as_they_were(anna: Client, ben: Client) -> None:
    content = ("<b>Żółć</b> & 🚲 'quoted' \"text\" \\ " * 200)[:4999] + "!"
    assert ben.get(f"/api/messages/{write(anna, ben, content)['message_id']}").json["content"] == content


def test_nobody_to_write_to(anna: Client, ben: Client, people: People, db: Session) -> None:
    def to(user_id: int, **more: Any) -> Any:
        return anna.post("/api/messages", {"receiver_id": user_id, "content": "Hello", **more})

    assert_problem(to(10**12), 404, "not_found")
    assert_problem(to(anna.user.user_id), 403, "message_to_oneself")
    assert_problem(to(people.caller(state="banned").user.user_id), 404, "not_found")
    assert_problem(to(ben.user.user_id, listing_id=10**12), 404, "not_found")
    assert_problem(
        to(ben.user.user_id, listing_id=make_listing(db, ben.user, status="draft").listing_id), 404, "not_found"
    )
    assert_problem(
        people.suspended().post("/api/messages", {"receiver_id": 1, "content": "Hi"}), 403, "account_suspended"
    )
    assert db.execute(sa.select(sa.func.count()).select_from(Conversation)).scalar_one() == 0
    assert to(people.suspended().user.user_id).status_int == 201  # who may read gets messages


def test_a_deleted_counterpart_leaves_the_conversation_readable(anna: Client, ben: Client) -> None:
    message = write(anna, ben, "Before")
    assert ben.delete("/api/users/me", {"password": "correct horse battery"}).status_int == 200
    path = f"/api/conversations/{message['conversation_id']}"
    for body in ({"receiver_id": ben.user.user_id}, {"conversation_id": message["conversation_id"]}):
        assert_problem(anna.post("/api/messages", {**body, "content": "Hello?"}), 410, "recipient_gone")
    shown = anna.get(path).json
    participant = shown["other_participant"]
    assert (participant["username"], participant["is_available"], participant["_links"]) == (None, False, {})
    assert not {"mkt:participant", "mkt:message"} & shown["_links"].keys()
    assert [m["content"] for m in anna.get(f"{path}/messages").json["messages"]] == ["Before"]
    assert "message" not in anna.forms(path)["_templates"] and "delete" in anna.forms(path)["_templates"]


def test_a_blocked_sender_is_told_and_nothing_is_lost(anna: Client, ben: Client) -> None:
    message = write(anna, ben, "Before")
    made = ben.post("/api/users/me/blocks", {"user_id": anna.user.user_id})
    assert made.status_int == 201 and made.headers["Location"] == f"/api/users/me/blocks/{anna.user.user_id}"
    assert (made.json["user_id"], made.json["username"]) == (anna.user.user_id, "anna")
    assert ben.post("/api/users/me/blocks", {"user_id": anna.user.user_id}).status_int == 200
    assert [b["user_id"] for b in ben.get("/api/users/me/blocks").json["blocks"]] == [anna.user.user_id]
    for body in ({"receiver_id": ben.user.user_id}, {"conversation_id": message["conversation_id"]}):
        refused = assert_problem(anna.post("/api/messages", {**body, "content": "Hey"}), 403, "blocked")
        assert "nothing was sent" in refused["detail"]
    path = f"/api/conversations/{message['conversation_id']}"
    assert anna.get(path).json["is_blocked"] is False and ben.get(path).json["is_blocked"] is True
    assert anna.get(f"{path}/messages").json["totalItems"] == 1
    assert anna.get("/api/users/me/blocks").json["blocks"] == []
    own = {"receiver_id": anna.user.user_id, "content": "I could get no answer"}
    assert_problem(ben.post("/api/messages", own), 403, "blocked_by_you")
    assert ben.delete(f"/api/users/me/blocks/{anna.user.user_id}").json["message"] == "User unblocked"
    assert_problem(ben.delete(f"/api/users/me/blocks/{anna.user.user_id}"), 404, "not_found")
    write(anna, ben, "After")


def test_blocks_that_cannot_be(anna: Client, people: People) -> None:
    assert_problem(anna.post("/api/users/me/blocks", {"user_id": anna.user.user_id}), 403, "block_of_oneself")
    assert_problem(anna.post("/api/users/me/blocks", {"user_id": 10**12}), 404, "not_found")
    erased = people.caller(state="erased").user.user_id
    assert_problem(anna.post("/api/users/me/blocks", {"user_id": erased}), 410, "gone")
    assert named(assert_problem(anna.post("/api/users/me/blocks", {}), 400, "invalid_input")) == {"user_id": "required"}


def test_a_retry_sends_nothing_twice(anna: Client, ben: Client, db: Session) -> None:
    body = {"receiver_id": ben.user.user_id, "content": "Once"}
    first = anna.post("/api/messages", body, Idempotency_Key="m-1")
    again = anna.post("/api/messages", body, Idempotency_Key="m-1")
    assert first.status_int == again.status_int == 201 and first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true" and again.headers["Location"] == first.headers["Location"]
    assert_problem(
        anna.post("/api/messages", {**body, "content": "Twice"}, Idempotency_Key="m-1"), 422, "idempotency_key_reused"
    )
    assert db.execute(sa.select(sa.func.count()).select_from(Message)).scalar_one() == 1


def test_first_messages_at_once_over_http(live_people: People) -> None:
    both = [live_people.caller(), live_people.caller()]
    barrier = Barrier(20)

    def one(number: int) -> dict[str, Any]:
        barrier.wait(10)
        return write(both[number % 2], both[1 - number % 2], f"Message {number}")

    with ThreadPoolExecutor(20) as pool:
        sent = list(pool.map(one, range(20)))
    (conversation,) = {message["conversation_id"] for message in sent}
    for person in both:
        found = person.get("/api/conversations").json
        assert (found["totalItems"], found["unreadCount"]) == (1, 10)
        page = person.get(f"/api/conversations/{conversation}/messages?limit=100").json
        assert {m["content"] for m in page["messages"]} == {f"Message {n}" for n in range(20)}


def test_writing_is_limited_more_than_other_writing(anna: Client, ben: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = anna.app.registry  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "limiter", Limiter("", 1))
    assert registry.limit_groups["messages"] == "message"
    first = anna.post("/api/messages", {"receiver_id": ben.user.user_id, "content": "Hi"})
    assert first.headers["RateLimit-Limit"] == "30"
    for _ in range(29):
        anna.post("/api/messages", {"receiver_id": ben.user.user_id, "content": "Hi"})
    refused = anna.post("/api/messages", {"receiver_id": ben.user.user_id, "content": "Hi"})
    assert_problem(refused, 429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert anna.get("/api/conversations").status_int == 200


# What is offered where.


def test_where_writing_is_offered(anna: Client, ben: Client, db: Session, people: People) -> None:
    listing = f"/api/listings/{make_listing(db, ben.user).listing_id}"
    profile = f"/api/users/{ben.user.user_id}"
    message = write(anna, ben)
    conversation = f"/api/conversations/{message['conversation_id']}"
    for page in (profile, listing, conversation):
        template = anna.forms(page)["_templates"]["message"]
        assert (template["method"], template["target"]) == ("POST", "/api/messages")
        body = {p["name"]: p["value"] for p in template["properties"] if "value" in p} | {"content": "From a form"}
        assert anna.post(template["target"], body).status_int == 201
        prepared = anna.get(page).json["_links"]["mkt:message"]["href"]
        form = anna.forms(prepared)
        assert form["_links"]["self"]["href"] == prepared and "message" in form["_templates"]
    # Not to oneself, not as nobody, not while suspended, and not where one is blocked.
    for caller in (ben, people.anonymous(), people.suspended()):
        for page in (profile, listing):
            assert "message" not in caller.forms(page)["_templates"]
            assert "mkt:message" not in caller.get(page).json["_links"]
    block(db, ben.user, anna.user)
    for page in (profile, listing, conversation):
        assert "message" not in anna.forms(page)["_templates"]
        assert "mkt:message" not in anna.get(page).json["_links"]
    assert anna.forms(prepared)["_templates"] == {}
    found = anna.forms("/api/listings")["_embedded"]["listings"]
    assert ["message" in item["_templates"] for item in found] == [False]


def test_the_lists_ask_no_more_for_more(anna: Client, people: People, db: Session) -> None:
    counts = []
    for _ in range(2):
        for _ in range(4):
            other = people.caller()
            send(db, other.user, anna.user)
            make_listing(db, other.user)
        counts.append([])
        for path in ("/api/conversations?limit=100", "/api/listings?limit=100"):
            for media in ("application/json", HAL_FORMS):
                with recorded() as found:
                    assert anna.get(path, Accept=media).status_int == 200
                counts[-1].append(len(found))
    assert counts[0] == counts[1]
