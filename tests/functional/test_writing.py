"""Writing: PUT and PATCH, all errors at once, Idempotency-Key, and what ``Prefer`` asks for."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases
from marketplace_api.hal import operations
from marketplace_api.jobs import queue, schedule
from marketplace_api.models.idempotency import StoredAnswer
from marketplace_api.resources.listings import ListingContext
from tests.client import HAL_FORMS, Client
from tests.factories.accounts import PASSWORD, People
from tests.factories.listings import make_listing
from tests.problems import assert_problem, named

NEW = {"title": "Lamp", "category": "furniture", "price": 5, "currency": "EUR"}
MEDIA = ("application/json", "application/hal+json", HAL_FORMS)


@pytest.fixture
def owner(people: People) -> Client:
    return people.customer()


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _count(db: Session, table: str) -> int:
    return int(db.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def _unlinked(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if not name.startswith("_")}


# PUT and PATCH.


def test_put_leaves_what_it_does_not_name(owner: Client, path: str, db: Session) -> None:
    db.execute(sa.text("UPDATE listings SET date_updated = date_updated - interval '1 hour'"))
    db.commit()
    before = _unlinked(owner.get(path).json)
    answer = owner.put(path, {"title": "Another title"})
    assert answer.status_int == 200
    expected = {**before, "title": "Another title", "date_updated": answer.json["date_updated"]}
    assert _unlinked(answer.json) == expected == _unlinked(owner.get(path).json)
    assert answer.json["date_updated"] > before["date_updated"]


def test_put_of_a_location_replaces_it_as_a_whole(owner: Client, path: str) -> None:
    location = owner.put(path, {"location": {"city": "Hamburg"}}).json["location"]
    assert location == {
        "address": None, "city": "Hamburg", "state": None, "zip": None, "country": None, "latitude": None,
        "longitude": None, "is_approximate": False,
    }  # fmt: skip


def test_patch_merges_a_location_part_by_part(owner: Client, path: str) -> None:
    before = owner.get(path).json["location"]
    location = owner.patch(path, {"location": {"city": "Potsdam", "address": None}}).json["location"]
    assert location == {**before, "city": "Potsdam", "address": None}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_location_that_is_null_is_taken_away(owner: Client, path: str, method: str) -> None:
    answer = owner.request(method, path, {"location": None})
    assert answer.status_int == 200
    assert {value for name, value in answer.json["location"].items() if name != "is_approximate"} == {None}


def test_patch_takes_a_merge_patch_and_plain_json(owner: Client, path: str) -> None:
    for media in ("application/merge-patch+json", "application/json", "application/json; charset=utf-8"):
        answer = owner.request("PATCH", path, {"title": media}, headers={"Content-Type": media})
        assert (answer.status_int, answer.json["title"]) == (200, media)


def test_null_is_refused_where_a_field_cannot_be_taken_away(owner: Client, path: str) -> None:
    body = assert_problem(owner.patch(path, {"title": None, "price": None}), 400, "invalid_input")
    assert named(body) == {"title": "not_text", "price": "not_a_number"}


def test_contact_information_is_merged_by_patch_and_replaced_by_put(owner: Client) -> None:
    me = "/api/users/me"
    owner.put(me, {"contact_information": {"phone": "+49 30 1", "address": "Berlin"}})
    assert owner.patch(me, {"contact_information": {"phone": None}}).json["contact_information"] == {
        "address": "Berlin"
    }
    assert owner.patch(me, {"contact_information": {"phone": "2"}}).json["contact_information"] == {
        "address": "Berlin", "phone": "2",
    }  # fmt: skip
    assert owner.put(me, {"contact_information": {"phone": "3"}}).json["contact_information"] == {"phone": "3"}


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("page", ["listing", "/api/users/me"])
def test_what_was_read_may_be_sent_back_and_changes_nothing(
    page: str, method: str, media: str, owner: Client, path: str, db: Session
) -> None:
    address = path if page == "listing" else page
    read = owner.get(address, Accept=media)
    events = _count(db, "events")
    sent_as = media if method == "PUT" else "application/merge-patch+json"
    answer = owner.request(method, address, raw=read.body, headers={"Content-Type": sent_as, "Accept": media})
    assert answer.status_int == 200, answer.text
    assert answer.json == read.json
    assert answer.headers["ETag"] == read.headers["ETag"]
    assert _count(db, "events") == events


def test_what_was_read_with_its_owner_inside_may_be_sent_back(owner: Client, path: str) -> None:
    read = owner.get(f"{path}?embed=owner", Accept="application/hal+json")
    assert "owner" in read.json["_embedded"]
    assert owner.put(path, read.json).status_int == 200
    plain = owner.get(f"{path}?embed=owner")
    assert owner.put(path, plain.json).status_int == 200


def test_read_only_fields_are_ignored(owner: Client, path: str, people: People) -> None:
    before = owner.get(path).json
    sent = {
        "listing_id": 1, "user_id": people.customer().user.user_id, "date_created": "1999-01-01T00:00:00Z",
        "rating_count": 500,
        "rating_average": 5, "is_verified_listing": True, "status_reason": "none", "title": "Real change",
        "distance_km": 0,
    }  # fmt: skip
    answer = owner.put(path, sent)
    assert answer.status_int == 200
    assert {name: answer.json[name] for name in sent if name in before and name != "title"} == {
        name: before[name] for name in sent if name in before and name != "title"
    }
    mine = owner.get("/api/users/me").json
    answer = owner.put(
        "/api/users/me", {"roles": ["admin"], "is_verified": True, "user_id": 1, "state": "active", "bio": "New"}
    )
    assert answer.status_int == 200
    assert (answer.json["roles"], answer.json["is_verified"], answer.json["user_id"]) == (
        ["customer"],
        False,
        mine["user_id"],
    )


def test_an_unknown_field_is_told_with_what_was_probably_meant(owner: Client, path: str) -> None:
    body = assert_problem(owner.put(path, {"titel": "Lamp", "colour": "red"}), 400, "invalid_input")
    messages = {error["name"]: error["message"] for error in body["errors"]}
    assert "Did you mean title?" in messages["titel"]
    assert "title" in messages["colour"] and "price" in messages["colour"]
    inside = assert_problem(owner.put(path, {"location": {"citty": "Bonn"}}), 400, "invalid_input")
    assert "Did you mean city?" in inside["errors"][0]["message"]
    unknown = assert_problem(owner.get("/api/listings?serach=lamp"), 400, "unknown_parameter")
    assert "Did you mean search?" in unknown["errors"][0]["message"]


def test_all_errors_come_at_once_each_with_its_place(owner: Client) -> None:
    sent = {
        "title": "", "description": 5, "price": -1, "currency": "XXX", "location": {"latitude": 100, "city": []},
        "photos_urls": ["nonsense", "https://photos.example/1.jpg", 5], "amenities": "lights", "status": "sold",
        "colour": "red",
    }  # fmt: skip
    body = assert_problem(owner.post("/api/listings", sent), 400, "invalid_input")
    assert named(body) == {
        "title": "too_short", "description": "not_text", "category": "required", "price": "out_of_range",
        "currency": "unknown_currency", "location.latitude": "out_of_range", "location.city": "not_text",
        "photos_urls.0": "too_short", "photos_urls.2": "not_text", "amenities": "not_a_list", "status": "not_a_choice",
        "colour": "unknown_field",
    }  # fmt: skip
    assert "11 more" in body["detail"]


def test_a_refused_edit_changes_nothing_at_all(owner: Client, path: str, db: Session) -> None:
    before, events = owner.get(path), _count(db, "events")
    for sent in ({"title": "New", "price": -1}, {"title": "New", "category": "nope"},
        {"title": "New", "status": "suspended"},
                 {"title": "New", "location": {"latitude": 1, "longitude": None}}):  # fmt: skip
        assert owner.put(path, sent).status_int in (400, 403, 409)
        assert owner.patch(path, sent).status_int in (400, 403, 409)
    assert owner.get(path).json == before.json
    assert owner.get(path).headers["ETag"] == before.headers["ETag"]
    assert _count(db, "events") == events


# Idempotency-Key.


def test_a_retry_gets_the_stored_answer_and_does_nothing(owner: Client, db: Session) -> None:
    first = owner.post("/api/listings", NEW, Idempotency_Key="k-1")
    again = owner.post("/api/listings", NEW, Idempotency_Key="k-1")
    assert (first.status_int, again.status_int) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.body == first.body
    for name in ("Location", "ETag", "Content-Type", "Vary", "Cache-Control"):
        assert again.headers[name] == first.headers[name]
    assert _count(db, "listings") == 1


def test_another_key_or_none_is_another_request(owner: Client, db: Session) -> None:
    for headers in ({"Idempotency_Key": "a"}, {"Idempotency_Key": "b"}, {}, {}):
        assert owner.post("/api/listings", NEW, **headers).status_int == 201
    assert _count(db, "listings") == 4


def test_a_key_with_another_request_is_refused(owner: Client, path: str, db: Session) -> None:
    owner.post("/api/listings", NEW, Idempotency_Key="k")
    other = {**NEW, "title": "Chair"}
    assert_problem(owner.post("/api/listings", other, Idempotency_Key="k"), 422, "idempotency_key_reused")
    assert_problem(owner.post(f"{path}/deactivate", {}, Idempotency_Key="k"), 422, "idempotency_key_reused")
    assert _count(db, "listings") == 2


def test_a_key_with_another_body_in_chunks_is_refused(owner: Client, app: Any, db: Session) -> None:
    """Without a Content-Length the body counts all the same."""

    def post(body: dict[str, Any]) -> int:
        environ = {
            "wsgi.input": io.BytesIO(orjson.dumps(body)), "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_TYPE": "application/json", "HTTP_IDEMPOTENCY_KEY": "chunks",
            "HTTP_AUTHORIZATION": f"Bearer {owner.token}",
            "REQUEST_METHOD": "POST", "PATH_INFO": "/api/listings", "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "QUERY_STRING": "",
        }  # fmt: skip
        begun: list[str] = []
        b"".join(app(environ, lambda status, _headers, _error=None: begun.append(status)))
        return int(begun[0][:3])

    assert [post(NEW), post(NEW), post({**NEW, "title": "Chair"})] == [201, 201, 422]
    assert _count(db, "listings") == 1


def test_a_failed_request_does_not_use_its_key_up(owner: Client, db: Session) -> None:
    assert owner.post("/api/listings", {**NEW, "price": -1}, Idempotency_Key="k").status_int == 400
    assert owner.post("/api/listings", {**NEW, "category": "nope"}, Idempotency_Key="k").status_int == 400
    assert _count(db, "stored_answers") == 0
    answer = owner.post("/api/listings", NEW, Idempotency_Key="k")
    assert (answer.status_int, "Idempotent-Replayed" in answer.headers) == (201, False)


def test_the_same_key_of_somebody_else_is_another_key(owner: Client, people: People, db: Session) -> None:
    mine = owner.post("/api/listings", NEW, Idempotency_Key="shared")
    theirs = people.customer().post("/api/listings", NEW, Idempotency_Key="shared")
    assert theirs.status_int == 201
    assert "Idempotent-Replayed" not in theirs.headers
    assert theirs.json["user_id"] != mine.json["user_id"]
    assert _count(db, "listings") == 2


def test_an_answer_is_kept_for_a_day(owner: Client, db: Session) -> None:
    first = owner.post("/api/listings", NEW, Idempotency_Key="k")
    almost, over = (
        datetime.now(UTC) - timedelta(hours=23, minutes=59),
        datetime.now(UTC) - timedelta(hours=24, minutes=1),
    )
    db.execute(sa.update(StoredAnswer).values(date_created=almost))
    db.commit()
    assert owner.post("/api/listings", NEW, Idempotency_Key="k").json == first.json
    db.execute(sa.update(StoredAnswer).values(date_created=over))
    db.commit()
    later = owner.post("/api/listings", NEW, Idempotency_Key="k")
    assert (later.status_int, "Idempotent-Replayed" in later.headers) == (201, False)
    assert later.json["listing_id"] != first.json["listing_id"]
    db.execute(sa.update(StoredAnswer).values(date_created=over))
    db.commit()
    schedule.purge_expired(db, None)  # type: ignore[arg-type]
    assert _count(db, "stored_answers") == 0


def test_who_may_no_longer_do_it_does_not_read_the_stored_answer(owner: Client, db: Session) -> None:
    owner.post("/api/listings", NEW, Idempotency_Key="k")
    owner.user.state = "suspended"
    db.commit()
    refused = owner.post("/api/listings", NEW, Idempotency_Key="k")
    assert_problem(refused, 403, "account_suspended")
    assert "Lamp" not in refused.text
    owner.user.state = "banned"
    db.commit()
    assert_problem(owner.post("/api/listings", NEW, Idempotency_Key="k"), 401, "session_ended")
    assert_problem(Client(owner.app).post("/api/listings", NEW, Idempotency_Key="k"), 401, "unauthenticated")


def test_a_step_that_was_taken_is_replayed_although_it_is_not_possible_again(
    owner: Client, path: str, db: Session
) -> None:
    first = owner.post(f"{path}/mark-sold", {}, Idempotency_Key="sold")
    again = owner.post(f"{path}/mark-sold", {}, Idempotency_Key="sold")
    assert (first.status_int, again.status_int, again.headers["Idempotent-Replayed"]) == (200, 200, "true")
    assert again.json == first.json
    assert_problem(owner.post(f"{path}/mark-sold", {}), 409, "wrong_state")


def test_the_order_of_the_same_fields_is_another_body(owner: Client) -> None:
    """The key stands for the very same request; who rewrites it has made another one."""
    owner.post("/api/listings", NEW, Idempotency_Key="k")
    reversed_fields = dict(reversed(NEW.items()))
    assert_problem(owner.post("/api/listings", reversed_fields, Idempotency_Key="k"), 422, "idempotency_key_reused")


def test_stored_answers_cannot_be_read_in_the_table(client: Client, people: People, db: Session) -> None:
    account = {"username": "newcomer", "email": "newcomer@people.example", "password": PASSWORD}
    first = client.post("/api/auth/register", account, Idempotency_Key="register-me")
    again = client.post("/api/auth/register", account, Idempotency_Key="register-me")
    assert (first.status_int, again.status_int) == (201, 201)
    assert again.json == first.json
    rows = db.execute(sa.text("SELECT key_hash, request_hash, answer FROM stored_answers")).all()
    assert len(rows) == 1
    kept = b"".join(bytes(value) for value in rows[0])
    for secret in (first.json["token"], first.json["refresh_token"], "newcomer", "register-me", PASSWORD, "token"):
        assert secret.encode() not in kept
    assert len(set(kept)) > 100  # noise, not text


def test_an_answer_moved_to_another_key_is_not_opened(owner: Client, people: People, db: Session) -> None:
    """Whoever can write to the table still cannot hand one caller's answer to another."""
    thief = people.customer()
    owner.post("/api/listings", {**NEW, "title": "Secret lamp"}, Idempotency_Key="mine")
    thief.post("/api/listings", NEW, Idempotency_Key="theirs")
    stolen, own = (
        db.execute(sa.text("SELECT answer FROM stored_answers ORDER BY date_created, key_hash")).scalars().all()
    )
    db.execute(
        sa.text("UPDATE stored_answers SET answer = CASE answer WHEN :a THEN :b ELSE :a END"), {"a": stolen, "b": own}
    )
    db.commit()
    again = thief.post("/api/listings", NEW, Idempotency_Key="theirs")
    assert "Secret lamp" not in again.text
    assert "Idempotent-Replayed" not in again.headers


