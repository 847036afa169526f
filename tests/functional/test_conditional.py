"""Conditional requests (RFC 9110, 13) and caching: what has not changed is not sent, what has changed is not lost."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem

MEDIA = ("application/json", "application/hal+json", HAL_FORMS)
STRONG = re.compile(r'"[0-9a-f.]+"')


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _etag(client: Client, path: str, media: str = "application/json") -> str:
    response = client.get(path, Accept=media)
    assert response.status_int == 200, response.text
    return str(response.headers["ETag"])


# Reading.

READABLE = (
    "/api",
    "/api/errors",
    "/api/errors/not_found",
    "/api/rels/owner",
    "/api/categories",
    "/api/search/suggestions?query=bi",
    "/api/listings",
    "/api/listings?search=bicycle&facets=category",
    "/api/users/me",
    "/api/auth/me",
    "/api/auth/sessions",
    "/api/users/me/listings",
    "/api/auth/login",
    "/api/openapi.json",
)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("page", READABLE)
def test_what_the_caller_has_is_not_sent_again(page: str, media: str, owner: Client, path: str) -> None:
    first = owner.get(page, Accept=media)
    etag = first.headers["ETag"]
    assert STRONG.fullmatch(etag), etag
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = owner.get(page, Accept=media, If_None_Match=given)
        assert again.status_int == 304, given
        assert again.body == b""
        assert again.headers["ETag"] == etag
        assert again.headers["Vary"] == first.headers["Vary"]
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
        assert "Content-Type" not in again.headers
        assert again.headers.get("Content-Length", "0") == "0"
    assert owner.get(page, Accept=media, If_None_Match='"other"').status_int == 200


def test_the_tag_of_one_item_and_of_its_list_change_with_it(owner: Client, path: str) -> None:
    pages = (path, "/api/listings", "/api/users/me/listings", f"/api/users/{owner.user.user_id}/listings")
    before = [_etag(owner, page) for page in pages]
    assert owner.put(path, {"title": "Another title"}).status_int == 200
    for page, etag in zip(pages, before, strict=True):
        assert owner.get(page, If_None_Match=etag).status_int == 200, page


def test_each_media_type_has_a_tag_of_its_own(owner: Client, path: str) -> None:
    assert len({_etag(owner, path, media) for media in MEDIA}) == 3


def test_what_was_asked_for_decides_the_tag(owner: Client, path: str) -> None:
    assert len({_etag(owner, path), _etag(owner, f"{path}?fields=title"), _etag(owner, f"{path}?embed=owner")}) == 3


def test_a_tag_of_somebody_else_is_not_taken(owner: Client, path: str, people: People) -> None:
    callers = [people.anonymous(), people.customer(), people.customer(), people.moderator(), owner]
    tags = [_etag(caller, "/api/listings") for caller in callers]
    assert len(set(tags)) == len(callers)
    for caller in callers:
        for etag in tags:
            expected = 304 if etag == _etag(caller, "/api/listings") else 200
            assert caller.get("/api/listings", If_None_Match=etag).status_int == expected


@pytest.mark.parametrize("media", MEDIA)
def test_new_permissions_mean_a_new_tag(media: str, owner: Client, path: str, db: Session) -> None:
    """Nothing in the bytes of the plain representation changes, and yet the caller must look again."""
    etag = _etag(owner, path, media)
    owner.user.state = "suspended"
    db.commit()
    suspended = owner.get(path, Accept=media, If_None_Match=etag)
    assert suspended.status_int == 200
    owner.user.state = "active"
    db.commit()
    assert owner.get(path, Accept=media, If_None_Match=suspended.headers["ETag"]).status_int == 200
    assert owner.get(path, Accept=media, If_None_Match=etag).status_int == 304


def test_a_new_role_means_a_new_tag(people: People, path: str, db: Session) -> None:
    reader = people.customer()
    etag = _etag(reader, path, HAL_FORMS)
    reader.user.roles = ["customer", "moderator"]
    db.commit()
    promoted = reader.get(path, Accept=HAL_FORMS, If_None_Match=etag)
    assert promoted.status_int == 200
    assert "suspend" in promoted.json["_templates"]


def test_a_write_is_never_answered_with_not_modified(owner: Client, path: str) -> None:
    assert owner.put(path, {"title": "Changed"}, If_None_Match=_etag(owner, path)).status_int == 200


# Caching.


def test_what_everybody_may_see_may_be_cached_for_a_moment(people: People, path: str) -> None:
    stranger = people.anonymous()
    for page in (path, "/api/listings", "/api", "/api/categories"):
        control = stranger.get(page).headers["Cache-Control"]
        assert re.fullmatch(r"public, max-age=\d{1,2}", control), (page, control)


def test_what_a_caller_sees_is_theirs_alone(owner: Client, path: str) -> None:
    for page in (path, "/api/listings", "/api", "/api/users/me", "/api/auth/sessions"):
        assert owner.get(page).headers["Cache-Control"] == "private, no-cache", page


def test_what_changes_something_or_fails_is_never_stored(owner: Client, path: str, people: People) -> None:
    answers = [
        owner.put(path, {"title": "Changed"}),
        owner.put(path, {"title": ""}),
        owner.get("/api/listings/999999"),
        people.anonymous().get("/api/users/me"),
        owner.delete(path),
        owner.get(path),
        owner.get("/api/users/me/export"),
        people.anonymous().post("/api/auth/login", {"email": "a@people.example", "password": "wrong"}),
        owner.post("/api/listings", {"title": "x", "category": "furniture", "price": 1}),
        owner.post("/api/listings", {"title": "x", "category": "furniture", "price": 1}, Prefer="return=minimal"),
    ]
    assert [answer.status_int for answer in answers] == [200, 400, 404, 401, 200, 410, 200, 401, 201, 204]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


def test_last_modified_is_when_it_last_changed(owner: Client, path: str, db: Session) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    db.execute(sa.text("UPDATE listings SET date_updated = :then"), {"then": long_ago})
    db.commit()
    before = parsedate_to_datetime(owner.get(path).headers["Last-Modified"])
    assert before == long_ago.replace(microsecond=0)
    owner.put(path, {"title": "Changed"})
    after = owner.get(path)
    changed = datetime.fromisoformat(after.json["date_updated"]).replace(microsecond=0)
    assert parsedate_to_datetime(after.headers["Last-Modified"]) == changed > before
    assert "Last-Modified" not in owner.get("/api/listings").headers  # of a list nobody knows


# Writing.


def test_the_tag_that_was_read_lets_an_edit_through(owner: Client, path: str) -> None:
    for method in ("PUT", "PATCH"):
        for media in MEDIA:
            etag = _etag(owner, path, media)
            answer = owner.request(method, path, {"title": f"{method} {media}"}, headers={"If-Match": etag})
            assert answer.status_int == 200, answer.text
            assert answer.headers["ETag"] != etag


@pytest.mark.parametrize("media", MEDIA)
def test_an_edit_answers_with_the_tag_of_what_it_made(owner: Client, path: str, media: str) -> None:
    answer = owner.put(path, {"title": "Changed"}, Accept=media)
    assert owner.get(path, Accept=media, If_None_Match=answer.headers["ETag"]).status_int == 304
    assert owner.put(path, {"title": "Again"}, If_Match=answer.headers["ETag"]).status_int == 200


@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', "*", '{} , "1.abc"'])
def test_each_way_to_name_the_present_state_passes(owner: Client, path: str, given: str) -> None:
    tag = given.format(_etag(owner, path))
    assert owner.put(path, {"title": "Changed"}, If_Match=tag).status_int == 200


def test_a_tag_read_sparsely_or_in_another_form_passes(owner: Client, path: str) -> None:
    for page in (f"{path}?fields=title", f"{path}?embed=owner", f"/api/v1{path.removeprefix('/api')}"):
        etag = _etag(owner, page, HAL_FORMS)
        assert owner.patch(path, {"title": page}, If_Match=etag).status_int == 200


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("PUT", "", {"title": "Late"}),
        ("PATCH", "", {"title": "Late"}),
        ("DELETE", "", None),
        ("POST", "/deactivate", {}),
        ("POST", "/mark-sold", {}),
    ],
)
def test_who_comes_late_is_told_the_present_state(
    method: str, suffix: str, body: Any, owner: Client, path: str, db: Session
) -> None:
    outdated = _etag(owner, path)
    owner.put(path, {"title": "First"})
    events = db.scalar(sa.select(sa.func.count()).select_from(Event))
    refused = owner.request(method, path + suffix, body, headers={"If-Match": outdated})
    current = assert_problem(refused, 412, "precondition_failed")["current"]
    present = owner.get(path).json
    assert current["title"] == "First"
    assert {**current, "_links": None} == {**present, "_links": None}
    assert owner.get(path).json["status"] == "active"
    assert db.scalar(sa.select(sa.func.count()).select_from(Event)) == events


def test_the_current_state_in_a_refusal_shows_no_more_than_its_reader_may_see(
    people: People, path: str, owner: Client
) -> None:
    outdated = _etag(owner, path)
    owner.put(path, {"title": "First"})
    stranger = people.customer()
    refused = stranger.put(path, {"title": "Mine now"}, If_Match=outdated)
    assert_problem(refused, 403, "forbidden")
    assert "current" not in refused.json


def test_an_edit_of_the_account_is_held_against_its_tag(owner: Client) -> None:
    outdated = _etag(owner, "/api/users/me")
    assert owner.put("/api/users/me", {"bio": "First"}, If_Match=outdated).status_int == 200
    refused = owner.put("/api/users/me", {"bio": "Second"}, If_Match=outdated)
    assert assert_problem(refused, 412, "precondition_failed")["current"]["bio"] == "First"
    assert (
        owner.patch("/api/users/me", {"bio": "Second"}, If_Match=_etag(owner, "/api/auth/me", HAL_FORMS)).status_int
        == 200
    )


def test_a_deleted_listing_is_gone_whatever_tag_is_sent(owner: Client, path: str) -> None:
    etag = _etag(owner, path)
    owner.delete(path, If_Match=etag)
    assert_problem(owner.put(path, {"title": "Late"}, If_Match=etag), 410, "gone")
    assert_problem(owner.get(path, If_None_Match=etag), 410, "gone")


# Races.


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_of_edits_at_the_same_moment_exactly_one_passes(
    method: str, live_people: People, committed_databases: Databases
) -> None:
    owner = live_people.customer()
    row = make_listing(live_people.session, owner.user)
    path = f"/api/listings/{row.listing_id}"
    etag = _etag(owner, path)
    together = Barrier(6)

    def edit(number: int) -> Any:
        caller = Client(owner.app, owner.token)
        together.wait()
        return caller.request(method, path, {"title": f"Title {number}"}, headers={"If-Match": etag})

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(edit, range(6)))
    assert sorted(answer.status_int for answer in answers) == [200] + [412] * 5
    winner = next(answer for answer in answers if answer.status_int == 200)
    assert owner.get(path).json["title"] == winner.json["title"]
    for answer in answers:
        if answer is not winner:
            assert assert_problem(answer, 412, "precondition_failed")["current"]["title"] == winner.json["title"]
    with committed_databases.session() as session:
        assert session.scalar(sa.text("SELECT version FROM listings")) == row.version + 1
        assert session.scalar(sa.text("SELECT count(*) FROM events WHERE type = 'listing.edited'")) == 1


def test_edits_of_the_account_at_the_same_moment_do_not_overwrite_each_other(live_people: People) -> None:
    owner = live_people.customer()
    etag = _etag(owner, "/api/users/me")
    together = Barrier(4)

    def edit(number: int) -> int:
        caller = Client(owner.app, owner.token)
        together.wait()
        return int(caller.put("/api/users/me", {"bio": f"Bio {number}"}, If_Match=etag).status_int)

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(edit, range(4))) == [200, 412, 412, 412]
