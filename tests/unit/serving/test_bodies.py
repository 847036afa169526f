"""How large, how slow and how many bodies may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.errors import DomainError, Unauthenticated, Unavailable
from marketplace_api.serving import bodies
from marketplace_api.serving.bodies import Bodies, BodyRules, BrokenBodyError, Receive

RULES = BodyRules(timeout=60, minimum_rate=100, limit=1_000, upload_limit=5_000)
FORM = {b"content-type": b"multipart/form-data; boundary=x", b"authorization": b"Bearer x"}
CHUNKED = {b"transfer-encoding": b"chunked"}


def sender(*messages: Mapping[str, Any]) -> Receive:
    left = list(messages)

    async def receive() -> Mapping[str, Any]:
        return left.pop(0) if left else await asyncio.Event().wait() or {}

    return receive


def part(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def received(headers: Mapping[bytes, bytes], *messages: Mapping[str, Any], rules: BodyRules = RULES) -> bytes:
    async def run() -> bytes:
        spool = await Bodies(rules).receive(sender(*messages), headers)
        return spool.reader().read()

    return asyncio.run(run())


def refused(headers: Mapping[bytes, bytes], *messages: Mapping[str, Any], rules: BodyRules = RULES) -> str:
    with pytest.raises(DomainError) as caught:
        received(headers, *messages, rules=rules)
    return caught.value.code


def test_a_body_arrives_in_pieces() -> None:
    assert received({b"content-length": b"5"}, part(b"ab"), part(b""), part(b"cde"), part(b"", more=False)) == b"abcde"
    assert received(CHUNKED, part(b"abc", more=False)) == b"abc"


def test_limits_hold_before_and_while_it_comes() -> None:
    assert refused({b"content-length": b"1001"}) == "body_too_large"
    assert refused(CHUNKED, part(b"x" * 600), part(b"x" * 401)) == "body_too_large"
    assert len(received(CHUNKED, part(b"x" * 1_000), part(b"", more=False))) == 1_000


def test_more_is_for_forms_of_people_with_an_account() -> None:
    assert len(received({**FORM, b"content-length": b"5000"}, part(b"x" * 5_000, more=False))) == 5_000
    assert refused({**FORM, b"content-length": b"5001"}) == "body_too_large"
    with pytest.raises(Unauthenticated):
        received({b"content-type": FORM[b"content-type"], b"content-length": b"5000"})
    assert refused({b"authorization": b"Bearer x", b"content-length": b"5000"}) == "body_too_large"


@pytest.mark.parametrize("length", [b"-1", b"+5", b"5, 5", b"five", b""])
def test_a_length_that_is_none_is_refused(length: bytes) -> None:
    with pytest.raises(BrokenBodyError):
        received({b"content-length": length}, part(b"", more=False))


def test_a_client_that_goes_has_sent_nothing() -> None:
    with pytest.raises(BrokenBodyError):
        received(CHUNKED, part(b"ab"), {"type": "http.disconnect"})


def test_a_body_that_stops_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.05)
    assert refused(CHUNKED, part(b"ab")) == "request_timeout"
    monkeypatch.setattr(bodies, "GRACE", 1_000)
    short = BodyRules(timeout=0.05, minimum_rate=100, limit=1_000, upload_limit=5_000)
    assert refused(CHUNKED, part(b"ab"), rules=short) == "request_timeout"


def test_deadlines_follow_what_is_there() -> None:
    assert [RULES.deadline(size) for size in (0, 100, 1_000, 10_000_000)] == [10, 11, 20, 60]


def test_only_so_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        waiting = Bodies(RULES)
        whole: Callable[[], Receive] = lambda: sender(part(b"x" * 5_000, more=False))  # noqa: E731
        kept = [await waiting.receive(whole(), FORM) for _ in range(bodies.WAITING)]
        with pytest.raises(Unavailable) as caught:
            await waiting.receive(whole(), FORM)
        assert caught.value.retry_after
        waiting.release(kept.pop())
        await waiting.receive(whole(), FORM)

    asyncio.run(run())


def test_a_full_disk_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("marketplace_api.serving.spool.Spool.write", full)
    with pytest.raises(Unavailable, match="No space left"):
        received(CHUNKED, part(b"ab"))


def test_rules_come_from_the_settings() -> None:
    rules = BodyRules.from_settings(Settings(body_timeout=7, body_minimum_rate=8, body_limit=9, video_limit=10**9))
    assert (rules.timeout, rules.minimum_rate, rules.limit) == (7, 8, 9)
    assert rules.upload_limit == 10**9 + bodies.BESIDE_FILES
