"""Reports at the command line: looking through them, giving them to somebody, deciding many at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.cli import CONFLICT, DONE, FAILED, NOT_FOUND, PARTLY_DONE, USAGE
from marketplace_api.database.engines import Databases
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.reports import Report
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.functional.test_cli_moderation import Run, environment, run

__all__ = ["environment", "run"]  # fixtures


class World:
    """Three reports of one listing and one of a person, all open."""

    def __init__(self, session: Session) -> None:
        self.owner, self.moderator = make_user(session), make_user(session, username="ada", roles=["moderator"])
        self.listing_id = make_listing(session, self.owner, title="Free money").listing_id
        person = make_user(session)
        self.person = make_report(session, self.owner, "user", person.user_id, reason="harassment").report_id
        self.listing = [
            make_report(session, make_user(session), "listing", self.listing_id, reason="spam").report_id
            for _ in range(3)
        ]


@pytest.fixture
def world(committed_databases: Databases) -> World:
    with committed_databases.session() as session:
        made = World(session)
        session.commit()
        session.expunge_all()
    return made


def states(databases: Databases) -> dict[int, str]:
    with databases.session() as session:
        return dict(session.execute(sa.select(Report.report_id, Report.state)).all())


def ids(run: Run, *words: Any) -> list[int]:
    return [row["report_id"] for row in json.loads(run("--json", "moderation", "reports", *words).stdout)]


def test_looking_through_reports(run: Run, world: World, committed_databases: Databases) -> None:
    assert ids(run) == [world.person, *world.listing], "the oldest first"
    assert ids(run, "--sort", "most-reported") == [*world.listing, world.person]
    assert ids(run, "--subject", "user") == [world.person]
    assert ids(run, "--subject", "listing", "--subject-id", world.listing_id, "--limit", 2) == world.listing[:2]
    assert ids(run, "--reason", "spam", "--after", world.listing[0]) == world.listing[1:]
    assert ids(run, "--until", "1h") == []
    assert ids(run, "--since", "1h", "--assignee", "nobody", "--limit", 1) == [world.person]
    assert ids(run, "--state", "resolved") == []
    assert run("moderation", "assign", world.person, "--to", "ada").exit_code == DONE
    assert ids(run, "--assignee", "ada") == [world.person]
    table = run("moderation", "reports").stdout
    assert "Free money" in table and "harassment" in table
    shown = json.loads(run("--json", "moderation", "report", world.listing[0]).stdout)
    assert (shown["subject_title"], shown["of_subject"], shown["state"]) == ("Free money", 3, "open")
    assert run("moderation", "report", 999).exit_code == NOT_FOUND


def test_deciding_one_and_many(run: Run, world: World, committed_databases: Databases) -> None:
    first, second, third = world.listing
    rehearsed = run("--json", "moderation", "resolve", first, "--reason", "Taken down.", "--dry-run")
    assert json.loads(rehearsed.stdout) == {
        "action": "resolve",
        "matched": 1,
        "changed": 1,
        "failed": [],
        "interrupted": False,
        "dry_run": True,
        "subject_action": None,
    }
    assert set(states(committed_databases).values()) == {"open"}
    assert run("moderation", "resolve", first, "--reason", "Taken down.").exit_code == DONE
    again = run("moderation", "resolve", first, "--reason", "Taken down.")
    assert again.exit_code == CONFLICT and "is resolved" in again.stderr
    assert run("moderation", "dismiss", 999, "--reason", "Nothing in it.").exit_code == NOT_FOUND

    words = ("moderation", "dismiss", "-", "--reason", "Nothing in it.")
    assert run(*words, stdin=f"{first}\n{second} {third}\n").exit_code == USAGE, "nobody said yes"
    several = run("--yes", "--json", *words, stdin=f"{first}\n{second} {third}\n{second}\n999\n")
    assert several.exit_code == PARTLY_DONE, several.output
    told = json.loads(several.stdout)
    assert (told["matched"], told["changed"]) == (4, 2)
    assert [(each["report_id"], each["code"]) for each in told["failed"]] == [
        (first, "wrong_state"),
        (999, "not_found"),
    ]
    assert f"report {first}: The step" in several.stderr
    assert states(committed_databases) == {
        first: "resolved",
        second: "dismissed",
        third: "dismissed",
        world.person: "open",
    }
    with committed_databases.session() as session:
        event = session.execute(sa.select(Event).where(Event.type == "report.resolved")).scalar_one()
        assert event.actor_name.startswith("operator") and event.reason == "Taken down."
        assert event.request_id.startswith("cli-")


def test_resolving_together_with_what_is_done(run: Run, world: World, committed_databases: Databases) -> None:
    first, *_ = world.listing
    words = ("moderation", "resolve", first, "--reason", "Advertising.", "--all-of-same")
    wrong = run("--yes", *words, "--action", "ban")
    assert wrong.exit_code == USAGE and "suspend, delete" in wrong.stderr
    assert set(states(committed_databases).values()) == {"open"}, "both or neither"
    unsure = run("--as", "ada", *words, "--action", "suspend")
    assert unsure.exit_code == USAGE and "Decide 2 other undecided reports too?" in unsure.stderr
    assert "2 other undecided reports are about the same." in unsure.stderr
    rehearsed = run(*words, "--action", "suspend", "--dry-run")
    assert rehearsed.stdout == f"Would resolve the report {first} and suspend what it is about.\n"
    alone = run("moderation", "dismiss", world.person, "--reason", "No threats.", "--all-of-same", "--dry-run")
    assert "0 other undecided reports." in alone.stderr
    done = run("--as", "ada", "--yes", *words, "--action", "suspend")
    assert done.exit_code == DONE, done.output
    found = states(committed_databases)
    assert {found[report_id] for report_id in world.listing} == {"resolved"}
    with committed_databases.session() as session:
        listing = session.get(Listing, world.listing_id)
        assert listing is not None and (listing.status, listing.status_reason) == ("suspended", "Advertising.")
    judge = ("moderation", "resolve", world.person, "--reason", "Threats.", "--action", "ban")
    asked = run(*judge)
    assert asked.exit_code == USAGE and "Resolve 1 report and ban what it is about?" in asked.stderr
    banned = run("--yes", *judge)
    assert banned.stdout == f"Resolved the report {world.person} and banned what it is about.\n", banned.output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("resolve", "x", "--reason", "Spam."), USAGE, "is no id"),
        (("resolve", "1", "--reason", " x "), USAGE, "at least 3"),
        (("dismiss", "1"), USAGE, "--reason"),
        (("assign", "1"), USAGE, "--to USER"),
        (("reports", "--subject-id", "1"), USAGE, "needs --subject"),
        (("reports", "--since", "soon"), USAGE, "7d"),
        (("assign", "1", "--to", "nobody-at-all"), NOT_FOUND, "There is no account"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(words: tuple[str, ...], code: int, told: str, run: Run) -> None:
    result = run("--yes", "moderation", *words)
    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_only_moderators_decide_under_their_own_name(run: Run, world: World, committed_databases: Databases) -> None:
    result = run("--as", world.owner.username, "moderation", "dismiss", world.person, "--reason", "Not me.")
    assert result.exit_code == FAILED and "does not moderate" in result.stderr
    assert set(states(committed_databases).values()) == {"open"}


def test_figures_for_people_and_for_programs(run: Run, world: World) -> None:
    assert run("--yes", "moderation", "dismiss", *world.listing, "--reason", "Fine.").exit_code == DONE
    for name in ("overview", "listings", "users", "moderation"):
        table = run("report", name, "--since", "7d")
        assert table.exit_code == DONE, table.output
        assert "by the day." in table.stdout
        document = json.loads(run("--json", "report", name, "--by", "week").stdout)
        assert document["period"]["unit"] == "week"
    assert document["reports"]["dismissed"] == 3
    assert document["moderators"][0]["actions"] == {"report.dismissed": 3}
    assert "report.dismissed 3" in table.stdout
    assert run("report", "users", "--since", "1d", "--until", "2d").exit_code == USAGE
    future = run("report", "users", "--since", "2999-01-01")
    assert (future.exit_code, "must be later than --since" in future.stderr) == (USAGE, True)
