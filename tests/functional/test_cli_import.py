"""Importing files with the admin command: what it takes, what it tells, and that a killed import can be finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import DONE, FAILED, PARTLY_DONE, USAGE, main
from marketplace_api.database.engines import Databases
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

ROOT = Path(__file__).resolve().parents[2]
REAL_DATA = ROOT.parent / "shared" / "data"
HEADER = "owner_email,title,category,price"
Run = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def run(committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``marketplace-admin`` on a database of the test's own."""
    monkeypatch.setenv("DATABASE_URL", boot.connection_url(committed_databases))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MARKETPLACE_INI", str(ROOT / "development.ini"))
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def count(databases: Databases, model: type = Listing) -> int:
    with databases.session() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def listing(databases: Databases, title: str) -> Listing:
    with databases.session() as session:
        return session.scalars(sa.select(Listing).where(Listing.title == title)).one()


def test_good_rows_are_kept_and_bad_ones_told(run: Run, file: Write, committed_databases: Databases) -> None:
    path = file(
        "cars.csv",
        "\ufeff" + HEADER + ",currency,latitude,longitude,amenities,status\r\n"
        'a@shop.example,"Good, with a comma",cars,10.50,EUR,41.9,12.5,radio|two keys,draft\r\n'
        "a@shop.example,,cars,abc,,,,,\r\n"
        "a@shop.example,Half,cars,1,,10,,,\r\n"
        "\r\n"
        "a@shop.example,Nowhere,spaceships,1,,,,,\r\n"
        "no-address,Sold,cars,1.234,XXX,99,0,,sold\r\n"
        "a@shop.example,few\r\n"
        'a@shop.example,"quo"te,cars,1,,,,,\r\n'
        'b@shop.example,"Two ""quoted"" words",cars,3,,,,,\r\n',
    )

    result = run("listings", "import", "--create-owners", path)

    assert result.exit_code == PARTLY_DONE
    told = result.stderr.splitlines()
    assert told[:2] == ["row 2, title: This field is required.", "row 2, price: Send a number."]
    assert [line.partition(":")[0] for line in told[2:]] == [
        "row 3, location",
        "row 4, category",
        "row 5, price",
        "row 5, currency",
        "row 5, latitude",
        "row 5, status",
        "row 5, owner_email",
        "row 6",
        "row 7",
    ]
    assert "2 cells" in told[-2] and "quotes" in told[-1]
    assert result.stdout == "Imported 2 listings of 8 rows, with 2 new accounts; 6 bad rows left out.\n"
    stored = listing(committed_databases, "Good, with a comma")
    assert (stored.currency, stored.status, stored.amenities) == ("EUR", "draft", ["radio", "two keys"])
    assert listing(committed_databases, 'Two "quoted" words').price == 3


def test_json_lines_flat_or_nested(run: Run, file: Write, committed_databases: Databases) -> None:
    owner = '"owner_email": "a@shop.example", "category": "cars"'
    path = file(
        "cars.jsonl",
        f'{{{owner}, "title": "Flat", "price": "5.00", "city": "Rome", "amenities": "a|b"}}\n'
        "\n"
        f'{{{owner}, "title": "Nested", "price": 5, "location": {{"city": "Pisa"}}, "amenities": ["a", "b"]}}\n'
        f'{{{owner}, "title": "Typo", "prize": 5}}\n'
        "[1]\n"
        "{nonsense\n"
        f'{{{owner}, "title": "\x1b[31mred", "price": 1, "\\u001b[31m": 1}}\n' + f'{{"title": "{"x" * 2_000_000}"}}\n'
        f'{{{owner}, "title": "Last", "price": 5}}',
    )

    result = run("--json", "listings", "import", "--create-owners", path)

    assert result.exit_code == PARTLY_DONE
    told = json.loads(result.stdout)
    assert (told["read"], told["created"], told["bad"], told["owners_created"]) == (8, 3, 5, 1)
    assert {row["row"] for row in told["bad_rows"]} == {4, 5, 6, 7, 8}
    assert "Did you mean price?" in result.stderr
    assert "\x1b" not in result.stderr, "a file must not steer the terminal"
    assert listing(committed_databases, "Flat").city == "Rome"
    assert listing(committed_databases, "Nested").city == "Pisa"
    assert listing(committed_databases, "Nested").amenities == listing(committed_databases, "Flat").amenities


