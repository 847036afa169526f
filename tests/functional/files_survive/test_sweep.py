"""The sweep: what goes, what comes back, and when."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.media.files.sweep import MOST_STRAYS
from marketplace_api.domain.privacy import erasure
from marketplace_api.gateways.storage import LocalStorage, new_key
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.worker import run_pending
from marketplace_api.models.identity.accounts import User
from tests.functional.files_survive.world import LATER, PNG, SOON, add, assert_together, objects, path_of, states, swept
from tests.support.client import Client

# What no crash explains.


def test_a_lost_object_is_not_shown_until_it_is_back(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    lost, kept = add(owner, listing).json, add(owner, listing).json
    key = lost["urls"]["card"].rpartition("/")[2]
    content = b"".join(storage.read(key) or ())
    storage.delete(key)
    assert swept(committed_databases, storage, SOON).missing == (), "too young to be sure"
    assert swept(committed_databases, storage, LATER).missing == (key,)
    assert swept(committed_databases, storage, LATER).missing == ()
    assert [photo["photo_id"] for photo in owner.get(path_of(listing)).json["photos"]] == [kept["photo_id"]]
    assert owner.get(lost["_links"]["self"]["href"]).status_int == 404
    order = [{"photo_id": kept["photo_id"], "alt_text": "still there"}]
    assert owner.put(path_of(listing), {"photos": order}).status_int == 200
    storage.put(key, BytesIO(content))
    assert swept(committed_databases, storage, LATER).found_again == (key,)
    shown = [photo["photo_id"] for photo in owner.get(path_of(listing)).json["photos"]]
    assert shown == [kept["photo_id"], lost["photo_id"]]
    assert_together(committed_databases, storage)


def test_strays_go_but_not_a_whole_storage(committed_databases: Databases, storage: LocalStorage) -> None:
    def put(count: int) -> set[str]:
        keys = {new_key("photo", "webp", "full") for _ in range(count)}
        for key in keys:
            storage.put(key, BytesIO(b"stray"))
        return keys

    few = put(3)
    assert swept(committed_databases, storage, SOON).strays == ()
    report = swept(committed_databases, storage, LATER)
    assert (set(report.strays), report.strays_deleted) == (few, True)
    assert objects(storage) == set()
    many = put(MOST_STRAYS + 1)
    report = swept(committed_databases, storage, LATER)
    assert (set(report.strays), report.strays_deleted) == (many, False)
    assert objects(storage) == many


# Jobs.


@pytest.fixture
def with_jobs(committed_databases: Databases) -> None:
    committed_databases.on_event = dispatch.dispatch


def test_files_go_soon_after_their_photo(
    with_jobs: None,
    committed_databases: Databases,
    storage: LocalStorage,
    listing: Any,
    owner: Client,
    settings: Settings,
) -> None:
    settings = replace(settings, data_dir=storage.folder.parent)
    photo = add(owner, listing).json
    owner.delete(photo["_links"]["self"]["href"])
    with committed_databases.session() as session:
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        session.commit()
    run_pending(settings, committed_databases)
    assert objects(storage) == set()
    assert states(committed_databases) == []


def test_an_erased_account_leaves_no_pictures(
    with_jobs: None,
    committed_databases: Databases,
    storage: LocalStorage,
    listing: Any,
    owner: Client,
    settings: Settings,
) -> None:
    settings = replace(settings, data_dir=storage.folder.parent)
    add(owner, listing)
    owner.request("POST", "/api/users/me/picture", {"file": PNG})
    assert len(objects(storage)) == 5
    with committed_databases.session() as session:
        user = session.get_one(User, owner.user.user_id)
        erasure.erase_account(session, AccountRules.from_settings(settings), user, operator("test"))
        session.commit()
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        session.commit()
    run_pending(settings, committed_databases)
    assert objects(storage) == set()
    assert states(committed_databases) == []


def test_the_hourly_task_reports(committed_databases: Databases, storage: LocalStorage, settings: Settings) -> None:
    from marketplace_api.gateways.email import make_mailer
    from marketplace_api.jobs import schedule
    from marketplace_api.jobs.services import Services

    services = Services(replace(settings, data_dir=storage.folder.parent), make_mailer(settings))
    assert ("37 * * * *", schedule.sweep_files) in schedule.PERIODIC
    storage.put(new_key("photo", "webp"), BytesIO(b"young"))
    with Session(committed_databases.write) as session:
        schedule.sweep_files(session, services)
    assert len(objects(storage)) == 1
