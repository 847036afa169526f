"""`Prefer`: answers without a representation, and workflow steps that are rehearsed."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.hal import affordances
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.handlers import HANDLERS
from marketplace_api.resources.catalog.listings import ListingContext
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem

NEW = {"title": "Lamp", "category": "furniture", "price": 5, "currency": "EUR"}


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _count(db: Session, table: str) -> int:
    return int(db.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


# Prefer.


def test_who_wants_no_representation_gets_none(owner: Client, path: str) -> None:
    for preference in (
        "return=minimal",
        "respond-async, return=minimal",
        'return="minimal"',
        "Return = minimal; foo=1",
    ):
        created = owner.post("/api/listings", NEW, Prefer=preference)
        assert (created.status_int, created.body) == (204, b"")
        assert created.headers["Preference-Applied"] == "return=minimal"
        assert owner.get(created.headers["Location"]).json["title"] == "Lamp"
    for answer in (
        owner.put(path, {"title": "Put"}, Prefer="return=minimal"),
        owner.patch(path, {"title": "Patch"}, Prefer="return=minimal"),
        owner.post(f"{path}/deactivate", {}, Prefer="return=minimal"),
        owner.delete(path, Prefer="return=minimal"),
    ):
        assert (answer.status_int, answer.body) == (204, b""), answer.text


@pytest.mark.parametrize(
    "preference", ["return=representation", "return=minimalist", "minimal", "dry-run=no", ",", "x" * 500]
)
def test_a_preference_that_is_not_ours_changes_nothing(owner: Client, path: str, preference: str) -> None:
    answer = owner.put(path, {"title": "Put"}, Prefer=preference)
    assert (answer.status_int, answer.json["title"]) == (200, "Put")
    assert "Preference-Applied" not in answer.headers


def test_errors_come_whole_whatever_is_preferred(owner: Client, path: str) -> None:
    assert_problem(owner.put(path, {"title": ""}, Prefer="return=minimal"), 400, "invalid_input")


def test_a_read_has_no_preference_for_less(owner: Client, path: str) -> None:
    assert owner.get(path, Prefer="return=minimal").json["title"]


STEPS = [operation for operation in affordances.ALL if operation.step and operation.context is ListingContext]
STATE_BEFORE = {
    "publish": "draft",
    "deactivate": "active",
    "mark-sold": "active",
    "submit-for-verification": "draft",
    "verify": "pending_verification",
    "reject": "pending_verification",
    "suspend": "active",
    "reinstate": "suspended",
}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_rehearsed_step_shows_the_outcome_and_keeps_nothing(
    step: Any, owner: Client, people: People, db: Session
) -> None:
    caller = people.moderator() if step.permission == "listing:moderate" else owner
    row = make_listing(db, owner.user, status=STATE_BEFORE[step.name])
    path = f"/api/listings/{row.listing_id}"
    before, events, jobs = caller.get(path), _count(db, "events"), _count(db, "procrastinate_jobs")
    body = {"reason": "It breaks a rule."} if step.body and step.body.children else {}
    rehearsed = caller.post(path + step.suffix, body, Prefer="dry-run")
    assert rehearsed.status_int == 200, rehearsed.text
    assert rehearsed.headers["Preference-Applied"] == "dry-run"
    assert "ETag" not in rehearsed.headers
    assert rehearsed.json["status"] != before.json["status"]
    after = caller.get(path)
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    assert (_count(db, "events"), _count(db, "procrastinate_jobs")) == (events, jobs)
    done = caller.post(path + step.suffix, body)
    assert done.status_int == 200
    assert "Preference-Applied" not in done.headers
    assert done.json["status"] == rehearsed.json["status"]


def test_every_step_of_the_workflow_says_that_it_can_be_rehearsed() -> None:
    assert {step.name for step in STEPS} == set(STATE_BEFORE)
    assert all("dry-run" in step.description for step in STEPS)


def test_a_rehearsal_shows_what_could_be_done_next(owner: Client, path: str) -> None:
    rehearsed = owner.post(f"{path}/mark-sold", {}, Prefer="dry-run", Accept=HAL_FORMS)
    assert "publish" in rehearsed.json["_templates"]
    assert "mark-sold" not in rehearsed.json["_templates"]


def test_a_rehearsal_is_refused_like_the_step_itself(owner: Client, path: str, people: People, db: Session) -> None:
    refusals = [
        (owner.post(f"{path}/publish", {}, Prefer="dry-run"), 409, "wrong_state"),
        (owner.post(f"{path}/deactivate", {"x": 1}, Prefer="dry-run"), 400, "invalid_input"),
        (owner.post(f"{path}/deactivate", {}, Prefer="dry-run", If_Match='"77.abc"'), 412, "precondition_failed"),
        (people.moderator().post(f"{path}/suspend", {}, Prefer="dry-run"), 400, "invalid_input"),
        (people.customer().post(f"{path}/deactivate", {}, Prefer="dry-run"), 403, "forbidden"),
        (people.anonymous().post(f"{path}/deactivate", {}, Prefer="dry-run"), 401, "unauthenticated"),
    ]
    for answer, status, code in refusals:
        assert_problem(answer, status, code)
        assert "Preference-Applied" not in answer.headers


def test_only_steps_can_be_rehearsed(owner: Client, path: str, db: Session) -> None:
    """Who asks for no effect must not get one: elsewhere the preference is refused."""
    before = _count(db, "listings"), owner.get(path).json
    for answer in (
        owner.post("/api/listings", NEW, Prefer="dry-run"),
        owner.put(path, {"title": "Kept"}, Prefer="dry-run"),
        owner.delete(path, Prefer="dry-run"),
    ):
        assert (answer.status_int, answer.json["errors"][0]["code"]) == (400, "not_supported")
    assert (_count(db, "listings"), owner.get(path).json) == before


def test_a_rehearsal_uses_no_idempotency_key_up(owner: Client, path: str, db: Session) -> None:
    for _ in range(2):
        assert owner.post(f"{path}/deactivate", {}, Prefer="dry-run", Idempotency_Key="k").json["status"] == "inactive"
    assert _count(db, "stored_answers") == 0
    done = owner.post(f"{path}/deactivate", {}, Idempotency_Key="k")
    assert (done.status_int, "Idempotent-Replayed" in done.headers) == (200, False)
    assert owner.get(path).json["status"] == "inactive"


def test_a_rehearsal_may_leave_out_the_representation_too(owner: Client, path: str) -> None:
    answer = owner.post(f"{path}/deactivate", {}, Prefer="return=minimal, dry-run")
    assert (answer.status_int, answer.headers["Preference-Applied"]) == (204, "dry-run, return=minimal")
    assert owner.get(path).json["status"] == "active"


def test_a_rehearsal_commits_nothing_on_a_real_connection(live_people: People, committed_databases: Databases) -> None:
    committed_databases.on_event = dispatch.dispatch
    owner = live_people.customer()
    row = make_listing(live_people.session, owner.user)
    path = f"/api/listings/{row.listing_id}"
    assert owner.post(f"{path}/mark-sold", {}, Prefer="dry-run").json["status"] == "sold"
    with committed_databases.session() as session:
        kept = session.execute(sa.text("SELECT status, version FROM listings")).one()
        assert tuple(kept) == ("active", row.version)
        assert (_count(session, "events"), _count(session, "procrastinate_jobs")) == (0, 0)
    assert owner.post(f"{path}/mark-sold", {}).json["status"] == "sold"
    with committed_databases.session() as session:
        assert (_count(session, "events"), _count(session, "procrastinate_jobs")) == (
            1,
            len(HANDLERS["listing.status_changed"]),
        )
