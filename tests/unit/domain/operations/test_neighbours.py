"""Neighbours are asked at once, and waited for no longer than a proxy waits for readiness."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import make_databases
from marketplace_api.domain.operations import neighbours
from marketplace_api.domain.operations.neighbours import (
    NOT_CONFIGURED,
    SILENT,
    Check,
    Neighbours,
    degraded,
    disk_state,
    mail_state,
    replica_state,
)
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.rate_limiter import Limiter

Space = namedtuple("Space", "total used free")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What holds up whoever waits for it, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _held(gate: threading.Event, asked: list[int]) -> Callable[[], str]:
    def ask() -> str:
        asked.append(1)
        gate.wait(60)
        return "ok"

    return ask


def _raising() -> str:
    raise Unavailable("The bucket is gone.")


def _broken() -> str:
    raise KeyError("a mistake of ours")


def test_states_are_told_by_name_whatever_they_are() -> None:
    found = Neighbours(
        {
            "well": Check(lambda: "ok"),
            "none": Check(lambda: NOT_CONFIGURED),
            "full": Check(lambda: "3 % free"),
            "away": Check(_raising),
            "broken": Check(_broken),
        }
    ).states()
    assert found == {
        "well": "ok",
        "none": NOT_CONFIGURED,
        "full": "3 % free",
        "away": "The bucket is gone.",
        "broken": "cannot be asked",
    }
    assert degraded(found) == ["full", "away", "broken"]


def test_one_that_hangs_holds_up_neither_the_others_nor_more_than_one_thread(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WAIT_SECONDS", 0.2)
    asked: list[int] = []
    both = Neighbours({"hangs": Check(_held(gate, asked)), "well": Check(lambda: "ok")})
    for _ in range(3):
        began = time.monotonic()
        assert both.states() == {"hangs": SILENT, "well": "ok"}
        assert time.monotonic() - began < 10
    assert asked == [1]
    gate.set()
    deadline = time.monotonic() + 30
    while both.states()["hangs"] != "ok":
        assert time.monotonic() < deadline


def test_an_answer_is_good_for_as_long_as_the_check_says() -> None:
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return "ok"

    seldom, always = Neighbours({"x": Check(ask, every=3600)}), Neighbours({"x": Check(ask)})
    assert [seldom.states()["x"] for _ in range(3)] == ["ok"] * 3 and len(asked) == 1
    assert [always.states()["x"] for _ in range(3)] == ["ok"] * 3 and len(asked) == 4


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Space(1000, 940, 60))
    assert disk_state(tmp_path) == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Space(1000, 951, 49))
    assert disk_state(tmp_path) == "4.9% free"
    monkeypatch.undo()
    assert disk_state(tmp_path / "gone").startswith("cannot be looked at")


def test_a_mail_server_that_is_away_is_told_without_its_address(settings: Settings, silent: int) -> None:
    assert mail_state(settings) == NOT_CONFIGURED
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    smtp = replace(settings, email_backend="smtp", smtp_url=f"smtp://user:password@127.0.0.1:{free}")
    assert mail_state(smtp) == "unavailable"


def test_redis_counts_only_where_limits_are_kept_there() -> None:
    assert neighbours.redis_state(None, "redis://127.0.0.1:1/0") == NOT_CONFIGURED
    assert neighbours.redis_state(Limiter(""), "") == NOT_CONFIGURED
    assert neighbours.redis_state(Limiter("redis://127.0.0.1:1/0"), "redis://127.0.0.1:1/0") == "unavailable"


def test_a_replica_that_is_away_is_told(worker_url: str) -> None:
    alone = make_databases(worker_url)
    assert replica_state(alone) == NOT_CONFIGURED
    pair = make_databases(worker_url, f"{worker_url}?application_name=replica")
    assert replica_state(pair) == "ok"
    away = make_databases(worker_url, "postgresql://u@127.0.0.1:1/x")
    assert replica_state(away) == "unavailable"
    for databases in (alone, pair, away):
        databases.dispose()
