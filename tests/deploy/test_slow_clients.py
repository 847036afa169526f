"""Nobody who sends slowly, wrongly or nothing keeps others from being served: sockets against the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import make_databases
from tests.deploy.world import ROOT, production_environment
from tests.factories.accounts import make_user
from tests.support import postgres
from tests.support.production import Server, proxied, pserve
from tests.support.raw_http import Answer, Connection, ask, post, request

SLOW = 9  # more than all threads of all processes
IDLE = 300
JSON = "Content-Type: application/json"
LOGIN = "/api/auth/login"
LENGTH, CHUNKED = "Content-Length: 1000", "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    name = f"throwaway_{uuid4().hex[:12]}"
    yield postgres.clone_database(postgres_server, template_database, name)
    postgres.drop_database(postgres_server, name)


@pytest.fixture(scope="module")
def production(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`pserve production.ini`, with fewer threads than slow clients will come."""
    folder = tmp_path_factory.mktemp("production")
    more = {
        "SMTP_URL": "smtp://127.0.0.1",
        "RATE_LIMIT_MULTIPLIER": "1000",
        "AUTH_BCRYPT_COST": "4",
        "HTTP_HEADER_TIMEOUT": "5",
        "HTTP_DRAIN_SECONDS": "0",
    }
    ini = folder / "production.ini"
    ini.write_text((ROOT / "production.ini").read_text().replace("workers =\n", "workers = 2\n"))
    with pserve(ini, folder, production_environment(database, folder, **more)) as server:
        yield server


@pytest.fixture(scope="module")
def development(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`pserve development.ini`, on a database where somebody is, so that it makes no demonstration."""
    folder = tmp_path_factory.mktemp("development")
    environment = production_environment(database, folder, AUTH_BCRYPT_COST="4", PUBLIC_URL="http://127.0.0.1:6543")
    databases = make_databases(database, system=True)
    with databases.session() as session:
        make_user(session)
        session.commit()
    databases.dispose()
    with pserve(ROOT / "development.ini", folder, environment) as server:
        yield server


@pytest.fixture(params=["direct", "caddy", "nginx"])
def production_port(request: pytest.FixtureRequest, production: Server, tmp_path: Path) -> Iterator[int]:
    """Where production is reached: itself, and behind each of the shipped proxies."""
    if request.param == "direct":
        yield production.port
        return
    with proxied(request.param, [production.port], tmp_path) as proxy:
        yield proxy.port


class Dripping:
    """Connections whose bodies come a byte at a time, slower than a byte a second, for as long as they are let."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._stop = Event()
        self.connections = []
        for kind, begin in [(LENGTH, b"{"), (CHUNKED, b"1\r\n{\r\n")]:
            for _ in range(SLOW):
                connection = stack.enter_context(Connection(port))
                assert connection.send(request("POST", LOGIN, JSON, kind, body=begin))
                self.connections.append((connection, b"1\r\n \r\n" if kind == CHUNKED else b" "))
        thread = Thread(target=self._drip, daemon=True)
        stack.callback(thread.join)
        stack.callback(self._stop.set)
        thread.start()

    def _drip(self) -> None:
        while not self._stop.wait(2):
            for connection, piece in self.connections:
                connection.send(piece)

    def answers(self) -> list[Answer]:
        return [connection.answer() for connection, _ in self.connections]


def _is_served(port: int, ready: int = 200) -> None:
    assert ask(port, request("GET", "/healthz")).json == {"status": "alive"}
    assert ask(port, request("GET", "/readyz")).status == ready
    assert ask(port, request("GET", "/api/listings")).status == 200
    nobody = f"{uuid4().hex}@people.example"  # anew each time: accounts wait after a few failures
    refused = ask(port, post(LOGIN, {"email": nobody, "password": "of no use at all"}))
    assert (refused.status, refused.code) == (401, "invalid_credentials")


# Slow ones.


def test_slow_bodies_hold_nobody_up_and_are_cut_off(production_port: int, production: Server) -> None:
    ready = 200 if production_port == production.port else 404  # proxies keep it inside
    with ExitStack() as stack:
        slow = Dripping(production_port, stack)
        _is_served(production_port, ready)
        _is_served(production.port)
        if production_port != production.port:
            return  # there they hold a connection of the proxy's, which is cheap
        assert {(answer.status, answer.code, answer.headers["connection"]) for answer in slow.answers()} == {
            (408, "request_timeout", "close")
        }
    _is_served(production_port, ready)


def test_slow_headers_are_cut_off(production_port: int) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(production_port)) for _ in range(SLOW)]
        for connection in slow:
            assert connection.send(b"GET /api HTTP/1.1\r\nHost: market.example\r\nX-Slow: ")
        assert ask(production_port, request("GET", "/healthz")).status == 200
        assert {connection.answer().status for connection in slow} <= {0, 408}


