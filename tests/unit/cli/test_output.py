"""Results for people and for programs, and the options that may stand anywhere."""

from __future__ import annotations

import csv
import errno
import io
import json
from pathlib import Path

import rich_click as click
from click.testing import CliRunner

from marketplace_api.cli.exit_codes import around_us
from marketplace_api.cli.global_options import add_to
from marketplace_api.cli.output import Output
from tests.unit.cli.conftest import Run

ROWS = [
    {"id": 1, "name": 'a "quoted", one', "roles": ["admin", "staff"], "on": True, "none": None},
    {"id": 2, "name": "two\nlines", "roles": [], "on": False, "none": None},
]


def test_the_same_fields_in_every_shape(run: Run) -> None:
    for name in ("ada", "bob"):
        assert run("users", "create", f"{name}@example.org", "--username", name, "--no-password").exit_code == 0
    as_json = json.loads(run("--json", "users", "list").stdout)
    as_lines = [json.loads(line) for line in run("--output", "jsonl", "users", "list").stdout.splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(run("users", "list", "--output", "csv").stdout)))
    assert as_json == as_lines
    assert [row["username"] for row in as_json] == ["ada", "bob"]
    assert all(set(row) <= set(whole) for row, whole in zip(as_csv, as_json, strict=True))
    assert [json.loads(row["roles"]) for row in as_csv] == [row["roles"] for row in as_json]
    assert [row["date_joined"] for row in as_csv] == [row["date_joined"] for row in as_json]


def test_one_thing_in_every_shape(run: Run) -> None:
    told = json.loads(run("version", "--json").stdout)
    assert json.loads(run("version", "--output", "jsonl").stdout) == told
    (row,) = csv.DictReader(io.StringIO(run("--output", "csv", "version").stdout))
    assert row.keys() == told.keys()


def test_csv_keeps_quotes_lines_and_truths() -> None:
    @click.command()
    def show() -> None:
        Output("csv").rows(tuple(ROWS[0]), ROWS)

    found = list(csv.reader(io.StringIO(CliRunner().invoke(show).stdout)))
    assert found == [
        ["id", "name", "roles", "on", "none"],
        ["1", 'a "quoted", one', '["admin", "staff"]', "true", ""],
        ["2", "two\nlines", "[]", "false", ""],
    ]


def test_an_empty_list_has_a_heading_or_nothing(run: Run) -> None:
    heading = run("users", "list", "--output", "csv").stdout
    run("users", "create", "ada@example.org", "--username", "ada", "--no-password")
    assert run("users", "list", "--output", "csv").stdout.startswith(heading)
    assert run("users", "list", "--search", "nobody", "--json").stdout == "[]\n"
    assert run("users", "list", "--search", "nobody", "--output", "jsonl").stdout == ""
    assert run("users", "list", "--search", "nobody", "--output", "csv").stdout == heading


def test_ids_go_from_a_list_to_a_command(run: Run) -> None:
    for name in ("ada", "bob"):
        run("users", "create", f"{name}@example.org", "--username", name, "--no-password")
    whole = json.loads(run("--json", "jobs", "list").stdout)
    ids = run("jobs", "list", "--ids")
    assert ids.stdout.split() == [str(row["job_id"]) for row in whole]
    heading = run("--yes", "jobs", "cancel", "-", stdin=run("jobs", "list", "--output", "csv").stdout)
    assert (heading.exit_code, "list --ids" in heading.stderr) == (2, True)
    done = run("--yes", "jobs", "cancel", "-", "--ids", stdin=ids.stdout)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"Cancelled {len(whole)} jobs." in done.stderr


def test_common_options_stand_before_and_behind(run: Run, tmp_path: Path) -> None:
    run("users", "create", "ada@example.org", "--username", "ada", "--role", "admin", "--no-password")
    run("users", "create", "bob@example.org", "--username", "bob", "--no-password")
    before = run("--as", "ada", "--json", "users", "set-role", "bob", "staff", "--dry-run")
    behind = run("users", "set-role", "bob", "staff", "--dry-run", "--json", "--as", "ada")
    assert before.exit_code == behind.exit_code == 0
    assert before.stdout == behind.stdout
    assert run("users", "list", "--as", "nobody", "--ini", str(tmp_path / "none.ini")).exit_code == 1


def test_a_commands_own_option_wins() -> None:
    @click.command()
    @click.option("--output", "to")
    def write(to: str) -> None:
        click.echo(to)

    add_to(write)
    assert CliRunner().invoke(write, ["--output", "file"]).stdout == "file\n"


def test_without_a_terminal_a_table_is_as_wide_as_it_needs() -> None:
    @click.command()
    def show() -> None:
        Output().rows(("text",), [{"text": "x" * 300}])
        Output().sample(("text",), [{"text": "y" * 300}], 1, "things")

    result = CliRunner().invoke(show)
    assert "x" * 300 in result.stdout
    assert "y" * 300 in result.stderr


def test_what_the_machine_does_is_told_in_a_sentence() -> None:
    assert around_us(OSError(errno.ENOSPC, "No space left on device")) == "Error: No space left on device."
    assert around_us(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None, "who closed it knows"
    assert around_us(ValueError("a mistake of ours")) is None
