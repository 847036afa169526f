"""Verification of accounts as those concerned meet it: sent, looked at on the record, decided, expired, deleted."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.media.files import store
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import People
from tests.factories.images import make_image
from tests.factories.verifications import PNG, make_pdf
from tests.support.client import HAL_FORMS, Client, Named
from tests.support.problems import assert_problem, named

OWN = "/api/users/me/verification"
QUEUE = "/api/moderation/verifications"
SECRET_TEXT = "Ada Lovelace passport 4711"
PDF = make_pdf(SECRET_TEXT)


@pytest.fixture
def storage(app: Any) -> LocalStorage:
    kept: LocalStorage = app.registry.storage
    return kept


def send(client: Client, file: Any = PNG, **fields: Any) -> Any:
    file = Named("id.png", "image/png", file) if isinstance(file, bytes) and file is PNG else file
    return client.request("POST", OWN, {"document_type": "passport", **fields, "file": file})


def waiting(client: Client, moderator: Client, file: Any = PNG) -> str:
    """The address of a new verification of ``client``'s among those of the moderators."""
    assert send(client, file).status_int == 200
    found = moderator.get(f"{QUEUE}?limit=100").json["verifications"]
    (path,) = [item["_links"]["self"]["href"] for item in found if item["user_id"] == client.user.user_id]
    return str(path)


def told(db: Session, path: str) -> list[Event]:
    found = sa.select(Event).where(
        Event.subject_type == "verification", Event.subject_id == int(path.rpartition("/")[2])
    )
    return list(db.execute(found.order_by(Event.event_id)).scalars())


def is_verified(client: Client) -> bool:
    return bool(client.get(f"/api/users/{client.user.user_id}").json["is_verified"])


# The journey.


def test_from_nothing_to_approved(owner: Client, moderator: Client, db: Session) -> None:
    empty = owner.get(OWN).json
    links = empty.pop("_links")
    assert links["self"]["href"] == OWN
    assert empty == {
        "status": "none",
        "reason": None,
        "date_submitted": None,
        "date_decided": None,
        "expires_at": None,
        "documents_purged_at": None,
        "documents": [],
    }
    sent = send(owner, Named("My passport.pdf", "application/pdf", PDF))
    assert sent.status_int == 200
    assert {name: sent.json[name] for name in ("message", "status")} == {
        "message": "Verification documents submitted",
        "status": "pending",
    }
    shown = owner.get(OWN).json
    assert (shown["status"], shown["documents"]) == (
        "pending",
        [{"document_type": "passport", "name": "My passport.pdf"}],
    )
    assert owner.get("/api/users/me").json["_links"]["mkt:verification"]["href"] == OWN
    assert moderator.get("/api").json["_links"]["mkt:verifications"]["href"] == QUEUE
    assert "mkt:verifications" not in owner.get("/api").json["_links"]
    path = moderator.get(QUEUE).json["verifications"][-1]["_links"]["self"]["href"]
    until = (datetime.now(UTC) + timedelta(days=365)).isoformat()
    approved = moderator.post(f"{path}/approve", {"expires_at": until})
    assert approved.json["status"] == "approved"
    assert approved.json["decided_by"] == moderator.user.user_id
    assert datetime.fromisoformat(approved.json["expires_at"]) == datetime.fromisoformat(until)
    assert is_verified(owner) and owner.get("/api/users/me").json["is_verified"]
    seen = owner.get(OWN).json
    assert (seen["status"], seen["reason"]) == ("approved", None)
    assert "decided_by" not in seen
    submitted, decided = told(db, path)
    assert (submitted.type, submitted.actor_id) == ("verification.submitted", owner.user.user_id)
    assert submitted.new.keys() == {"user_id", "date_submitted"}
    assert (decided.type, decided.actor_id) == ("verification.approved", moderator.user.user_id)
    assert decided.new.keys() == {"user_id", "date_decided", "expires_at"}
    assert decided.new["user_id"] == owner.user.user_id


