"""Uploads, orders, removals and sweeps at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog import photos
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.media.files import store
from marketplace_api.errors import Conflict, NotFound, Unavailable
from marketplace_api.gateways.storage import LocalStorage, new_key
from marketplace_api.models.catalog.listings import Listing
from tests.functional.files_survive.world import LATER, PNG, SOON, add, assert_together, path_of, swept
from tests.support.client import Client

# Many at once.


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """The results, or the DomainErrors, of calls that begin together in threads of their own."""
    begin = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        begin.wait()
        try:
            results[number] = calls[number]()
        except (Conflict, NotFound, Unavailable) as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def add_patiently(owner: Client, listing: Any) -> Any:
    """As a front end adds a photo: while all decoders are busy it comes again."""
    while (answer := add(owner, listing)).status_int == 503:
        time.sleep(0.1)
    return answer


def test_ten_uploads_at_once_keep_the_limit(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    for _ in range(20):
        assert add(owner, listing).status_int == 201
    answers = at_once([lambda: add_patiently(owner, listing)] * 10)
    assert sorted(answer.status_int for answer in answers) == [201] * 4 + [409] * 6
    assert {answer.json["code"] for answer in answers if answer.status_int == 409} == {"too_many_photos"}
    assert len(owner.get(path_of(listing)).json["photos"]) == 24
    swept(committed_databases, storage, LATER)
    assert_together(committed_databases, storage)


def test_orders_and_removals_at_once(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    ids = [add(owner, listing).json["photo_id"] for _ in range(8)]
    path = path_of(listing)

    def arrange(order: list[int]) -> Any:
        return owner.put(path, {"photos": [{"photo_id": photo_id} for photo_id in order]})

    calls: list[Callable[[], Any]] = [lambda order=order: arrange(order) for order in (ids[::-1], ids[2:] + ids[:2])]
    calls += [
        lambda photo_id=photo_id: owner.delete(f"{path}/{photo_id}") for photo_id in (ids[0], ids[0], ids[3], ids[5])
    ]
    calls += [lambda: add_patiently(owner, listing)] * 2
    answers = at_once(calls)
    assert {answer.status_int for answer in answers[:2]} <= {200, 409}
    assert sorted(answer.status_int for answer in answers[2:4]) == [200, 404]
    assert [answer.status_int for answer in answers[4:]] == [200, 200, 201, 201]
    left = {photo["photo_id"] for photo in owner.get(path).json["photos"]}
    assert left >= set(ids) - {ids[0], ids[3], ids[5]}
    assert len(left) == 7
    swept(committed_databases, storage, LATER)
    assert_together(committed_databases, storage)


def test_two_sweeps_and_uploads_at_once(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    gone = [add(owner, listing).headers["Location"] for _ in range(3)]
    for address in gone:
        owner.delete(address)
    sweeps: list[Callable[[], Any]] = [lambda: swept(committed_databases, storage, SOON)] * 2
    results = at_once([*sweeps, lambda: add(owner, listing), lambda: add(owner, listing)])
    assert sum(report.cleared for report in results[:2]) == 9
    assert [answer.status_int for answer in results[2:]] == [201, 201]
    assert all(report.is_clean for report in results[:2])
    assert_together(committed_databases, storage)


def test_an_upload_that_the_sweep_gave_up_saves_nothing(
    committed_databases: Databases, storage: LocalStorage, listing: Any
) -> None:
    """The request hung for hours between its files and its commit, and the sweep came by."""
    key = new_key("photo", "webp", "full")
    with (
        committed_databases.session() as session,
        pytest.raises(Unavailable, match="nothing was saved"),
        store.staged(committed_databases, storage, listing.user_id, {key: b"content"}) as keys,
    ):
        assert swept(committed_databases, storage, LATER).cleared == 1
        store.commit_staged(session, keys)
    assert_together(committed_databases, storage)


def test_a_request_about_to_commit_is_not_swept_away(
    committed_databases: Databases, storage: LocalStorage, listing: Any
) -> None:
    with committed_databases.session() as session:
        row = session.get_one(Listing, listing.listing_id)
        photos.add(session, committed_databases, storage, operator("test"), row, stream=BytesIO(PNG))
        assert swept(committed_databases, storage, LATER).cleared == 0
        session.commit()
    assert_together(committed_databases, storage)
