"""Every record is one line of JSON, secrets are blanked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from marketplace_api import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for name in logs.CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_ours_and_a_librarys_records_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("info")
    logs.bind_request("r-1", user_id=7)
    structlog.get_logger("ours").info("listing.created", listing_id=3)
    logging.getLogger("theirs").warning("pool %s is full", "a", extra={"size": 5})
    ours, theirs = _lines(capsys)
    assert ours["event"] == "listing.created"
    assert theirs["event"] == "pool a is full"
    assert (ours["listing_id"], theirs["size"]) == (3, 5)
    for record in (ours, theirs):
        assert record["request_id"] == "r-1"
        assert record["time"].endswith("Z")
        assert record["level"] in ("info", "warning")
    assert (ours["logger"], theirs["logger"]) == ("ours", "theirs")


def test_a_traceback_is_a_field_of_the_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("INFO")
    try:
        {}["a mistake"]
    except KeyError:
        logging.getLogger("theirs").exception("it failed")
        structlog.get_logger("ours").exception("it.failed")
    for record in _lines(capsys):
        assert "KeyError: 'a mistake'" in record["traceback"]


def test_secrets_are_blanked_at_any_depth(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("INFO")
    structlog.get_logger("ours").info(
        "x", token="abc", body={"password": "abc", "deep": {"Refresh_Token": "abc"}}, headers={"Authorization": "abc"}
    )
    logging.getLogger("theirs").warning("y", extra={"password": "abc"})
    assert "abc" not in json.dumps(_lines(capsys))


def test_the_level_counts_and_a_bad_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("WARNING")
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    assert _lines(capsys) == []
    with pytest.raises(ValueError, match="LOUD"):
        logs.configure_logging("loud")


def test_what_json_does_not_know_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("INFO")
    structlog.get_logger("ours").info("x", thing=object, numbers={1: 2})
    (record,) = _lines(capsys)
    assert record["numbers"] == {"1": 2}


def test_people_get_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("INFO", pretty=True)
    structlog.get_logger("ours").info("listing.created")
    told = capsys.readouterr().err
    assert "listing.created" in told
    assert not told.startswith("{")
