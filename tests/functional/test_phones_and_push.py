"""The caller's telephone number and browsers through the API: what is shown is allowed, and nobody else learns of it."""

from __future__ import annotations

import hmac
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.outbound.phones import confirmation, queries
from marketplace_api.hal import affordances
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.resources.outbound.phones import PHONE, PhoneContext
from marketplace_api.resources.outbound.push_subscriptions import (
    SUBSCRIPTIONS,
    PushSubscriptionContext,
    PushSubscriptionsContext,
)
from tests.factories.accounts import People, make_user
from tests.factories.browsers import Browser
from tests.factories.phones import make_phone, make_waiting_phone
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem
from tests.support.samples import VALUES

NUMBER = "+4915112345678"
CALLERS = ("owner", "suspended", "stranger", "admin", "anonymous")


def caller_of(db: Session, people: People, role: str) -> tuple[Client, User]:
    owner = make_user(db, state="suspended" if role == "suspended" else "active")
    make = {"stranger": people.customer, "admin": people.admin, "anonymous": people.anonymous}
    return (make[role]() if role in make else people.client_for(owner)), owner


def check(client: Client, databases: Any, context: type, page: str, bodies: dict[str, Any]) -> set[str]:
    """Every operation of a context is accepted exactly if the page offers it; the names of those that it offers."""
    response = client.get(page, Accept=HAL_FORMS)
    shown = response.json["_templates"] if response.status_int == 200 else {}
    found = [operation for operation in affordances.ALL if operation.context is context and not operation.is_safe]
    for operation in found:
        template, target = shown.get(operation.name), page + operation.suffix
        with undone(databases):
            answer = client.request(operation.method, target, bodies.get(operation.name))
        if template is not None:
            assert (template["method"], template["target"]) == (operation.method, target)
            assert answer.status_int in (200, 201), f"shown {operation.name}: {answer.status_int} {answer.text}"
        else:
            assert answer.status_int in REFUSED, f"not shown {operation.name}: {answer.status_int} {answer.text}"
    return {operation.name for operation in found if operation.name in shown}


@pytest.mark.parametrize("state", ["nothing", "waiting", "confirmed", "both"])
@pytest.mark.parametrize("role", CALLERS)
def test_a_number_offers_what_it_allows(role: str, state: str, databases: Any, db: Session, people: People) -> None:
    client, owner = caller_of(db, people, role)
    mine = role == "owner"
    if state in ("confirmed", "both"):
        make_phone(db, owner)
    if state in ("waiting", "both"):
        make_waiting_phone(db, people.app.registry.account_rules, owner)
    bodies = {"send-phone-code": {"phone": "+12025550123"}, "confirm-phone": {"code": VALUES["code"]}}
    expected = {"send-phone-code"} if mine else set()
    expected |= {"remove-phone"} if mine and state != "nothing" else set()
    expected |= {"confirm-phone"} if mine and state in ("waiting", "both") else set()
    if role in ("stranger", "admin"):
        # Theirs is empty, whatever the owner's is.
        expected = {"send-phone-code"}
        assert client.get(PHONE).json["phone"] is None
    assert check(client, databases, PhoneContext, PHONE, bodies) == expected


@pytest.mark.parametrize("role", CALLERS)
def test_browsers_offer_what_they_allow(role: str, databases: Any, db: Session, people: People) -> None:
    client, owner = caller_of(db, people, role)
    subscription = Browser().subscribe(db, owner)
    bodies = {"subscribe": Browser().subscription()}
    may = role not in ("suspended", "anonymous")
    assert check(client, databases, PushSubscriptionsContext, SUBSCRIPTIONS, bodies) == (
        {"subscribe"} if may else set()
    )
    one = f"{SUBSCRIPTIONS}/{subscription}"
    offered = check(client, databases, PushSubscriptionContext, one, {})
    assert offered == ({"unsubscribe"} if role == "owner" else set())
    seen = role in ("owner", "suspended")
    assert client.get(one).status_int == (200 if seen else 401 if role == "anonymous" else 404)
    listed = client.get(SUBSCRIPTIONS, Accept=HAL_FORMS)
    if role == "owner":
        (item,) = listed.json["_embedded"]["subscriptions"]
        assert item["_templates"] == client.forms(one)["_templates"]
    elif role != "anonymous":
        assert len(listed.json["_embedded"]["subscriptions"]) == int(seen)


