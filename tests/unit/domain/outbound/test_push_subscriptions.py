"""Browsers that take notifications: an endpoint is one browser's, and ends with the session that it was made in."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import sessions
from marketplace_api.domain.kernel.actors import Actor, operator
from marketplace_api.domain.outbound.push_subscriptions import queries
from marketplace_api.domain.outbound.push_subscriptions import subscriptions as push_subscriptions
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import Conflict
from marketplace_api.models.outbound.push_subscriptions import MOST_SUBSCRIPTIONS
from tests.factories.accounts import make_user, open_session
from tests.factories.browsers import Browser, subscriptions
from tests.unit.domain.identity.accounts_world import RULES, at_once, event_types, fresh


def test_the_same_browser_is_there_once_and_follows_who_is_logged_in(db: Session) -> None:
    anna, ben, browser = make_user(db), make_user(db), Browser()
    first = browser.subscribe(db, anna)
    assert browser.subscribe(db, anna) == first
    assert event_types(db, first, "push_subscription") == ["push_subscription.added"]
    second = browser.subscribe(db, ben)
    assert (subscriptions(db, anna), subscriptions(db, ben)) == ([], [second])
    assert event_types(db, first, "push_subscription")[-1] == "push_subscription.removed"


def test_nobody_takes_over_an_endpoint_who_does_not_know_its_keys(db: Session) -> None:
    anna, ben, browser = make_user(db), make_user(db), Browser()
    browser.subscribe(db, anna)
    for thief in (Browser(name=browser.name, private=browser.private), Browser(name=browser.name, auth=browser.auth)):
        with pytest.raises(Conflict) as caught:
            thief.subscribe(db, ben)
        assert caught.value.code == "already_taken"
        db.rollback()
    assert len(queries.targets(db, anna.user_id)) == 1


def test_it_ends_with_its_session_and_with_no_other(db: Session) -> None:
    anna = make_user(db)
    here, there = open_session(db, anna), open_session(db, anna)
    one, other = Browser(), Browser()
    kept, gone = one.subscribe(db, anna, here), other.subscribe(db, anna, there)
    assert {row.subscription_id for row in queries.targets(db, anna.user_id)} == {kept, gone}
    sessions.log_out(db, Actor(user_id=anna.user_id, session_id=there.session_id))
    assert [row.subscription_id for row in queries.targets(db, anna.user_id)] == [kept]
    assert (queries.count(db, anna.user_id), queries.find(db, anna.user_id, gone)) == (1, None)
    # The same browser, logged in again.
    assert other.subscribe(db, anna) == gone
    assert queries.count(db, anna.user_id) == 2


def test_the_oldest_gives_way_and_those_that_ended_stand_in_nobody_s_way(db: Session) -> None:
    anna = make_user(db)
    ended = open_session(db, anna)
    ids = [Browser().subscribe(db, anna) for _ in range(MOST_SUBSCRIPTIONS - 1)]
    ids.append(Browser().subscribe(db, anna, ended))
    sessions.log_out(db, Actor(user_id=anna.user_id, session_id=ended.session_id))
    ids.append(Browser().subscribe(db, anna))
    assert subscriptions(db, anna) == [*ids[:9], ids[10]]
    ids.append(Browser().subscribe(db, anna))
    assert subscriptions(db, anna) == [*ids[1:9], *ids[10:]]
    assert queries.count(db, anna.user_id) == MOST_SUBSCRIPTIONS


def test_the_owner_takes_it_out_and_erasure_leaves_nothing(db: Session) -> None:
    anna, browser = make_user(db), Browser()
    browser.subscribe(db, anna)
    (taken,) = privacy_export.collect(db, anna.user_id)["push_subscriptions"]
    assert taken["endpoint"] == browser.endpoint
    assert not {"auth", "p256dh"} & taken.keys()
    erasure.erase_account(db, RULES, fresh(db, anna.user_id), operator("test"))
    assert subscriptions(db, anna) == []


def test_registered_by_many_at_once_it_is_there_once(committed_databases: Databases, api_databases: Databases) -> None:
    """As requests do it: the database shows each only what is theirs."""
    browser = Browser()
    with committed_databases.session() as session:
        users = [make_user(session) for _ in range(3)]
        actors = [Actor(user_id=u.user_id, session_id=open_session(session, u).session_id) for u in users for _ in "ab"]
        session.commit()
    own = push_subscriptions.Browser(browser.endpoint, browser.p256dh, browser.auth, "Firefox")

    def registering(actor: Actor) -> object:
        def work(session: Session) -> object:
            session.execute(sa.text("SELECT set_config('app.user_id', :id, true)"), {"id": str(actor.user_id)})
            return push_subscriptions.subscribe(session, actor, own)

        return work

    results = at_once(api_databases, *map(registering, actors))  # type: ignore[arg-type]
    assert [result for result in results if isinstance(result, Exception)] == []
    with committed_databases.session() as session:
        assert sum(len(subscriptions(session, user)) for user in users) == 1
        types = list(session.execute(sa.text("SELECT type FROM events ORDER BY event_id")).scalars())
        assert types.count("push_subscription.added") - types.count("push_subscription.removed") == 1
