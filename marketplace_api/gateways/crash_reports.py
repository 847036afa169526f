"""Reports of crashes, sent to Sentry where a DSN is set, and stripped of whoever they could tell of."""

from __future__ import annotations

from typing import Any

from marketplace_api import lazy
from marketplace_api.config.settings import Settings
from marketplace_api.logs import HIDDEN


def configure_sentry(settings: Settings, release: str) -> None:
    """Report crashes to the DSN of the settings, without bodies, cookies, credentials or people; none, no report."""
    if not settings.sentry_dsn:
        return
    lazy.load("sentry_sdk").init(  # 4 MB for those alone who use it
        dsn=settings.sentry_dsn,
        release=release,
        environment=settings.environment,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        before_send=lambda event, _hint: strip_report(event),
    )


def strip_report(report: Any) -> Any:
    """A Sentry report without what could identify or authenticate a person."""
    request = report.get("request")
    if request:
        for part in ("data", "cookies", "query_string", "env"):
            request.pop(part, None)
        request["headers"] = {
            name: HIDDEN if name.lower() in ("authorization", "cookie", "x-forwarded-for") else value
            for name, value in request.get("headers", {}).items()
        }
    report.pop("user", None)
    return report