def test_without_a_key_nobody_subscribes(people: People, databases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = people.customer()
    monkeypatch.setattr(people.app.registry, "push_public_key", None)
    assert check_refused(client) == 501
    assert client.forms(SUBSCRIPTIONS)["_templates"] == {}


def check_refused(client: Client) -> int:
    answer = client.post(SUBSCRIPTIONS, Browser().subscription())
    assert_problem(answer, answer.status_int, "not_supported")
    return answer.status_int


def test_a_number_from_the_request_to_its_removal(people: People, db: Session) -> None:
    client = people.customer()
    link = client.get("/api/users/me").json["_links"]["mkt:phone"]["href"]
    asked = client.post(link, {"phone": "+49 (151) 1234-5678"})
    assert asked.status_int == 200
    assert asked.json["waiting"]["phone"] == NUMBER
    assert (asked.json["waiting"]["is_sent"], asked.json["phone"]) == (False, None)
    assert asked.json["waiting"]["expires_at"] is None, "the ten minutes have not begun"
    assert_problem(client.post(link, {"phone": NUMBER}), 429, "rate_limited")
    event_id = db.execute(sa.select(sa.func.max(Event.event_id))).scalar_one()
    made = confirmation.make_code(db, people.app.registry.account_rules, client.user.user_id, event_id)
    db.commit()
    assert made is not None
    left = datetime.fromisoformat(client.get(link).json["waiting"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=8) < left <= confirmation.CODE_LIFE
    done = client.post(f"{link}/confirm", {"code": made[1]})
    assert (done.json["phone"], done.json["waiting"], done.json["is_stopped"]) == (NUMBER, None, False)
    stranger = people.admin()
    for page in (f"/api/users/{client.user.user_id}", "/api/admin/users", "/api/audit"):
        assert NUMBER[3:] not in stranger.get(page).text
    assert client.delete(link).json["message"] == "Phone number removed"
    assert_problem(client.delete(link), 409, "wrong_state")


def test_a_wrong_code_counts_though_the_request_is_refused(live_people: People, committed_databases: Databases) -> None:
    client = live_people.customer()
    with committed_databases.session() as session:
        code = make_waiting_phone(session, live_people.app.registry.account_rules, client.user)
    for left in (4, 3):
        wrong = client.post(f"{PHONE}/confirm", {"code": f"{(int(code) + 1) % 10**6:06}"})
        assert_problem(wrong, 400, "invalid_code")
        assert client.get(PHONE).json["waiting"]["attempts_left"] == left
    assert client.post(f"{PHONE}/confirm", {"code": code}).json["phone"] == "+4915187654321"


def test_what_is_no_number_for_text_messages_is_refused(people: People) -> None:
    client = people.customer()
    wrong = {
        "0151 12345678": "not_a_phone",
        "+49 151 123": "not_a_phone",
        "+49 30 123456": "not_a_mobile",
        "+1 900 234 5678": "not_a_mobile",
        "+4915112345678 ext. 3": "not_a_phone",
        "call me": "too_short",
    }
    for phone, code in wrong.items():
        problem = assert_problem(client.post(PHONE, {"phone": phone}), 400, "invalid_input")
        assert [error["code"] for error in problem["errors"]] == [code], phone


def test_a_browser_subscribes_once_and_with_keys_that_are_some(people: People) -> None:
    client, browser = people.customer(), Browser()
    page = client.get(SUBSCRIPTIONS).json
    assert len(page["vapid_public_key"]) == 87
    made = client.post(SUBSCRIPTIONS, browser.subscription())
    assert made.status_int == 201 and made.headers["Location"] == made.json["_links"]["self"]["href"]
    assert made.json["current"] is True
    again = client.post(SUBSCRIPTIONS, browser.subscription())
    assert (again.status_int, again.json["subscription_id"]) == (200, made.json["subscription_id"])
    assert "p256dh" not in again.text and browser.subscription()["keys"]["auth"] not in again.text
    good = Browser().subscription()
    for change in (
        {"endpoint": "http://push.example.net/x"},
        {"endpoint": "https://127.0.0.1/x"},
        {"endpoint": "https://[::1]/x"},
        {"endpoint": "https://localhost/x"},
        {"endpoint": "https://a@push.example.net/x"},
        {"endpoint": "https://169.254.169.254/latest"},
        {"endpoint": "https://push.example.net/" + "x" * 1000},
        {"keys": {**good["keys"], "p256dh": "B" * 87}},
        {"keys": {**good["keys"], "auth": "A" * 21}},
        {"keys": {"auth": good["keys"]["auth"]}},
    ):
        assert_problem(client.post(SUBSCRIPTIONS, {**good, **change}), 400, "invalid_input")
    stolen = {**Browser().subscription(), "endpoint": browser.endpoint}
    assert_problem(people.customer().post(SUBSCRIPTIONS, stolen), 409, "already_taken")
    client.post("/api/auth/logout")
    assert people.client_for(client.user).get(SUBSCRIPTIONS).json["totalItems"] == 0


@pytest.fixture
def by_twilio(people: People, monkeypatch: pytest.MonkeyPatch) -> Client:
    registry: Any = people.app.registry
    settings = replace(
        registry.app_settings, sms_backend="twilio", sms_auth_token="token", public_url="https://market.example"
    )
    monkeypatch.setattr(registry, "app_settings", settings)
    return people.anonymous()


def report(client: Client, fields: dict[str, str], *, token: str = "token") -> Any:
    content = "https://market.example/hooks/twilio" + "".join(name + fields[name] for name in sorted(fields))
    signature = b64encode(hmac.digest(token.encode(), content.encode(), "sha1")).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    body = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in fields.items())
    return client.request("POST", "/hooks/twilio", raw=body.encode(), headers=headers)


def test_only_twilio_reports_what_became_of_messages(by_twilio: Client, people: People, db: Session) -> None:
    user = make_user(db)
    db.execute(
        sa.text(
            "INSERT INTO deliveries (user_id, channel, type, event_id, status, date_done, provider_reference) "
            "VALUES (:id, 'sms', 'new_login', 1, 'sent', now(), 'SM1')"
        ),
        {"id": user.user_id},
    )
    db.commit()

    def state() -> tuple[Any, ...]:
        return tuple(db.execute(sa.text("SELECT status, error FROM deliveries")).one())

    fields = {"MessageSid": "SM1", "MessageStatus": "undelivered", "To": NUMBER, "ErrorCode": "21610"}
    assert_problem(report(by_twilio, fields, token="other"), 403, "forbidden")
    assert_problem(people.admin().post("/hooks/twilio", fields), 415, "unsupported_media_type")
    assert state() == ("sent", None)
    rules = people.app.registry.account_rules
    assert not queries.is_stopped(db, rules, NUMBER)
    answer = report(by_twilio, fields)
    assert (answer.status_int, answer.body) == (204, b"")
    assert state() == ("failed", "undelivered")
    assert queries.is_stopped(db, rules, NUMBER)
    assert report(by_twilio, {**fields, "MessageSid": "SM404"}).status_int == 204


def test_without_twilio_there_is_no_such_address(people: People) -> None:
    assert report(people.anonymous(), {"MessageSid": "SM1"}).status_int == 404
