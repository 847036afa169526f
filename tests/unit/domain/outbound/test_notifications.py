"""Notifications in the domain: reading, keeping, preferences, the device that was never seen, and what erasure leaves."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, time, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.outbound.notifications import inbox, preferences, reading
from marketplace_api.domain.outbound.notifications.preferences import QuietHours, quiet_until, wants
from marketplace_api.domain.outbound.notifications.types import CHANNELS, KINDS, NotificationType, by_default
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import Invalid, NotFound, PreconditionFailed
from marketplace_api.jobs import schedule
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.notifications import (
    SECURITY_TYPES,
    Notification,
    NotificationBox,
    NotificationChoice,
    NotificationPreferences,
    NotifiedEvent,
)
from tests.factories.accounts import PASSWORD, make_user
from tests.factories.conversations import actor_of, send
from tests.factories.notifications import SERVICES, listed, make_notification, notify, true_counts
from tests.unit.domain.identity.accounts_world import OPERATOR, RULES, World, event_types

BERLIN = QuietHours(time(22), time(7), "Europe/Berlin")
NIGHT = QuietHours(time(22), time(2, 30), "Europe/Berlin")


def test_pages_and_cursors_see_everything_once(db: Session, anna: User, ben: User) -> None:
    ids = [make_notification(db, anna, ben) for _ in range(7)]
    page, unread = reading.list_page(db, anna.user_id, PageRequest(limit=3))
    assert (page.total, unread) == (7, 7)
    seen = [row.notification_id for row in page.items]
    while page.next_cursor:
        page, _ = reading.list_page(db, anna.user_id, PageRequest(limit=3, cursor=page.next_cursor))
        seen += [row.notification_id for row in page.items]
    assert seen == ids[::-1]
    back, _ = reading.list_page(db, anna.user_id, PageRequest(limit=3, cursor=page.prev_cursor))
    assert [row.notification_id for row in back.items] == ids[::-1][3:6]


def test_the_unread_ones_alone(db: Session, anna: User, ben: User) -> None:
    first, second = (make_notification(db, anna, ben) for _ in range(2))
    inbox.mark_read(db, actor_of(anna), first)
    page, unread = reading.list_page(db, anna.user_id, PageRequest(), unread_only=True)
    assert ([row.notification_id for row in page.items], page.total, unread) == ([second], 1, 1)
    assert reading.list_page(db, ben.user_id, PageRequest(), unread_only=True)[1] == 0


def test_what_comes_last_is_first_however_old_its_group(db: Session, anna: User, ben: User) -> None:
    send(db, ben, anna)
    notify(db)
    other = make_notification(db, anna, ben)
    # The whole test is one transaction, which has one time.
    db.execute(sa.update(Notification).values(date_updated=sa.func.now() - timedelta(hours=1)))
    assert next(iter(listed(db, anna))).notification_id == other
    send(db, ben, anna)
    notify(db)
    assert [row.type for row in listed(db, anna)] == ["new_message", "verification_approved"]


def test_nobody_reaches_another_s_notifications(db: Session, anna: User, ben: User) -> None:
    note = make_notification(db, anna, ben)
    assert reading.find(db, note, ben.user_id) is None
    for act in (inbox.mark_read, inbox.dismiss):
        with pytest.raises(NotFound):
            act(db, actor_of(ben), note)
    inbox.mark_all_read(db, actor_of(ben))
    assert true_counts(db, anna) == (1, 1)
    assert len(listed(db, anna)) == 1


def test_to_read_twice_is_no_error_and_counts_once(db: Session, anna: User, ben: User) -> None:
    note = make_notification(db, anna, ben)
    make_notification(db, anna, ben)
    for _ in range(2):
        inbox.mark_read(db, actor_of(anna), note)
    box = db.get_one(NotificationBox, anna.user_id, populate_existing=True)
    assert (box.total_count, box.unread_count) == (2, 1)
    inbox.dismiss(db, actor_of(anna), note)
    with pytest.raises(NotFound):
        inbox.dismiss(db, actor_of(anna), note)
    assert len(listed(db, anna)) == 1


def test_what_was_read_long_ago_is_deleted_and_nothing_else(db: Session, anna: User, ben: User) -> None:
    read, unread, recent = (make_notification(db, anna, ben) for _ in range(3))
    for note in (read, recent):
        inbox.mark_read(db, actor_of(anna), note)
    days = SERVICES.settings.notifications_keep_days
    assert days == 180
    old = sa.func.now() - timedelta(days=days, minutes=1)
    db.execute(sa.update(Notification).where(Notification.notification_id.in_([read, unread])).values(date_updated=old))
    claims = sa.select(NotifiedEvent.event_id).order_by(NotifiedEvent.event_id)
    first, *others = db.execute(claims).scalars().all()
    db.execute(sa.update(NotifiedEvent).where(NotifiedEvent.event_id == first).values(date_created=old))
    schedule.purge_notifications(db, SERVICES)
    assert {row.notification_id for row in listed(db, anna)} == {unread, recent}
    assert db.execute(claims).scalars().all() == others
    assert purged_by_the_clock()


def purged_by_the_clock() -> bool:
    return schedule.purge_notifications in {function for _, function in schedule.PERIODIC}


# Preferences.


def test_who_chose_nothing_has_the_defaults(db: Session, anna: User) -> None:
    own = preferences.find(db, anna.user_id)
    assert set(own.types) == {type.value for type in KINDS}
    assert (own.quiet_hours, own.version) == (None, 1)
    for type in KINDS:
        for channel in CHANNELS:
            assert wants(db, anna.user_id, type, channel) == by_default(type, channel) == own.types[type][channel]
        assert wants(db, anna.user_id, type, "in_app")


def test_only_what_differs_from_the_defaults_is_kept(db: Session, anna: User, ben: User) -> None:
    kind = NotificationType.NEW_MESSAGE
    changes = {"types": {kind: {"email": False, "sms": True, "in_app": True}}, "quiet_hours": asdict(BERLIN)}
    own = preferences.change(db, actor_of(anna), changes=changes, expected_version=1)
    assert own.types[kind] == {"in_app": True, "email": False, "sms": True, "web_push": True}
    assert (own.quiet_hours, own.version) == (BERLIN, 2)
    assert [wants(db, anna.user_id, kind, channel) for channel in CHANNELS] == [True, False, True, True]
    assert [wants(db, ben.user_id, kind, channel) for channel in CHANNELS] == [True, True, False, True]
    assert db.execute(sa.select(NotificationChoice.channel).order_by("channel")).scalars().all() == ["email", "sms"]
    own = preferences.change(db, actor_of(anna), changes={"types": {kind: {"email": True, "sms": False}}})
    assert db.execute(sa.select(NotificationChoice)).all() == []
    assert own.quiet_hours == BERLIN
    own = preferences.change(db, actor_of(anna), changes={"quiet_hours": None})
    assert (own.quiet_hours, own.version) == (None, 4)
    assert event_types(db, anna.user_id) == ["user.preferences_changed"] * 3


def test_what_changes_nothing_leaves_no_trace(db: Session, anna: User) -> None:
    changes = {"types": {"new_message": {"email": True}}, "quiet_hours": None}
    assert preferences.change(db, actor_of(anna), changes=changes).version == 1
    assert event_types(db, anna.user_id) == []
    with pytest.raises(PreconditionFailed):
        preferences.change(db, actor_of(anna), changes=changes, expected_version=2)


@pytest.mark.parametrize("type", SECURITY_TYPES)
def test_security_comes_by_mail_whatever_one_wants(db: Session, anna: User, type: str) -> None:
    with pytest.raises(Invalid) as caught:
        preferences.change(db, actor_of(anna), changes={"types": {type: {"email": False, "sms": True}}})
    assert [(error.name, error.code) for error in caught.value.errors] == [
        (f"types.{type}.email", "cannot_be_switched_off")
    ]
    assert wants(db, anna.user_id, NotificationType(type), "email")
    row = {"user_id": anna.user_id, "type": type, "channel": "email", "enabled": False}
    with pytest.raises(IntegrityError, match="security_by_email"), db.begin_nested():
        db.execute(sa.insert(NotificationChoice).values(row))


@pytest.mark.parametrize(
    ("hours", "moment", "until"),
    [
        (None, "2026-01-10T23:00:00+00:00", None),
        (BERLIN, "2026-01-10T20:59:00+00:00", None),
        (BERLIN, "2026-01-10T21:00:00+00:00", "2026-01-11T06:00:00+00:00"),
        (BERLIN, "2026-01-11T05:59:00+00:00", "2026-01-11T06:00:00+00:00"),
        (BERLIN, "2026-01-11T06:00:00+00:00", None),
        # Summer time: an hour earlier by UTC; the clocks are put forward within the night.
        (BERLIN, "2026-03-28T22:00:00+00:00", "2026-03-29T05:00:00+00:00"),
        # The clocks are set back from 03:00 to 02:00: half past two comes twice, and never is the end before the moment.
        (NIGHT, "2026-10-25T00:10:00+00:00", "2026-10-25T00:30:00+00:00"),
        (NIGHT, "2026-10-25T00:40:00+00:00", None),
        (NIGHT, "2026-10-25T01:10:00+00:00", "2026-10-25T01:30:00+00:00"),
        (NIGHT, "2026-10-25T01:30:00+00:00", None),
        (QuietHours(time(13), time(15), "UTC"), "2026-01-10T14:00:00+00:00", "2026-01-10T15:00:00+00:00"),
        (QuietHours(time(13), time(15), "UTC"), "2026-01-10T12:00:00+00:00", None),
    ],
)
def test_quiet_hours_go_by_the_person_s_own_clock(hours: QuietHours | None, moment: str, until: str | None) -> None:
    expected = datetime.fromisoformat(until) if until else None
    assert quiet_until(hours, datetime.fromisoformat(moment)) == expected


# The device that was never seen.


def test_a_log_in_says_whether_its_device_is_new(db: Session, databases: Databases) -> None:
    world = World(databases)
    world.register(db)
    assert "new_device" not in last(db).new  # the first session of all
    for address, is_new in (("192.0.2.1", False), ("198.51.100.7", True), ("198.51.100.7", False)):
        world.log_in(db, address=address)
        assert last(db).new["new_device"] is is_new
        assert address not in str(last(db).new)
    notify(db)
    user_id = last(db).subject_id
    assert [row.type for row in listed(db, db.get_one(User, user_id))] == ["new_login"]


def test_the_first_log_in_of_an_account_is_nothing_new(db: Session, databases: Databases) -> None:
    make_user(db, email="anna@people.example", last_login=None)
    World(databases).log_in(db, password=PASSWORD)
    assert last(db).new["new_device"] is False


def last(db: Session) -> Event:
    return db.execute(
        sa.select(Event)
        .where(Event.type.in_(["user.registered", "user.logged_in"]))
        .order_by(Event.event_id.desc())
        .limit(1)
    ).scalar_one()


# What is held, and what is left.


def test_erasure_takes_notifications_and_wishes_along(db: Session, anna: User, ben: User) -> None:
    for one, other in ((anna, ben), (ben, anna)):
        send(db, one, other)
        changes = {"types": {"new_message": {"email": False}}, "quiet_hours": asdict(BERLIN)}
        preferences.change(db, actor_of(one), changes=changes)
    notify(db)
    erasure.erase(db, RULES, OPERATOR, anna.user_id)
    db.commit()
    for model in (Notification, NotificationChoice, NotificationPreferences):
        assert db.execute(sa.select(model.user_id)).scalars().all() == [ben.user_id]
    assert true_counts(db, anna) == (0, 0)
    assert listed(db, anna) == []
    assert listed(db, ben)[0].actor_username is None


def test_one_s_data_has_notifications_and_wishes(db: Session, anna: User, ben: User) -> None:
    send(db, ben, anna)
    notify(db)
    changes = {"types": {"new_message": {"email": False, "sms": True}}, "quiet_hours": asdict(BERLIN)}
    preferences.change(db, actor_of(anna), changes=changes)
    held = privacy_export.collect(db, anna.user_id)
    assert [row["type"] for row in held["notifications"]] == ["new_message"]
    assert len(held["notification_choices"]) == 2
    assert held["notification_preferences"][0]["quiet_start"] == "22:00:00"
    assert privacy_export.collect(db, ben.user_id)["notifications"] == []
