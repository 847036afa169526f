"""What operators see of requests: metrics and the access log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from webob import Request

from marketplace_api import logs
from tests.factories.accounts import PASSWORD, People
from tests.support.client import Client


@pytest.fixture
def with_settings(app: Any) -> Iterator[Callable[..., None]]:
    """Changes settings that are asked for on every request."""
    before = app.registry.app_settings

    def change(**changes: Any) -> None:
        app.registry.app_settings = replace(before, **changes)

    yield change
    app.registry.app_settings = before


def _from(client: Client, address: str, path: str = "/api", **headers: str) -> Any:
    """A GET by a client at ``address``."""
    return client._app.get(
        path,
        headers={n.replace("_", "-"): v for n, v in headers.items()},
        extra_environ={"REMOTE_ADDR": address},
        expect_errors=True,
    )


# Metrics.


def test_metrics_are_open_to_the_machine_itself_and_to_admins(
    client: Client, people: People, with_settings: Callable[..., None]
) -> None:
    assert "marketplace_http_requests_total" in client.get("/metrics").text
    assert _from(client, "192.0.2.1", "/metrics").status_int == 401
    for caller, status in ((people.customer(), 403), (people.moderator(), 403), (people.admin(), 200)):
        assert _from(client, "192.0.2.1", "/metrics", Authorization=f"Bearer {caller.token}").status_int == status
    with_settings(environment="production")
    assert client.get("/metrics").status_int == 401


def test_a_metrics_token_closes_them_to_everyone_else(client: Client, with_settings: Callable[..., None]) -> None:
    with_settings(metrics_token="a-token-for-the-monitor-only")
    assert client.get("/metrics").status_int == 401
    assert client.get("/metrics", Authorization="Bearer a-token-for-the-monitor").status_int == 401
    allowed = _from(client, "192.0.2.1", "/metrics", Authorization="Bearer a-token-for-the-monitor-only")
    assert allowed.status_int == 200
    # It opens nothing else.
    for path in ("/api/users/me", "/api/auth/sessions", "/api/users/me/export"):
        assert client.get(path, Authorization="Bearer a-token-for-the-monitor-only").status_int in (401, 403)


def test_metrics_count_by_route_and_not_by_address(client: Client) -> None:
    for path in ("/api/listings/424242", "/api/listings/424243", "/wp-login.php"):
        client.get(path)
    for method in ("BREW", "E", "GET, HEAD"):
        assert Request.blank("/api", method=method).get_response(client.app).status_int == 405
    text = client.get("/metrics").text
    assert 'route="listing"' in text
    assert "424242" not in text and "wp-login" not in text
    assert set(re.findall(r'marketplace_http_requests_total\{method="([^"]*)"', text)) <= {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "other",
    }


# The access log.


Lines = Callable[[Callable[[], object]], list[dict[str, Any]]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Runs something and gives the log of it as it leaves the process, record by record."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def during(run: Callable[[], object]) -> list[dict[str, Any]]:
        logs.configure_logging("INFO", pretty=False)
        run()
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield during
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    for name in logs.CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_each_request_is_one_line_with_its_id_and_nobody_s_secrets(logged: Lines, client: Client) -> None:
    account = {"username": "ada", "email": "ada@people.example", "password": PASSWORD}
    pair = client.post("/api/auth/register", account).json
    known, forged = Client(client.app, pair["token"]), Client(client.app, "forged-token-of-somebody")
    answers: list[Any] = []
    written = logged(
        lambda: answers.extend(
            [
                known.get("/api/users/me?fields=email"),
                known.put("/api/users/me", {"email": "ada@elsewhere.example", "currentPassword": PASSWORD}),
                client.post("/api/auth/login", {"email": "ada@people.example", "password": "wrong-" + PASSWORD}),
                client.post("/api/auth/refresh", {"refresh_token": pair["refresh_token"]}),
                client.get("/api/listings?search=ada@people.example"),
                forged.get("/api"),
                client.get("/api", X_Request_ID="given-by-the-client"),
                client.post("/api/auth/reset-password", {"token": "token-from-a-mail", "newPassword": PASSWORD}),
            ]
        )
    )
    text = json.dumps(written)
    secrets = (
        pair["token"],
        pair["refresh_token"],
        PASSWORD,
        "people.example",
        "elsewhere.example",
        "forged-token",
        "token-from-a-mail",
    )
    assert [secret for secret in secrets if secret in text] == []
    access = {line["request_id"]: line for line in written if line["logger"] == "marketplace_api.access"}
    assert len(access) == len(answers)
    for answer in answers:
        line = access[answer.headers["X-Request-ID"]]
        assert (line["event"], line["level"], line["status"]) == ("request", "info", answer.status_int)
        assert (line["method"], line["path"]) == (answer.request.method, answer.request.path)
        assert line["ms"] >= 0
    assert access[answers[0].headers["X-Request-ID"]]["user_id"] == pair["user_id"]
    assert access["given-by-the-client"]["user_id"] is None


def test_a_path_cannot_forge_a_line_of_the_log(logged: Lines, client: Client) -> None:
    written = logged(lambda: client.get('/api/%0a{"event":"forged"}'))
    assert [line["event"] for line in written] == ["request"]
