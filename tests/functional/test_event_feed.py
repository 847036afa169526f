"""The feed of events over HTTP, and the keys of the programs that read it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.cli import CONFLICT, NOT_FOUND, USAGE
from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import event_partitions, feed
from marketplace_api.domain.identity import api_keys
from marketplace_api.domain.kernel.actors import ANONYMOUS, operator
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.gateways.rate_limiter import Limiter
from marketplace_api.hal import affordances
from marketplace_api.resources.identity.api_keys import ApiKeyContext, ApiKeysContext
from tests.factories.accounts import People
from tests.functional.test_cli_moderation import Run, environment, run
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS, Client
from tests.support.postgres import as_owner
from tests.support.problems import assert_problem
from tests.support.server import served

__all__ = ["environment", "run"]  # fixtures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"
FEED, KEYS = "/api/events", "/api/admin/api-keys"
ISSUE = {"name": "warehouse", "scopes": ["events:read"]}


def _issue(session: Session, name: str = "warehouse", **values: Any) -> tuple[int, str]:
    row, token = api_keys.issue(session, operator("test"), name=name, scopes=["events:read"], **values)
    session.commit()
    return row.api_key_id, token


def _record(session: Session, type: EventType = EventType.LISTING_EDITED) -> int:
    return record(session, ANONYMOUS, type, 1).event_id


def _ids(answer: Any) -> list[int]:
    assert answer.status_int == 200, answer.text
    return [event["event_id"] for event in answer.json["events"]]


@pytest.fixture
def program(live_app: object, committed_databases: Databases) -> Iterator[Client]:
    with committed_databases.session() as session:
        yield Client(live_app, _issue(session)[1])


def test_a_program_that_was_away_misses_nothing_that_commits_late(
    program: Client, committed_databases: Databases
) -> None:
    start = program.get(FEED).json["next_after"]
    with committed_databases.session() as slow, committed_databases.session() as fast:
        first = _record(slow)
        second = _record(fast, EventType.LISTING_CREATED)
        fast.commit()
        waiting = program.get(f"{FEED}?after={start}")
        assert (_ids(waiting), waiting.json["next_after"]) == ([], start)
        slow.commit()
        lost = _record(slow)
        third = _record(fast)
        fast.commit()
        assert _ids(program.get(f"{FEED}?after={start}")) == [first, second]
        slow.rollback()
    part = program.get(f"{FEED}?after={start}&limit=2")
    assert (_ids(part), part.json["next_after"]) == ([first, second], second)
    following = part.json["_links"]["next"]["href"]
    assert following in part.headers["Link"]
    rest = program.get(following)
    assert (_ids(rest), rest.json["next_after"]) == ([third], third)
    assert lost < third
    assert "next" not in rest.json["_links"]
    narrowed = program.get(f"{FEED}?after={start}&type=listing.created,user.erased")
    assert (_ids(narrowed), narrowed.json["next_after"]) == ([second], third)
    wide = program.get(f"{FEED}?after={start}&limit=1&type=listing.*,user.erased")
    assert _ids(wide) == [first]
    assert _ids(program.get(wide.json["_links"]["next"]["href"])) == [second]
    assert _ids(program.get(f"{FEED}?after={start}&type=*")) == [first, second, third]
    assert _ids(program.get(f"{FEED}?after={start}&type=user.*")) == []
    one = program.get(narrowed.json["events"][0]["_links"]["self"]["href"])
    assert one.json == narrowed.json["events"][0]
    assert "public" not in rest.headers["Cache-Control"]
    assert_problem(program.get(f"{FEED}?type=listing.nothing"), 400, "invalid_input")
    (unlike,) = program.get(f"{FEED}?type=zzz.*").json["errors"]
    assert unlike["message"].endswith(
        "They look like user.* and notification.read; all of them stand in the reference, /docs."
    )


def test_an_id_that_was_never_given_is_refused(program: Client, committed_databases: Databases) -> None:
    with committed_databases.session() as slow, committed_databases.session() as fast:
        start = program.get(FEED).json["next_after"]
        _record(slow)
        given = _record(fast)
        fast.commit()
        # Seen elsewhere before the feed may tell of it: that one waits.
        assert program.get(f"{FEED}?after={given}").json["next_after"] == given
        for ahead in (given + 1, 9_999_999):
            problem = assert_problem(program.get(f"{FEED}?after={ahead}"), 409, "events_ahead")
            assert problem["newest_event_id"] == start
        slow.rollback()
    assert _ids(program.get(f"{FEED}?after={start}")) == [given]


def test_the_examples_of_the_page_run(program: Client, committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        event = _record(session, EventType.LISTING_CREATED)
        session.commit()
    examples = re.findall(r"^\$ (.*)\n((?:(?!```|\$ ).*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert len(examples) == 3
    with served(program.app) as api:
        for command, expected in examples:
            here = (
                command.replace("http://127.0.0.1:6543", api)
                .replace("4710", str(event - 1))
                .replace("4711", str(event))
            )
            ran = subprocess.run(
                ["bash", "-uc", here],
                env={"KEY": program.token or "", "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            pattern = ".*".join(re.escape(part) for part in expected.replace("4711", str(event)).strip().split("…"))
            assert re.fullmatch(pattern, ran.stdout.strip(), re.DOTALL), ran.stdout


def test_an_id_from_before_what_is_kept_is_gone(program: Client, committed_databases: Databases) -> None:
    """Also behind the lowest id that is left: of a transaction that began in the old month more is gone than that."""
    with committed_databases.session() as session:
        before = feed.horizon(session)
        with as_owner(session):
            session.execute(sa.text("SELECT make_event_month(now() - interval '20 months')"))
        old = sa.text(
            "INSERT INTO events (type, subject_type, date_created) VALUES ('user.edited', 'user', now() - :age * "
            "interval '1 month') RETURNING event_id"
        )
        _, younger, last = (session.execute(old, {"age": age}).scalar_one() for age in (20, 0, 20))
        with session.begin_nested() as undone:
            _record(session)  # its id is given to no other
            undone.rollback()
        kept = _record(session)
        session.commit()
        assert _ids(program.get(f"{FEED}?after={younger}")) == [last, kept]
        assert event_partitions.drop_oldest(session, operator("test"), 12)
        session.commit()
    for gone in (before, younger, last - 1):
        problem = assert_problem(program.get(f"{FEED}?after={gone}"), 410, "events_gone")
        assert problem["oldest_event_id"] == kept > last + 1
    assert _ids(program.get(f"{FEED}?after={last}"))[0] == kept, "who has all that was dropped has missed nothing"
    first = program.get(f"{FEED}?limit=1")
    assert _ids(first) == [kept]
    assert len(_ids(program.get(f"{FEED}?after={first.json['next_after']}"))) == 1


def test_a_key_opens_the_feed_and_nothing_else(people: People, db: Session) -> None:
    admin = people.admin()
    made = admin.post(KEYS, ISSUE)
    assert made.status_int == 201, made.text
    token, path = made.json["key"], made.json["_links"]["self"]["href"]
    program = Client(admin.app, token)
    assert program.get(FEED).status_int == 200
    for elsewhere in ("/api", "/api/audit", "/api/listings", "/api/users/me", KEYS, path):
        assert program.get(elsewhere).status_int in (401, 403), elsewhere
    assert_problem(program.delete(path), 403, "forbidden")
    shown = admin.get(path).json
    assert shown["last_used"] is not None
    assert "key" not in shown and token not in admin.get(KEYS).text
    assert (shown["created_by"], shown["scopes"]) == (admin.user.user_id, ["events:read"])
    assert admin.delete(path).json["revoked_at"] is not None
    assert_problem(program.get(FEED), 401, "token_invalid")
    assert_problem(admin.delete(path), 409, "wrong_state")
    assert_problem(admin.post(KEYS, {**ISSUE, "expires_at": "2020-01-01T00:00:00Z"}), 400, "invalid_input")
    assert_problem(admin.post(KEYS, {**ISSUE, "scopes": []}), 400, "invalid_input")
    key_id, expired = _issue(db)
    db.execute(sa.text("UPDATE api_keys SET expires_at = now() WHERE api_key_id = :id"), {"id": key_id})
    db.commit()
    assert_problem(Client(admin.app, expired).get(FEED), 401, "token_invalid")
    first, second = (admin.get(f"{KEYS}?limit=1{more}").json for more in ("", "&page=2"))
    assert [page["api_keys"][0]["api_key_id"] for page in (first, second)] == [key_id, shown["api_key_id"]]
    assert admin.get(first["_links"]["next"]["href"]).json["api_keys"] == second["api_keys"]
    types = db.execute(sa.text("SELECT type FROM events WHERE subject_type = 'key' ORDER BY event_id")).scalars()
    assert list(types) == ["key.issued", "key.revoked", "key.issued"]


@pytest.mark.parametrize("role", ["anonymous", "customer", "moderator", "suspended_admin", "admin", "program"])
def test_what_is_shown_of_keys_is_allowed(role: str, people: People, db: Session, databases: Any) -> None:
    standing, token = _issue(db)
    revoked, _ = _issue(db)
    api_keys.revoke(db, operator("test"), revoked)
    db.commit()
    if role == "program":
        client = Client(people.app, token)
    elif role == "suspended_admin":
        client = people.caller(roles=["admin"], state="suspended")
    else:
        client = getattr(people, role)()
    assert client.get(FEED).status_int == (200 if role in ("admin", "program") else 403 if client.user else 401)
    tried = [each for each in affordances.ALL if each.context in (ApiKeyContext, ApiKeysContext) and not each.is_safe]
    assert {operation.name for operation in tried} == {"issue-api-key", "revoke-api-key"}
    for path, name, expected in (
        (KEYS, "issue-api-key", role == "admin"),
        (f"{KEYS}/{standing}", "revoke-api-key", role == "admin"),
        (f"{KEYS}/{revoked}", "revoke-api-key", False),
    ):
        page = client.get(path, Accept=HAL_FORMS)
        shown = page.json.get("_templates", {}) if page.status_int == 200 else {}
        assert (name in shown) == expected
        with undone(databases):
            answer = client.post(path, ISSUE) if path == KEYS else client.delete(path)
        assert answer.status_int in ((200, 201) if expected else REFUSED), answer.text


def test_each_key_has_a_budget_of_its_own(app: Any, db: Session) -> None:
    one, other = (Client(app, _issue(db, name)[1]) for name in ("one", "other"))
    app.registry.limiter = Limiter("")
    try:
        left = [int(client.get(FEED).headers["RateLimit-Remaining"]) for client in (one, one, other)]
        assert app.registry.limiter.hit("default", "key:0", account=True).remaining >= left[0]
        counted = [
            app.registry.limiter.hit(
                "default", api_keys.identify(db, app.registry.databases, c.token, None).caller, account=True
            ).remaining
            for c in (one, other)
        ]
        assert counted[0] == counted[1] - 1
    finally:
        app.registry.limiter = None


def test_keys_at_the_command_line(run: Run, live_app: object) -> None:
    made = json.loads(run("--json", "api-keys", "create", "till", "--scope", "events:read", "--until", "90d").stdout)
    program = Client(live_app, made["key"])
    assert program.get(FEED).status_int == 200
    (listed,) = json.loads(run("--json", "api-keys", "list").stdout)
    assert listed["last_used"] is not None and "key" not in listed
    assert run("api-keys", "revoke", made["api_key_id"]).exit_code == 0
    assert program.get(FEED).status_int == 401
    assert run("api-keys", "revoke", made["api_key_id"]).exit_code == CONFLICT
    assert run("api-keys", "revoke", 999).exit_code == NOT_FOUND
    assert run("api-keys", "create", "x", "--scope", "all").exit_code == USAGE
