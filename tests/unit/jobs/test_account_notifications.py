"""Whoever is suspended, banned or reinstated learns of it: why, until when, and what they can still do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.identity.accounts import lifecycle
from marketplace_api.jobs.handlers import HANDLERS
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.notifications import told
from tests.unit.domain.trust.test_batches import BOSS, run, undo


class Office:
    """The worker: runs what follows from the events that came since it last did, and keeps the mails."""

    def __init__(self, db: Session, settings: Settings) -> None:
        self.db, self.services = db, Services(settings, self)
        self.sent: list[EmailMessage] = []
        self.seen = 0

    def send(self, message: EmailMessage) -> None:
        self.sent.append(message)

    def work(self) -> list[tuple[str, str]]:
        """Subject and text of each new mail."""
        self.sent.clear()
        new = sa.select(Event).where(Event.event_id > self.seen).order_by(Event.event_id)
        for event in self.db.execute(new).scalars().all():
            self.seen = event.event_id
            for handler in HANDLERS.get(event.type, ()):
                handler(self.db, event, self.services)
                self.db.commit()
        return [(_plain(mail["Subject"]), _text(mail)) for mail in self.sent]


def _plain(subject: Any) -> str:
    return str(subject).partition(": ")[2]


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return " ".join(part.get_content().split())


@pytest.fixture
def office(db: Session, settings: Settings) -> Office:
    return Office(db, replace(settings, email_appeals="moderators@market.example"))


def test_a_suspension_and_its_end_are_told_in_both_ways(db: Session, office: Office) -> None:
    user = make_user(db)
    until = datetime(2999, 1, 31, 12, tzinfo=UTC)
    lifecycle.suspend(db, BOSS, user.user_id, reason="Insults in three reviews.", until=until)
    ((subject, text),) = office.work()
    assert subject == "Your account is suspended"
    for part in ("until 31 January 2999, 12:00 UTC", "Insults in three reviews.", "take out your data", "Answer this"):
        assert part in text
    assert "Nobody reads replies" not in text
    assert office.sent[0]["Reply-To"] == "moderators@market.example"
    ((kind, content),) = told(db, user)
    assert kind == "account_suspended"
    assert "until 2999-01-31 12:00 UTC; the reason: “Insults in three reviews.”" in content

    lifecycle.suspend(db, BOSS, user.user_id, reason="And once more.")
    event = db.scalars(sa.select(Event).order_by(Event.event_id.desc())).first()
    assert event is not None
    assert event.previous == {"state": "suspended", "until": until.isoformat()}, "what was replaced is on record"
    assert event.new == {"state": "suspended", "until": None}
    assert "until further notice" in office.work()[0][1]

    lifecycle.reinstate(db, BOSS, user.user_id, reason="The appeal was right.")
    ((subject, text),) = office.work()
    assert subject == "Your account is yours again"
    assert "not suspended any more" in text and "The appeal was right." in text
    assert told(db, user)[0][0] == "account_reinstated"


def test_a_ban_is_told_by_mail_only(db: Session, office: Office) -> None:
    user = make_user(db)
    lifecycle.ban(db, BOSS, user.user_id, reason="Fraud.")
    ((subject, text),) = office.work()
    assert subject == "Your account is banned" and "Fraud." in text
    lifecycle.reinstate(db, BOSS, user.user_id, reason="A mistake.")
    assert "not banned any more" in office.work()[0][1]
    assert [kind for kind, _ in told(db, user)] == ["account_reinstated"]


def test_what_was_decided_otherwise_since_is_not_told(db: Session, office: Office) -> None:
    user = make_user(db)
    lifecycle.suspend(db, BOSS, user.user_id, reason="Spam.")
    lifecycle.reinstate(db, BOSS, user.user_id, reason="A mistake.")
    assert [subject for subject, _ in office.work()] == ["Your account is yours again"]
    assert [kind for kind, _ in told(db, user)] == ["account_reinstated"]


def test_a_batch_and_its_undoing_are_told_to_each(db: Session, office: Office) -> None:
    until = datetime.now(UTC) + timedelta(days=3)
    free = make_user(db, username="bad.one")
    held = make_user(db, username="bad.two", state="suspended", state_reason="Before.", suspended_until=until)
    batch_id = run(db, "users", "suspend", "username ~ bad.")
    mails = office.work()
    assert [subject for subject, _ in mails] == ["Your account is suspended"] * 2
    assert all("Spam." in text for _, text in mails)

    undo(db, batch_id, replace(BOSS, reason="Ticket 12: the condition was too wide."))
    mails = office.work()
    by_account = {str(mail["To"]): mailed for mail, mailed in zip(office.sent, mails, strict=True)}
    back, again = by_account[str(free.email)], by_account[str(held.email)]
    assert back[0] == "Your account is yours again" and "Ticket" not in back[1], "that reason is for the log"
    assert again[0] == "Your account is suspended" and "Before." in again[1], "what holds again is told"
    assert [kind for kind, _ in told(db, free)] == ["account_reinstated", "account_suspended"]
    assert "Before." in told(db, held)[0][1]
    event = db.scalars(sa.select(Event).where(Event.subject_id == held.user_id).order_by(Event.event_id.desc())).first()
    assert event is not None and event.new == {"state": "suspended", "until": until.isoformat(), "undone": True}
    assert db.get_one(User, held.user_id).suspended_until == until
