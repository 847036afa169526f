"""What is exported comes back by an import into another database, row by row the same."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import CONFLICT, DONE, FAILED, PARTLY_DONE, USAGE, main
from marketplace_api.cli.listings import formats
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.catalog.listings import export as listing_export
from marketplace_api.models.catalog.listings import Listing
from tests.support import postgres
from tests.unit.cli.world import count, offer, person

Run = Callable[..., Result]
HEADER = "owner_email,title,category,price"

STRANGE: list[dict[str, Any]] = [
    {"title": 'Quotes " and, commas;', "description": "Two\nlines,\tand a tab.", "price": "0"},
    {"title": "=1+1", "description": "Ünïcödé 🚲 | pipe", "price": "9999999999.99", "currency": "EUR"},
    {
        "title": "A place",
        "address": "Kastanienallee 7",
        "city": "Berlin",
        "state": "BE",
        "zip": "010",
        "country": "DE",
        "latitude": Decimal("-0.000001"),
        "longitude": Decimal("179.999999"),
    },
    {
        "title": "Lists",
        "amenities": ["radio", "two|keys", '["odd"]', "a, b"],
        "photos_urls": ["https://photos.example/1?a=b|c", "https://photos.example/2"],
    },
    {"title": "[1, 2]", "amenities": ["[half", "lights"], "status": "draft"},
    {"title": "null", "amenities": ["null", "1"], "photos_urls": ["https://photos.example/3"], "status": "inactive"},
]


@pytest.fixture
def market(committed_databases: Databases) -> Databases:
    """Listings that files have a hard time with, and some that no file may bring to life."""
    owner = person(committed_databases, email="ada@people.example")
    for values in STRANGE:
        offer(committed_databases, user_id=owner, **values)
    for values in (
        {"status": "sold"},
        {"status": "rejected"},
        {"status": "pending_verification"},
        {"status": "suspended", "suspended_from": "active"},
        {"deleted_at": datetime.now(UTC)},
        {"owner_hidden": True},
    ):
        offer(committed_databases, user_id=owner, title=f"Not {next(iter(values.values()))}"[:20], **values)
    return committed_databases


def content(databases: Databases) -> list[tuple[Any, ...]]:
    """Every column that a file has, of all that are not deleted or hidden."""
    with databases.session() as session:
        rows = session.execute(
            sa.select(*(getattr(Listing, name) for name in formats.COLUMNS[1:]))
            .where(Listing.deleted_at.is_(None), Listing.owner_hidden.is_(False))
            .order_by(Listing.title, Listing.listing_id)
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("by_pipe", [False, True])
def test_a_round_trip(
    kind: str,
    by_pipe: bool,
    run: Run,
    market: Databases,
    tmp_path: Path,
    postgres_server: Any,
    template_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"all.{kind}"
    if by_pipe:
        exported = run("listings", "export", "--format", kind)
        path.write_bytes(exported.stdout_bytes)
        assert "Exported 10 listings." in exported.stderr
    else:
        exported = run("--json", "listings", "export", "--to", str(path))
        assert json.loads(exported.stdout) == {
            "action": "export",
            "file": str(path),
            "format": kind,
            "listings": 10,
            "written_as_inactive": 4,
        }
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "4 of them are sold" in exported.stderr
    whole = path.read_bytes()

    other = make_databases(postgres.clone_database(postgres_server, template_database, f"other_{os.getpid()}"))
    try:
        monkeypatch.setenv("DATABASE_URL", boot.connection_url(other))
        words = [
            "--json",
            "listings",
            "import",
            "--create-owners",
            *(["-", "--format", kind] if by_pipe else [str(path)]),
        ]
        imported = CliRunner().invoke(main, words, input=whole if by_pipe else None)
        assert imported.exit_code == DONE, imported.stderr
        assert json.loads(imported.stdout)["created"] == 10
        restarted = [
            (*row[:-1], "inactive") if row[-1] not in ("active", "draft", "inactive") else row
            for row in content(market)
        ]
        assert content(other) == restarted
        assert run("listings", "export", "--format", kind).stdout_bytes == whole, "and the second file is the first"
        again = CliRunner().invoke(main, words, input=whole if by_pipe else None)
        assert json.loads(again.stdout)["skipped"] == 10
    finally:
        other.dispose()
        postgres.drop_database(postgres_server, f"other_{os.getpid()}")


def test_conditions_choose_and_mistakes_are_named(run: Run, market: Databases, tmp_path: Path) -> None:
    chosen = run("listings", "export", "--where", "status = draft and created < 7d")
    assert [json.loads(line)["title"] for line in chosen.stdout.splitlines()] == ["[1, 2]"]
    assert (
        run("listings", "export", "--where", "price < 0", "--format", "csv").stdout_bytes
        == (",".join(formats.COLUMNS) + "\r\n").encode()
    )
    for wrong in ("prize < 1", "category = nonsense", "status", ""):
        result = run("listings", "export", "--where", wrong, "--to", str(tmp_path / "x.csv"))
        assert result.exit_code == USAGE, result.output
        assert re.fullmatch(r"Error: .*\n", result.stderr), "a sentence, without a frame"
    assert run("listings", "export", "--to", str(tmp_path / "no" / "x.csv")).exit_code == FAILED
    assert list(tmp_path.glob("*x.csv*")) == []


def test_a_file_is_replaced_only_when_that_was_said(run: Run, market: Databases, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("mine")
    refused = run("listings", "export", "--to", str(path))
    assert (refused.exit_code, "replace it with --yes" in refused.stderr) == (CONFLICT, True)
    assert path.read_text() == "mine"
    assert run("--yes", "listings", "export", "--to", str(path)).exit_code == DONE
    rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
    assert len(rows) == 10
    assert rows[0]["owner_email"] == "ada@people.example"
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".all")] == []
    piped = run("listings", "export", "--to", "-", "--output", "csv")
    assert piped.stdout_bytes == path.read_bytes(), "--output says in which format, where no file does"


def test_rows_come_in_parts_of_one_moment(market: Databases) -> None:
    offer(market, 3_000)
    with listing_export.exported(market) as rows:
        titles = [next(iter(rows)).title]
        with market.session() as session:
            session.execute(sa.update(Listing).values(title="Changed meanwhile"))
            session.commit()
        titles += [row.title for row in rows]
    assert len(titles) == 3_010
    assert titles[0] == STRANGE[0]["title"]
    assert "Changed meanwhile" not in titles


def test_standard_input_says_what_it_is(run: Run, committed_databases: Databases) -> None:
    assert run("listings", "import", "-", stdin=HEADER).exit_code == USAGE
    empty = run("listings", "import", "-", "--format", "csv", stdin="")
    assert (empty.exit_code, "has no header" in empty.stderr) == (FAILED, True)
    rows = f"{HEADER}\na@shop.example,One,cars,1\na@shop.example,Two,cars,x\n"
    result = run("listings", "import", "--create-owners", "-", "--format", "csv", stdin=rows)
    assert result.exit_code == PARTLY_DONE
    assert result.stderr == "row 2, price: Send a number.\n"
    assert count(committed_databases, Listing.title == "One") == 1


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("a|b", ["a", "b"]),
        (" a | b ||", ["a", "b"]),
        ('["a|b", "c"]', ["a|b", "c"]),
        ("[a|b]", ["[a", "b]"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[]", []),
        ("", []),
    ],
)
def test_several_values_in_one_cell(cell: str, values: list[str]) -> None:
    assert formats._list(cell) == values
    assert formats._list(formats.list_cell(values)) == values


def test_an_import_of_json_lines_that_was_killed_is_finished(
    run: Run, committed_databases: Databases, tmp_path: Path
) -> None:
    rows, batch = 3_000, 50
    path = tmp_path / "many.jsonl"
    owner = '"owner_email": "a@shop.example", "category": "tools"'
    path.write_text("".join(f'{{{owner}, "title": "Thing {number}", "price": {number}}}\n' for number in range(rows)))
    words = ["listings", "import", "--create-owners", "--batch", str(batch), str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "marketplace_api.cli", *words], env=os.environ, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while count(committed_databases, Listing.category == "tools") < 2 * batch:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == PARTLY_DONE
    kept = count(committed_databases, Listing.category == "tools")
    assert 0 < kept < rows and kept % batch == 0
    done = json.loads(run("--json", *words).stdout)
    assert (done["created"], done["skipped"]) == (rows - kept, kept)
