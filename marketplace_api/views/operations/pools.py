"""How busy this process' pools of connections are, sampled so that `/metrics` of any process can add up all of them."""

from __future__ import annotations

import threading
import time

from prometheus_client import Gauge

from marketplace_api.database.engines import Databases

SAMPLE_EVERY = 2.0

# Of the processes that live: what a dead one held is free again.
IN_USE = Gauge("marketplace_pool_in_use", "Connections at work for requests.", ["pool"], multiprocess_mode="livesum")
WAITING = Gauge(
    "marketplace_pool_waiting", "Requests that wait for a connection.", ["pool"], multiprocess_mode="livesum"
)
LIMIT = Gauge("marketplace_pool_limit", "Connections that there may be.", ["pool"], multiprocess_mode="livesum")


def sample(databases: Databases) -> None:
    """Take down what the pools of this process are doing now."""
    for name, pool in databases.pools().items():
        IN_USE.labels(name).set(pool.in_use)
        WAITING.labels(name).set(pool.waiting)
        LIMIT.labels(name).set(pool.limit)


def start_sampling(databases: Databases) -> None:
    """Sample from now on to the end of the process, in a thread: when all connections are taken, no request would."""
    threading.Thread(target=_sample_forever, args=(databases,), name="pool-samples", daemon=True).start()


def _sample_forever(databases: Databases) -> None:
    while True:
        sample(databases)
        time.sleep(SAMPLE_EVERY)
