"""Accounts that are suspended, banned, given other roles, left, and taken out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import lifecycle
from marketplace_api.domain.kernel.actors import operator
from tests.factories.accounts import PASSWORD, People, make_user
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named

ADA = {"username": "ada", "email": "ada@people.example", "password": PASSWORD}
NEW_PASSWORD = "another long passphrase 7"


def _with(app: object, pair: dict[str, Any]) -> Client:
    return Client(app, pair["token"])


# Suspended, banned, gone.


def test_a_suspended_account_logs_in_and_reads_and_nothing_else(client: Client, people: People, db: Session) -> None:
    user = make_user(db)
    row = make_listing(db, user)
    lifecycle.suspend(db, operator("test"), user.user_id, reason="Spam.")
    db.commit()
    answer = client.post("/api/auth/login", {"email": user.email, "password": PASSWORD})
    assert answer.status_int == 200
    suspended = _with(client.app, answer.json)
    for page in (
        "/api",
        "/api/users/me",
        "/api/users/me/listings",
        "/api/auth/sessions",
        "/api/users/me/export",
        "/api/listings",
    ):
        assert suspended.get(page).status_int == 200, page
    assert suspended.get("/api/users/me").json["state"] == "suspended"
    path = f"/api/listings/{row.listing_id}"
    for answer in (
        suspended.put("/api/users/me", {"bio": "x"}),
        suspended.put(path, {"title": "x"}),
        suspended.delete(path),
        suspended.post(f"{path}/deactivate", {}),
        suspended.delete("/api/users/me", {"password": PASSWORD}),
        suspended.post("/api/listings", {"title": "x", "category": "furniture", "price": 1}),
        suspended.put("/api/users/me/password", {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}),
    ):
        body = assert_problem(answer, 403, "account_suspended")
        assert (body["reason"], body["until"]) == ("Spam.", None)
    assert set(suspended.forms("/api")["_templates"]) - {"default"} <= {"logout", "register", "login"}
    assert suspended.post("/api/auth/logout", {}).status_int == 200


def test_a_suspension_with_an_end_ends_by_itself(people: People, db: Session) -> None:
    caller = people.customer()
    until = datetime.now(UTC) + timedelta(days=1)
    lifecycle.suspend(db, operator("test"), caller.user.user_id, reason="Spam.", until=until)
    db.commit()
    body = assert_problem(caller.put("/api/users/me", {"bio": "x"}), 403, "account_suspended")
    assert datetime.fromisoformat(body["until"]) == until
    assert f"{until:%Y-%m-%d %H:%M} UTC" in body["detail"]
    db.execute(
        sa.text("UPDATE users SET suspended_until = now() - interval '1 second' WHERE suspended_until IS NOT NULL")
    )
    db.commit()
    assert caller.put("/api/users/me", {"bio": "x"}).status_int == 200


def test_a_banned_account_is_out_at_once_and_may_not_log_in(client: Client, people: People, db: Session) -> None:
    caller = people.customer()
    lifecycle.ban(db, operator("test"), caller.user.user_id, reason="Fraud.")
    db.commit()
    assert_problem(caller.get("/api"), 401, "session_ended")
    right = client.post("/api/auth/login", {"email": caller.user.email, "password": PASSWORD})
    assert assert_problem(right, 403, "account_banned")["reason"] == "Fraud."
    assert "Fraud." in right.json["detail"]
    wrong = client.post("/api/auth/login", {"email": caller.user.email, "password": "not the password"})
    assert "Fraud" not in wrong.text
    assert_problem(wrong, 401, "invalid_credentials")
    assert_problem(client.get(f"/api/users/{caller.user.user_id}"), 404, "not_found")


def test_new_roles_act_at_once(people: People, db: Session) -> None:
    moderator = people.moderator()
    lifecycle.set_roles(db, operator("test"), moderator.user.user_id, [])
    db.commit()
    assert_problem(moderator.get("/api"), 401, "session_ended")


def test_who_leaves_is_gone_for_all_and_comes_back_by_logging_in(client: Client, db: Session) -> None:
    pair = client.post("/api/auth/register", ADA).json
    here = _with(client.app, pair)
    profile = f"/api/users/{pair['user_id']}"
    wrong = here.delete("/api/users/me", {"password": "not mine"})
    assert named(assert_problem(wrong, 400, "invalid_input")) == {"password": "wrong_password"}
    assert named(assert_problem(here.delete("/api/users/me"), 400, "invalid_input")) == {"password": "required"}
    left = here.delete("/api/users/me", {"password": PASSWORD})
    assert left.status_int == 200
    erased_at = datetime.fromisoformat(left.json["erased_at"])
    assert timedelta(days=29) < erased_at - datetime.now(UTC) < timedelta(days=31)
    assert_problem(here.get("/api/users/me"), 401, "session_ended")
    for answer in (client.get(profile), client.get(f"{profile}/listings"), client.get(profile, Accept=HAL_FORMS)):
        assert_problem(answer, 410, "gone")
    assert_problem(client.post("/api/auth/refresh", {"refresh_token": pair["refresh_token"]}), 401, "session_ended")
    assert client.post("/api/auth/register", ADA).status_int == 409
    back = client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD})
    assert back.status_int == 200
    assert client.get(profile).json["username"] == "ada"


def test_the_export_holds_what_is_held_and_no_secret(client: Client, db: Session) -> None:
    pair = client.post("/api/auth/register", ADA).json
    here = _with(client.app, pair)
    here.put("/api/users/me", {"bio": "I mend clocks.", "contact_information": {"phone": "+49 30 1"}})
    here.post(
        "/api/listings",
        {"title": "Clock", "category": "furniture", "price": 12, "location": {"address": "Hidden lane 3"}},
    )
    answer = here.get("/api/users/me/export")
    assert answer.status_int == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    data = answer.json
    assert (data["profile"]["email"], data["profile"]["bio"], data["complete"]) == (
        "ada@people.example",
        "I mend clocks.",
        True,
    )
    assert [(listing["title"], listing["address"]) for listing in data["listings"]] == [("Clock", "Hidden lane 3")]
    assert len(data["sessions"]) == 1
    assert {"user.registered", "user.edited", "listing.created"} <= {event["type"] for event in data["events"]}
    for secret in ("password_hash", "$2b$", "refresh_hash", "token_hash", pair["refresh_token"], pair["token"]):
        assert secret not in answer.text
    assert_problem(client.get("/api/users/me/export"), 401, "unauthenticated")


def test_who_is_suspended_reads_why_and_until_when(people: People) -> None:
    person, moderator = people.customer(), people.moderator()
    assert (person.get("/api/users/me").json["state_reason"], person.get("/api/users/me").json["suspended_until"]) == (
        None,
        None,
    )
    account = f"/api/admin/users/{person.user.user_id}"
    until = "2099-01-01T00:00:00Z"
    assert moderator.post(f"{account}/suspend", {"reason": "Spam.", "until": until}).status_int == 200
    shown = person.get("/api/users/me").json
    assert (shown["state"], shown["state_reason"]) == ("suspended", "Spam.")
    assert shown["suspended_until"].startswith("2099-01-01T00:00:00")
    moderator.post(f"{account}/reinstate", {"reason": "It was a mistake."})
    assert person.get("/api/users/me").json["state_reason"] is None