def test_a_rejection_is_read_and_another_document_sent(owner: Client, moderator: Client, db: Session) -> None:
    path = waiting(owner, moderator)
    assert named(assert_problem(moderator.post(f"{path}/reject", {}), 400, "invalid_input")) == {"reason": "required"}
    rejected = moderator.post(f"{path}/reject", {"reason": "It cannot be read."})
    assert rejected.json["status"] == "rejected"
    assert (owner.get(OWN).json["status"], owner.get(OWN).json["reason"]) == ("rejected", "It cannot be read.")
    assert not is_verified(owner)
    event = told(db, path)[-1]
    assert (event.type, event.reason) == ("verification.rejected", "It cannot be read.")
    again = waiting(owner, moderator)
    assert again != path
    assert (owner.get(OWN).json["status"], owner.get(OWN).json["reason"]) == ("pending", None)
    assert moderator.post(f"{again}/approve").json["expires_at"] is None
    assert is_verified(owner)


def test_what_stands_cannot_be_sent_or_decided_again(owner: Client, moderator: Client) -> None:
    path = waiting(owner, moderator)
    body = assert_problem(send(owner), 409, "wrong_state")
    assert (body["state"], body["_links"]["related"]["href"]) == ("pending", OWN)
    moderator.post(f"{path}/approve")
    assert assert_problem(send(owner), 409, "wrong_state")["state"] == "approved"
    for step, sent in (("approve", {}), ("reject", {"reason": "Too late."})):
        body = assert_problem(moderator.post(f"{path}/{step}", sent), 409, "wrong_state")
        assert (body["state"], body["_links"]["related"]["href"]) == ("approved", path)
    assert is_verified(owner)


def test_a_step_can_be_rehearsed_and_is_held_to_what_was_read(owner: Client, moderator: Client, db: Session) -> None:
    path = waiting(owner, moderator)
    for step, body, outcome in (("approve", {}, "approved"), ("reject", {"reason": "No face."}, "rejected")):
        rehearsed = moderator.post(f"{path}/{step}", body, Prefer="dry-run")
        assert (rehearsed.json["status"], rehearsed.headers["Preference-Applied"]) == (outcome, "dry-run")
        assert (owner.get(OWN).json["status"], is_verified(owner)) == ("pending", False)
    assert [event.type for event in told(db, path)] == ["verification.submitted"]
    tag = moderator.get(path).headers["ETag"]
    stale = moderator.post(f"{path}/approve", {}, If_Match='"9.abc"')
    assert stale.json["current"]["status"] == "pending" and stale.status_int == 412
    assert moderator.post(f"{path}/reject", {"reason": "No face."}, If_Match=tag).status_int == 200


@pytest.mark.parametrize("until", ["2001-01-01T00:00:00Z", "tomorrow", "2999-01-01T00:00:00", 5])
def test_until_when_an_approval_holds_must_be_to_come(until: Any, owner: Client, moderator: Client) -> None:
    path = waiting(owner, moderator)
    assert "expires_at" in named(
        assert_problem(moderator.post(f"{path}/approve", {"expires_at": until}), 400, "invalid_input")
    )
    assert not is_verified(owner)


def test_who_may_look_and_who_may_not(people: People, owner: Client, moderator: Client) -> None:
    path = waiting(owner, moderator)
    stranger, suspended = people.customer(), people.caller(roles=["moderator"], state="suspended")
    for client in (owner, stranger, suspended, people.caller(roles=["driver"])):
        assert_problem(client.get(path), 404, "not_found")
        assert_problem(client.get(f"{path}/document?reason=Curious"), 404, "not_found")
        assert_problem(client.post(f"{path}/approve"), 404, "not_found")
        assert client.get(QUEUE).status_int == 403
    nobody = people.anonymous()
    for page in (path, f"{path}/document?reason=Curious", QUEUE, OWN):
        assert_problem(nobody.get(page), 401, "unauthenticated")
    for judge in (moderator, people.admin(), people.caller(roles=["staff"])):
        assert judge.get(path).json["username"] == owner.user.username
        assert judge.get(f"{path}/document?reason=Routine").status_int == 200
    assert_problem(moderator.get(f"{QUEUE}/999999999"), 404, "not_found")
    mine = people.suspended()
    assert mine.get(OWN).json["status"] == "none"
    assert_problem(send(mine), 403, "account_suspended")


