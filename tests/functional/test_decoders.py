"""Uploads that keep the decoders busy: who sends them is told, and everybody else is answered."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any

import psutil
import pytest
from PIL import Image

from marketplace_api.gateways import documents, images
from marketplace_api.gateways.decoding.pool import Order, Pool
from marketplace_api.gateways.rate_limiter import Limiter
from tests.factories.images import make_image
from tests.factories.verifications import make_pdf
from tests.functional.photos_world import PNG, add, path_of
from tests.support.client import Client
from tests.support.polling import eventually
from tests.support.problems import assert_problem


def flat(width: int, height: int, kind: str = "PNG") -> bytes:
    """Many pixels in a few kilobytes."""
    out = BytesIO()
    Image.new("L", (width, height)).save(out, kind)
    return out.getvalue()


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    made = Pool("test", 2)
    monkeypatch.setattr(images, "PICTURES", made)
    monkeypatch.setattr(documents, "PICTURES", made)
    yield made
    made.close()


@pytest.fixture
def busy(decoders: Pool) -> Iterator[Pool]:
    """The one decoder that there is has a picture in hand and stands still."""
    decoders.most, decoders.patience = 1, 0.1
    order = Order("variants", {"sizes_of": {"full": 100}, "square": False, **images.bounds()}, PNG)
    decoders.run(order)
    (pid,) = decoders.pids()
    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=decoders.run, args=(order,))
    thread.start()
    eventually(lambda: decoders._working == 1)
    yield decoders
    os.kill(pid, signal.SIGCONT)
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def limited(app: Any) -> Iterator[Callable[[], None]]:
    def use() -> None:
        app.registry.limiter = Limiter("")

    yield use
    app.registry.limiter = None


def test_who_comes_while_all_are_busy_is_told_to_come_back(owner: Client, listing: Any, busy: Pool) -> None:
    answer = add(owner, listing)
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "2"
    document = owner.request("POST", "/api/users/me/verification", {"file": make_pdf(), "document_type": "passport"})
    assert document.status_int == 503, document.text
    picture = owner.request("POST", "/api/users/me/picture", {"file": PNG})
    assert picture.status_int == 503, picture.text
    # What needs no decoder goes on.
    assert owner.get("/healthz").status_int == 200
    assert owner.get(path_of(listing)).json["photos"] == []


def test_the_next_upload_after_a_killed_decoder_works(owner: Client, listing: Any, decoders: Pool) -> None:
    assert add(owner, listing).status_int == 201
    for pid in decoders.pids():
        os.kill(pid, signal.SIGKILL)
        eventually(partial(has_ended, pid))
    assert add(owner, listing).status_int == 201


def test_the_same_giant_many_times_leaves_nothing_behind(owner: Client, listing: Any, decoders: Pool) -> None:
    giant = flat(7000, 7000)
    assert add(owner, listing).status_int == 201
    before = psutil.Process().memory_info().rss
    assert [add(owner, listing, giant).status_int for _ in range(16)] == [201] * 16
    assert psutil.Process().memory_info().rss - before < 150_000_000


def test_pixels_count(owner: Client, listing: Any, decoders: Pool, limited: Callable[[], None]) -> None:
    """Of 49 megapixels twelve pass in a minute, whatever their size in bytes."""
    limited()
    giant = flat(7000, 7000)
    assert [add(owner, listing, giant).status_int for _ in range(12)] == [201] * 12
    answer = add(owner, listing, giant)
    body = assert_problem(answer, 429, "rate_limited")
    assert "49 megapixels" in body["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert len(owner.get(path_of(listing)).json["photos"]) == 12
    assert add(owner, listing, PNG).status_int == 429, "until the minute is over"


def test_a_listing_full_of_photos_passes(
    owner: Client, listing: Any, decoders: Pool, limited: Callable[[], None]
) -> None:
    limited()
    photo = make_image("JPEG", (4000, 3000))
    assert [add(owner, listing, photo).status_int for _ in range(24)] == [201] * 24


def test_what_is_no_picture_costs_next_to_nothing(
    owner: Client, listing: Any, decoders: Pool, limited: Callable[[], None]
) -> None:
    limited()
    answers = [add(owner, listing, b"no picture") for _ in range(20)]
    assert {(answer.status_int, answer.json["code"]) for answer in answers} == {(400, "invalid_file")}
