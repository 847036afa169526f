"""Resolving a report together with what is done about its subject."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.trust.reports import enforcement
from marketplace_api.errors import DomainError
from marketplace_api.models.trust.reports import SUBJECT_TYPES, Report
from tests.factories.accounts import make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.notifications import notify, told
from tests.factories.reports import make_report
from tests.factories.reviews import make_review

BOSS = operator("tester")
EACH = [(kind, action) for kind, actions in enforcement.ACTIONS.items() for action in actions]
STATE = {
    "listing": "SELECT CASE WHEN deleted_at IS NOT NULL THEN 'delete' ELSE status END FROM listings",
    "user": "SELECT state FROM users WHERE username = 'about'",
    "message": "SELECT CASE WHEN deleted_at IS NOT NULL THEN 'delete' ELSE '' END FROM messages",
    "review": "SELECT CASE WHEN deleted_at IS NOT NULL THEN 'delete' ELSE '' END FROM reviews",
}
DONE = {"suspend": "suspended", "ban": "banned", "delete": "delete"}


def reported(db: Session, kind: str) -> tuple[Any, Any]:
    """A report of something of this kind, and who made it."""
    about, reporter = make_user(db, username="about"), make_user(db)
    subject_id = {
        "listing": lambda: make_listing(db, about).listing_id,
        "user": lambda: about.user_id,
        "message": lambda: send(db, about, reporter).message_id,
        "review": lambda: make_review(db, about, person=reporter).review_id,
    }[kind]()
    return make_report(db, reporter, kind, subject_id), reporter


def test_there_is_something_to_be_done_about_everything_that_can_be_reported() -> None:
    assert {*enforcement.ACTIONS} == {*SUBJECT_TYPES}


@pytest.mark.parametrize(("kind", "action"), EACH)
def test_both_or_neither(kind: str, action: str, db: Session) -> None:
    report, reporter = reported(db, kind)
    decision = enforcement.resolve(db, BOSS, report.report_id, action, reason="Against the rules.")
    db.commit()
    assert decision.row.state == "resolved"
    assert db.execute(sa.text(STATE[kind])).scalar() == DONE[action]
    notify(db)
    assert ("report_resolved" in dict(told(db, reporter))) is True

    db.execute(sa.text("UPDATE reports SET state = 'open', date_decided = NULL"))
    db.commit()
    if DONE[action] == "suspended" and kind == "user":
        return  # a suspension may be given anew
    with pytest.raises(DomainError), db.begin_nested():
        enforcement.resolve(db, BOSS, report.report_id, action, reason="Against the rules.")
    assert db.execute(sa.select(Report.state)).scalar() == "open"
