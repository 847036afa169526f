"""Reading and editing profiles, changing the password, taking one's data out."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import lifecycle, profiles, recovery
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import (
    Conflict,
    DomainError,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unauthenticated,
)
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.unit.domain.identity.accounts_world import BETTER, GOOD, OPERATOR, World, event_types, fresh


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def edit(session: Session, user: User, version: int | None = None, *, merge: bool = False, **changes: Any) -> User:
    return profiles.edit(session, OPERATOR, user.user_id, changes=changes, expected_version=version, merge=merge)


def test_strangers_see_no_private_columns(db: Session) -> None:
    user = make_user(db)
    row = profiles.find_public(db, user.user_id)
    assert row.username == user.username
    assert not {"email", "contact_information", "password_hash", "roles"}.intersection(row._fields)
    assert profiles.find_public(db, 2**62) is None


@pytest.mark.parametrize(("state", "error"), [("deactivated", Gone), ("erased", Gone), ("banned", NotFound)])
def test_who_is_gone_is_gone(db: Session, state: str, error: type[DomainError]) -> None:
    gone, here = make_user(db, state=state, deactivated_at=sa.func.now()), make_user(db, state="suspended")
    with pytest.raises(error):
        profiles.find_public(db, gone.user_id)
    with pytest.raises(error):
        edit(db, gone, bio="x")
    found = profiles.find_many_public(db, [gone.user_id, here.user_id, 2**62])
    assert [row.user_id for row in found] == [here.user_id]
    assert profiles.find_many_public(db, []) == ()
    assert profiles.find_own(db, gone.user_id).state == state


@pytest.mark.parametrize("user_id", [None, 0, 2**62])
def test_nobody_has_no_own_row(db: Session, user_id: int | None) -> None:
    with pytest.raises(NotFound):
        profiles.find_own(db, user_id)


def test_editing_changes_what_is_named(db: Session) -> None:
    user = make_user(db, bio="old", contact_information={"phone": "1"})
    edited = edit(db, user, 1, bio="new", username="Renamed")
    assert (edited.bio, edited.username, edited.contact_information) == ("new", "Renamed", {"phone": "1"})
    assert fresh(db, user.user_id).version == 2
    assert event_types(db, user.user_id) == ["user.edited"]


def test_an_edit_that_changes_nothing_leaves_no_trace(db: Session) -> None:
    user = make_user(db, bio="same")
    assert edit(db, user, bio="same", username=user.username, email=user.email).version == 1
    assert event_types(db, user.user_id) == []


def test_another_version_is_a_failed_precondition(db: Session) -> None:
    user = make_user(db)
    edit(db, user, 1, bio="first")
    with pytest.raises(PreconditionFailed):
        edit(db, user, 1, bio="second")
    with pytest.raises(PreconditionFailed):
        edit(db, user, 1, bio="first")
    assert edit(db, user, 2, bio="third").version == 3
    assert edit(db, user, bio="whatever").version == 4


def test_a_taken_user_name_is_refused(db: Session) -> None:
    user, other = make_user(db), make_user(db)
    for name in (other.username.upper(), "deleted-1"):
        with pytest.raises(Conflict) as caught:
            edit(db, user, username=name)
        assert caught.value.code == "already_taken"
    assert edit(db, user, username=user.username.upper()).version == 2


def test_contact_information_is_replaced_or_merged(db: Session) -> None:
    user = make_user(db, contact_information={"phone": "1", "address": "A"})
    steps = (
        (True, {"phone": "2"}, {"phone": "2", "address": "A"}),
        (True, {"phone": None}, {"address": "A"}),
        (False, {"phone": "3", "address": None}, {"phone": "3"}),
        (True, None, {}),
    )
    for merge, given, kept in steps:
        assert edit(db, user, merge=merge, contact_information=given).contact_information == kept


def test_what_is_not_editable_is_a_mistake_of_ours(db: Session) -> None:
    with pytest.raises(ValueError, match="roles"):
        edit(db, make_user(db), roles=["admin"])


def test_a_new_address_waits_for_its_confirmation(db: Session) -> None:
    user = make_user(db)
    before = user.email
    edited = edit(db, user, email="new@people.example")
    assert (edited.email, edited.pending_email, edited.version) == (before, "new@people.example", 2)
    assert event_types(db, user.user_id) == ["user.email_change_requested"]
    assert edit(db, user, email="new@people.example").version == 2
    assert edit(db, user, email=before).pending_email is None
    assert event_types(db, user.user_id) == ["user.email_change_requested"]


def test_asking_for_an_address_tells_nothing_about_its_owner(db: Session) -> None:
    user, other = make_user(db), make_user(db)
    assert edit(db, user, email=other.email).pending_email == other.email


def test_the_log_holds_names_of_fields_only(db: Session) -> None:
    user = make_user(db)
    edit(db, user, bio="secret bio", username="secretname", email="secret@people.example")
    edit(db, user, contact_information={"phone": "secret"})
    told = str(db.execute(sa.text("SELECT json_agg(e) FROM events e")).scalar_one())
    assert "secret" not in told
    assert "contact_information" in told


def change(session: Session, world: World, pair: Any, current: str = GOOD, new: str = BETTER) -> None:
    actor = world.actor(session, pair)
    profiles.change_password(session, world.databases, actor, world.rules, current_password=current, new_password=new)


def test_changing_the_password_ends_the_other_sessions(db: Session, world: World) -> None:
    pair = world.register(db)
    other = world.log_in(db)
    edit(db, pair.user, email="new@people.example")
    token = recovery.issue_token(db, pair.user.user_id, "confirm_email", "new@people.example", *_hour(db))
    change(db, world, pair)
    assert world.actor(db, pair).is_active
    with pytest.raises(Unauthenticated):
        world.actor(db, other)
    with pytest.raises(Unauthenticated):
        world.log_in(db)
    assert world.log_in(db, password=BETTER)
    assert fresh(db, pair.user.user_id).pending_email is None
    with pytest.raises(Invalid):
        recovery.confirm_email(db, world.rules, token=token, actor=ANONYMOUS)


def _hour(session: Session) -> tuple[Any, Any]:
    return session.execute(sa.text("SELECT now(), interval '1 hour'")).one()


def test_the_present_password_is_needed(db: Session, world: World) -> None:
    pair = world.register(db)
    with pytest.raises(Invalid) as caught:
        change(db, world, pair, current="wrong")
    assert [(error.name, error.code) for error in caught.value.errors] == [("currentPassword", "wrong_password")]
    with pytest.raises(Invalid) as weak:
        change(db, world, pair, current="wrong", new="anna")
    assert weak.value.code == "weak_password"
    assert {error.name for error in weak.value.errors} == {"newPassword"}
    for _ in range(2):
        with pytest.raises(Invalid):
            change(db, world, pair, current="wrong")
    with pytest.raises(RateLimited):
        change(db, world, pair)
    # Who holds a token guesses on the account of its session: the owner still gets in.
    assert world.log_in(db)


def test_failures_of_strangers_do_not_keep_the_owner_from_what_needs_the_password(db: Session, world: World) -> None:
    pair = world.register(db)
    for number in range(20):
        for _ in range(3):
            with contextlib.suppress(Unauthenticated, RateLimited):
                world.log_in(db, password="wrong", address=f"203.0.113.{number}")
    with pytest.raises(RateLimited):
        world.log_in(db, address="203.0.113.200")
    with pytest.raises(Invalid):
        change(db, world, pair, current="wrong")
    change(db, world, pair)
    assert world.log_in(db, password=BETTER, address="203.0.113.200"), "failures of another password count no more"


def test_a_password_changed_meanwhile_is_a_conflict(db: Session, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = world.register(db)
    real = passwords.hash_password

    def change_meanwhile(password: str, cost: int) -> str:
        pair.user.password_hash = "another"
        db.flush()
        return real(password, cost)

    monkeypatch.setattr(passwords, "hash_password", change_meanwhile)
    with pytest.raises(Conflict):
        change(db, world, pair)


def test_nobody_has_no_password(db: Session, world: World) -> None:
    with pytest.raises(Unauthenticated):
        profiles.prove_password(world.databases, ANONYMOUS, world.rules, GOOD, field="password")
    with pytest.raises(Unauthenticated):
        privacy_export.collect_own(db, ANONYMOUS)


def test_the_export_holds_everything_but_secrets(db: Session, world: World) -> None:
    pair, stranger = world.register(db), world.register(db, "bert")
    judge = world.actor(db, promoted(db, world))
    actor = world.actor(db, pair)  # whose the connection is from here on
    make_listing(db, pair.user, title="Mine")
    make_listing(db, stranger.user, title="Not mine")
    recovery.request_password_reset(db, email="anna@people.example", actor=ANONYMOUS)
    recovery.issue_token(db, pair.user.user_id, "reset_password", "anna@people.example", *_hour(db))
    lifecycle.suspend(db, judge, pair.user.user_id, reason="Spam.")
    data = privacy_export.collect_own(db, actor)
    text = orjson.dumps(data).decode()
    assert data["profile"]["email"] == "anna@people.example"
    assert data["profile"]["date_joined"].endswith("+00:00")
    assert data["sessions"][0]["device"] == "Firefox"
    assert [listing["title"] for listing in data["listings"]] == ["Mine"]
    assert data["listings"][0]["price"] == "250.00"
    assert [token["purpose"] for token in data["one_time_tokens"]] == ["reset_password"]
    told = {event["type"]: event for event in data["events"]}
    assert told["user.registered"]["by_you"] is True
    assert (told["user.suspended"]["by_you"], told["user.suspended"]["reason"]) == (False, "Spam.")
    assert told["user.password_reset_requested"]["by_you"] is False
    assert data["complete"] is True
    for secret in ("password_hash", "hash", "nonce", "moderator", "Not mine"):
        assert secret not in text


def promoted(session: Session, world: World) -> Any:
    pair = world.register(session, "mod")
    lifecycle.set_roles(session, OPERATOR, pair.user.user_id, ["moderator"])
    return world.log_in(session, "mod@people.example")


def test_the_export_reads_in_batches(db: Session, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_api.domain.privacy.export.BATCH", 2)
    pair = world.register(db)
    for number in range(5):
        make_listing(db, pair.user, title=f"Listing {number}")
    actor = world.actor(db, pair)
    assert [row["title"] for row in privacy_export.collect_own(db, actor)["listings"]] == [
        f"Listing {n}" for n in range(5)
    ]
    monkeypatch.setattr("marketplace_api.domain.privacy.export.MOST", 4)
    data = privacy_export.collect_own(db, actor)
    assert (len(data["listings"]), data["complete"]) == (4, False)