def test_nobody_judges_themselves(people: People, moderator: Client) -> None:
    for roles in (["moderator"], ["admin"]):
        judge = people.caller(roles=roles)
        path = waiting(judge, moderator)
        assert_problem(judge.get(f"{path}/document?reason=Mine"), 403, "forbidden")
        assert_problem(judge.post(f"{path}/approve"), 403, "forbidden")
        assert_problem(judge.post(f"{path}/reject", {"reason": "Myself."}), 403, "forbidden")
        mine = judge.get(path, Accept=HAL_FORMS).json
        assert mine["_templates"] == {}
        assert "mkt:document" not in mine["_links"]
        assert not is_verified(judge)


# The queue.


def test_the_queue_is_paged_oldest_first_and_by_state(people: People, moderator: Client) -> None:
    paths = [waiting(people.customer(), moderator) for _ in range(5)]
    moderator.post(f"{paths[0]}/approve")
    moderator.post(f"{paths[3]}/reject", {"reason": "It is blurred."})
    first = moderator.get(f"{QUEUE}?limit=2").json
    assert (first["totalItems"], first["totalPages"], first["currentPage"]) == (3, 2, 1)
    second = moderator.get(first["_links"]["next"]["href"]).json
    seen = [item["_links"]["self"]["href"] for page in (first, second) for item in page["verifications"]]
    assert seen == [paths[1], paths[2], paths[4]]
    back = moderator.get(second["_links"]["prev"]["href"]).json
    assert [item["verification_id"] for item in back["verifications"]] == [
        item["verification_id"] for item in first["verifications"]
    ]
    for status, expected in (("approved", [paths[0]]), ("rejected", [paths[3]]), ("expired", [])):
        found = moderator.get(f"{QUEUE}?status={status}").json["verifications"]
        assert [item["_links"]["self"]["href"] for item in found] == expected
        assert {item["status"] for item in found} <= {status}
    assert named(assert_problem(moderator.get(f"{QUEUE}?status=none"), 400, "invalid_input")) == {
        "status": "not_a_choice"
    }
    cursor = first["_links"]["next"]["href"].partition("cursor=")[2]
    assert_problem(moderator.get(f"{QUEUE}?status=rejected&cursor={cursor}"), 400, "invalid_cursor")


# The document.


@pytest.mark.parametrize(
    ("file", "kind", "ending"),
    [
        (Named("a.pdf", "application/pdf", PDF), "application/pdf", "pdf"),
        (Named("a.jpg", "image/jpg", make_image("JPEG")), "image/jpeg", "jpg"),
        (Named("a", "application/octet-stream", PNG), "image/png", "png"),
    ],
)
def test_a_document_is_opened_on_the_record(
    file: Named, kind: str, ending: str, owner: Client, moderator: Client, db: Session
) -> None:
    path = waiting(owner, moderator, file)
    found = moderator.get(path).json["_links"]["mkt:document"]
    assert found == {"href": f"{path}/document{{?reason}}", "templated": True, "type": kind}
    assert named(assert_problem(moderator.get(f"{path}/document"), 400, "invalid_input")) == {"reason": "required"}
    assert_problem(moderator.get(f"{path}/document?reason=%20"), 400, "invalid_input")
    assert [event.type for event in told(db, path)] == ["verification.submitted"]
    answer = moderator.get(f"{path}/document?reason=To+compare+the+name", If_None_Match="*")
    assert (answer.status_int, answer.body) == (200, file.content)
    number = path.rpartition("/")[2]
    for header, value in {
        "Content-Type": kind,
        "Cache-Control": "no-store, private",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'attachment; filename="verification-{number}.{ending}"',
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Length": str(len(file.content)),
    }.items():
        assert answer.headers[header] == value
    assert {*answer.headers}.isdisjoint({"ETag", "Last-Modified", "Accept-Ranges"})
    event = told(db, path)[-1]
    assert (event.type, event.actor_id, event.reason, event.new["user_id"]) == (
        "verification.document_opened",
        moderator.user.user_id,
        "To compare the name",
        owner.user.user_id,
    )
    assert event.request_id == answer.headers["X-Request-ID"]
    # Who only asks for the headers has asked for the document as well.
    moderator.request("HEAD", f"{path}/document?reason=Once+more")
    assert told(db, path)[-1].reason == "Once more"


