"""What mails lead to: unsubscribing by one click, and mails that came back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.outbound.notifications.unsubscribe import Subscription, token_for
from marketplace_api.gateways.email.templates import service_of
from marketplace_api.models.outbound.notifications import SECURITY_TYPES
from tests.factories.accounts import People
from tests.factories.deliveries import Post, deliveries, send_mails, text_of
from tests.factories.listings import make_listing
from tests.factories.notifications import notify
from tests.factories.reviews import make_review
from tests.functional.test_shown_is_allowed import undone
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem
from tests.support.samples import fill

HOOK = "/hooks/email-bounces"
PREFERENCES = "/api/users/me/notification-preferences"
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def ada(people: People) -> Client:
    return people.customer()


def link_for(settings: Settings, client: Client, type: str = "review_received") -> str:
    return f"/unsubscribe/{token_for(settings.secret, Subscription(client.user.user_id, type))}"


def emails_of(client: Client) -> dict[str, bool]:
    return {type: channels["email"] for type, channels in client.get(PREFERENCES).json["types"].items()}


def test_the_link_in_a_mail_switches_such_mails_off_with_one_click(
    ada: Client, people: People, db: Session, client: Client
) -> None:
    make_review(db, people.customer().user, listing=make_listing(db, ada.user))
    notify(db)
    post = Post()
    send_mails(db, post)
    (mail,) = post.sent
    assert mail["List-Unsubscribe-Post"] == ONE_CLICK
    assert (mail["Precedence"], mail["Auto-Submitted"]) == ("bulk", "auto-generated")
    link = mail["List-Unsubscribe"].strip("<>")
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in mail.as_bytes(), "as programs read it"
    assert link in text_of(mail) and link.startswith("https://market.example/unsubscribe/")
    path = link.removeprefix("https://market.example")
    shown = client.get(path, Accept=HAL_FORMS).json
    assert (shown["type"], shown["channel"]) == ("review_received", "email")
    assert ada.user.username not in json.dumps(shown)
    assert emails_of(ada)["review_received"] is True  # to look is not to click
    before = emails_of(ada)
    for _ in range(2):
        answer = client.request("POST", path, raw=ONE_CLICK.encode(), headers={"Content-Type": FORM})
        assert (answer.status_int, answer.json["message"]) == (200, "Unsubscribed")
    assert emails_of(ada) == {**before, "review_received": False}
    made = sa.text("SELECT new, actor_id FROM events WHERE type = 'user.preferences_changed'")
    assert [tuple(row) for row in db.execute(made)] == [({"fields": ["review_received.email"]}, ada.user.user_id)]


def test_people_who_follow_the_link_find_a_page_with_a_button(ada: Client, client: Client, settings: Settings) -> None:
    path, sent = link_for(settings, ada), {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for accept in (sent["Accept"], "text/html"):
        asked = client.get(path, Accept=accept)
        assert (asked.status_int, asked.content_type, asked.headers["Cache-Control"]) == (200, "text/html", "no-store")
    assert emails_of(ada)["review_received"] is True  # to look is not to click
    for nobody in (ada.user.username, ada.user.email or "", "<script", "http:", "https:"):
        assert nobody not in asked.text.replace(settings.public_url, "")
    assert service_of(settings.email_from) in asked.text and Subscription(1, "review_received").label in asked.text
    # The one style that there is, and no other, is what the policy lets through.
    style = asked.text.partition("<style>")[2].partition("</style>")[0]
    assert (
        base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in asked.headers["Content-Security-Policy"]
    )
    form = asked.forms[0]
    assert (form.method.lower(), form.action, dict(form.submit_fields())) == ("post", "", dict([ONE_CLICK.split("=")]))
    done = client.request("POST", path, raw=ONE_CLICK.encode(), headers={"Content-Type": FORM, **sent})
    assert (done.status_int, done.content_type, len(done.forms)) == (200, "text/html", 0)
    assert settings.page_of("/users/me/notification-preferences") in done.text
    assert emails_of(ada)["review_received"] is False
    for program in ("*/*", "application/json", "application/json, text/html"):
        assert client.get(path, Accept=program).content_type == "application/json"
    assert_problem(ada.get("/api/users/me", Accept="text/html"), 406, "not_acceptable")


def test_a_digest_s_link_switches_all_off_that_it_holds(ada: Client, client: Client, settings: Settings) -> None:
    parts = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    path = link_for(settings, ada, "digest")
    answer = client.request("POST", path, raw=parts, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_int == 200
    left = {type for type, wanted in emails_of(ada).items() if wanted}
    assert left == {*SECURITY_TYPES, "verification_approved", "verification_rejected", "verification_expired"}


def test_a_link_is_good_for_nothing_else(
    ada: Client, people: People, client: Client, settings: Settings, db: Session
) -> None:
    other, token = people.customer(), link_for(settings, ada).rpartition("/")[2]
    forged = Subscription(other.user.user_id, "review_received")
    for wrong in (
        token[:-2],
        token + "A",
        token.swapcase(),
        "x",
        "%C3%A4",
        "A" * 300,
        token_for("another secret", forged),
    ):
        assert_problem(client.get(f"/unsubscribe/{wrong}"), 404, "not_found")
        assert_problem(client.post(f"/unsubscribe/{wrong}", {}), 404, "not_found")
        # A person who follows it reads why.
        page = client.request("GET", f"/unsubscribe/{wrong}", headers={"Accept": "text/html"})
        assert (page.status_int, page.content_type, page.headers["Cache-Control"]) == (404, "text/html", "no-store")
        assert "a part of it is missing" in page.text and page.headers["Content-Security-Policy"]
        assert settings.page_of("/users/me/notification-preferences") in page.text
    for cut in ("/unsubscribe", link_for(settings, ada)):  # the other one is all right, but not for this
        page = client.request("DELETE", cut, headers={"Accept": "text/html"})
        assert (page.status_int, page.content_type) in ((404, "text/html"), (405, "text/html"))
    # What guards the account stays on, and who is erased has nothing to switch off.
    assert client.post(link_for(settings, ada, "new_login"), {}).status_int == 200
    assert emails_of(ada)["new_login"] is True
    other.user.state, other.user.email = "erased", None
    db.commit()
    assert client.post(link_for(settings, other), {}).status_int == 200
    assert_problem(client.post(link_for(settings, ada), {"type": "new_message"}), 400, "invalid_input")


@pytest.mark.parametrize("role", ["anonymous", "owner", "suspended", "stranger", "moderator", "admin"])
def test_everybody_who_has_the_mail_is_offered_what_they_may(
    role: str, people: People, databases: Any, settings: Settings
) -> None:
    owner = people.customer()
    clients = {
        "anonymous": people.anonymous,
        "owner": lambda: owner,
        "stranger": people.customer,
        "moderator": people.moderator,
        "admin": people.admin,
        "suspended": lambda: people.caller(state="suspended"),
    }
    client = clients[role]()
    path = link_for(settings, owner)
    template = client.forms(path)["_templates"]["unsubscribe"]
    assert (template["method"], template["target"]) == ("POST", path)
    with undone(databases):
        assert client.post(path, fill(template)).status_int == 200


# Mails that came back.


def reported(client: Client, settings: Settings, signature: str | None = None, **body: Any) -> Any:
    raw = json.dumps(body).encode()
    genuine = "sha256=" + hmac.new(settings.email_bounce_secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature": genuine if signature is None else signature}
    return client.request("POST", HOOK, raw=raw, headers=headers)


def test_an_address_that_bounces_gets_no_news_until_it_is_confirmed_again(
    ada: Client, people: People, client: Client, settings: Settings, db: Session
) -> None:
    address = ada.user.email
    assert address is not None
    assert reported(client, settings, recipient=address, kind="temporary").status_int == 200
    assert ada.get("/api/users/me").json["email_problem"] is None
    for _ in range(2):  # providers tell more than once
        body = {"recipient": address.upper(), "kind": "permanent", "message_id": "<1.2@market.example>"}
        assert reported(client, settings, **body).json["message"] == "Noted"
    events = db.execute(sa.text("SELECT new FROM events WHERE type = 'user.email_bounced'")).scalars().all()
    assert events == [{"kind": "permanent", "message_id": "<1.2@market.example>"}]
    me = ada.forms("/api/users/me")
    assert "confirmation" in me["email_problem"] and "resend-verification" in me["_templates"]
    make_review(db, people.customer().user, listing=make_listing(db, ada.user))
    notify(db)
    send_mails(db, Post())
    assert deliveries(db, user_id=ada.user.user_id) == [("review_received", "skipped", "bouncing")]
    assert ada.post("/api/auth/resend-verification", {}).status_int == 200
    ada.user.email_bounced_at = None
    db.commit()
    assert ada.get("/api/users/me").json["email_problem"] is None
    assert_problem(ada.post("/api/auth/resend-verification", {}), 409, "wrong_state")


def test_only_who_knows_the_secret_is_believed(ada: Client, client: Client, settings: Settings, db: Session) -> None:
    body = {"recipient": ada.user.email, "kind": "complaint"}
    for signature in ("", "sha256=", "sha256=" + "0" * 64, "\xe9"):
        assert_problem(reported(client, settings, signature, **body), 401, "unauthenticated")
    assert ada.get("/api/users/me").json["email_problem"] is None
    # Nobody learns which addresses there are.
    known, unknown = (reported(client, settings, **{**body, "recipient": r}) for r in (ada.user.email, "no@b.example"))
    assert (known.status_int, known.json) == (unknown.status_int, unknown.json)
    assert_problem(reported(client, settings, recipient="x", kind="odd"), 400, "invalid_input")
