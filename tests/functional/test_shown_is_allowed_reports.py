"""What is shown of reporting and of reports is allowed, and the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.hal import affordances
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.reports import Report
from marketplace_api.resources.trust.reports import ReportContext
from tests.factories.accounts import People, make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import make_review
from tests.functional.test_reports import QUEUE, WHY, reported
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS

ROLES = (
    "anonymous",
    "customer",
    "suspended",
    "suspended_moderator",
    "moderator",
    "admin",
    "reporter",
    "reported",
    "assignee",
    "reporting_moderator",
    "reported_moderator",
)
BODIES = {"assign": {}, "resolve": {}, "dismiss": WHY}


@pytest.mark.parametrize("state", ["open", "assigned", "resolved", "dismissed"])
@pytest.mark.parametrize("role", ROLES)
def test_a_report_offers_what_it_allows_and_refuses_the_rest(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    reporter = make_user(db, roles=["moderator"] if role == "reporting_moderator" else [])
    about = make_user(db, roles=["moderator"] if role == "reported_moderator" else [])
    assignee = make_user(db, roles=["moderator"])
    report = make_report(db, reporter, "user", about.user_id)
    if state != "open":
        decided = sa.func.now() if state in ("resolved", "dismissed") else None
        values = {"state": state, "assignee_id": assignee.user_id, "date_decided": decided}
        db.execute(sa.update(Report).where(Report.report_id == report.report_id).values(values))
        db.commit()
    who = {
        "reporter": reporter,
        "reporting_moderator": reporter,
        "reported": about,
        "reported_moderator": about,
        "assignee": assignee,
    }.get(role)
    if role == "suspended_moderator":
        client = people.caller(roles=["moderator"], state="suspended")
    else:
        client = people.client_for(who) if who is not None else getattr(people, role)()
    path = f"{QUEUE}/{report.report_id}"
    page = client.get(path, Accept=HAL_FORMS)
    shown = page.json["_templates"] if page.status_int == 200 else {}
    assert (page.status_int == 200) == (role in ("moderator", "admin", "assignee", "reporting_moderator"))
    expected = role in ("moderator", "admin", "assignee") and state in ("open", "assigned")
    assert {*shown} == ({*BODIES} if expected else set())
    tried = [each for each in affordances.ALL if each.context is ReportContext and not each.is_safe]
    assert {operation.name for operation in tried} == {*BODIES}
    for operation in tried:
        with undone(databases):
            answer = client.post(path + operation.suffix, BODIES[operation.name])
        assert answer.status_int == 200 if operation.name in shown else answer.status_int in REFUSED, answer.text


@pytest.mark.parametrize("before", ["nothing", "reported"])
@pytest.mark.parametrize("kind", ["listing", "draft", "deleted", "user", "message", "review", "deleted review"])
@pytest.mark.parametrize("role", ["anonymous", "customer", "suspended", "moderator", "author", "other"])
def test_reporting_is_offered_where_it_is_allowed(
    role: str, kind: str, before: str, databases: Any, db: Session, people: People
) -> None:
    """``author`` made what could be reported; ``other`` is the second of the two where there are two."""
    author, other = make_user(db), make_user(db)
    who = {"author": author, "other": other}.get(role)
    client = people.client_for(who) if who is not None else getattr(people, role)()
    subject_type, subject_id, path = _subject(db, kind, author, other)
    if before == "reported":
        reported(client, subject_type, subject_id)
    page = client.get(path, Accept=HAL_FORMS)
    shown = page.json.get("_templates", {})
    with undone(databases):
        answer = reported(client, subject_type, subject_id)
    assert answer.status_int in ((201,) if "report" in shown else REFUSED), f"{shown.keys()} {answer.text}"


def _subject(db: Session, kind: str, author: User, other: User) -> tuple[str, int, str]:
    if kind == "user":
        return "user", author.user_id, f"/api/users/{author.user_id}"
    if kind == "message":
        message_id = send(db, author, other).message_id
        return "message", message_id, f"/api/messages/{message_id}"
    if kind in ("review", "deleted review"):
        review_id = make_review(db, author, person=other).review_id
        if kind == "deleted review":
            db.execute(sa.text("UPDATE reviews SET deleted_at = now(), moderation_reason = 'Spam.'"))
            db.commit()
        return "review", review_id, f"/api/reviews/{review_id}"
    values = {"draft": {"status": "draft"}, "deleted": {"deleted_at": sa.func.now()}}.get(kind, {})
    listing_id = make_listing(db, author, **values).listing_id
    return "listing", listing_id, f"/api/listings/{listing_id}"
