"""Notifications over HTTP: what is told, what can be done about it, and what everybody chooses to be told."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing, workflow
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.outbound.notifications import Notification
from tests.factories.accounts import PASSWORD, People, make_user
from tests.factories.conversations import actor_of, send
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification, notify
from tests.factories.reviews import make_bookmark, make_review
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named
from tests.support.sql_recorder import recorded

LIST = "/api/notifications"
PREFERENCES = "/api/users/me/notification-preferences"


@pytest.fixture
def anna(people: People) -> Client:
    return people.caller(username="anna")


@pytest.fixture
def ben(people: People) -> Client:
    return people.caller(username="ben")


def one(client: Client) -> dict[str, Any]:
    """The only notification of a caller."""
    (found,) = client.get(LIST).json["notifications"]
    return dict(found)


def test_a_message_is_told_with_links_that_lead_on(anna: Client, ben: Client, db: Session) -> None:
    listing = make_listing(db, ben.user, title="Desk")
    message = send(db, anna.user, ben.user, listing_id=listing.listing_id)
    notify(db)
    answer = ben.get(LIST).json
    assert {name: answer[name] for name in ("unreadCount", "totalPages", "currentPage", "totalItems")} == {
        "unreadCount": 1,
        "totalPages": 1,
        "currentPage": 1,
        "totalItems": 1,
    }
    found = one(ben)
    links = found.pop("_links")
    assert found == {
        "notification_id": found["notification_id"],
        "user_id": ben.user.user_id,
        "type": "new_message",
        "related_entity_id": message.message_id,
        "title": "New message",
        "content": "anna wrote to you about “Desk”.",
        "count": 1,
        "data": {
            "actor_id": anna.user.user_id,
            "listing_id": listing.listing_id,
            "conversation_id": message.conversation_id,
            "message_id": message.message_id,
        },
        "is_read": False,
        "timestamp_created": found["timestamp_created"],
        "timestamp_updated": found["timestamp_updated"],
    }
    assert links["about"]["href"] == f"/api/conversations/{message.conversation_id}"
    for relation in ("self", "collection", "about", "author", "mkt:listing"):
        assert ben.get(links[relation]["href"]).status_int == 200, relation
    assert ben.get(links["self"]["href"]).json.items() >= found.items()
    assert ben.get("/api").json["_links"]["mkt:notifications"]["href"] == LIST
    assert ben.get("/api/users/me").json["_links"]["mkt:notification-preferences"]["href"] == PREFERENCES


def test_reading_and_dismissing(anna: Client, ben: Client, db: Session) -> None:
    ids = [make_notification(db, anna.user, ben.user) for _ in range(4)]
    answer = anna.post(f"{LIST}/{ids[0]}/read")
    assert (answer.status_int, answer.json["message"]) == (200, "Notification marked as read")
    assert anna.post(f"{LIST}/{ids[0]}/read").status_int == 200
    unread = anna.get(f"{LIST}?unread=true&limit=2").json
    assert (unread["unreadCount"], unread["totalItems"], len(unread["notifications"])) == (3, 3, 2)
    everything = anna.get(f"{LIST}?fields=is_read").json
    assert [item["is_read"] for item in everything["notifications"]] == [False, False, False, True]
    assert set(everything["notifications"][0]) == {"notification_id", "is_read", "_links"}
    assert anna.delete(f"{LIST}/{ids[3]}").json["message"] == "Notification dismissed"
    assert_problem(anna.get(f"{LIST}/{ids[3]}"), 404, "not_found")
    assert_problem(anna.delete(f"{LIST}/{ids[3]}"), 404, "not_found")
    assert anna.post(f"{LIST}/read-all").json["message"] == "All notifications marked as read"
    assert anna.post(f"{LIST}/read-all").status_int == 200
    left = anna.get(LIST).json
    assert (left["unreadCount"], left["totalItems"]) == (0, 3)


def test_reading_the_conversation_reads_its_notification(anna: Client, ben: Client, db: Session) -> None:
    message = send(db, anna.user, ben.user)
    notify(db)
    assert ben.post(f"/api/conversations/{message.conversation_id}/read").status_int == 200
    assert one(ben)["is_read"] is True
    assert ben.get(LIST).json["unreadCount"] == 0


@pytest.mark.parametrize("caller", ["stranger", "moderator", "admin"])
def test_others_find_nothing(caller: str, anna: Client, ben: Client, people: People, db: Session) -> None:
    note = make_notification(db, anna.user, ben.user)
    other = {"stranger": people.customer, "moderator": people.moderator, "admin": people.admin}[caller]()
    path = f"{LIST}/{note}"
    for answer in (other.get(path), other.post(f"{path}/read"), other.delete(path)):
        assert_problem(answer, 404, "not_found")
    assert other.get(LIST).json["notifications"] == []
    other.post(f"{LIST}/read-all")
    assert one(anna)["is_read"] is False


def test_nobody_without_an_account(people: People, anna: Client, ben: Client, db: Session) -> None:
    note = make_notification(db, anna.user, ben.user)
    nobody = people.anonymous()
    for path in (LIST, f"{LIST}/{note}", PREFERENCES):
        assert_problem(nobody.get(path), 401, "unauthenticated")
    for path in (f"{LIST}/read-all", f"{LIST}/{note}/read"):
        assert_problem(nobody.post(path), 401, "unauthenticated")
    assert_problem(nobody.put(PREFERENCES, {}), 401, "unauthenticated")


def test_the_suspended_read_and_change_nothing(people: People, ben: Client, db: Session) -> None:
    suspended = people.suspended()
    note = make_notification(db, suspended.user, ben.user)
    for path in (LIST, f"{LIST}/{note}", PREFERENCES):
        assert suspended.get(path).status_int == 200
    for answer in (
        suspended.post(f"{LIST}/{note}/read"),
        suspended.delete(f"{LIST}/{note}"),
        suspended.post(f"{LIST}/read-all"),
        suspended.put(PREFERENCES, {}),
    ):
        assert_problem(answer, 403, "account_suspended")
    assert one(suspended)["is_read"] is False


def test_what_is_gone_is_neither_named_nor_linked(anna: Client, ben: Client, db: Session) -> None:
    listing = make_listing(db, anna.user, title="Desk")
    make_bookmark(db, ben.user, listing)
    review = make_review(db, anna.user, person=ben.user)
    send(db, anna.user, ben.user, listing_id=listing.listing_id)
    editing.edit(db, actor_of(anna.user), listing.listing_id, changes={"price": listing.price / 2})
    workflow.take(db, actor_of(anna.user), listing.listing_id, "mark-sold")
    notify(db)
    before = ben.get(LIST)
    assert "Desk" in before.text and "125.00" in before.text and "anna" in before.text
    assert len(before.json["notifications"]) == 4
    editing.delete(db, actor_of(anna.user), listing.listing_id)
    db.execute(sa.text("UPDATE reviews SET deleted_at = now(), moderation_reason = 'Abuse.'"))
    db.execute(sa.update(User).where(User.user_id == anna.user.user_id).values(state="erased"))
    db.commit()
    after = ben.get(LIST)
    assert "Desk" not in after.text and "anna" not in after.text and "125.00" not in after.text
    for item in after.json["notifications"]:
        assert "mkt:listing" not in item["_links"] and "author" not in item["_links"]
        for relation, found in item["_links"].items():
            assert ben.get(found["href"]).status_int == 200, (item["type"], relation)
    abouts = {item["type"]: item["_links"].get("about") for item in after.json["notifications"]}
    assert abouts.pop("new_message") is not None
    assert set(abouts.values()) == {None}, review


def test_a_new_device_is_told_and_leads_to_its_session(client: Client, people: People, db: Session) -> None:
    user = make_user(db, email="dora@people.example", last_login=sa.func.now())
    db.commit()
    body = {"email": "dora@people.example", "password": PASSWORD}
    for agent in ("Firefox on Linux", "Firefox on Linux"):
        assert client.post("/api/auth/login", body, User_Agent=agent).status_int == 200
    notify(db)
    dora = people.client_for(user)
    found = one(dora)
    assert found["type"] == "new_login" and "(Firefox on Linux)" in found["content"]
    session = found["_links"]["about"]["href"]
    assert dora.get("/api/auth/sessions").json["sessions"]
    assert dora.delete(session).status_int == 200
    assert "about" not in one(dora)["_links"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("unread=maybe", "invalid_input"),
        ("limit=101", "invalid_input"),
        ("cursor=x", "invalid_cursor"),
        ("page=2000", "page_too_deep"),
        ("type=new_message", "unknown_parameter"),
    ],
)
def test_a_question_that_makes_no_sense(query: str, code: str, anna: Client) -> None:
    assert_problem(anna.get(f"{LIST}?{query}"), 400, code)


def test_what_is_asked_again_is_not_sent_again(anna: Client, ben: Client, db: Session) -> None:
    note = make_notification(db, anna.user, ben.user)
    for path in (LIST, f"{LIST}/{note}", PREFERENCES):
        tag = anna.get(path).headers["ETag"]
        assert anna.get(path, If_None_Match=tag).status_int == 304
    tag = anna.get(LIST).headers["ETag"]
    anna.post(f"{LIST}/{note}/read")
    assert anna.get(LIST, If_None_Match=tag).status_int == 200


# Preferences.


def test_preferences_are_read_chosen_and_kept(anna: Client) -> None:
    first = anna.get(PREFERENCES)
    assert first.json["types"]["new_message"] == {"in_app": True, "email": True, "sms": False, "web_push": True}
    assert (first.json["quiet_hours"], first.json["date_updated"]) == (None, None)
    wish = {
        "types": {"new_message": {"email": False}},
        "quiet_hours": {"start": "22:00", "end": "07:30", "time_zone": "Europe/Berlin"},
    }
    answer = anna.put(PREFERENCES, wish, If_Match=first.headers["ETag"])
    assert answer.status_int == 200
    assert answer.json["types"]["new_message"] == {"in_app": True, "email": False, "sms": False, "web_push": True}
    assert answer.json["types"]["review_received"] == first.json["types"]["review_received"]
    assert answer.json["quiet_hours"] == wish["quiet_hours"]
    assert_problem(anna.put(PREFERENCES, wish, If_Match=first.headers["ETag"]), 412, "precondition_failed")
    # What was read may be sent back as it is.
    again = anna.get(PREFERENCES)
    assert anna.put(PREFERENCES, again.json, If_Match=again.headers["ETag"]).json == again.json
    assert anna.put(PREFERENCES, {"quiet_hours": None}).json["quiet_hours"] is None
    assert again.json["digest"] == {"enabled": False, "time": "08:00", "time_zone": "UTC"}
    daily = anna.put(PREFERENCES, {"digest": {"enabled": True, "time": "18:30"}}).json["digest"]
    assert daily == {"enabled": True, "time": "18:30", "time_zone": "UTC"}
    # A patch changes what it names, and a put replaces it; what neither names stays.
    patched = anna.patch(
        PREFERENCES, {"digest": {"time_zone": "Asia/Tokyo"}, "types": {"new_message": {"sms": True}}}
    ).json
    assert patched["digest"] == {"enabled": True, "time": "18:30", "time_zone": "Asia/Tokyo"}
    assert patched["types"]["new_message"] == {"in_app": True, "email": False, "sms": True, "web_push": True}
    put = anna.put(PREFERENCES, {"types": {"new_message": {"web_push": False}}}).json
    assert put["types"] == {
        **first.json["types"],
        "new_message": {**first.json["types"]["new_message"], "web_push": False},
    }
    assert put["digest"] == patched["digest"]
    assert anna.put(PREFERENCES, {"digest": {}}).json["digest"] == again.json["digest"]


def test_a_patch_of_preferences_is_a_merge_patch(anna: Client) -> None:
    """RFC 7396: what is not named stays at every depth, and null is back to the default."""

    def patched(**changes: Any) -> dict[str, Any]:
        return dict(anna.patch(PREFERENCES, changes).json)

    first = anna.get(PREFERENCES).json
    night = {"start": "22:00", "end": "07:30", "time_zone": "Europe/Berlin"}
    wish = {
        "types": {"new_message": {"email": False, "sms": True}, "review_received": {"email": False}},
        "quiet_hours": night,
        "digest": {"enabled": True, "time": "18:30", "time_zone": "Asia/Tokyo"},
    }
    assert anna.patch(PREFERENCES, wish).status_int == 200
    assert patched(quiet_hours={"end": "08:30"})["quiet_hours"] == {**night, "end": "08:30"}
    assert patched(quiet_hours={})["quiet_hours"] == {**night, "end": "08:30"}
    assert patched(digest={"time": None})["digest"] == {**wish["digest"], "time": "08:00"}
    now = patched(types={"new_message": {"email": None}})["types"]
    assert now["new_message"] == {**first["types"]["new_message"], "sms": True} and not now["review_received"]["email"]
    now = patched(types={"new_message": None})["types"]
    assert now["new_message"] == first["types"]["new_message"] and not now["review_received"]["email"]
    # What is refused is refused for what comes of it.
    for changes, field, code in (
        ({"end": "22:00"}, "quiet_hours", "no_time_at_all"),
        ({"end": None}, "quiet_hours.end", "required"),
    ):
        refused = anna.patch(PREFERENCES, {"quiet_hours": changes})
        assert_problem(refused, 400, "invalid_input")
        assert named(refused.json) == {field: code}
    own = patched(types=None, digest=None, quiet_hours=None)
    assert {name: own[name] for name in wish} == {name: first[name] for name in wish}
    refused = anna.patch(PREFERENCES, {"quiet_hours": {"end": "08:30"}})
    assert named(refused.json) == {"quiet_hours.start": "required", "quiet_hours.time_zone": "required"}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"types": {"new_message": {"email": "no"}}}, "types.new_message.email", "not_a_boolean"),
        ({"types": {"new_message": {"fax": True}}}, "types.new_message.fax", "unknown_field"),
        ({"types": {"new_mesage": {"email": True}}}, "types.new_mesage", "unknown_field"),
        ({"types": {"new_login": {"email": False}}}, "types.new_login.email", "cannot_be_switched_off"),
        ({"quiet_hours": {"start": "22:00", "end": "24:00", "time_zone": "UTC"}}, "quiet_hours.end", "wrong_format"),
        ({"quiet_hours": {"start": "22:00", "time_zone": "UTC"}}, "quiet_hours.end", "required"),
        ({"quiet_hours": {"start": "22:00", "end": "22:00", "time_zone": "UTC"}}, "quiet_hours", "no_time_at_all"),
        (
            {"quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Mars"}},
            "quiet_hours.time_zone",
            "unknown_time_zone",
        ),
        (
            {"quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "../etc/passwd"}},
            "quiet_hours.time_zone",
            "unknown_time_zone",
        ),
        ({"digest": {"time": "25:00"}}, "digest.time", "wrong_format"),
        ({"quiet_hours": {"start": 22, "end": "07:00", "time_zone": "UTC"}}, "quiet_hours.start", "not_text"),
    ],
)
def test_what_cannot_be_chosen(body: dict[str, Any], field: str, code: str, anna: Client) -> None:
    before = anna.get(PREFERENCES).json
    answer = anna.put(PREFERENCES, body)
    assert_problem(answer, 400, "invalid_input")
    assert named(answer.json)[field] == code
    assert anna.get(PREFERENCES).json == before


def test_the_form_is_filled_with_what_is_chosen(anna: Client) -> None:
    template = anna.forms(PREFERENCES)["_templates"]["edit"]
    types, quiet, digest = template["properties"]
    assert types["value"] == anna.get(PREFERENCES).json["types"]
    assert [part["name"] for part in quiet["properties"]] == ["start", "end", "time_zone"]
    assert [part["name"] for part in digest["properties"]] == ["enabled", "time", "time_zone"]
    assert anna.put(template["target"], {"types": types["value"]}).status_int == 200


# Costs.


def test_the_number_of_statements_does_not_grow_with_the_data(anna: Client, ben: Client, db: Session) -> None:
    def costs() -> list[int]:
        counts = []
        for path in (LIST, f"{LIST}?unread=true", f"{LIST}?limit=100", f"{LIST}?page=2&limit=5", PREFERENCES):
            for media in ("application/json", HAL_FORMS):
                with recorded() as statements:
                    assert anna.get(path, Accept=media).status_int == 200
                counts.append(len(statements))
        return counts

    make_notification(db, anna.user, ben.user)
    few = costs()
    many = sa.text(
        "INSERT INTO notifications (user_id, type, event_id, actor_id, data) "
        "SELECT :user_id, 'review_received', n, :actor_id, '{}' FROM generate_series(1, 2000) AS n"
    )
    db.execute(many, {"user_id": anna.user.user_id, "actor_id": ben.user.user_id})
    db.commit()
    assert costs() == few
    assert max(few) == 2  # who asks, and what is asked for
    assert db.execute(sa.select(sa.func.count()).select_from(Notification)).scalar_one() == 2001


def test_a_reporter_is_led_to_the_answer(db: Session, people: People) -> None:
    reporter, moderator = people.customer(), people.moderator()
    listing = make_listing(db, people.customer().user)
    body = {"subject_type": "listing", "subject_id": listing.listing_id, "reason": "spam"}
    made = reporter.post("/api/reports", body).headers["Location"]
    report_id = int(made.rpartition("/")[2])
    moderator.post(f"/api/moderation/reports/{report_id}/dismiss", {"reason": "It is a real desk."})
    notify(db)
    (found,) = reporter.get("/api/notifications").json["notifications"]
    assert found["_links"]["about"]["href"] == made
    assert reporter.get(made).json["decision_reason"] == "It is a real desk."
