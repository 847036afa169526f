"""Whatever a user of the service can meet is in the documentation, and nothing in it is out of date."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import click
import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.events import DESCRIPTIONS, EventType
from marketplace_api.hal.problems import CODES
from marketplace_api.security.permissions import MEANINGS, Permission
from tests.support import reference_docs

PAGES = reference_docs.pages()


def read(name: str) -> str:
    path = reference_docs.FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert read(name) == PAGES[name], f"docs/reference/{name} is out of date: run `make docs`"


def test_every_setting() -> None:
    text = read("settings.md")
    for setting in fields(Settings):
        assert f"`{setting.metadata['key']}`" in text
        assert f"`{setting.metadata['env']}`" in text


def test_every_error_code() -> None:
    text = read("errors.md")
    assert [code for code in CODES if f"| `{code}` |" not in text] == []


def test_every_permission() -> None:
    assert set(MEANINGS) == set(Permission)
    text = read("permissions.md")
    assert [permission for permission in Permission if f"| `{permission.value}` |" not in text] == []


def test_every_event_type() -> None:
    assert set(DESCRIPTIONS) == set(EventType)
    text = read("events.md")
    assert [kind for kind in EventType if f"| `{kind.value}` |" not in text] == []


def test_every_command_has_a_section_and_a_help() -> None:
    text = read("cli.md")
    for name, command in reference_docs.commands():
        assert f"## {name}\n" in text
        assert command.help, f"{name} does not say what it does"
        if not isinstance(command, click.Group):
            assert "Example: `" in command.help, f"{name} shows no example"
        for parameter in reference_docs.shown_parameters(command):
            assert parameter.help, f"{name} does not say what {parameter.opts[0]} is about"  # type: ignore[attr-defined]


def test_nobody_needs_help_to_know_a_command() -> None:
    """Usage, choices, ranges and defaults stand in the reference."""
    text = read("cli.md")
    for told in (
        "`marketplace-admin users create [OPTIONS] EMAIL`",
        "| `--limit` | a whole number from 1 to 10000 | `50` | Accounts at most. |",
        "| `USER` |  |  | An id, a user name or an e-mail address. |",
        "| `--username` | `TEXT` | required | 3 to 50 characters. |",
        "| `--dry-run` |  | off | Check everything and change nothing. |",
    ):
        assert told in text, told
    section = text.partition("## marketplace-admin users list\n")[2].partition("\n## ")[0]
    assert "`customer`, `driver`, `moderator`, `staff`, `admin`" in section


def test_every_route(app: Any) -> None:
    """Held against what is registered, so that no view escapes that does not come from a declared operation."""
    text = read("routes.md")
    for item in app.registry.introspector.get_category("routes"):
        pattern = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", item["introspectable"]["pattern"])
        assert f"`{pattern if pattern.startswith('/') else '/' + pattern}`" in text
