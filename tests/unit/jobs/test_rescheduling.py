"""What waits for quiet hours or a digest when those are changed: when it goes, and what keeps its time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases, now_of
from marketplace_api.domain.outbound.notifications import deliveries, delivery_log, preferences, rescheduling
from marketplace_api.domain.outbound.notifications.create import due_channels
from marketplace_api.errors import Conflict, Unavailable
from marketplace_api.jobs.handlers import HANDLERS
from marketplace_api.jobs.outbound.channels import send_due
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, send
from tests.factories.deliveries import Post
from tests.factories.listings import make_listing
from tests.factories.notifications import SERVICES, notify
from tests.factories.reviews import make_review
from tests.support.polling import until_somebody_waits


def choose(db: Session, user: User, **changes: Any) -> None:
    """Change preferences, and do what their event has done."""
    preferences.change(db, actor_of(user), changes=changes)
    event = db.execute(sa.select(Event).order_by(Event.event_id.desc()).limit(1)).scalar_one()
    for handler in HANDLERS[event.type]:
        handler(db, event, SERVICES)
    db.commit()


def quiet(now: datetime) -> dict[str, Any]:
    """Hours around now."""
    start, end = now - timedelta(hours=1), now + timedelta(hours=2)
    return {"start": start.time().replace(second=0), "end": end.time().replace(second=0), "time_zone": "UTC"}


def waits(db: Session, channel: str = "email") -> list[timedelta]:
    """How long from now what is due waits, the oldest first."""
    statement = sa.text(
        "SELECT due_at - now() FROM deliveries WHERE status = 'due' AND channel = :channel ORDER BY delivery_id"
    )
    return list(db.execute(statement, {"channel": channel}).scalars())


def freed(databases: Databases, user_id: int) -> tuple[list[str], list[timedelta]]:
    """The channels by which something goes at once, and how long each e-mail waits that has not gone."""
    with databases.session() as session:
        rescheduling.reschedule(session, user_id)
        return due_channels(session), waits(session)


def review(db: Session, of: User, by: User) -> None:
    make_review(db, by, listing=make_listing(db, of))
    notify(db)


def test_what_quiet_hours_hold_goes_when_they_end_by_a_wish_and_what_failed_keeps_its_time(
    db: Session, anna: User, ben: User
) -> None:
    now, post = now_of(db), Post(trouble=Unavailable("The mail server does not answer."))
    review(db, ben, anna)
    send_due(db, post.services, "email", now)  # failed, and held once its next attempt would be
    choose(db, ben, quiet_hours=quiet(now))
    later = now + timedelta(minutes=2)
    send_due(db, post.services, "email", later)
    choose(db, ben, quiet_hours=None)
    assert waits(db) == [timedelta()], "the hours held it, not the failure"
    send_due(db, post.services, "email", now)  # failed, and waits for its next attempt
    (failed,) = waits(db)
    assert timedelta(minutes=4) <= failed <= timedelta(minutes=5)
    choose(db, ben, quiet_hours=quiet(now))
    review(db, ben, anna)
    send(db, anna, ben)
    notify(db)
    for channel in ("email", "web_push"):
        send_due(db, post.services, channel, now)
    held = waits(db)[1]
    assert timedelta(hours=1) < held and waits(db, "web_push") == [held]
    due_channels(db)
    choose(db, ben, types={"new_message": {"in_app": False}})
    assert (waits(db)[1], due_channels(db)) == (held, []), "the other preferences say nothing of when"
    choose(db, ben, quiet_hours={"end": (now - timedelta(minutes=30)).time().replace(second=0)})
    assert waits(db) == [failed, timedelta(), timedelta(minutes=2)], "messages are still gathered"
    assert waits(db, "web_push") == [timedelta()]
    assert due_channels(db) == ["email", "web_push"]


def test_what_a_digest_holds_goes_when_it_is_switched_off(db: Session, anna: User, ben: User) -> None:
    now, post = now_of(db), Post()
    choose(db, ben, digest={"enabled": True, "time": (now + timedelta(hours=5)).time().replace(second=0)})
    review(db, ben, anna)
    send_due(db, post.services, "email", now)
    assert waits(db)[0] > timedelta(hours=4)
    choose(db, ben, digest={"time": (now + timedelta(hours=3)).time().replace(second=0)})
    send_due(db, post.services, "email", now)
    assert timedelta(hours=2) < waits(db)[0] < timedelta(hours=4) and post.sent == []
    choose(db, ben, digest=None)
    send_due(db, post.services, "email", now)
    assert len(post.sent) == 1


def test_who_puts_off_by_the_old_wish_while_it_changes_holds_nothing(committed_databases: Databases) -> None:
    """What the change frees is freed once nobody has it in hand any more."""
    with committed_databases.session() as session:
        anna, ben = make_user(session), make_user(session)
        session.commit()
        choose(session, ben, quiet_hours=quiet(now_of(session)))
        review(session, ben, anna)
        session.expunge_all()
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as sender:
        now = now_of(sender)
        assert deliveries.take(sender, "email", now, str) is True  # put off, and not committed yet
        with committed_databases.session() as session:
            preferences.change(session, actor_of(ben), changes={"quiet_hours": None})
            session.commit()
        freeing = pool.submit(freed, committed_databases, ben.user_id)
        until_somebody_waits(committed_databases)
        sender.commit()
        assert freeing.result(10) == (["email"], [timedelta()])


def test_what_was_put_off_after_a_failure_is_tried_now_and_no_other_that_waits(
    db: Session, anna: User, ben: User
) -> None:
    now, post = now_of(db), Post(trouble=Unavailable("The mail server does not answer."))
    review(db, ben, anna)
    send_due(db, post.services, "email", now)
    send(db, anna, ben)
    notify(db)
    (delivery_id,) = delivery_log.waiting_after(db, 0)
    assert delivery_log.waiting_after(db, 0, "sms") == delivery_log.waiting_after(db, delivery_id) == []
    gathered = db.execute(sa.text("SELECT max(delivery_id) FROM deliveries WHERE channel = 'email'")).scalar_one()
    delivery_log.retry(db, delivery_id)
    assert waits(db) == [timedelta(), timedelta(minutes=2)]
    assert delivery_log.find(db, delivery_id)["attempts"] == 1, "it is one of its attempts"
    for waiting in (delivery_id, gathered):
        with pytest.raises(Conflict):
            delivery_log.retry(db, waiting)
    post.trouble = None
    send_due(db, post.services, "email", now)
    assert len(post.sent) == 1
