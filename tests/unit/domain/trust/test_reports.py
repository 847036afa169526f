"""Reports in the domain: what erasure and export do with them, what the database itself refuses, many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.domain.trust.reports import create, queries, queue, workflow
from marketplace_api.domain.trust.reports.workflow import REPORT_WORKFLOW
from marketplace_api.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.reports import STATES, Report
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import actor_of
from tests.unit.domain.identity.accounts_world import at_once

OPERATOR = operator("test")
WHY = "It is fine."


def kept(db: Session, report_id: int) -> Any:
    statement = sa.select(Report.reporter_id, Report.comment, Report.state, Report.decision_reason)
    return tuple(db.execute(statement.where(Report.report_id == report_id)).one())


def test_an_erased_account_s_reports_are_nobody_s(db: Session, settings: Settings) -> None:
    """Who made it is forgotten at once; the words as soon as they are not needed to decide."""
    reporter, about = make_user(db), make_user(db)
    listing = make_listing(db, about)
    waits = make_report(db, reporter, "user", about.user_id, comment="He lives next door to me.").report_id
    done = make_report(db, reporter, "listing", listing.listing_id, comment="Mine was stolen.").report_id
    workflow.decide(db, OPERATOR, done, "resolve", reason="Taken down.")
    erasure.erase(db, AccountRules.from_settings(settings), OPERATOR, reporter.user_id)
    assert kept(db, done) == (None, "", "resolved", "Taken down.")
    assert kept(db, waits) == (None, "He lives next door to me.", "open", None)
    workflow.decide(db, OPERATOR, waits, "dismiss", reason=WHY)
    assert kept(db, waits) == (None, "", "dismissed", WHY)


def test_what_was_said_of_an_erased_account_goes_with_it(db: Session, settings: Settings) -> None:
    reporter, about = make_user(db), make_user(db)
    waits = make_report(db, reporter, "user", about.user_id, comment="He lives next door to me.").report_id
    erasure.erase(db, AccountRules.from_settings(settings), OPERATOR, about.user_id)
    assert kept(db, waits) == (reporter.user_id, "", "open", None)


def test_the_export_names_the_reports_that_one_made(db: Session) -> None:
    reporter, about = make_user(db), make_user(db)
    report = make_report(db, reporter, "user", about.user_id)
    workflow.decide(db, OPERATOR, report.report_id, "dismiss", reason=WHY)
    (told,) = privacy_export.collect(db, reporter.user_id)["reports"]
    assert (told["comment"], told["state"], told["decision_reason"]) == ("It never came.", "dismissed", WHY)
    about_them = privacy_export.collect(db, about.user_id)
    assert about_them["reports"] == []
    assert not any(event["type"].startswith("report.") for event in about_them["events"])


def test_operators_decide_by_id(db: Session) -> None:
    """Without an account, as the command line does."""
    ids = [make_report(db, make_user(db), "user", make_user(db).user_id).report_id for _ in range(3)]
    for report_id in ids:
        assert workflow.decide(db, OPERATOR, report_id, "dismiss", reason=WHY).row.state == "dismissed"
    assert queue.waiting(db, None) == 0
    with pytest.raises(Invalid):
        workflow.assign(db, OPERATOR, make_report(db, make_user(db), "user", make_user(db).user_id).report_id)
    with pytest.raises(NotFound):
        workflow.decide(db, OPERATOR, 2**62, "resolve")


def test_the_domain_itself_refuses_the_concerned(db: Session) -> None:
    reporter, about = make_user(db, roles=["moderator"]), make_user(db, roles=["admin"])
    report_id = make_report(db, reporter, "user", about.user_id).report_id
    for user in (reporter, about):
        with pytest.raises(Forbidden):
            workflow.assign(db, actor_of(user), report_id)
        with pytest.raises(Forbidden):
            workflow.decide(db, actor_of(user), report_id, "dismiss", reason=WHY)


def test_the_table_names_every_state() -> None:
    assert (*REPORT_WORKFLOW.states,) == STATES
    assert {step.target for step in REPORT_WORKFLOW} | {*REPORT_WORKFLOW.initial} == {*STATES}


BROKEN: dict[str, dict[str, Any]] = {
    "ck_reports_subject_type": {"subject_type": "car"},
    "ck_reports_reason": {"reason": "dislike"},
    "ck_reports_state": {"state": "closed"},
    "ck_reports_comment": {"comment": "x" * 1001},
    "ck_reports_reported": {"subject_type": "user", "subject_id": 1},
    "ck_reports_assigned": {"state": "assigned"},
    "ck_reports_decided": {"state": "resolved"},
    "ck_reports_nameless": {"reporter_id": None, "state": "resolved", "date_decided": sa.func.now()},
}


@pytest.mark.parametrize("constraint", BROKEN)
def test_the_database_holds_the_rules(constraint: str, db: Session) -> None:
    report = make_report(db, make_user(db), "listing", make_listing(db, make_user(db)).listing_id)
    changed = sa.update(Report).where(Report.report_id == report.report_id).values(BROKEN[constraint])
    with pytest.raises(IntegrityError, match=constraint):
        db.execute(changed, execution_options={"synchronize_session": False})


def test_the_database_refuses_reports_of_oneself(db: Session) -> None:
    user = make_user(db)
    values = {"subject_type": "user", "subject_id": user.user_id, "reason": "spam"}
    with pytest.raises(IntegrityError, match="ck_reports_not_of_oneself"):
        db.execute(sa.insert(Report).values(reporter_id=user.user_id, reported_id=user.user_id, **values))


def test_four_thousand_reports_of_one_listing(db: Session, databases: Databases) -> None:
    moderator, owner = make_user(db, roles=["moderator"]), make_user(db)
    listing = make_listing(db, owner)
    first = make_report(db, make_user(db), "listing", listing.listing_id)
    db.execute(
        sa.text(
            "WITH made AS (INSERT INTO users (username, email) SELECT 'crowd' || n, 'crowd' || n || '@people.example' "
            "FROM generate_series(1, 4000) n RETURNING user_id) "
            "INSERT INTO reports (reporter_id, subject_type, subject_id, reported_id, reason) "
            "SELECT user_id, 'listing', :listing, :owner, 'spam' FROM made"
        ),
        {"listing": listing.listing_id, "owner": owner.user_id},
    )
    told: list[Event] = []
    db.info["on_event"] = lambda _session, event: told.append(event)
    done = workflow.decide(
        db, actor_of(moderator), first.report_id, "resolve", reason="Taken down.", also_same_subject=True
    )
    assert done.also == 4000
    assert len({event.event_id for event in told}) == len({event.new["reporter_id"] for event in told}) == 4001
    assert queue.waiting(db, moderator.user_id) == 0


# Races: real connections, real commits.

Work = Callable[[Session], Any]


def reporting(user: User, listing_id: int) -> Work:
    return lambda session: create.create(
        session, actor_of(user), subject_type="listing", subject_id=listing_id, reason="spam"
    )


def deciding(user: User, report_id: int, step: str, **options: Any) -> Work:
    return lambda session: workflow.decide(session, actor_of(user), report_id, step, reason=WHY, **options)


def test_one_account_many_tries_one_report(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        reporter, listing = make_user(session), make_listing(session, make_user(session))
    results = at_once(committed_databases, *[reporting(reporter, listing.listing_id)] * 10)
    refused = [result for result in results if isinstance(result, Exception)]
    made = [result for result in results if not isinstance(result, Exception)]
    assert len(made) == 1
    assert [(type(error), error.code) for error in refused] == [(Conflict, "already_reported")] * 9  # type: ignore[attr-defined]
    assert {error.extra["report_id"] for error in refused} == {made[0].report_id}  # type: ignore[attr-defined]
    with committed_databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Report)).scalar() == 1
        assert session.execute(sa.select(sa.func.count()).select_from(Event)).scalar() == 1


def test_exactly_one_of_many_decisions_wins(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        moderators = [make_user(session, roles=["moderator"]) for _ in range(6)]
        report = make_report(session, make_user(session), "user", make_user(session).user_id)
    works = [deciding(user, report.report_id, ("resolve", "dismiss")[n % 2]) for n, user in enumerate(moderators)]
    results = at_once(committed_databases, *works)
    won = [result for result in results if not isinstance(result, Exception)]
    assert len(won) == 1
    assert {getattr(result, "code", None) for result in results if isinstance(result, Exception)} == {"wrong_state"}
    with committed_databases.session() as session:
        row = queries.find(session, report.report_id, None)
        assert row is not None
        assert (row.state, row.assignee_id) == (won[0].row.state, won[0].row.assignee_id)
        decided = session.execute(sa.select(Event.type).where(Event.type != EventType.REPORT_MADE)).scalars().all()
        assert decided == [f"report.{row.state}"]


def test_decisions_on_all_of_the_same_meet_without_a_deadlock(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        moderators = [make_user(session, roles=["moderator"]) for _ in range(8)]
        listing = make_listing(session, make_user(session))
        made = [make_report(session, make_user(session), "listing", listing.listing_id).report_id for _ in range(24)]
    works = [deciding(user, made[(n * 7) % 24], "dismiss", also_same_subject=True) for n, user in enumerate(moderators)]
    results = at_once(committed_databases, *works)
    failed = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(error, Conflict) for error in failed), failed
    with committed_databases.session() as session:
        counted = session.execute(
            sa.select(Event.subject_id, sa.func.count())
            .where(Event.type == "report.dismissed")
            .group_by(Event.subject_id)
        )
        assert {tuple(row) for row in counted} == {(report_id, 1) for report_id in made}


def test_an_assignment_and_a_decision_at_once(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        one, other = make_user(session, roles=["moderator"]), make_user(session, roles=["moderator"])
        report_id = make_report(session, make_user(session), "user", make_user(session).user_id).report_id
    taking: Work = lambda session: workflow.assign(session, actor_of(other), report_id)  # noqa: E731
    results = at_once(committed_databases, deciding(one, report_id, "resolve"), *[taking] * 5)
    assert not isinstance(results[0], Exception)
    assert all(isinstance(error, Conflict) for error in results if isinstance(error, Exception))
    with committed_databases.session() as session:
        row = queries.find(session, report_id, None)
        assert row is not None
        assert (row.state, row.assignee_id) == ("resolved", one.user_id)