def test_without_a_record_nothing_is_sent(
    owner: Client, moderator: Client, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = waiting(owner, moderator, Named("a.pdf", "application/pdf", PDF))

    def broken(_session: Session, _event: Event) -> None:
        raise sa.exc.OperationalError("INSERT", {}, OSError("no room for the log"))

    monkeypatch.setattr(databases, "on_event", broken)
    answer = moderator.get(f"{path}/document?reason=Routine")
    assert answer.status_int >= 500
    assert SECRET_TEXT.encode() not in answer.body


def test_clear_text_is_nowhere_but_in_the_answer(
    people: People,
    storage: LocalStorage,
    settings: Settings,
    moderator: Client,
    db: Session,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = f"Secret {uuid4().hex}"
    content = make_pdf(text, size=2_000_000)  # more than what forms may keep in memory elsewhere
    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, None)
    client = people.customer()
    with caplog.at_level(0):
        path = waiting(client, moderator, Named("a.pdf", "application/pdf", content))
        assert moderator.get(f"{path}/document?reason=Routine").body == content
    row = db.execute(sa.select(Verification).order_by(Verification.verification_id.desc())).scalars().first()
    assert row is not None and row.file_key is not None
    kept = b"".join(storage.read(row.file_key) or ())
    assert len(kept) > len(content)
    written = [file.read_bytes() for file in settings.data_dir.rglob("*") if file.is_file()]
    assert kept in written
    logged = caplog.text.encode()
    for place in (*written, logged):
        assert text.encode() not in place and content[:200] not in place
    everything = db.execute(
        sa.text("SELECT string_agg(e::text, '') || (SELECT string_agg(v::text, '') FROM verifications v) FROM events e")
    ).scalar_one()
    assert text not in everything and text.encode().hex() not in everything


def test_a_document_has_no_other_address(owner: Client, people: People, storage: LocalStorage, db: Session) -> None:
    send(owner)
    key = db.execute(sa.select(Verification.file_key).where(Verification.user_id == owner.user.user_id)).scalar_one()
    assert key is not None and not store.is_public(key.partition("-")[0])
    for client in (owner, people.anonymous(), people.admin()):
        assert_problem(client.get(f"/files/{key}"), 404, "not_found")
    assert key not in owner.get(OWN).text + owner.get("/api/users/me/export").text + people.admin().get(QUEUE).text
    # Whoever got hold of a signed address would read what is sealed.
    assert PNG not in people.anonymous().get(storage.signed_url(key, 60)).body


@pytest.mark.parametrize("damage", ["flipped", "cut", "exchanged", "lost", "row exchanged", "key unknown"])
def test_a_document_that_is_not_what_was_sent_is_not_shown(
    damage: str, people: People, moderator: Client, storage: LocalStorage, db: Session
) -> None:
    content = make_pdf(size=200_000)
    one, other = people.customer(), people.customer()
    path = waiting(one, moderator, Named("a.pdf", "application/pdf", content))
    waiting(other, moderator, Named("b.pdf", "application/pdf", content))
    keys = {
        row.user_id: row.file_key for row in db.execute(sa.select(Verification.user_id, Verification.file_key)).all()
    }
    file = storage._path(keys[one.user.user_id])
    theirs = storage._path(keys[other.user.user_id])
    sealed = file.read_bytes()
    mine = sa.update(Verification).where(Verification.user_id == one.user.user_id)
    quietly = {"execution_options": {"synchronize_session": False}}
    match damage:
        case "flipped":
            file.write_bytes(sealed[:100_000] + bytes([sealed[100_000] ^ 1]) + sealed[100_001:])
        case "cut":
            file.write_bytes(sealed[: 8 + 65_536 + 16])
        case "exchanged":
            file.write_bytes(theirs.read_bytes())
        case "lost":
            file.unlink()
        case "row exchanged":
            envelope = sa.select(Verification.envelope).where(Verification.user_id == other.user.user_id)
            db.execute(mine.values(envelope=envelope.scalar_subquery()), **quietly)
        case "key unknown":
            db.execute(mine.values(key_id="gone"), **quietly)
    db.commit()
    answer = moderator.get(f"{path}/document?reason=Routine")
    if damage == "key unknown":
        assert_problem(answer, 503, "unavailable")
    else:
        assert_problem(answer, 500, "document_damaged")
    assert [event.type for event in told(db, path)] == ["verification.submitted"]
    assert moderator.post(f"{path}/reject", {"reason": "Please send it again."}).status_int == 200
    if damage == "lost":
        storage.put(keys[one.user.user_id], BytesIO(sealed))