def test_a_second_run_and_a_rehearsal_add_nothing(run: Run, file: Write, committed_databases: Databases) -> None:
    path = file("same.csv", HEADER + "\n" + "a@shop.example,Same,cars,1\n" * 3)
    other = file("other.csv", HEADER + "\na@shop.example,Other,cars,1\n")

    rehearsed = run("--json", "listings", "import", "--create-owners", "--dry-run", path, other)
    assert rehearsed.exit_code == DONE
    assert json.loads(rehearsed.stdout) | {"files": []} == {
        "files": [],
        "read": 4,
        "created": 4,
        "skipped": 0,
        "bad": 0,
        "owners_created": 2,
        "dry_run": True,
        "interrupted": False,
        "bad_reasons": {},
        "bad_rows": [],
    }
    assert [count(committed_databases, model) for model in (Listing, User, Event)] == [0, 0, 0]

    assert run("listings", "import", "--create-owners", path, other).exit_code == DONE
    again = run("listings", "import", "--create-owners", "--batch", 1, path, other)
    assert again.stdout == "Imported 0 listings of 4 rows; 4 were there already.\n"
    assert count(committed_databases) == 4


def test_unknown_owners_are_bad_rows_unless_they_are_made(run: Run, file: Write) -> None:
    path = file("cars.csv", HEADER + "\na@shop.example,X,cars,1\n")
    result = run("listings", "import", path)
    assert result.exit_code == FAILED
    assert result.stderr == "row 1, owner_email: There is no account a@shop.example.\n"


def test_one_reason_of_many_rows_takes_a_few_lines(run: Run, file: Write) -> None:
    path = file("same.csv", HEADER + "\n" + "a@shop.example,Same,cars,cheap\n" * 200 + "a@shop.example,,cars,1\n")
    told = run("--json", "listings", "import", "--create-owners", path)
    *lines, title, rest = told.stderr.splitlines()
    assert [line.partition(", ")[0] for line in lines] == [f"row {number}" for number in range(1, 6)]
    reason = lines[0].partition(", ")[2]
    assert title.startswith("row 201, title: ") and rest == f"… and 195 more: {reason}"
    found = json.loads(told.stdout)
    assert (found["bad"], found["bad_reasons"][reason], len(found["bad_rows"])) == (201, 200, 100)
    assert len(run("--verbose", "listings", "import", "--create-owners", path).stderr.splitlines()) == 201


