"""There is one version, and everything that tells a version tells this one."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from datetime import date
from pathlib import Path

from click.testing import CliRunner
from packaging.version import Version
from prometheus_client import generate_latest
from setuptools.config.expand import read_attr

from marketplace_api.cli import main
from marketplace_api.realtime import metrics as realtime
from marketplace_api.version import VERSION
from tests.support.client import Client

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^## \[(.+)\] - (.+)$", re.MULTILINE)


def test_the_package_has_it_from_the_one_place() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    kind, _, name = setup["metadata"]["version"].partition(": ")
    assert kind == "attr"
    # As setuptools does it, which reads the file and imports nothing that is not installed yet.
    assert read_attr(name, root_dir=ROOT) == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_it_stands_nowhere_else() -> None:
    places = [
        *(ROOT / "marketplace_api").rglob("*.py"),
        *(ROOT / "deploy").rglob("*"),
        ROOT / "setup.cfg",
        ROOT / "Makefile",
    ]
    named = [
        path.relative_to(ROOT).as_posix()
        for path in places
        if path.is_file() and re.search(rf"(?<![\d.=]){re.escape(VERSION)}(?![\d.])", path.read_text(errors="ignore"))
    ]
    assert named == ["marketplace_api/version.py"]


def test_everything_tells_it(client: Client) -> None:
    assert client.get("/version").json == {"version": VERSION}
    assert client.get("/api").json["version"] == VERSION
    assert client.get("/api/openapi.json").json["info"]["version"] == VERSION
    line = f'marketplace_build_info{{version="{VERSION}"}} 1.0'
    assert line in client.get("/metrics").text
    assert line in generate_latest(realtime.REGISTRY).decode()
    assert json.loads(CliRunner().invoke(main, ["--json", "version"]).stdout)["version"] == VERSION


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    entries = ENTRY.findall((ROOT / "CHANGELOG.md").read_text())
    assert entries[0][0] == VERSION
    numbers = [Version(number) for number, _day in entries]
    days = [date.fromisoformat(day) for _number, day in entries]
    assert numbers == sorted(set(numbers), reverse=True) and days == sorted(days, reverse=True)


def test_every_entry_says_something_and_links_to_what_is_there() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    parts = ENTRY.split(text)[3::3]
    assert parts and all(len(part.strip()) > 100 for part in parts)
    for target in re.findall(r"\]\(((?!http)[^)#]+)", text):
        assert (ROOT / target).exists(), target