def test_a_request_whose_first_try_is_still_running_is_told_to_wait(
    live_people: People, committed_databases: Databases
) -> None:
    owner = live_people.customer()
    holding, done = Signal(), Signal()

    def hold(_session: Session, _event: Any) -> None:
        """Stops the first request in the middle of its transaction."""
        holding.set()
        assert done.wait(30)

    committed_databases.on_event = hold
    answers: list[Any] = []
    first = Thread(target=lambda: answers.append(owner.post("/api/listings", NEW, Idempotency_Key="k")))
    first.start()
    assert holding.wait(30)
    meanwhile = Client(owner.app, owner.token).post("/api/listings", NEW, Idempotency_Key="k")
    assert_problem(meanwhile, 409, "request_in_flight")
    assert int(meanwhile.headers["Retry-After"]) >= 1
    committed_databases.on_event = None
    done.set()
    first.join()
    after = owner.post("/api/listings", NEW, Idempotency_Key="k")
    assert answers[0].status_int == 201
    assert (after.body, after.headers["Idempotent-Replayed"]) == (answers[0].body, "true")


def test_many_tries_at_once_have_one_effect(live_people: People, committed_databases: Databases) -> None:
    owner = live_people.customer()

    def post(_number: int) -> int:
        return int(Client(owner.app, owner.token).post("/api/listings", NEW, Idempotency_Key="k").status_int)

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(post, range(16)))
    assert set(statuses) <= {201, 409} and 201 in statuses
    with committed_databases.session() as session:
        assert _count(session, "listings") == 1
        assert _count(session, "stored_answers") == 1


