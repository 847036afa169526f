"""Files of a listing that is out of public view are out of it as well, but for those who may see the listing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.media.files.visibility import OPEN_SECONDS, OpenFiles
from tests.factories.accounts import People
from tests.factories.files import give_video, make_photo
from tests.support.client import Client
from tests.support.sql_recorder import recorded


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self) -> None:
        self.now += OPEN_SECONDS


@pytest.fixture
def clock(app: Any, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(app.registry, "open_files", OpenFiles(clock))
    return clock


@pytest.fixture
def keys(db: Session, listing: Any, app: Any) -> list[str]:
    photo = make_photo(db, listing, app.registry.storage)
    video = give_video(db, listing, app.registry.storage)
    return [photo.full_key, photo.card_key, photo.thumb_key, video.video_key, video.poster_key]


def statuses(client: Client, keys: list[str]) -> set[int]:
    return {client.get(f"/files/{key}").status_int for key in keys}


def addresses(client: Client, listing: Any) -> list[str]:
    path = f"/api/listings/{listing.listing_id}"
    [photo] = client.get(f"{path}/photos").json["photos"]
    video = client.get(f"{path}/video").json
    return [*photo["urls"].values(), video["url"], video["poster_url"]]


@pytest.mark.parametrize(
    ("take_away", "bring_back"),
    [(("suspend", {"reason": "A counterfeit."}), ("reinstate", {"reason": "It is not."})), (None, ("restore", {}))],
    ids=["suspended", "deleted"],
)
def test_they_go_and_come_back_with_the_listing(
    take_away: Any, bring_back: Any, listing: Any, keys: list[str], clock: Clock, people: People, client: Client
) -> None:
    moderator, path = people.moderator(), f"/api/listings/{listing.listing_id}"
    assert statuses(client, keys) == {200}
    gone = moderator.post(f"{path}/{take_away[0]}", take_away[1]) if take_away else moderator.delete(path)
    assert gone.status_int in (200, 204), gone.text
    clock.pass_by()
    assert statuses(client, keys) == {404}
    assert statuses(moderator, keys) == {404}, "a public address carries nobody's rights"
    back = moderator.post(f"{path}/{bring_back[0]}", bring_back[1])
    assert back.status_int == 200, back.text
    assert statuses(client, keys) == {200}, "at once"


def test_whoever_may_see_the_listing_sees_its_files(
    listing: Any, keys: list[str], clock: Clock, people: People, owner: Client, client: Client
) -> None:
    moderator = people.moderator()
    assert sorted(addresses(client, listing)) == sorted(f"/files/{key}" for key in keys)
    assert moderator.post(f"/api/listings/{listing.listing_id}/suspend", {"reason": "A counterfeit."}).status_int == 200
    clock.pass_by()
    for caller in (owner, moderator):
        signed = addresses(caller, listing)
        assert addresses(caller, listing) == signed, "the same for a while, for the sake of ETags"
        for address in signed:
            shown = client.get(address)
            assert (shown.status_int, shown.headers["Cache-Control"]) == (200, "private, no-store")
            assert client.get(f"{address}0").status_int in (400, 403)
    assert client.get(f"/api/listings/{listing.listing_id}/photos").status_int == 404


def test_a_ban_of_the_owner_takes_them_away(
    listing: Any, keys: list[str], clock: Clock, people: People, owner: Client, client: Client
) -> None:
    banned = people.admin().post(f"/api/admin/users/{owner.user.user_id}/ban", {"reason": "Fraud."})
    assert banned.status_int == 200, banned.text
    clock.pass_by()
    assert statuses(client, keys) == {404}


def test_a_file_that_was_just_open_costs_no_question(keys: list[str], clock: Clock, client: Client) -> None:
    assert client.get(f"/files/{keys[0]}").status_int == 200
    with recorded() as statements:
        assert client.get(f"/files/{keys[0]}").status_int == 200
    assert not [statement for statement in statements if "listing_photos" in str(statement)]
