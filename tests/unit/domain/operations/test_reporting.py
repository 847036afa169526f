"""Figures: what is counted where, by which day, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.catalog.listings import moderation as listing_moderation
from marketplace_api.domain.catalog.listings import workflow as listing_workflow
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.identity.accounts import lifecycle
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.operations.reporting import listings, moderation, overview, period, users
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.trust.moderation import messages
from marketplace_api.domain.trust.reports import workflow
from marketplace_api.errors import Invalid
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.trust.reports import Report
from tests.factories.accounts import make_user, open_session
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import actor_of, make_review
from tests.unit.domain.trust.test_batches import run, undo

NOW = datetime.now(UTC)


def week() -> period.Period:
    """Until a moment from now, for the tests before may have taken a while."""
    now = datetime.now(UTC)
    return period.make(now - timedelta(days=7), now + timedelta(minutes=1))


def dated(db: Session, listing: Any, days: int) -> None:
    moment = NOW - timedelta(days=days)
    db.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(date_created=moment))


def test_listings_by_state_category_country_and_day(db: Session) -> None:
    owner = make_user(db)
    for status, category, country, days in (
        ("active", "cars", "France", 0),
        ("active", "cars", " ", 3),
        ("sold", "furniture", None, 40),
        ("pending_verification", "furniture", "France", 3),
    ):
        dated(db, make_listing(db, owner, status=status, category=category, country=country), days)
    dated(db, make_listing(db, owner, category="cars", deleted_at=NOW), 1)
    found = listings.figures(db, week())
    assert (found["total"], found["new"], found["verified"]) == (4, 4, 0)
    assert found["by_status"] == {"active": 2, "pending_verification": 1, "sold": 1}, "which come to the total"
    assert found["deleted"] == 1
    assert found["by_category"] == {"furniture": 2, "cars": 2}
    assert found["by_country"] == {"(none)": 2, "France": 2}
    assert found["new_by_category"] == {"cars": 3, "furniture": 1}
    series = {day["date"]: day["count"] for day in found["new_over_time"]}
    assert len(series) == 8, "every day is there"
    assert series[(NOW - timedelta(days=3)).date().isoformat()] == 2
    assert sum(series.values()) == 4
    assert found["verification_queue"]["waiting"] == 1


def test_many_categories_are_summed_up(db: Session) -> None:
    many = {f"category-{number}": 1 for number in range(listings.MOST + 5)}
    from_many = listings.tally.largest(many, listings.MOST)
    assert len(from_many) == listings.MOST + 1
    assert from_many["(others)"] == 5


def test_weeks_begin_on_monday() -> None:
    chosen = period.make(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 19, tzinfo=UTC), "week")
    monday = datetime(2026, 1, 5).date()
    assert chosen.series([(monday, 3), (None, 9)]) == [
        {"date": "2025-12-29", "count": 0},
        {"date": "2026-01-05", "count": 3},
        {"date": "2026-01-12", "count": 0},
    ]


def test_a_long_period_is_told_by_weeks_and_none_is_refused() -> None:
    assert period.make(NOW - timedelta(days=90), NOW).unit == "week"
    assert period.make(NOW - timedelta(days=90), NOW, "day").unit == "day"
    for since in (NOW, NOW + timedelta(days=1), NOW - timedelta(days=4_000)):
        with pytest.raises(Invalid):
            period.make(since, NOW)


def test_accounts_by_state_and_role(db: Session) -> None:
    make_user(db, roles=["moderator"], date_joined=NOW - timedelta(days=100), last_login=NOW - timedelta(hours=1))
    make_user(db, state="suspended", is_verified=True)
    make_user(db, state="erased", email=None)
    found = users.figures(db, week())
    assert (found["total"], found["new"], found["verified"], found["seen"]) == (2, 2, 1, 1)
    assert (found["by_state"], found["erased"]) == ({"active": 1, "suspended": 1}, 1)
    assert found["by_role"] == {"customer": 2, "moderator": 1}
    assert found["verification_queue"] == {"waiting": 0, "oldest_hours": None, "median_hours": None}
    db.execute(
        sa.text(
            "INSERT INTO verifications (user_id, document_type, document_name, media_type, status, date_submitted, "
            "date_decided, reason, documents_purged_at) SELECT user_id, 'passport', 'p.pdf', 'application/pdf', "
            "'rejected', now() - interval '5 hours', now() - interval '1 hour', 'No.', now() FROM users LIMIT 1"
        )
    )
    assert users.verifications(db, week()) == [
        {"status": "rejected", "count": 1, "median_hours": 4.0, "p90_hours": 4.0}
    ]


def test_reports_their_time_to_decision_and_who_did_what(db: Session) -> None:
    moderator, about = make_user(db, roles=["moderator"], username="ada"), make_user(db)
    listing = make_listing(db, about)
    made = [make_report(db, make_user(db), "listing", listing.listing_id, reason="spam") for _ in range(4)]
    other = make_report(db, make_user(db), "user", about.user_id)
    db.execute(
        sa.update(Report)
        .where(Report.report_id == made[0].report_id)
        .values(date_created=NOW - timedelta(days=2), date_updated=NOW)
    )
    workflow.decide(db, actor_of(moderator), made[0].report_id, "resolve")
    workflow.decide(db, operator("operator eve"), made[1].report_id, "dismiss", reason="No.")
    listing_workflow.take(db, actor_of(moderator), listing.listing_id, "suspend", reason="Spam.")
    db.commit()
    found = moderation.figures(db, week())
    reports = found["reports"]
    assert (reports["undecided"], reports["made"], reports["resolved"], reports["dismissed"]) == (3, 5, 1, 1)
    assert reports["by_state"] == {"open": 3, "dismissed": 1, "resolved": 1}
    assert reports["made_by_reason"] == {"spam": 4, "fraud": 1}
    assert reports["made_by_subject"] == {"listing": 4, "user": 1}
    assert reports["median_hours_to_decision"] == pytest.approx(24, abs=0.5)
    assert reports["p90_hours_to_decision"] == pytest.approx(43.2, abs=0.5)
    assert found["most_reported"] == [
        {"subject_type": "listing", "subject_id": listing.listing_id, "reports": 4, "undecided": 2},
        {"subject_type": "user", "subject_id": other.subject_id, "reports": 1, "undecided": 1},
    ]
    assert [(each["actor"], each["total"], each["actions"]) for each in found["moderators"]] == [
        ("ada", 2, {"listing.suspended": 1, "report.resolved": 1}),
        ("operator eve", 1, {"report.dismissed": 1}),
    ]
    before = period.make(NOW - timedelta(days=30), NOW - timedelta(days=20))
    assert moderation.figures(db, before)["moderators"] == []


def test_all_that_moderators_and_operators_did_is_theirs(db: Session, settings: Settings) -> None:
    """And nothing that owners or jobs did."""
    boss, admin = operator("operator eve"), actor_of(make_user(db, roles=["admin"], username="root"))
    owner = make_user(db)
    kept, gone, own = (make_listing(db, owner) for _ in range(3))
    listing_moderation.moderate(db, boss, "suspend", kept.listing_id, reason="Spam.")
    listing_moderation.moderate(db, admin, "delete", gone.listing_id)
    editing.restore(db, boss, gone.listing_id)
    editing.delete(db, actor_of(owner), own.listing_id)
    undo(db, run(db, "listings", "reinstate", f"listing_id = {kept.listing_id}", boss), boss)
    open_session(db, owner)
    lifecycle.log_out(db, boss, owner.user_id)
    lifecycle.set_roles(db, admin, owner.user_id, ["driver"])
    message = send(db, make_user(db), owner)
    make_report(db, owner, "message", message.message_id)
    messages.read(db, boss, message.message_id)
    erasure.erase(db, AccountRules.from_settings(settings), boss, owner.user_id)
    make_user(db, state="deactivated", deactivated_at=NOW - timedelta(days=99))
    assert erasure.erase_due(db, AccountRules.from_settings(settings), NOW) == 1
    assert {each["actor"]: each["actions"] for each in moderation.figures(db, week())["moderators"]} == {
        "operator eve": {
            "listing.suspended": 2,
            "listing.reinstated": 1,
            "listing.restored": 1,
            "message.opened": 1,
            "session.ended": 1,
            "user.erased": 1,
        },
        "root": {"listing.deleted": 1, "user.roles_changed": 1},
    }


def test_the_overview_has_the_heads_of_all(db: Session) -> None:
    anna, ben = make_user(db), make_user(db)
    message = send(db, anna, ben)
    make_report(db, ben, "message", message.message_id)
    messages.remove(db, operator("eve"), message.message_id, reason="Spam.")
    review = make_review(db, anna, person=ben)
    writing.delete(db, operator("eve"), review.review_id, reason="Spam.")
    found = overview.figures(db, week())
    assert (found["users"]["total"], found["listings"]["total"], found["reports"]["undecided"]) == (2, 0, 1)
    assert found["activity"] == {
        "messages_sent": 1,
        "reviews_posted": 1,
        "log_ins": 0,
        "listings_deleted": 0,
        "reviews_deleted": 1,
        "messages_deleted": 1,
    }