# Prefer.


def test_who_wants_no_representation_gets_none(owner: Client, path: str) -> None:
    for preference in (
        "return=minimal",
        "respond-async, return=minimal",
        'return="minimal"',
        "Return = minimal; foo=1",
    ):
        created = owner.post("/api/listings", NEW, Prefer=preference)
        assert (created.status_int, created.body) == (204, b"")
        assert created.headers["Preference-Applied"] == "return=minimal"
        assert owner.get(created.headers["Location"]).json["title"] == "Lamp"
    for answer in (
        owner.put(path, {"title": "Put"}, Prefer="return=minimal"),
        owner.patch(path, {"title": "Patch"}, Prefer="return=minimal"),
        owner.post(f"{path}/deactivate", {}, Prefer="return=minimal"), owner.delete(path, Prefer="return=minimal"),
    ):  # fmt: skip
        assert (answer.status_int, answer.body) == (204, b""), answer.text


@pytest.mark.parametrize(
    "preference", ["return=representation", "return=minimalist", "minimal", "dry-run=no", ",", "x" * 500]
)
def test_a_preference_that_is_not_ours_changes_nothing(owner: Client, path: str, preference: str) -> None:
    answer = owner.put(path, {"title": "Put"}, Prefer=preference)
    assert (answer.status_int, answer.json["title"]) == (200, "Put")
    assert "Preference-Applied" not in answer.headers


