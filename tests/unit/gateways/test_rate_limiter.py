"""Counting in the memory of one process; Redis and the answers are tested over HTTP."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.gateways import rate_limiter as module
from marketplace_api.gateways.rate_limiter import Limiter, _Memory


def test_no_request_is_lost_between_threads() -> None:
    limiter = Limiter("", 100)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [limiter.hit("auth", "a", account=False) for _ in range(200)], range(8)))
    allowance = limiter.hit("auth", "a", account=False)
    assert allowance is not None
    assert (allowance.limit, allowance.remaining, allowance.allowed) == (3_000, 3_000 - 1_601, True)


def test_groups_and_subjects_are_counted_apart() -> None:
    limiter = Limiter("")
    for group, subject in (("auth", "a"), ("auth", "b"), ("write", "a")):
        allowance = limiter.hit(group, subject, account=False)
        assert allowance is not None
        assert allowance.remaining == allowance.limit - 1


def test_what_is_over_is_swept_by_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY", 0.0)
    store = _Memory()
    store.timer.join()  # the library's constructor starts one
    assert [store.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    store.incr("b", 0)
    time.sleep(0.01)
    assert store.incr("c", 60) == 1
    assert store.get("a") == 3
    assert sorted(store.expirations) == ["a", "c"], "the one that is over was swept"
    assert not store.timer.is_alive(), "and no thread was started for it"


@pytest.mark.parametrize(
    ("settings", "processes", "told"),
    [
        (Settings(), 3, "3 times"),
        (Settings(), 1, None),
        (Settings(rate_limits=False), 3, None),
        (Settings(redis_url="redis://localhost/0"), 3, None),
    ],
)
def test_it_is_told_where_processes_count_by_themselves(settings: Settings, processes: int, told: str | None) -> None:
    found = module.separate_limits(settings, processes)
    assert found is None if told is None else told in str(found)
