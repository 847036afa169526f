"""Moderating listings by their ids as an operator types it, and looking through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result

from marketplace_api.cli import CONFLICT, DONE, FAILED, NOT_FOUND, PARTLY_DONE, USAGE
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import moderation
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.errors import Conflict, Invalid
from marketplace_api.models.catalog.listings import Listing
from tests.unit.cli.world import count, offer, person, told
from tests.unit.domain.identity.accounts_world import at_once

Run = Callable[..., Result]
WHY = ("--reason", "It breaks a rule.")
CHANGED = "listing.status_changed"


def shown(run: Run, *words: str, stdin: str = "") -> Any:
    result = run("--json", *words, stdin=stdin)
    assert result.exit_code == DONE, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("step", "values", "status", "type_"),
    [
        ("verify", {"status": "pending_verification"}, "active", CHANGED),
        ("reject", {"status": "pending_verification"}, "rejected", CHANGED),
        ("suspend", {}, "suspended", CHANGED),
        ("reinstate", {"status": "suspended", "suspended_from": "sold"}, "sold", CHANGED),
        ("delete", {}, "active", "listing.deleted"),
        ("restore", {"deleted_at": datetime.now(UTC)}, "active", "listing.restored"),
    ],
)
def test_each_step_rehearsed_taken_and_refused(
    run: Run, committed_databases: Databases, step: str, values: dict[str, Any], status: str, type_: str
) -> None:
    (listing_id,) = offer(committed_databases, **values)
    words = ("listings", step, str(listing_id), *WHY)
    before = shown(run, "listings", "show", str(listing_id))
    assert run(*words, "--dry-run").stdout == f"Would {step} the listing {listing_id}.\n"
    assert shown(run, "listings", "show", str(listing_id)) == before
    assert told(committed_databases, type_) == []

    done = shown(run, "--yes", *words)
    assert done == {"action": step, "matched": 1, "changed": 1, "failed": [], "interrupted": False, "dry_run": False}
    after = shown(run, "listings", "show", str(listing_id))
    assert after["status"] == status
    assert (after["deleted_at"] is not None) == (step == "delete")
    (event,) = told(committed_databases, type_)
    assert (event.subject_id, event.reason) == (listing_id, "It breaks a rule.")

    again = run("--yes", *words)
    assert again.exit_code == CONFLICT, again.output
    assert again.stderr.startswith("Error: ")
    assert run("--yes", "listings", step, "99999", *WHY).exit_code == NOT_FOUND
    assert run("--yes", "listings", step, "cars", *WHY).exit_code == USAGE


@pytest.mark.parametrize("step", ["reject", "suspend"])
def test_owners_read_why(run: Run, committed_databases: Databases, step: str) -> None:
    (listing_id,) = offer(committed_databases, status="pending_verification")
    assert run("listings", step, str(listing_id)).exit_code == USAGE
    assert run("listings", step, str(listing_id), *WHY).exit_code == DONE
    assert shown(run, "listings", "show", str(listing_id))["status_reason"] == "It breaks a rule."
    assert "notify_owner" in {job["args"]["handler"] for job in shown(run, "jobs", "list")}


def test_many_at_once_and_what_asks_first(run: Run, committed_databases: Databases) -> None:
    ids = offer(committed_databases, 3)
    assert run("listings", "delete", str(ids[0])).exit_code == USAGE, "deleting even one asks"
    refused = run("listings", "suspend", *map(str, ids), *WHY)
    assert (refused.exit_code, "Suspend 3 listings?" in refused.stderr) == (USAGE, True)
    run("listings", "suspend", str(ids[0]), *WHY)

    partly = run("--yes", "listings", "suspend", "-", *WHY, stdin="\n".join(map(str, ids)))
    assert partly.exit_code == PARTLY_DONE
    assert partly.stdout == "Suspended 2 of 3 listings; 1 failed.\n"
    assert partly.stderr == f"listing {ids[0]}: The step `suspend` is not possible while the listing is suspended.\n"
    assert count(committed_databases, Listing.status == "suspended") == 3
    assert shown(run, "--yes", "listings", "reinstate", *map(str, ids))["changed"] == 3


def test_who_acts_must_moderate_and_not_their_own(run: Run, committed_databases: Databases) -> None:
    owner = person(committed_databases, username="mod", roles=["moderator"])
    person(committed_databases, username="customer")
    (own,) = offer(committed_databases, user_id=owner)
    (other,) = offer(committed_databases)
    for step in ("suspend", "delete"):
        assert run("--yes", "--as", "customer", "listings", step, str(other), *WHY).exit_code == FAILED
        refused = run("--yes", "--as", "mod", "listings", step, str(own), *WHY)
        assert (refused.exit_code, "their own listing" in refused.stderr) == (FAILED, True)
    assert run("--as", "mod", "listings", "suspend", str(other), *WHY).exit_code == DONE
    (event,) = told(committed_databases, CHANGED)
    assert (event.actor_id, event.actor_name) == (owner, None)


def test_two_at_once_take_a_step_once(committed_databases: Databases) -> None:
    (listing_id,) = offer(committed_databases)
    steps = [
        lambda session: moderation.moderate(
            session, operator("test"), "suspend", listing_id, reason="It breaks a rule."
        )
    ] * 6
    results = at_once(committed_databases, *steps)
    assert sum(isinstance(result, Conflict) for result in results) == 5
    with committed_databases.session() as session, pytest.raises(Invalid):
        moderation.moderate(session, operator("test"), "suspend", listing_id)


def test_listings_are_looked_through(run: Run, committed_databases: Databases) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    (old,) = offer(committed_databases, title="Old boat", category="boats", date_created=long_ago)
    (car,) = offer(committed_databases, title="100% car", description="A red one.")
    (gone,) = offer(committed_databases, deleted_at=datetime.now(UTC))
    for words, ids in (
        ((), [old, car, gone]),
        (("--status", "active"), [old, car]),
        (("--status", "deleted"), [gone]),
        (("--category", "vehicles"), [old, car, gone]),
        (("--category", "boats"), [old]),
        (("--search", "RED ONE"), [car]),
        (("--search", "100%"), [car]),
        (("--search", "1%c"), []),
        (("--created-since", "7d"), [car, gone]),
        (("--limit", "1", "--after", str(old)), [car]),
    ):
        assert [row["listing_id"] for row in shown(run, "listings", "list", *words)] == ids, words
    assert f"--after {old}" in run("listings", "list", "--limit", "1").stderr
    assert run("listings", "list", "--category", "nonsense").exit_code == USAGE
    assert run("listings", "list", "--owner", "nobody").exit_code == NOT_FOUND
    found = shown(run, "listings", "show", str(car))
    assert (found["title"], found["owner_state"]) == ("100% car", "active")
    assert found["email"].endswith("@people.example")
