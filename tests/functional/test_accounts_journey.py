"""Accounts as people use them: registering, logging in, sessions and the profile."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from tests.factories.accounts import PASSWORD, People
from tests.support.client import Client
from tests.support.problems import assert_problem, named

ADA = {"username": "ada", "email": "ada@people.example", "password": PASSWORD}
PAIR = {"user_id", "username", "email", "token", "refresh_token", "token_type", "expires_in"}
ME = {
    "user_id",
    "username",
    "email",
    "profile_picture_url",
    "bio",
    "date_joined",
    "is_verified",
    "contact_information",
    "roles",
}


PROFILE = {
    "user_id",
    "username",
    "profile_picture_url",
    "bio",
    "date_joined",
    "is_verified",
    "rating_average",
    "rating_count",
}


NEW_PASSWORD = "another long passphrase 7"


def _fields(document: dict[str, Any]) -> set[str]:
    return {name for name in document if not name.startswith("_")}


def _with(app: object, pair: dict[str, Any]) -> Client:
    return Client(app, pair["token"])


# Registration.


def test_registering_gives_the_account_and_its_first_pair_of_tokens(client: Client) -> None:
    answer = client.post("/api/auth/register", ADA)
    assert answer.status_int == 201
    pair = answer.json
    assert _fields(pair) == PAIR
    assert (pair["username"], pair["email"], pair["token_type"]) == ("ada", "ada@people.example", "Bearer")
    assert 0 < pair["expires_in"] <= 15 * 60
    me = _with(client.app, pair).get("/api/users/me").json
    assert me["user_id"] == pair["user_id"]
    assert PASSWORD not in answer.text


def test_a_new_account_is_a_customer_whose_address_waits_for_its_confirmation(client: Client) -> None:
    me = _with(client.app, client.post("/api/auth/register", ADA).json).get("/api/users/me").json
    assert _fields(me) >= ME
    assert (me["roles"], me["is_verified"], me["is_email_confirmed"]) == (["customer"], False, False)
    assert (me["bio"], me["profile_picture_url"], me["contact_information"]) == (None, None, {})


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, {"username", "email"}),
        ({"email": "other@people.example"}, {"username"}),
        ({"username": "other"}, {"email"}),
        ({"username": "ADA", "email": "Ada@People.Example"}, {"username", "email"}),
    ],
)
def test_registering_names_every_field_that_is_taken(client: Client, changes: dict[str, str], taken: set[str]) -> None:
    client.post("/api/auth/register", ADA)
    body = assert_problem(client.post("/api/auth/register", {**ADA, **changes}), 409, "already_taken")
    assert named(body) == dict.fromkeys(taken, "already_taken")


def test_a_weak_password_is_refused_with_every_reason(client: Client, db: Session) -> None:
    body = assert_problem(client.post("/api/auth/register", {**ADA, "password": "ada"}), 400, "weak_password")
    codes = {error["code"] for error in body["errors"]}
    assert {"too_short", "contains_username"} <= codes
    assert {error["name"] for error in body["errors"]} == {"password"}
    assert db.scalar(sa.text("SELECT count(*) FROM users")) == 0


def test_roles_cannot_be_given_to_oneself(client: Client) -> None:
    body = assert_problem(client.post("/api/auth/register", {**ADA, "roles": ["admin"]}), 400, "invalid_input")
    assert named(body) == {"roles": "unknown_field"}


# Logging in and out.


def test_logging_in_gives_what_registering_gave(client: Client) -> None:
    registered = client.post("/api/auth/register", ADA).json
    answer = client.post("/api/auth/login", {"email": "ADA@people.example", "password": PASSWORD})
    assert answer.status_int == 200
    assert _fields(answer.json) == PAIR
    assert (answer.json["user_id"], answer.json["username"]) == (registered["user_id"], "ada")
    assert answer.json["token"] != registered["token"]


def test_an_unknown_address_is_refused_like_a_wrong_password(client: Client) -> None:
    client.post("/api/auth/register", ADA)
    wrong = client.post("/api/auth/login", {"email": ADA["email"], "password": "not the password"})
    unknown = client.post("/api/auth/login", {"email": "nobody@people.example", "password": "not the password"})
    assert_problem(wrong, 401, "invalid_credentials")
    assert_problem(unknown, 401, "invalid_credentials")
    ignored = {"request_id": None}
    assert wrong.json | ignored == unknown.json | ignored
    assert {n: v for n, v in wrong.headers.items() if n != "X-Request-ID"} == {
        n: v for n, v in unknown.headers.items() if n != "X-Request-ID"
    }


def test_too_many_wrong_passwords_mean_waiting_for_the_known_and_the_unknown_alike(client: Client) -> None:
    client.post("/api/auth/register", ADA)
    for address in (ADA["email"], "nobody@people.example"):
        tries = [client.post("/api/auth/login", {"email": address, "password": "wrong"}) for _ in range(7)]
        assert [answer.status_int for answer in tries[:5]] == [401] * 5
        assert tries[-1].status_int == 429
        assert int(tries[-1].headers["Retry-After"]) >= 1
    right = client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD})
    assert right.status_int == 429


def test_refreshing_gives_a_new_pair_and_the_old_token_dies(live_app: object, committed_databases: Databases) -> None:
    client = Client(live_app)
    first = client.post("/api/auth/register", ADA).json
    second = client.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_int == 200
    assert _fields(second.json) == PAIR
    assert second.json["refresh_token"] != first["refresh_token"]
    third = client.post("/api/auth/refresh", {"refresh_token": second.json["refresh_token"]})
    assert third.status_int == 200
    with committed_databases.write.begin() as connection:
        connection.execute(sa.text("UPDATE sessions SET rotated_at = rotated_at - interval '1 minute'"))
    assert_problem(
        client.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]}), 401, "refresh_token_reused"
    )
    assert_problem(
        client.post("/api/auth/refresh", {"refresh_token": third.json["refresh_token"]}), 401, "session_ended"
    )
    assert_problem(_with(client.app, third.json).get("/api/users/me"), 401, "session_ended")


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é", "x" * 500])
def test_a_refresh_token_that_we_never_made_is_refused(client: Client, token: str) -> None:
    assert_problem(client.post("/api/auth/refresh", {"refresh_token": token}), 401, "token_invalid")


@pytest.mark.parametrize(("scope", "ended"), [(None, {0}), ("this", {0}), ("others", {1, 2}), ("all", {0, 1, 2})])
def test_logging_out_ends_what_its_scope_says(client: Client, scope: str | None, ended: set[int]) -> None:
    pairs = [client.post("/api/auth/register", ADA).json]
    pairs += [client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}).json for _ in range(2)]
    answer = _with(client.app, pairs[0]).post("/api/auth/logout", {"scope": scope} if scope else {})
    assert (answer.status_int, answer.json["message"]) == (200, "Logged out successfully")
    for number, pair in enumerate(pairs):
        alive = _with(client.app, pair).get("/api/auth/me").status_int == 200
        assert alive == (number not in ended)
        refreshed = client.post("/api/auth/refresh", {"refresh_token": pair["refresh_token"]})
        assert (refreshed.status_int == 200) == (number not in ended)


def test_the_sessions_are_listed_with_their_devices_and_can_be_ended_one_by_one(client: Client, people: People) -> None:
    client.post("/api/auth/register", ADA)
    phone = client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}, User_Agent="Phone 7").json
    here = _with(
        client.app,
        client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}, User_Agent="Laptop").json,
    )
    listed = here.get("/api/auth/sessions").json
    assert (listed["totalItems"], listed["totalPages"], listed["currentPage"]) == (3, 1, 1)
    by_device = {session["device"]: session for session in listed["sessions"]}
    assert by_device.keys() >= {"Phone 7", "Laptop"}
    assert [device for device, session in by_device.items() if session["current"]] == ["Laptop"]
    assert _fields(by_device["Laptop"]) == {
        "session_id",
        "device",
        "address",
        "date_created",
        "last_used",
        "expires_at",
        "current",
    }
    assert by_device["Laptop"]["address"] == "127.0.0.1"
    path = by_device["Phone 7"]["_links"]["self"]["href"]
    assert path == f"/api/auth/sessions/{by_device['Phone 7']['session_id']}"
    for stranger, status in ((people.customer(), 404), (people.admin(), 404), (people.anonymous(), 401)):
        for answer in (stranger.get(path), stranger.delete(path)):
            assert answer.status_int in (status, 404)
    assert here.delete(path).status_int == 200
    assert_problem(_with(client.app, phone).get("/api/users/me"), 401, "session_ended")
    assert_problem(here.get(path), 404, "not_found")
    assert here.get("/api/auth/sessions").json["totalItems"] == 2


# The profile and the password.


def test_the_profile_is_edited_by_its_owner_and_seen_by_all(people: People) -> None:
    owner = people.customer()
    answer = owner.put(
        "/api/users/me", {"bio": "I mend clocks.", "profile_picture_url": "https://photos.example/me.jpg"}
    )
    assert (answer.status_int, answer.json["bio"]) == (200, "I mend clocks.")
    assert owner.get("/api/auth/me").json | {"_links": 0} == owner.get("/api/users/me").json | {"_links": 0}
    profile = people.anonymous().get(f"/api/users/{owner.user.user_id}").json
    assert _fields(profile) == PROFILE
    assert (profile["bio"], profile["profile_picture_url"]) == ("I mend clocks.", "https://photos.example/me.jpg")
    assert owner.patch("/api/users/me", {"bio": None}).json["bio"] is None


def test_a_user_name_that_is_taken_is_a_conflict(people: People) -> None:
    owner, other = people.caller(username="first"), people.customer()
    body = assert_problem(other.put("/api/users/me", {"username": "FIRST", "bio": "x"}), 409, "already_taken")
    assert named(body) == {"username": "already_taken"}
    assert other.get("/api/users/me").json["bio"] is None
    assert owner.put("/api/users/me", {"username": "First"}).json["username"] == "First"


def test_a_new_password_ends_the_other_sessions_and_no_other(client: Client) -> None:
    first = client.post("/api/auth/register", ADA).json
    second = client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}).json
    here, there = _with(client.app, first), _with(client.app, second)
    path = "/api/users/me/password"
    wrong = here.put(path, {"currentPassword": "not mine", "newPassword": NEW_PASSWORD})
    assert named(assert_problem(wrong, 400, "invalid_input")) == {"currentPassword": "wrong_password"}
    weak = here.put(path, {"currentPassword": PASSWORD, "newPassword": "short"})
    assert set(named(assert_problem(weak, 400, "weak_password"))) == {"newPassword"}
    assert there.get("/api/users/me").status_int == 200
    assert here.put(path, {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}).status_int == 200
    assert here.get("/api/users/me").status_int == 200
    assert_problem(there.get("/api/users/me"), 401, "session_ended")
    assert_problem(client.post("/api/auth/refresh", {"refresh_token": second["refresh_token"]}), 401, "session_ended")
    assert client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}).status_int == 401
    assert client.post("/api/auth/login", {"email": ADA["email"], "password": NEW_PASSWORD}).status_int == 200
