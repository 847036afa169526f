"""Whatever strangers write, a terminal is only shown it, whichever command prints it, and for programs it stays exact."""

from __future__ import annotations

import ast
import csv
import io
import json
import unicodedata
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from marketplace_api.cli import csv_text, terminal
from marketplace_api.database.engines import Databases
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.kernel.events import Event
from tests.unit.cli.conftest import ROOT, Run
from tests.unit.cli.world import offer, person

CLI = ROOT / "marketplace_api" / "cli"
HOSTILE = "a\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202eb\r\n\u200bevil"
EXACT = HOSTILE.replace("\r\n", "\n")
ONE_WAY = {"terminal.py", "output.py"}
"""The files that print; ``listings/import_.py`` has a bar of its own, of words that are ours."""


@pytest.fixture
def hostile_market(committed_databases: Databases) -> int:
    """A listing, and its event, with what an older version took for text."""
    owner = person(committed_databases, email="ada@people.example", bio=EXACT)
    (listing_id,) = offer(committed_databases, user_id=owner, title=EXACT, status_reason=EXACT, description=EXACT)
    with committed_databases.session() as session:
        event = {"type": "listing.updated", "subject_type": "listing", "subject_id": listing_id, "reason": EXACT}
        session.execute(sa.insert(Event).values(**event, new={"title": EXACT}, actor_name=EXACT))
        session.commit()
    return listing_id


def commands(listing_id: int) -> list[list[str]]:
    return [
        ["listings", "list"],
        ["listings", "show", str(listing_id)],
        ["users", "show", "ada@people.example"],
        ["users", "list"],
        ["events", "tail", "--no-follow"],
        ["listings", "export"],
        ["events", "export"],
        [
            "moderation",
            "bulk",
            "suspend",
            "--target",
            "listings",
            "--where",
            "price > 0",
            "--reason",
            "Spam",
            "--dry-run",
        ],
        ["listings", "show", EXACT],
        ["users", "show", EXACT],
        ["users", "list", EXACT],
        ["--output", EXACT, "users", "list"],
        ["api-keys", "create", "x", "--scope", EXACT],
    ]


@pytest.mark.parametrize(
    "number", range(len(commands(0))), ids=lambda n: " ".join(commands(0)[n][:2])[:30].encode("unicode_escape").decode()
)
@pytest.mark.parametrize("shape", ["table", "json", "jsonl"])
def test_nothing_steers_a_terminal(number: int, shape: str, hostile_market: int, run: Run) -> None:
    result = run("--output", shape, *commands(hostile_market)[number])
    printed = result.output
    assert printed
    assert {c for c in printed if unicodedata.category(c) in ("Cc", "Cf")} <= {"\n"}, ascii(printed)


def test_programs_get_the_value_itself(hostile_market: int, run: Run) -> None:
    [row] = json.loads(run("--json", "listings", "list").stdout)
    assert row["title"] == EXACT
    assert json.loads(run("listings", "export").stdout)["title"] == EXACT
    [cells] = csv.DictReader(io.StringIO(run("--output", "csv", "listings", "list").stdout, newline=""))
    assert cells["title"] == EXACT


def test_a_row_is_a_line(hostile_market: int, run: Run) -> None:
    assert len(run("listings", "list").stdout.splitlines()) == 2


def test_every_command_prints_in_one_way() -> None:
    strange = []
    for path in sorted(CLI.rglob("*.py")):
        if path.name in ONE_WAY:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            is_raw = called in {"print", "click.echo", "click.secho", "click.echo_via_pager", "click.confirm"}
            if is_raw or called.endswith(("stdout.write", "stderr.write", "stdout.buffer.write")):
                strange.append(f"{path.relative_to(CLI)}:{node.lineno} {called}")  # type: ignore[attr-defined]
    assert strange == []


def test_a_mistake_of_ours_is_told_like_all_else(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(HOSTILE)
    terminal.tell_uncaught(ValueError, error, None)
    told = capsys.readouterr().err
    assert r"\x1b[2J" in told and "\x1b" not in told


@given(st.text(st.sampled_from("'=+-@\t\r\n＝a1 ")) | st.text())
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    cell = csv_text.escaped(text)
    assert csv_text.unescaped(cell) == text
    assert cell[:1] not in tuple("=+-@\t\r\n＝＋－＠")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("'=1+1", "''=1+1"),
        ("''-x", "'''-x"),
        ("'tis", "'tis"),
        ("-", "'-"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_what_a_spreadsheet_would_compute_is_text(text: str, cell: str) -> None:
    assert csv_text.escaped(text) == cell


@pytest.mark.parametrize("title", ["=1+1", "'=1+1", "''@SUM(A1)", "+49 30 1234", "-5 %", "'quoted'", "＝1"])
def test_exports_compute_nothing_and_imports_read_them_back(
    title: str, committed_databases: Databases, run: Run, tmp_path: Path
) -> None:
    offer(committed_databases, title=title, description=title, city=title, longitude="-13.4", latitude="-1")
    path = tmp_path / "all.csv"
    assert run("listings", "export", "--to", str(path)).exit_code == 0
    [row] = csv.DictReader(io.StringIO(path.read_text(), newline=""))
    assert row["title"][0] not in "=+-@＝" and row["longitude"] == "-13.400000"
    again = run("--json", "listings", "import", str(path))
    assert (again.exit_code, json.loads(again.stdout)["created"]) == (0, 1)
    with committed_databases.session() as session:
        columns = (Listing.title, Listing.description, Listing.city, Listing.longitude)
        first, second = session.execute(sa.select(*columns))
    assert first == second
    assert first.title == title


def test_imports_name_the_row_of_a_control(committed_databases: Databases, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    rows = 'a@shop.example,Fine,cars,1\na@shop.example,Bad\x1b[2J,cars,1\na@shop.example,"Two\nlines",cars,1\n'
    path.write_text(f"owner_email,title,category,price\n{rows}")
    result = run("listings", "import", "--create-owners", str(path))
    assert result.exit_code == 5
    assert result.stderr.splitlines()[:2] == [
        "row 2, title: Remove the control character U+001B.",
        "row 3, title: Write this on one line: remove the line breaks.",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["api-keys", "create", "a\x1b[2J", "--scope", "events:read"],
        ["webhooks", "create", "https://shop.example.com/a\x1bb"],
        ["webhooks", "create", "https://shop.example.com/", "--description", "a\x9bb"],
        ["users", "ban", "1", "--reason", "a\x1b[2Jb"],
        ["moderation", "bulk", "suspend", "--target", "users", "--where", "id = 1", "--reason", "ab\x1bc"],
        ["users", "set-role", "1", "staff", "--reason", "ab\x1bc"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_operators_type_is_held_to_the_same(words: list[str], run: Run) -> None:
    result = run("--yes", *words)
    assert result.exit_code == 2
    assert "\x1b" not in result.output and "\x9b" not in result.output
