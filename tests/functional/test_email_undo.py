"""Changing the e-mail address takes the password, and the former address can undo it for some days."""

from __future__ import annotations

import email
import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.privacy import erasure, export
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.worker import run_pending
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import PASSWORD, People, make_user
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named

ME, LOGIN = "/api/users/me", "/api/auth/login"
OLD, NEW, NEWEST = "ada@people.example", "thief@people.example", "thief@elsewhere.example"
PAGE = {"Accept": "text/html"}
Post = Callable[[], dict[str, list[EmailMessage]]]


@pytest.fixture
def post(committed_databases: Databases, settings: Settings) -> Post:
    """Runs the jobs that wait and gives the mails that they sent, by receiver."""
    committed_databases.on_event = dispatch.dispatch
    folder = settings.data_dir / "mail"

    def deliver() -> dict[str, list[EmailMessage]]:
        for old in folder.glob("*.eml"):
            old.unlink()
        run_pending(settings, committed_databases)
        sent: dict[str, list[EmailMessage]] = {}
        for path in sorted(folder.glob("*.eml")):
            mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
            sent.setdefault(str(mail["To"]), []).append(mail)
        return sent

    return deliver


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]


def token_of(mail: EmailMessage) -> str:
    found = re.search(r"token=([A-Za-z0-9_-]+)", text_of(mail))
    assert found is not None
    return found[1]


def undo_in(mails: list[EmailMessage]) -> str:
    """The path of the link that undoes a change, in one of these mails."""
    found = [re.search(r"(/undo-email-change/[A-Za-z0-9_-]{43})\s", text_of(mail)) for mail in mails]
    (path,) = [match[1] for match in found if match]
    return path


@pytest.fixture
def ada(live_people: People) -> Client:
    return live_people.client_for(make_user(live_people.session, username="ada", email=OLD))


def change_address(client: Client, post: Post, address: str) -> dict[str, list[EmailMessage]]:
    """Another address is that of the account; gives the mails that followed."""
    assert client.patch(ME, {"email": address, "currentPassword": PASSWORD}).json["pending_email"] == address
    (asked,) = post()[address]
    assert client.post("/api/auth/verify-email", {"token": token_of(asked)}).status_int == 200
    return post()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_another_address_takes_the_password(method: str, people: People) -> None:
    ada = people.customer()
    given = {"email": "new@people.example"}
    missing = assert_problem(ada.request(method, ME, given), 400, "invalid_input")
    assert named(missing) == {"currentPassword": "required"}
    wrong = assert_problem(ada.request(method, ME, {**given, "currentPassword": "wrong"}), 400, "invalid_input")
    assert named(wrong) == {"currentPassword": "wrong_password"}
    assert ada.get(ME).json["pending_email"] is None
    assert ada.request(method, ME, {**given, "currentPassword": PASSWORD}).json["pending_email"] == given["email"]
    form = ada.get(ME, Accept=HAL_FORMS).json["_templates"]["edit"]
    (field,) = [described for described in form["properties"] if described["name"] == "currentPassword"]
    assert field["type"] == "password" and not field.get("required") and "value" not in field


def test_what_changes_no_address_takes_no_password(people: People) -> None:
    ada = people.customer()
    shown = ada.get(ME).json
    assert ada.put(ME, {**shown, "bio": "Hello."}).json["bio"] == "Hello."
    assert ada.patch(ME, {"email": "new@people.example", "currentPassword": PASSWORD}).status_int == 200
    # The same wish once more, and its end.
    assert ada.put(ME, ada.get(ME).json).json["pending_email"] is None
    assert ada.patch(ME, {"bio": "", "currentPassword": "not looked at"}).status_int == 200


def test_guessing_it_is_slowed_down_for_this_session_alone(ada: Client, live_people: People) -> None:
    other = live_people.client_for(ada.user)
    guess = {"email": "new@people.example", "currentPassword": "wrong"}
    assert [ada.patch(ME, guess).status_int for _ in range(6)] == [400] * 5 + [429]
    assert other.patch(ME, {**guess, "currentPassword": PASSWORD}).status_int == 200


