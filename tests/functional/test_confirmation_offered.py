"""Who waits for a confirmation is offered another mail; who may begin is offered to begin; and dead tokens say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.factories.accounts import People
from tests.support.client import Client

RESEND = "/api/auth/resend-verification"
BEGINNINGS = {"register", "login"}


def _offers(caller: Client, path: str = "/api/users/me") -> bool:
    """Whether the link and the template are there; never only one of them."""
    document = caller.forms(path)
    link, template = (
        document["_links"].get("mkt:resend-verification"),
        document["_templates"].get("resend-verification"),
    )
    assert (link is None) == (template is None)
    if template is not None:
        assert (link["href"], template["method"], template["target"]) == (RESEND, "POST", RESEND)
    return template is not None


def test_another_mail_is_offered_while_an_address_waits(people: People) -> None:
    confirmed, waiting = people.customer(), people.caller(email_confirmed_at=None)
    changing = people.caller(pending_email="new@people.example")
    assert [_offers(caller) for caller in (confirmed, waiting, changing)] == [False, True, True]
    assert waiting.get("/api/auth/me").json["_links"]["mkt:resend-verification"]["href"] == RESEND
    assert waiting.post(RESEND).status_int == 200
    assert confirmed.post(RESEND).status_int == 409


def test_a_suspended_account_is_neither_offered_nor_given_another_mail(people: People) -> None:
    suspended = people.caller(email_confirmed_at=None, state="suspended", state_reason="Because.")
    assert not _offers(suspended)
    assert suspended.post(RESEND).status_int == 403


def test_the_entry_offers_to_begin_to_whom_is_not_known(client: Client, people: People) -> None:
    stranger, known = client.forms("/api"), people.customer().forms("/api")
    assert stranger["_templates"].keys() >= BEGINNINGS
    # Nobody shall be logged out by a client that takes the default.
    assert known["_templates"].keys() == {"logout"}
    assert {"mkt:register", "mkt:login", "mkt:refresh"} <= stranger["_links"].keys()
    assert {"mkt:register", "mkt:login", "mkt:refresh"}.isdisjoint(known["_links"])


def test_at_its_own_address_everybody_may_begin(people: People) -> None:
    known = people.customer()
    assert known.forms("/api/auth/login")["_templates"].keys() == {"login", "default"}
    body = {"email": known.user.email, "password": "correct horse battery"}
    assert known.post("/api/auth/login", body).status_int == 200


def _expired(app: Any, caller: Client) -> str:
    past = datetime.now(UTC) - timedelta(hours=1)
    token: str = app.registry.signing_keys.sign(caller.user.user_id, 1, past)
    return token


def test_a_dead_token_is_told_as_rfc_6750_says(app: Any, people: People) -> None:
    caller = people.customer()
    ended = people.customer()
    ended.post("/api/auth/logout")
    for token in ("rubbish", _expired(app, caller), ended.token):
        for path in ("/api", "/api/users/me"):
            response = Client(app, token).get(path)
            assert response.status_int == 401
            challenge = f'Bearer error="invalid_token", error_description="{response.json["detail"]}"'
            assert response.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("authorization", [None, "Basic dXNlcjpwYXNz"])
def test_no_error_is_named_where_no_token_was_sent(client: Client, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    response = client.request("GET", "/api/users/me", headers=headers)
    assert (response.status_int, response.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_good_token_is_not_blamed_for_a_wrong_password(people: People) -> None:
    caller = people.customer()
    response = caller.post("/api/auth/login", {"email": caller.user.email, "password": "wrong password 1"})
    assert (response.status_int, response.headers["WWW-Authenticate"]) == (401, "Bearer")
