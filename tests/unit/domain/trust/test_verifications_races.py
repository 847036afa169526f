"""Sending, deciding, expiring, erasing and rotating keys at once: one submission, one decision, an exact badge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor, operator
from marketplace_api.domain.media.files.sweep import sweep
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.trust.verifications import decisions, documents
from marketplace_api.domain.trust.verifications import submission as submitting
from marketplace_api.errors import Conflict, DomainError, Gone, NotFound, Unauthenticated, Unavailable
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import make_user
from tests.factories.reviews import actor_of
from tests.factories.verifications import PNG, Office, make_pdf
from tests.unit.domain.identity.accounts_world import at_once, fresh

Work = Callable[[Session], Any]
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
LATER = timedelta(hours=2)


class World:
    """An office on a database of its own, where everything commits."""

    def __init__(self, databases: Databases, session: Session, folder: Path) -> None:
        self.databases, self.session = databases, session
        self.storage = LocalStorage(folder / "files", UrlSigner.from_secret("secret"))
        self.keys = DocumentKeys({"old": OLD})
        self.office = Office(session, databases, self.storage, self.keys)
        self.rules = AccountRules.from_settings(Settings())
        self.moderators = [actor_of(make_user(session, roles=["moderator"])) for _ in range(8)]
        session.commit()

    def user(self) -> User:
        user = make_user(self.session)
        self.session.commit()
        return user

    def submitting(self, user: User, content: bytes = PNG) -> Work:
        return lambda session: submitting.submit(
            session,
            self.databases,
            self.storage,
            self.keys,
            actor_of(user),
            document_type="passport",
            stream=BytesIO(content),
            name="mine.png",
        )

    def approving(self, judge: Actor, row: Any, **values: Any) -> Work:
        return lambda session: decisions.approve(session, judge, row.verification_id, **values)

    def rejecting(self, judge: Actor, row: Any) -> Work:
        return lambda session: decisions.reject(session, judge, row.verification_id, reason="It is blurred.")

    def erasing(self, user: User) -> Work:
        return lambda session: erasure.erase(session, self.rules, operator("test"), user.user_id)

    def overdue(self) -> tuple[User, Any]:
        """An account whose approval is over, though nobody has noticed yet."""
        user = self.user()
        soon = datetime.now(UTC) + LATER
        row = self.office.decide(self.office.submit(user), "approve", expires_at=soon)
        past = sa.update(Verification).where(Verification.verification_id == row.verification_id)
        self.session.execute(
            past.values(expires_at=sa.func.now() - timedelta(seconds=1)),
            execution_options={"synchronize_session": False},
        )
        self.session.commit()
        return user, row

    def assert_exact(self) -> None:
        """Whoever has the badge has an approved verification, and the other way round; files and rows are together."""
        with self.databases.session() as session:
            approved = sa.select(Verification.user_id).where(Verification.status == "approved")
            verified = sa.select(User.user_id).where(User.is_verified)
            assert set(session.execute(approved).scalars()) == set(session.execute(verified).scalars())
            sweep(session, self.storage, datetime.now(UTC) + LATER)
            rows = session.execute(sa.select(File.key, File.state)).all()
            held = set(session.execute(sa.select(Verification.file_key)).scalars()) - {None}
            assert {row.key for row in rows} == held == {file.key for file in self.storage.walk("document-")}
            assert {row.state for row in rows} <= {"stored"}

    def events(self, type: str) -> int:
        with self.databases.session() as session:
            return session.execute(sa.select(sa.func.count()).where(Event.type == f"verification.{type}")).scalar_one()


@pytest.fixture
def world(committed_databases: Databases, tmp_path: Path) -> Any:
    with committed_databases.session() as session:
        yield World(committed_databases, session, tmp_path)


def failures(results: list[Any]) -> list[Exception]:
    return [result for result in results if isinstance(result, Exception)]


def test_many_submissions_one_verification(world: World) -> None:
    user = world.user()
    failed = failures(at_once(world.databases, *[world.submitting(user)] * 8))
    assert len(failed) == 7
    # Some find all decoders busy, and are told to come again.
    assert all(isinstance(error, Unavailable) or error.code == "wrong_state" for error in failed), failed
    assert world.events("submitted") == 1
    world.assert_exact()


def test_the_database_itself_keeps_a_second_one_out(world: World) -> None:
    user = world.user()
    row = world.office.submit(user)
    for status, decided in (("pending", None), ("approved", datetime.now(UTC))):
        second = sa.insert(Verification).values(
            user_id=user.user_id,
            document_type="passport",
            document_name="x",
            media_type="image/png",
            status=status,
            date_decided=decided,
            documents_purged_at=None if status == "pending" else decided,
            **(
                {"file_key": None, "key_id": None, "envelope": None}
                if decided
                else {
                    "file_key": sa.select(Verification.file_key)
                    .where(Verification.verification_id == row.verification_id)
                    .scalar_subquery(),
                    "key_id": "old",
                    "envelope": b"x",
                }
            ),
        )
        with pytest.raises(IntegrityError, match="uq_verifications"):
            world.session.execute(second)
        world.session.rollback()
    judge_oneself = sa.update(Verification).values(decided_by=user.user_id)
    with pytest.raises(IntegrityError, match="not_by_oneself"):
        world.session.execute(judge_oneself)
    world.session.rollback()


def test_many_decisions_one_counts(world: World) -> None:
    row = world.office.submit(world.user())
    works = [
        world.approving(judge, row) if number % 2 else world.rejecting(judge, row)
        for number, judge in enumerate(world.moderators)
    ]
    failed = failures(at_once(world.databases, *works))
    assert len(failed) == len(works) - 1
    assert all(isinstance(error, Conflict) and error.code == "wrong_state" for error in failed), failed
    assert world.events("approved") + world.events("rejected") == 1
    world.assert_exact()


def test_two_moderators_decide_about_each_other(world: World) -> None:
    one, other = (make_user(world.session, roles=["moderator"]) for _ in range(2))
    world.session.commit()
    rows = [world.office.submit(user) for user in (one, other)]
    crossed = [world.approving(actor_of(other), rows[0]), world.approving(actor_of(one), rows[1])]
    assert failures(at_once(world.databases, *crossed)) == []
    world.assert_exact()


@pytest.mark.parametrize("round", range(4))
def test_approval_expiry_erasure_and_a_new_document_at_once(round: int, world: World) -> None:
    overdue = [world.overdue() for _ in range(4)]
    pending = [(user := world.user(), world.office.submit(user)) for _ in range(4)]
    now = datetime.now(UTC)
    works: list[Work] = [*[lambda session: decisions.expire_due(session, now)] * 3]
    for number, (user, _row) in enumerate(overdue):
        works.append(world.erasing(user) if number % 2 else world.submitting(user))
    for number, (user, row) in enumerate(pending):
        works.append(world.approving(world.moderators[number], row))
        works.append(world.erasing(user) if number % 2 else world.rejecting(world.moderators[number + 1], row))
    works.append(lambda session: documents.purge_due(session, now + LATER))
    failed = failures(at_once(world.databases, *works[round:], *works[:round]))
    assert all(isinstance(error, Conflict | NotFound) for error in failed), failed
    while True:
        with world.databases.session() as session, session.begin():
            if not decisions.expire_due(session, now):
                break
    for number, (user, _row) in enumerate([*overdue, *pending]):
        account = fresh(world.session, user.user_id)
        if number % 2:
            assert (account.state, account.is_verified) == ("erased", False)
            held = sa.select(sa.func.count()).where(Verification.user_id == user.user_id)
            assert world.session.execute(held).scalar_one() == 0
    # Each ended once, unless its account was erased first.
    assert 2 <= world.events("expired") <= 4
    world.assert_exact()


def test_a_document_sent_while_its_account_is_erased(world: World) -> None:
    users = [world.user() for _ in range(4)]
    works = [work for user in users for work in (world.erasing(user), world.submitting(user))]
    failed = failures(at_once(world.databases, *works))
    assert all(isinstance(error, Unauthenticated) for error in failed), failed
    with world.databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Verification)).scalar_one() == 0
    world.assert_exact()
    assert list(world.storage.walk("document-")) == []


def test_a_document_is_not_opened_once_its_account_is_erased(world: World) -> None:
    """Neither a byte nor a record of one, whatever was read before."""
    user = world.user()
    row = world.office.submit(user)
    judge = world.moderators[0]

    class Slow(LocalStorage):
        """Gives the file, but not before the account is gone."""

        def read(self, key: str, first: int = 0, last: int | None = None) -> Any:
            pieces = list(super().read(key, first, last) or ())
            with world.databases.session() as session, session.begin():
                world.erasing(user)(session)
            return iter(pieces)

    slow = Slow(world.storage.folder, UrlSigner.from_secret("secret"))
    with pytest.raises(NotFound):
        documents.open_document(world.databases, slow, world.keys, judge, row.verification_id, reason="Routine")
    assert world.events("document_opened") == 0
    world.assert_exact()


def test_erasure_takes_the_documents_along(world: World) -> None:
    user = world.user()
    world.office.decide(world.office.submit(user), "reject")
    world.office.decide(world.office.submit(user), "approve")
    with world.databases.session() as session, session.begin():
        account = fresh(session, user.user_id)
        erasure.erase_account(session, world.rules, account, operator("test"))
    with world.databases.session() as session:
        assert set(session.execute(sa.select(File.state)).scalars()) == {"doomed"}
        assert session.execute(sa.select(sa.func.count()).select_from(Verification)).scalar_one() == 0
    world.assert_exact()
    assert list(world.storage.walk("document-")) == []


def test_keys_are_rotated_while_documents_are_sent_opened_and_deleted(world: World) -> None:
    content = make_pdf(size=100_000)
    rows = [world.office.submit(world.user(), content) for _ in range(20)]
    gone = world.office.decide(world.office.submit(world.user()), "reject")
    both = DocumentKeys({"new": NEW, "old": OLD})
    done, opened, wrong = threading.Event(), [], []

    def reading(judge: Actor, keys: DocumentKeys) -> None:
        while not done.is_set() or not opened:
            for row in rows:
                try:
                    found = documents.open_document(
                        world.databases, world.storage, keys, judge, row.verification_id, reason="Routine"
                    )
                    assert found.content == content
                    opened.append(row.verification_id)
                except Exception as error:
                    wrong.append(error)
                    return

    readers = [threading.Thread(target=reading, args=(judge, both)) for judge in world.moderators[:2]]
    for reader in readers:
        reader.start()
    world.office.keys = both
    with world.databases.session() as session, session.begin():
        assert documents.purge_due(session, datetime.now(UTC) + LATER) == 1
    results = at_once(
        world.databases,
        lambda _session: documents.rotate(world.databases, both),
        lambda _session: documents.rotate(world.databases, both),
    )
    sent = world.office.submit(world.user(), content)
    done.set()
    for reader in readers:
        reader.join(60)
    assert wrong == []
    assert sum(result.rewrapped for result in results) == 20
    assert documents.rotate(world.databases, both) == documents.Rotation(0, 0)
    # The old key can go.
    only_new = DocumentKeys({"new": NEW})
    for row in (*rows, sent):
        found = documents.open_document(
            world.databases, world.storage, only_new, world.moderators[0], row.verification_id, reason="Routine"
        )
        assert found.content == content
    with pytest.raises(Gone):
        documents.open_document(
            world.databases, world.storage, both, world.moderators[0], gone.verification_id, reason="Routine"
        )
    world.assert_exact()


def test_what_cannot_be_rotated_is_left_and_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BATCH", 2)
    rows = [world.office.submit(world.user()) for _ in range(5)]
    damaged = sa.update(Verification).where(Verification.verification_id == rows[1].verification_id)
    unknown = sa.update(Verification).where(Verification.verification_id == rows[3].verification_id)
    quietly: Any = {"execution_options": {"synchronize_session": False}}
    world.session.execute(damaged.values(envelope=b"x" * 68), **quietly)
    world.session.execute(unknown.values(key_id="lost"), **quietly)
    world.session.commit()
    both = DocumentKeys({"new": NEW, "old": OLD})
    assert documents.rotate(world.databases, both) == documents.Rotation(3, 2)
    with pytest.raises(DomainError) as caught:
        documents.open_document(
            world.databases, world.storage, both, world.moderators[0], rows[1].verification_id, reason="Routine"
        )
    assert caught.value.code == "document_damaged"


def test_deadlines_are_met_to_the_moment(world: World) -> None:
    user, row = world.overdue()
    with world.databases.session() as session, session.begin():
        assert decisions.expire_due(session, datetime.now(UTC) - LATER) == 0
        assert documents.purge_due(session, datetime.now(UTC) - LATER) == 0
        assert decisions.expire_due(session, datetime.now(UTC)) == 1
        assert decisions.expire_due(session, datetime.now(UTC)) == 0
    assert not fresh(world.session, user.user_id).is_verified
    # An approval by a person who is not there any more, and one by the operator.
    again = world.office.submit(user)
    with world.databases.session() as session, session.begin():
        assert decisions.approve(session, operator("test"), again.verification_id).decided_by is None
        with pytest.raises(Conflict):
            decisions.reject(session, operator("test"), row.verification_id, reason="No.")
        with pytest.raises(NotFound):
            decisions.approve(session, operator("test"), 999_999)
    world.assert_exact()
