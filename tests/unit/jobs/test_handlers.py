"""The table of handlers, and what each mail says to whom."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import owners
from marketplace_api.domain.identity.accounts import email_undo, one_time_tokens, recovery, registration
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import ANONYMOUS, operator
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.gateways.email import LocalMailer
from marketplace_api.gateways.email.templates import SUBJECTS
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.jobs.handlers import BY_NAME, DEBOUNCED, HANDLERS
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.webhooks import WebhookEndpoint
from tests.factories.accounts import make_user, open_session
from tests.factories.webhooks import make_webhook
from tests.unit.domain.identity.accounts_world import RULES


class Post:
    """A mailer that keeps what it gets."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []

    def send(self, message: EmailMessage) -> None:
        self.sent.append(message)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def services(settings: Settings, post: Post) -> Services:
    return Services(settings, post)


@pytest.fixture
def ada(db: Session, settings: Settings) -> User:
    return registration.create_account(
        db,
        AccountRules.from_settings(settings),
        username="ada",
        email="ada@example.org",
        password="correct horse battery",
        roles=(),
        actor=operator("test"),
    )


def _happen(db: Session, services: Services, type: EventType, subject_id: int) -> None:
    """Record an event and run its handlers, as the worker does."""
    event = record(db, ANONYMOUS, type, subject_id)
    for handler in HANDLERS[type]:
        handler(db, event, services)


def _text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text


def _token(message: EmailMessage) -> str:
    found = re.search(r"token=([\w-]+)", _text(message))
    assert found is not None
    return found[1]


def test_every_key_is_an_event_type_and_every_handler_has_one_name() -> None:
    assert set(HANDLERS) <= set(EventType)
    assert all(isinstance(key, EventType) for key in HANDLERS)
    handlers = {handler for several in HANDLERS.values() for handler in several}
    assert len(BY_NAME) == len(handlers)
    assert handlers >= DEBOUNCED


def test_registration_sends_a_token_that_confirms_the_address(
    db: Session, services: Services, post: Post, ada: User
) -> None:
    _happen(db, services, EventType.USER_REGISTERED, ada.user_id)
    (message,) = post.sent
    assert message["To"] == "ada@example.org"
    recovery.confirm_email(db, RULES, token=_token(message), actor=ANONYMOUS)
    db.refresh(ada)
    assert ada.email_confirmed_at is not None


def test_a_confirmed_address_is_not_asked_for_confirmation(
    db: Session, services: Services, post: Post, ada: User
) -> None:
    ada.email_confirmed_at = datetime.now(UTC)
    _happen(db, services, EventType.USER_REGISTERED, ada.user_id)
    assert post.sent == []


