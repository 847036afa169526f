"""docs/realtime.md is true: its examples run, and its tables name what there is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace_api import boot
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from tests.factories.accounts import People
from tests.support.npm import NODE, home_of, needs_node
from tests.support.realtime import ROOT, Process
from tests.support.server import served

PAGE = (ROOT / "docs" / "realtime.md").read_text()


@pytest.fixture
def process(committed_databases: Databases, settings: Settings, tmp_path: Path) -> Iterator[Process]:
    process = Process(boot.connection_url(committed_databases), settings.data_dir, tmp_path / "realtime.log")
    yield process
    process.kill()


def _looks_like(told: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.match(pattern, told.strip(), re.DOTALL) is not None


@needs_node
def test_the_examples(process: Process, live_people: People, tmp_path: Path) -> None:
    anna, ben = live_people.customer(), live_people.customer()
    process.wait_until(ready=True)
    modules = home_of(ROOT / "tests" / "realtime_client") / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    [script] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    constants = f"const ADDRESS = '{process.address}', TOKEN = '{ben.token}';\n"
    (tmp_path / "example.mjs").write_text(constants + script)
    node = subprocess.Popen([NODE or "node", "example.mjs"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None
    with node.stdout as lines:
        assert next(lines) == "unread: 0\n"
        message = {"receiver_id": ben.user.user_id, "content": "Is it still there?"}
        assert anna.post("/api/messages", message).status_int == 201
        assert [next(lines), next(lines)] == ["new: Is it still there?\n", "unread: 1\n"]
        node.kill()
        node.wait()
    examples = re.findall(r"^\$ (.*)\n((?:(?!```|\$ ).*\n)+)", PAGE, re.MULTILINE)
    assert len(examples) == 2
    with served(ben.app) as api:
        for command, expected in examples:
            here = command.replace("http://127.0.0.1:6544", process.address).replace("http://127.0.0.1:6543", api)
            ran = subprocess.run(
                ["bash", "-uc", here],
                env={"TOKEN": ben.token or "", "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert _looks_like(ran.stdout, expected), ran.stdout


def test_the_events_are_those_that_there_are() -> None:
    code = "".join(path.read_text() for path in (ROOT / "marketplace_api" / "realtime").glob("*.py"))
    table = PAGE.partition("## Events")[2].partition("## Coming back")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([a-z.]+)`", row)
    }
    sent = set(re.findall(r'(?:transmit|mention|_mention|_message)\(\s*(?:client, conversation, )?"([a-z.]+)"', code))
    sent |= set(re.findall(r'"name": "([a-z.]+)"', code))
    assert named == sent
