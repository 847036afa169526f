"""What happens when two do it at the same moment: real connections, real commits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import admins, lifecycle, profiles, recovery, sessions
from marketplace_api.domain.identity.accounts.sessions import TokenPair
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.trust.moderation import accounts as bulk_accounts
from marketplace_api.errors import Conflict, Invalid, PreconditionFailed, Unauthenticated
from marketplace_api.models.identity.accounts import AccountSession, User
from tests.unit.domain.identity.accounts_world import BETTER, GOOD, OPERATOR, World, at_once, event_types

HOUR = timedelta(hours=1)


@pytest.fixture
def world(committed_databases: Databases) -> World:
    return World(committed_databases)


def committed(world: World, work: Any) -> Any:
    with world.databases.session() as session, session.begin():
        return work(session)


def codes(results: list[Any]) -> list[str]:
    return sorted(getattr(result, "code", "fine") for result in results)


def issue(world: World, pair: TokenPair, purpose: str, email: str) -> str:
    now = datetime.now(UTC)
    return str(committed(world, lambda s: recovery.issue_token(s, pair.user.user_id, purpose, email, now, HOUR)))


def test_of_many_registers_of_one_name_one_wins(world: World) -> None:
    results = at_once(world.databases, *[world.register] * 6)
    won = [result for result in results if isinstance(result, TokenPair)]
    lost = [result for result in results if isinstance(result, Conflict)]
    assert (len(won), len(lost)) == (1, 5)
    assert all([error.name for error in conflict.errors] == ["username", "email"] for conflict in lost)
    with world.databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(User)).scalar_one() == 1
        assert event_types(session) == ["user.registered"]


def test_two_trades_of_one_refresh_token_give_one_pair(world: World) -> None:
    pair = committed(world, world.register)
    results = at_once(world.databases, *[lambda s: world.refresh(s, pair.refresh_token)] * 4)
    assert len({(result.token, result.refresh_token) for result in results}) == 1
    following = results[0].refresh_token
    assert committed(world, lambda s: world.refresh(s, following)).refresh_token != following


def test_reuse_ends_the_session_although_the_request_is_rolled_back(world: World) -> None:
    pair = committed(world, world.register)
    following = committed(world, lambda s: world.refresh(s, pair.refresh_token))
    table = AccountSession.__table__
    older = sa.update(table).values(rotated_at=table.c.rotated_at - timedelta(seconds=11))
    committed(world, lambda s: s.execute(older))
    with pytest.raises(Unauthenticated) as caught:
        committed(world, lambda s: world.refresh(s, pair.refresh_token))
    assert caught.value.code == "refresh_token_reused"
    with pytest.raises(Unauthenticated) as ended:
        committed(world, lambda s: world.refresh(s, following.refresh_token))
    assert ended.value.code == "session_ended"
    with world.databases.session() as session:
        assert event_types(session, pair.session_id, "session") == ["session.reuse_detected"]


def test_reuse_beside_a_refresh_ends_the_session_all_the_same(world: World) -> None:
    first = committed(world, world.register)
    second = committed(world, lambda s: world.refresh(s, first.refresh_token))
    third = committed(world, lambda s: world.refresh(s, second.refresh_token))
    results = at_once(
        world.databases,
        *[lambda s: world.refresh(s, first.refresh_token)] * 3,
        *[lambda s: world.refresh(s, third.refresh_token)] * 3,
    )
    assert "refresh_token_reused" in codes(results)
    assert {"refresh_token_reused", "session_ended", "fine"}.issuperset(codes(results))
    with world.databases.session() as session, pytest.raises(Unauthenticated):
        world.actor(session, third)


def test_one_reset_token_is_used_once(world: World) -> None:
    pair = committed(world, world.register)
    token = issue(world, pair, "reset_password", "anna@people.example")

    def reset(password: str) -> Any:
        return lambda s: recovery.reset_password(s, world.rules, token=token, new_password=password, actor=ANONYMOUS)

    words = [f"{BETTER} {word}" for word in ("alder", "birch", "cedar", "dogwood")]
    results = at_once(world.databases, *map(reset, words))
    assert codes(results) == ["fine", *["invalid_token"] * 3]
    assert all(isinstance(result, (User, Invalid)) for result in results)
    winner = words[next(n for n, result in enumerate(results) if isinstance(result, User))]
    assert committed(world, lambda s: world.log_in(s, password=winner))


def test_of_two_edits_of_one_version_one_is_made(world: World) -> None:
    pair = committed(world, world.register)
    user_id, version = pair.user.user_id, pair.user.version

    def edit(bio: str) -> Any:
        return lambda s: profiles.edit(s, OPERATOR, user_id, changes={"bio": bio}, expected_version=version)

    results = at_once(world.databases, *map(edit, "abcd"))
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 3


def test_two_accounts_confirm_one_address(world: World) -> None:
    tokens = []
    change = {"email": "new@people.example"}
    for name in ("anna", "bert"):
        pair = committed(world, lambda s, name=name: world.register(s, name))
        committed(world, lambda s, pair=pair: profiles.edit(s, OPERATOR, pair.user.user_id, changes=change))
        tokens.append(issue(world, pair, "confirm_email", "new@people.example"))
    confirm = [
        lambda s, token=token: recovery.confirm_email(s, world.rules, token=token, actor=ANONYMOUS) for token in tokens
    ]
    assert codes(at_once(world.databases, *confirm)) == ["already_taken", "fine"]


@pytest.mark.parametrize("attempt", range(3))
def test_no_session_slips_past_a_new_password(world: World, attempt: int) -> None:
    """Whichever comes first, a session that the old password opened does not live on."""
    pair = committed(world, world.register)
    with world.databases.session() as session:
        actor = world.actor(session, pair)

    def change(session: Session) -> Any:
        return profiles.change_password(
            session, world.databases, actor, world.rules, current_password=GOOD, new_password=BETTER
        )

    results = at_once(world.databases, world.log_in, change, world.log_in)
    assert results[1] is None
    with world.databases.session() as session:
        assert world.actor(session, pair).is_active
        assert sessions.log_out(session, actor, scope="others") == 0


@pytest.mark.parametrize("attempt", range(3))
def test_an_account_that_is_erased_lets_nobody_in(world: World, attempt: int) -> None:
    pair = committed(world, world.register)
    past = "UPDATE users SET state = 'deactivated', deactivated_at = now() - interval '31 days'"
    committed(world, lambda s: s.execute(sa.text(past)))
    now = datetime.now(UTC)

    def erase(session: Session) -> int:
        return erasure.erase_due(session, world.rules, now)

    came_back, *erased = at_once(world.databases, world.log_in, erase, erase)
    with world.databases.session() as session:
        state = session.get_one(User, pair.user.user_id).state
    if isinstance(came_back, TokenPair):
        assert (state, erased) == ("active", [0, 0])
    else:
        assert came_back.code == "invalid_credentials"
        assert (state, sorted(erased)) == ("erased", [0, 1])


def test_mail_and_reset_never_wait_for_each_other_in_a_circle(world: World) -> None:
    pair = committed(world, world.register)
    now = datetime.now(UTC)
    for _ in range(5):
        token = issue(world, pair, "reset_password", "anna@people.example")
        results = at_once(
            world.databases,
            lambda s: recovery.issue_token(s, pair.user.user_id, "reset_password", "anna@people.example", now, HOUR),
            lambda s, token=token: recovery.reset_password(
                s, world.rules, token=token, new_password=BETTER, actor=ANONYMOUS
            ),
            lambda s: recovery.issue_token(s, pair.user.user_id, "reset_password", "anna@people.example", now, HOUR),
        )
        assert set(codes(results)) <= {"fine", "invalid_token"}


@pytest.mark.parametrize("bulk", [False, True])
def test_admins_who_take_each_other_away_leave_one(world: World, bulk: bool) -> None:
    """By every way there is, each of them upon the next: whoever would be the last stays."""
    pairs = [
        committed(world, lambda s, name=name: world.register(s, name)) for name in ("anna", "bert", "carl", "dora")
    ]
    ids = [pair.user.user_id for pair in pairs]
    committed(world, lambda s: s.execute(sa.update(User).values(roles=["customer", "admin"])))
    actors = [committed(world, lambda s, pair=pair: world.actor(s, pair)) for pair in pairs]
    if bulk:
        works = [partial(_ban_all, actor=OPERATOR, ids=order) for order in (ids, ids[::-1])]
    else:
        anna, bert, carl, dora = actors
        works = [
            lambda s: lifecycle.suspend(s, anna, ids[1], reason="Why."),
            lambda s: lifecycle.set_roles(s, bert, ids[2], ["moderator"]),
            lambda s: erasure.erase(s, world.rules, carl, ids[3]),
            lambda s: lifecycle.deactivate(s, world.databases, dora, world.rules, password=GOOD),
            lambda s: lifecycle.ban(s, dora, ids[0], reason="Why."),
        ]
    results = at_once(world.databases, *works)
    with world.databases.session() as session:
        assert admins.count(session) == 1
    if bulk:
        told = [result.detail for part in results for result in part if result.detail]
        assert admins.last_admin().detail in told
    else:
        assert "last_admin" in codes(results)
        assert all(isinstance(result, User | datetime | Conflict | Unauthenticated) for result in results), results


def _ban_all(session: Session, *, actor: Any, ids: list[int]) -> Any:
    return bulk_accounts.act(session, actor, "ban", "Why.", ids)
