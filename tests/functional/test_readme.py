"""The README's tour is true: its commands run against the demo data and answer as it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from waitress.server import create_server

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog import search
from marketplace_api.domain.operations import demo
from marketplace_api.domain.operations.demo import placeholder_images

README = Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:6543"
WILD = "…"


def blocks() -> list[list[tuple[str, str]]]:
    """Each console block of the tour as pairs of a command and what it prints."""
    tour = README.read_text().split("## A tour", 1)[1].split("## For operators", 1)[0]
    found = []
    for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        found.append([(command, printed.strip()) for command, _, printed in (part.partition("\n") for part in parts)])
    return found


@pytest.fixture
def server(
    configured: tuple[Any, Any],
    committed_databases: Databases,
    api_databases: Databases,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The address of the service with the demo data, its drawings small to be quick."""
    monkeypatch.setattr(placeholder_images, "WIDTH", 96)
    monkeypatch.setattr(placeholder_images, "HEIGHT", 72)
    wsgi, current = configured
    current.target = api_databases
    demo.load_once(committed_databases, settings)
    with committed_databases.session() as session, session.begin():
        search.compact_terms(session, 10_000)  # what the worker does within a minute
    listening = create_server(wsgi, host="127.0.0.1", port=0, threads=4)
    thread = Thread(target=listening.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.effective_port}"
    listening.close()
    thread.join(5)


def test_the_tour(server: str, tmp_path: Path) -> None:
    """All commands run in one shell, as a reader would type them."""
    marker = "==next=="
    pairs = [pair for block in blocks() for pair in block]
    assert len(pairs) > 10
    script = "".join(f"{command.replace(ADDRESS, server)}\necho; echo {marker}\n" for command, _ in pairs)
    run = subprocess.run(
        ["bash", "-u"], input=script, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    answers = run.stdout.split(f"{marker}\n")
    assert len(answers) == len(pairs) + 1, run.stderr
    for (command, expected), answer in zip(pairs, answers, strict=False):
        pattern = ".*".join(re.escape(part) for part in re.split(r"…", expected))
        assert re.fullmatch(pattern, answer.strip(), re.DOTALL), (
            f"$ {command}\nsays:\n{answer}\nnot:\n{expected}\n{run.stderr}"
        )