def test_errors_come_whole_whatever_is_preferred(owner: Client, path: str) -> None:
    assert_problem(owner.put(path, {"title": ""}, Prefer="return=minimal"), 400, "invalid_input")


def test_a_read_has_no_preference_for_less(owner: Client, path: str) -> None:
    assert owner.get(path, Prefer="return=minimal").json["title"]


STEPS = [each for each in operations.ALL if each.step and each.context is ListingContext]
STATE_BEFORE = {
    "publish": "draft", "deactivate": "active", "mark-sold": "active", "submit-for-verification": "draft",
    "verify": "pending_verification", "reject": "pending_verification", "suspend": "active", "reinstate": "suspended",
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_rehearsed_step_shows_the_outcome_and_keeps_nothing(
    step: Any, owner: Client, people: People, db: Session
) -> None:
    caller = people.moderator() if step.permission == "listing:moderate" else owner
    row = make_listing(db, owner.user, status=STATE_BEFORE[step.name])
    path = f"/api/listings/{row.listing_id}"
    before, events, jobs = caller.get(path), _count(db, "events"), _count(db, "procrastinate_jobs")
    body = {"reason": "It breaks a rule."} if step.body and step.body.children else {}
    rehearsed = caller.post(path + step.suffix, body, Prefer="dry-run")
    assert rehearsed.status_int == 200, rehearsed.text
    assert rehearsed.headers["Preference-Applied"] == "dry-run"
    assert "ETag" not in rehearsed.headers
    assert rehearsed.json["status"] != before.json["status"]
    after = caller.get(path)
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    assert (_count(db, "events"), _count(db, "procrastinate_jobs")) == (events, jobs)
    done = caller.post(path + step.suffix, body)
    assert done.status_int == 200
    assert "Preference-Applied" not in done.headers
    assert done.json["status"] == rehearsed.json["status"]


def test_every_step_of_the_workflow_says_that_it_can_be_rehearsed() -> None:
    assert {step.name for step in STEPS} == set(STATE_BEFORE)
    assert all("dry-run" in step.description for step in STEPS)


def test_a_rehearsal_shows_what_could_be_done_next(owner: Client, path: str) -> None:
    rehearsed = owner.post(f"{path}/mark-sold", {}, Prefer="dry-run", Accept=HAL_FORMS)
    assert "publish" in rehearsed.json["_templates"]
    assert "mark-sold" not in rehearsed.json["_templates"]


def test_a_rehearsal_is_refused_like_the_step_itself(owner: Client, path: str, people: People, db: Session) -> None:
    refusals = [
        (owner.post(f"{path}/publish", {}, Prefer="dry-run"), 409, "wrong_state"),
        (owner.post(f"{path}/deactivate", {"x": 1}, Prefer="dry-run"), 400, "invalid_input"),
        (owner.post(f"{path}/deactivate", {}, Prefer="dry-run", If_Match='"77.abc"'), 412, "precondition_failed"),
        (people.moderator().post(f"{path}/suspend", {}, Prefer="dry-run"), 400, "invalid_input"),
        (people.customer().post(f"{path}/deactivate", {}, Prefer="dry-run"), 403, "forbidden"),
        (people.anonymous().post(f"{path}/deactivate", {}, Prefer="dry-run"), 401, "unauthenticated"),
    ]
    for answer, status, code in refusals:
        assert_problem(answer, status, code)
        assert "Preference-Applied" not in answer.headers


def test_only_steps_can_be_rehearsed(owner: Client, path: str, db: Session) -> None:
    """Who asks for no effect must not get one: elsewhere the preference is refused."""
    before = _count(db, "listings"), owner.get(path).json
    for answer in (
        owner.post("/api/listings", NEW, Prefer="dry-run"),
        owner.put(path, {"title": "Kept"}, Prefer="dry-run"),
        owner.delete(path, Prefer="dry-run"),
    ):
        assert (answer.status_int, answer.json["errors"][0]["code"]) == (400, "not_supported")
    assert (_count(db, "listings"), owner.get(path).json) == before


def test_a_rehearsal_uses_no_idempotency_key_up(owner: Client, path: str, db: Session) -> None:
    for _ in range(2):
        assert owner.post(f"{path}/deactivate", {}, Prefer="dry-run", Idempotency_Key="k").json["status"] == "inactive"
    assert _count(db, "stored_answers") == 0
    done = owner.post(f"{path}/deactivate", {}, Idempotency_Key="k")
    assert (done.status_int, "Idempotent-Replayed" in done.headers) == (200, False)
    assert owner.get(path).json["status"] == "inactive"


def test_a_rehearsal_may_leave_out_the_representation_too(owner: Client, path: str) -> None:
    answer = owner.post(f"{path}/deactivate", {}, Prefer="return=minimal, dry-run")
    assert (answer.status_int, answer.headers["Preference-Applied"]) == (204, "dry-run, return=minimal")
    assert owner.get(path).json["status"] == "active"


def test_a_rehearsal_commits_nothing_on_a_real_connection(live_people: People, committed_databases: Databases) -> None:
    committed_databases.on_event = queue.dispatch
    owner = live_people.customer()
    row = make_listing(live_people.session, owner.user)
    path = f"/api/listings/{row.listing_id}"
    assert owner.post(f"{path}/mark-sold", {}, Prefer="dry-run").json["status"] == "sold"
    with committed_databases.session() as session:
        kept = session.execute(sa.text("SELECT status, version FROM listings")).one()
        assert tuple(kept) == ("active", row.version)
        assert (_count(session, "events"), _count(session, "procrastinate_jobs")) == (0, 0)
    assert owner.post(f"{path}/mark-sold", {}).json["status"] == "sold"
    with committed_databases.session() as session:
        assert (_count(session, "events"), _count(session, "procrastinate_jobs")) == (1, 1)