def test_several_files_name_the_one_that_is_wrong(run: Run, file: Write) -> None:
    good = file("good.csv", HEADER + "\na@shop.example,X,cars,1\n")
    bad = file("bad.csv", HEADER + "\na@shop.example,X,cars,\n")
    result = run("listings", "import", "--create-owners", good, bad)
    assert result.exit_code == PARTLY_DONE
    assert result.stderr == f"{bad}: row 1, price: This field is required.\n"


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.csv", "", "is empty"),
        ("a.jsonl", "", "is empty"),
        ("a.csv", "\n", "has no header"),
        ("a.csv", HEADER + ",colour\n", "unknown column 'colour'. Known columns are owner_email, title"),
        ("a.csv", "owner_email,title,price\n", "lacks the column category. Required are owner_email"),
        ("a.csv", HEADER + ",title\n", "the column title twice"),
        ("a.csv", HEADER.encode("utf-16"), "is not UTF-8 text"),
        ("a.csv", '"owner', "does not begin with a CSV header"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(
    run: Run, file: Write, committed_databases: Databases, name: str, content: str, part: str
) -> None:
    good = file("good.csv", HEADER + "\na@shop.example,X,cars,1\n")
    result = run("listings", "import", "--create-owners", good, file(name, content))
    assert result.exit_code == FAILED
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert count(committed_databases) == 0, "all files are looked at before the first row goes in"


def test_what_is_no_file_of_listings(run: Run, file: Write, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv", file("cars.txt", HEADER)):
        result = run("listings", "import", path)
        assert result.exit_code == USAGE
        assert "Traceback" not in result.output


def test_bytes_that_are_no_text_spoil_their_row_only(run: Run, file: Write, committed_databases: Databases) -> None:
    path = file(
        "cars.csv",
        HEADER.encode() + b"\na@shop.example,caf\xe9,cars,1\na@shop.example,nu\x00l,cars,1\n"
        b'a@shop.example,fine,cars,1\na@shop.example,"never closed,cars,1\n',
    )
    result = run("listings", "import", "--create-owners", path)
    assert result.exit_code == PARTLY_DONE
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["row 1, title", "row 2, title", "row 4"]
    assert "UTF-8" in result.stderr
    assert count(committed_databases) == 1


def test_a_killed_import_keeps_whole_batches_and_can_be_finished(
    run: Run, file: Write, committed_databases: Databases
) -> None:
    rows, batch = 6_000, 50
    lines = (f"o{number % 7}@shop.example,Thing {number},tools,{number}\n" for number in range(rows))
    path = file("many.csv", HEADER + "\n" + "".join(lines))
    words = ["listings", "import", "--create-owners", "--batch", str(batch), str(path)]
    command = [sys.executable, "-m", "marketplace_api.cli", *words]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while count(committed_databases) < 3 * batch:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.2)  # the server notices that its client is gone

    kept = count(committed_databases)
    assert 0 < kept < rows
    assert kept % batch == 0

    result = run("--json", "listings", "import", "--create-owners", path)
    assert result.exit_code == DONE
    told = json.loads(result.stdout)
    assert (told["created"], told["skipped"], told["owners_created"]) == (rows - kept, kept, 0)
    assert count(committed_databases) == rows


def test_ctrl_c_tells_how_far_it_came(
    run: Run, file: Write, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marketplace_api.cli.listings import formats

    taken = formats._mapping

    def interrupted(header: list[str], cells: list[str]) -> object:
        if cells[1] == "4":
            raise KeyboardInterrupt
        return taken(header, cells)

    monkeypatch.setattr(formats, "_mapping", interrupted)
    path = file("cars.csv", HEADER + "\n" + "".join(f"a@shop.example,{n},cars,1\n" for n in range(9)))
    result = run("listings", "import", "--create-owners", "--batch", 2, path)
    assert result.exit_code == PARTLY_DONE
    assert "It was interrupted: run the same command again" in result.stdout
    assert count(committed_databases) == 4


def test_listings_are_listed_and_shown(run: Run, file: Write) -> None:
    content = HEADER + ",status\na@shop.example,First,cars,1,draft\nb@shop.example,Second,boats,2,\n"
    run("listings", "import", "--create-owners", file("two.csv", content))

    assert [row["title"] for row in json.loads(run("--json", "listings", "list").stdout)] == ["First", "Second"]
    for words in (("--status", "draft"), ("--owner", "a@shop.example"), ("--category", "cars"), ("--limit", "1")):
        found = json.loads(run("--json", "listings", "list", *words).stdout)
        assert [row["title"] for row in found] == ["First"]
    assert "Second" in run("listings", "list", "--owner", "b@shop.example").stdout

    shown = json.loads(run("--json", "listings", "show", found[0]["listing_id"]).stdout)
    assert (shown["title"], shown["status"]) == ("First", "draft")
    assert run("listings", "show", 10**9).exit_code == 3


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the data of real markets is not here")
def test_the_real_markets_arrive_whole(run: Run, committed_databases: Databases) -> None:
    files = sorted(REAL_DATA.glob("*.csv"))
    began = time.perf_counter()
    result = run("--json", "listings", "import", "--create-owners", *files)
    seconds = time.perf_counter() - began

    assert result.exit_code == DONE, result.stderr
    told = json.loads(result.stdout)
    assert told["created"] == count(committed_databases) == 6898
    print(f"{told['created']} rows in {seconds:.1f} s: {told['created'] / seconds:,.0f} rows/s")
    assert json.loads(run("--json", "listings", "import", "--create-owners", *files).stdout)["skipped"] == 6898
