"""What mails about accounts are good for: a forgotten password, an address that is confirmed."""

from __future__ import annotations

import email
import re
from collections.abc import Callable
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.worker import run_pending
from tests.factories.accounts import PASSWORD
from tests.support.client import Client
from tests.support.postgres import as_owner
from tests.support.problems import assert_problem, named

ADA = {"username": "ada", "email": "ada@people.example", "password": PASSWORD}
NEW_PASSWORD = "another long passphrase 7"


def _with(app: object, pair: dict[str, Any]) -> Client:
    return Client(app, pair["token"])


# By mail: on a database that commits, with the worker's own handlers.

Post = Callable[[], list[EmailMessage]]


@pytest.fixture
def post(committed_databases: Databases, settings: Settings) -> Post:
    """Runs the jobs that wait and gives the mails that they sent."""
    committed_databases.on_event = dispatch.dispatch
    folder = settings.data_dir / "mail"

    def deliver() -> list[EmailMessage]:
        for old in folder.glob("*.eml"):
            old.unlink()
        run_pending(settings, committed_databases)
        return [
            email.message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.eml"))
        ]

    return deliver


def _token(message: EmailMessage) -> str:
    found = re.search(r"token=([A-Za-z0-9_-]+)", message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert found is not None
    return found[1]


def test_a_forgotten_password_is_replaced_by_mail_once(live_app: object, post: Post) -> None:
    client = Client(live_app)
    pair = client.post("/api/auth/register", ADA).json
    post()
    asked = client.post("/api/auth/request-password-reset", {"email": "Ada@people.example"})
    unknown = client.post("/api/auth/request-password-reset", {"email": "nobody@people.example"})
    assert (asked.status_int, asked.json["message"]) == (200, "Password reset email sent")
    assert asked.json == unknown.json
    (mail,) = post()
    assert mail["To"] == "ada@people.example"
    token = _token(mail)
    path = "/api/auth/reset-password"
    weak = client.post(path, {"token": token, "newPassword": "short"})
    assert set(named(assert_problem(weak, 400, "weak_password"))) == {"newPassword"}
    done = client.post(path, {"token": token, "newPassword": NEW_PASSWORD})
    assert (done.status_int, done.json["message"]) == (200, "Password reset successful")
    assert_problem(client.post(path, {"token": token, "newPassword": "yet another passphrase"}), 400, "invalid_token")
    assert_problem(_with(live_app, pair).get("/api/users/me"), 401, "session_ended")
    assert client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}).status_int == 401
    assert client.post("/api/auth/login", {"email": ADA["email"], "password": NEW_PASSWORD}).status_int == 200
    (told,) = post()
    assert "password" in str(told["Subject"]).lower()


def test_a_reset_token_dies_after_an_hour_and_by_the_next_one(
    live_app: object, post: Post, committed_databases: Databases
) -> None:
    client = Client(live_app)
    client.post("/api/auth/register", ADA)
    post()
    tokens = []
    for _ in range(2):
        client.post("/api/auth/request-password-reset", {"email": ADA["email"]})
        (mail,) = post()
        tokens.append(_token(mail))
        # A second mail is not sent within a minute.
        with committed_databases.write.begin() as connection, as_owner(connection):
            connection.execute(sa.text("ALTER TABLE events DISABLE TRIGGER USER"))
            connection.execute(sa.text("UPDATE events SET date_created = date_created - interval '2 minutes'"))
    assert_problem(
        client.post("/api/auth/reset-password", {"token": tokens[0], "newPassword": NEW_PASSWORD}), 400, "invalid_token"
    )
    with committed_databases.write.begin() as connection:
        lives = connection.execute(
            sa.text("SELECT expires_at - now() FROM one_time_tokens WHERE purpose = 'reset_password'")
        )
        assert timedelta(minutes=59) < lives.scalar_one() <= timedelta(hours=1)
        connection.execute(sa.text("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'"))
    assert_problem(
        client.post("/api/auth/reset-password", {"token": tokens[1], "newPassword": NEW_PASSWORD}), 400, "invalid_token"
    )


def test_an_address_counts_once_its_mail_was_answered(live_app: object, post: Post) -> None:
    client = Client(live_app)
    here = _with(live_app, client.post("/api/auth/register", ADA).json)
    (mail,) = post()
    confirmed = client.post("/api/auth/verify-email", {"token": _token(mail)})
    assert (confirmed.status_int, confirmed.json["message"]) == (200, "Email verified")
    assert here.get("/api/users/me").json["is_email_confirmed"] is True
    assert_problem(client.post("/api/auth/verify-email", {"token": _token(mail)}), 400, "invalid_token")
    assert here.post("/api/auth/resend-verification", {}).status_int == 409

    changed = here.put("/api/users/me", {"email": "ada@elsewhere.example", "currentPassword": PASSWORD}).json
    assert (changed["email"], changed["pending_email"]) == ("ada@people.example", "ada@elsewhere.example")
    mails = {str(mail["To"]): mail for mail in post()}
    assert mails.keys() == {"ada@people.example", "ada@elsewhere.example"}
    assert "token=" not in mails["ada@people.example"].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert client.post("/api/auth/verify-email", {"token": _token(mails["ada@elsewhere.example"])}).status_int == 200
    me = here.get("/api/users/me").json
    assert (me["email"], me["pending_email"]) == ("ada@elsewhere.example", None)
    assert client.post("/api/auth/login", {"email": "ada@elsewhere.example", "password": PASSWORD}).status_int == 200
    assert client.post("/api/auth/login", {"email": ADA["email"], "password": PASSWORD}).status_int == 401


def test_tokens_of_mails_are_kept_as_hashes_only(live_app: object, post: Post, committed_databases: Databases) -> None:
    Client(live_app).post("/api/auth/register", ADA)
    (mail,) = post()
    with committed_databases.session() as session:
        for table in ("one_time_tokens", "events", "procrastinate_jobs", "sessions", "users"):
            rows = session.execute(sa.text(f"SELECT CAST(t AS text) FROM {table} AS t")).scalars().all()
            assert _token(mail) not in str(rows) and PASSWORD not in str(rows)
