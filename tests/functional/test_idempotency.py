"""`Idempotency-Key`: a retry has one effect and gets one answer, and nobody else does."""

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

from marketplace_api.database.engines import Databases
from marketplace_api.jobs import schedule
from marketplace_api.models.kernel.idempotency import StoredAnswer
from tests.factories.accounts import PASSWORD, People
from tests.factories.listings import make_listing
from tests.support.client import Client
from tests.support.problems import assert_problem

NEW = {"title": "Lamp", "category": "furniture", "price": 5, "currency": "EUR"}


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _count(db: Session, table: str) -> int:
    return int(db.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


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
            "wsgi.input": io.BytesIO(orjson.dumps(body)),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_TYPE": "application/json",
            "HTTP_IDEMPOTENCY_KEY": "chunks",
            "HTTP_AUTHORIZATION": f"Bearer {owner.token}",
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/api/listings",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "QUERY_STRING": "",
        }
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