def test_a_reset_mail_holds_a_token_that_sets_a_password(
    db: Session, services: Services, post: Post, ada: User
) -> None:
    before = ada.password_hash
    _happen(db, services, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    (message,) = post.sent
    rules = AccountRules.from_settings(services.settings)
    recovery.reset_password(db, rules, token=_token(message), new_password="another long password", actor=ANONYMOUS)
    db.refresh(ada)
    assert ada.password_hash != before


def test_a_repeated_job_sends_a_working_mail_again(db: Session, services: Services, post: Post, ada: User) -> None:
    for _ in range(2):
        _happen(db, services, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    rules = AccountRules.from_settings(services.settings)
    token = _token(post.sent[-1])
    recovery.reset_password(db, rules, token=token, new_password="another long password", actor=ANONYMOUS)


def test_a_new_address_is_confirmed_and_the_old_one_warned(
    db: Session, services: Services, post: Post, ada: User
) -> None:
    ada.pending_email = "new@example.org"
    _happen(db, services, EventType.USER_EMAIL_CHANGE_REQUESTED, ada.user_id)
    assert [message["To"] for message in post.sent] == ["new@example.org", "ada@example.org"]
    assert "token=" in _text(post.sent[0])
    assert "token=" not in _text(post.sent[1])
    assert "new@example.org" in _text(post.sent[1])


def test_theft_tells_the_owner_which_device(db: Session, services: Services, post: Post, ada: User) -> None:
    row = open_session(db, ada)
    row.device = "Firefox on Linux"
    _happen(db, services, EventType.SESSION_REUSE_DETECTED, row.session_id)
    assert "(Firefox on Linux)" in _text(post.sent[0])


def test_deactivation_tells_when_the_data_is_erased(db: Session, services: Services, post: Post, ada: User) -> None:
    ada.state, ada.deactivated_at = "deactivated", datetime(2026, 11, 1, 12, tzinfo=UTC)
    _happen(db, services, EventType.USER_DEACTIVATED, ada.user_id)
    assert "1 December 2026" in _text(post.sent[0])


def test_who_came_back_is_not_told_of_the_deactivation(db: Session, services: Services, post: Post, ada: User) -> None:
    _happen(db, services, EventType.USER_DEACTIVATED, ada.user_id)
    assert post.sent == []


@pytest.mark.parametrize("type", [t for t, handlers in HANDLERS.items() if not DEBOUNCED.issuperset(handlers)])
def test_an_account_that_is_gone_gets_no_mail(db: Session, services: Services, post: Post, type: EventType) -> None:
    _happen(db, services, type, 987_654_321)
    assert post.sent == []


def test_a_refused_address_ends_the_job_quietly(db: Session, settings: Settings, ada: User) -> None:
    class Refusing:
        def send(self, message: EmailMessage) -> None:
            raise PermanentDeliveryError("The mail server refused the message (550).")

    _happen(db, Services(settings, Refusing()), EventType.USER_PASSWORD_CHANGED, ada.user_id)


def test_links_follow_the_settings(db: Session, settings: Settings, post: Post, ada: User, tmp_path: Path) -> None:
    ours = replace(settings, public_url="https://shop.example/", reset_link="{public_url}/new-password/{token}")
    _happen(db, Services(ours, LocalMailer(tmp_path)), EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    (path,) = tmp_path.glob("*.eml")
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert "https://shop.example/new-password/" in _text(message)


def test_every_mail_is_sent_by_some_handler(
    db: Session, services: Services, post: Post, ada: User, databases: Databases
) -> None:
    ada.pending_email = "new@example.org"
    row = open_session(db, ada)
    make_user(db, roles=["admin"])
    webhook_id = make_webhook(db).endpoint_id
    db.execute(sa.update(WebhookEndpoint).values(status="disabled", disabled_reason="gone"))
    about = {"session": row.session_id, "webhook": webhook_id}
    for state in ("active", "suspended", "banned", "deactivated"):
        ada.state, ada.deactivated_at = state, datetime.now(UTC)
        for type in HANDLERS:
            _happen(db, services, type, about.get(type.partition(".")[0], ada.user_id))
    ada.state = "active"
    changed = record(db, ANONYMOUS, EventType.USER_EMAIL_CONFIRMED, ada.user_id, new={"changed": True})
    one_time_tokens.offer_undo(db, RULES, changed, "former@example.org", datetime.now(UTC))
    for _ in range(2):  # a job that runs again sends a link that works
        for handler in HANDLERS[EventType.USER_EMAIL_CONFIRMED]:
            handler(db, changed, services)
    former = [message for message in post.sent if message["To"] == "former@example.org"]
    links = [re.search(r"/undo-email-change/(\S+)", _text(message)) for message in former]
    tokens = [found[1] for found in links if found]
    assert [email_undo.find(databases, token) for token in tokens[1:]] and len(set(tokens)) == 2
    subjects = {message["Subject"].partition(": ")[2] for message in post.sent}
    assert subjects == set(SUBJECTS.values())


def test_an_imported_account_gets_no_mail_that_it_did_not_ask_for(
    db: Session, settings: Settings, services: Services, post: Post
) -> None:
    rules = AccountRules.from_settings(settings)
    for imported in (True, False):
        user = registration.create_account(
            db,
            rules,
            username=f"shop-{imported}",
            email=f"shop-{imported}@example.org",
            password=None,
            roles=(),
            actor=operator("import"),
            imported=imported,
        )
        event = db.scalars(sa.select(Event).where(Event.subject_id == user.user_id)).one()
        for handler in HANDLERS[EventType.USER_REGISTERED]:
            handler(db, event, services)
    # An operator who makes an account has its address confirmed, if they said so.
    assert [message["To"] for message in post.sent] == ["shop-False@example.org"]


def test_the_owners_that_an_import_makes_are_imported(db: Session, settings: Settings) -> None:
    rules, emails = AccountRules.from_settings(settings), ["a@shop.example", "b@shop.example"]
    made = owners.create_missing(db, rules, operator("import"), emails, {})
    told = db.scalars(sa.select(Event.new).where(Event.type == EventType.USER_REGISTERED)).all()
    assert len(made) == len(told) == 2
    assert all(new["imported"] for new in told)