def test_idle_connections_hurt_nobody(production_port: int) -> None:
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(Connection(production_port))
        assert ask(production_port, request("GET", "/healthz")).status == 200
        assert ask(production_port, request("GET", "/api/listings")).status == 200


def test_idle_connections_end(production: Server) -> None:
    with Connection(production.port) as silent, Connection(production.port) as used:
        used.send(request("GET", "/healthz"))
        assert used.answer().status == 200
        assert silent.is_ended() and used.is_ended()


# Wrong ones.


@pytest.mark.parametrize(
    "hosts", [["Host: market.example", "Host: market.example"], ["Host: a.example", "Host: b.example"], []]
)
def test_one_host_is_needed(hosts: list[str], production_port: int, production: Server) -> None:
    refused = ask(production_port, request("GET", "/api", *hosts, host=None))
    assert refused.status == 400
    if production_port == production.port:
        assert refused.code == "malformed_request"


def test_an_old_client_needs_no_host(production: Server) -> None:
    assert ask(production.port, b"GET /healthz HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'zz\r\n{"a":1}\r\n0\r\n\r\n',
        b'-1\r\n{"a":1}\r\n0\r\n\r\n',
        b'7\r\n{"a":1}\r\nxyz\r\n\r\n',
        b"fffffffffffffffff\r\n{}\r\n",
    ],
)
def test_a_bad_chunk_size_is_refused(body: bytes, production_port: int, production: Server) -> None:
    refused = ask(production_port, request("POST", LOGIN, JSON, CHUNKED, body=body))
    assert refused.status == 400 or (production_port != production.port and refused.status in (0, 502))
    if production_port == production.port:
        assert refused.code == "malformed_request"


def test_a_body_that_ends_early_is_not_acted_on(production: Server) -> None:
    name = f"early{uuid4().hex[:8]}"
    account = {"username": name, "email": f"{name}@people.example", "password": "correct horse battery"}
    whole = post("/api/auth/register", account).replace(b"Content-Length: ", b"Content-Length: 1")
    with Connection(production.port) as connection:
        connection.send(whole)
        connection.socket.shutdown(1)
        assert connection.answer().status in (0, 400)
    assert ask(production.port, post("/api/auth/register", account)).status == 201


def test_large_bodies_are_refused_before_they_come(production: Server) -> None:
    too_large = ask(production.port, request("POST", LOGIN, JSON, "Content-Length: 99999999"))
    assert (too_large.status, too_large.code) == (413, "body_too_large")
    form = "Content-Type: multipart/form-data; boundary=x"
    anonymous = ask(production.port, request("POST", "/api/listings/1/photos", form, "Content-Length: 9999999"))
    assert (anonymous.status, anonymous.code) == (401, "unauthenticated")
    size = 2 * 1024 * 1024
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)
    with Connection(production.port) as connection:
        connection.send(request("POST", LOGIN, JSON, CHUNKED, body=chunk))
        assert connection.answer().status in (413, 0)


# What must go on working.


def test_connections_are_kept_and_continued(production: Server) -> None:
    with Connection(production.port) as connection:
        for _ in range(2):
            connection.send(request("POST", LOGIN, JSON, "Expect: 100-continue", "Content-Length: 2", body=b"{}"))
            assert connection.answer().status == 400
        connection.send(request("HEAD", "/api/listings"))
        head = connection.answer("HEAD")
        connection.send(request("GET", "/api/listings"))
        assert connection.answer().headers["content-length"] == head.headers["content-length"]


def test_headers_with_an_underscore_pass_for_no_others(production: Server) -> None:
    wanted = "an-id-of-my-own"
    given = [
        ask(production.port, request("GET", "/healthz", f"{name}: {wanted}"))
        for name in ("X-Request-ID", "X_Request_ID")
    ]
    assert [answer.headers["x-request-id"] == wanted for answer in given] == [True, False]


# In development.


def test_development_is_not_stopped_either(development: Server) -> None:
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(Connection(development.port))
        Dripping(development.port, stack)
        _is_served(development.port)


@pytest.mark.parametrize("hosts", [["Host: a.example", "Host: b.example"], []])
def test_development_needs_one_host(hosts: list[str], development: Server) -> None:
    assert ask(development.port, request("GET", "/api", *hosts, host=None)).status == 400


def test_development_refuses_a_bad_chunk_size(development: Server) -> None:
    assert ask(development.port, request("POST", LOGIN, JSON, CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n")).status == 400
