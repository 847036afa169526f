"""Reports of crashes leave people out, and go nowhere without an address."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk

from marketplace_api.config.settings import Settings
from marketplace_api.gateways import crash_reports


def test_a_report_leaves_bodies_credentials_and_people_out() -> None:
    report = crash_reports.strip_report(
        {
            "user": {"email": "ada@example.org"},
            "request": {
                "url": "https://market.example/api/auth/login",
                "data": {"password": "abc"},
                "cookies": {"a": "abc"},
                "query_string": "token=abc",
                "headers": {"Authorization": "Bearer abc", "Accept": "application/json", "Cookie": "abc"},
            },
        }
    )
    assert "abc" not in json.dumps(report)
    assert "ada" not in json.dumps(report)
    assert report["request"]["headers"]["Accept"] == "application/json"


def test_without_a_dsn_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: called.append(options))
    crash_reports.configure_sentry(Settings(), "1.0")
    assert called == []
    crash_reports.configure_sentry(Settings(sentry_dsn="https://key@sentry.example/1"), "1.0")
    assert called[0]["send_default_pii"] is False
    assert called[0]["release"] == "1.0"