def test_the_former_address_takes_the_account_back(
    ada: Client, live_app: object, post: Post, committed_databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mails = change_address(ada, post, NEW)
    assert set(mails) == {OLD}, "the new one has just been confirmed"
    told = text_of(mails[OLD][0])
    assert NEW not in told and OLD not in told
    path = undo_in(mails[OLD])
    nobody = Client(live_app)
    assert ada.patch(ME, {"email": NEWEST, "currentPassword": PASSWORD}).status_int == 200  # waits for confirmation
    pending = token_of(post()[NEWEST][0])
    shown = nobody.get(path, Accept=HAL_FORMS).json
    assert set(shown) == {"expires_at", "_links", "_templates"} and "undo-email-change" in shown["_templates"]
    page = nobody.request("GET", path, headers=PAGE)
    assert (page.status_int, page.content_type, page.headers["Cache-Control"]) == (200, "text/html", "no-store")
    assert not any(word in page.text for word in ("ada", "people.example", "<script"))
    assert ada.get(ME).json["email"] == NEW, "to look is not to click"
    sent = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}
    assert (page.forms[0].method.lower(), page.forms[0].action) == ("post", "")
    done = nobody.request("POST", path, raw=b"", headers=sent)
    assert (done.status_int, done.content_type, len(done.forms)) == (200, "text/html", 0)

    assert_problem(ada.get(ME), 401, "session_ended")
    assert_problem(nobody.post(LOGIN, {"email": NEW, "password": PASSWORD}), 401, "invalid_credentials")
    assert_problem(nobody.post(LOGIN, {"email": OLD, "password": PASSWORD}), 401, "invalid_credentials")
    assert_problem(nobody.post("/api/auth/verify-email", {"token": pending}), 400, "invalid_token")
    for again in (nobody.get(path), nobody.post(path, {})):
        assert_problem(again, 404, "not_found")
    assert nobody.request("GET", path, headers=PAGE).content_type == "text/html"
    mails = post()
    assert set(mails) == {OLD}
    reset = {"token": token_of(mails[OLD][-1]), "newPassword": "another long passphrase 7"}
    assert nobody.post("/api/auth/reset-password", reset).status_int == 200
    pair = nobody.post(LOGIN, {"email": OLD, "password": reset["newPassword"]}).json
    me = Client(live_app, pair["token"]).get(ME).json
    assert (me["email"], me["pending_email"], me["is_email_confirmed"]) == (OLD, None, True)
    kinds = {
        row["type"] for row in Client(live_app, pair["token"]).forms("/api/notifications")["_embedded"]["notifications"]
    }
    assert "email_changed" in kinds
    log = sa.text(
        "SELECT type, new::text, actor_id FROM events WHERE type LIKE 'user.email%' OR type = 'session.ended'"
    )
    with committed_databases.session() as session:
        events = session.execute(log).all()
    assert ("user.email_change_undone", "{}", ada.user.user_id) in [tuple(event) for event in events]
    assert any("email_undone" in event.new for event in events)
    assert path.rpartition("/")[2] not in caplog.text + json.dumps(
        [record.__dict__ for record in caplog.records], default=str
    )


def test_who_changes_it_twice_does_not_get_rid_of_the_first_owner(ada: Client, live_app: object, post: Post) -> None:
    first = undo_in(change_address(ada, post, NEW)[OLD])
    second = undo_in(change_address(ada, post, NEWEST)[NEW])
    nobody = Client(live_app)
    assert nobody.post(second, {}).status_int == 200  # the thief's, who goes back one step
    assert nobody.post(first, {}).status_int == 200
    restored = {address for address, mails in post().items() if any("token=" in text_of(mail) for mail in mails)}
    assert OLD in restored, "the mail that sets a password"
    assert_problem(nobody.get(second), 404, "not_found")


def test_later_changes_cannot_be_undone_once_an_earlier_one_was(ada: Client, live_app: object, post: Post) -> None:
    first = undo_in(change_address(ada, post, NEW)[OLD])
    second = undo_in(change_address(ada, post, NEWEST)[NEW])
    nobody = Client(live_app)
    assert nobody.post(first, {}).status_int == 200
    assert_problem(nobody.post(second, {}), 404, "not_found")


def test_nobody_else_gets_the_address_meanwhile(
    ada: Client, live_app: object, post: Post, committed_databases: Databases
) -> None:
    path = undo_in(change_address(ada, post, NEW)[OLD])
    nobody = Client(live_app)
    other = {"username": "other", "email": OLD.upper(), "password": PASSWORD}
    refused = assert_problem(nobody.post("/api/auth/register", other), 409, "already_taken")
    assert named(refused) == {"email": "already_taken"}
    with committed_databases.write.begin() as connection:
        connection.execute(sa.text("UPDATE one_time_tokens SET expires_at = now() WHERE purpose = 'undo_email'"))
    assert_problem(nobody.post(path, {}), 404, "not_found")
    assert nobody.post("/api/auth/register", other).status_int == 201


def test_of_many_at_once_one_undoes_it(ada: Client, live_app: object, post: Post) -> None:
    path = undo_in(change_address(ada, post, NEW)[OLD])
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: Client(live_app).post(path, {}).status_int, range(6)))
    assert answers.count(200) == 1 and set(answers) <= {200, 400, 404}


def test_an_address_that_was_never_confirmed_undoes_nothing(live_people: People, live_app: object, post: Post) -> None:
    """Whose it is nobody knows: perhaps a stranger's, by a slip of the keyboard."""
    user = make_user(live_people.session, email=OLD, email_confirmed_at=None)
    assert change_address(live_people.client_for(user), post, NEW) == {}


def test_the_copy_and_the_erasure_of_one_s_data_know_of_it(
    ada: Client, post: Post, committed_databases: Databases, settings: Settings
) -> None:
    change_address(ada, post, NEW)
    with committed_databases.session() as session, session.begin():
        tokens = export.collect(session, ada.user.user_id)["one_time_tokens"]
        (kept,) = [token for token in tokens if token["purpose"] == "undo_email"]
        assert kept["email"] == OLD
        assert not {"token_hash", "token"} & set(kept)
        _erase(session, settings, ada.user)
        left = session.execute(sa.text("SELECT count(*) FROM one_time_tokens")).scalar_one()
    assert left == 0


def _erase(session: Session, settings: Settings, user: User) -> Any:
    row = session.get_one(User, user.user_id)
    return erasure.erase_account(session, AccountRules.from_settings(settings), row, operator("test"))
