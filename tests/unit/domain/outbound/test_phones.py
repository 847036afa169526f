"""Telephone numbers: shown to be one's own by a code, and nobody gets more attempts or messages than there are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.outbound.phones import confirmation, queries, reports
from marketplace_api.domain.outbound.phones.confirmation import MOST_CODES
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import Conflict, Invalid, RateLimited
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.phones import MOST_ATTEMPTS
from tests.factories.accounts import make_user
from tests.factories.reviews import actor_of
from tests.unit.domain.identity.accounts_world import RULES, at_once, event_types, fresh, refusal

NUMBER, OTHER = "+4915112345678", "+4915187654321"


def ask(session: Session, user: User, number: str = NUMBER) -> int:
    """Have a code sent; the id of the event."""
    confirmation.request_code(session, actor_of(user), RULES, number)
    session.commit()
    return int(session.execute(sa.select(sa.func.max(Event.event_id))).scalar_one())


def code_for(session: Session, user: User, number: str = NUMBER) -> str:
    """A code that was sent."""
    made = confirmation.make_code(session, RULES, user.user_id, ask(session, user, number))
    session.commit()
    assert made is not None and made[0] == number
    return made[1]


def later(session: Session, **by: float) -> None:
    """Let time pass for what was counted and for what waits."""
    ago = {"by": timedelta(**by)}
    session.execute(
        sa.text("UPDATE phone_code_counts SET date_begun = date_begun - :by, last_sent = last_sent - :by"), ago
    )
    session.execute(sa.text("UPDATE phone_codes SET expires_at = expires_at - :by"), ago)
    session.commit()


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def test_a_code_shows_that_a_number_is_one_s_own(db: Session, databases: Databases) -> None:
    anna = make_user(db)
    code = code_for(db, anna)
    row = queries.find(db, anna.user_id)
    assert (row.number, row.waiting_number, row.is_sent, row.attempts_left) == (None, NUMBER, True, MOST_ATTEMPTS)
    assert queries.confirmed_number(db, anna.user_id) is None, "nothing but codes goes there"
    assert code not in str(db.execute(sa.text("SELECT to_jsonb(c) FROM phone_codes AS c")).scalar_one())
    row = confirmation.confirm(db, databases, actor_of(anna), RULES, code)
    assert (row.number, row.waiting_number) == (NUMBER, None)
    assert queries.confirmed_number(db, anna.user_id) == NUMBER
    told = db.execute(sa.text("SELECT string_agg(previous::text || new::text, '') FROM events".replace("::", r"\:\:")))
    assert NUMBER[3:] not in str(told.scalar_one())
    assert event_types(db, anna.user_id) == ["user.phone_code_requested", "user.phone_confirmed"]
    assert refusal(lambda: confirmation.confirm(db, databases, actor_of(anna), RULES, code)) == "wrong_state"
    assert refusal(lambda: ask(db, anna)) == "already_taken"
    confirmation.remove(db, actor_of(anna))
    assert refusal(lambda: confirmation.remove(db, actor_of(anna))) == "not_found"


def test_a_code_ends_with_its_time_its_attempts_and_the_next_one(db: Session, databases: Databases) -> None:
    anna = make_user(db)
    confirm = lambda code: confirmation.confirm(db, databases, actor_of(anna), RULES, code)  # noqa: E731
    code = code_for(db, anna)
    for left in range(MOST_ATTEMPTS - 1, -1, -1):
        with pytest.raises(Invalid, match=f"attempts left: {left}"):
            confirm(wrong(code))
    assert refusal(lambda: confirm(code)) == "wrong_state", "the right one comes too late"
    later(db, minutes=2)
    old = code_for(db, anna)
    later(db, minutes=2)
    event_id = ask(db, anna, OTHER)
    assert refusal(lambda: confirm(old)) == "wrong_state", "another one was asked for"
    assert confirmation.make_code(db, RULES, anna.user_id, event_id - 1) is None, "nor is it sent any more"
    made = confirmation.make_code(db, RULES, anna.user_id, event_id)
    assert made is not None and made[0] == OTHER
    later(db, minutes=11)
    assert refusal(lambda: confirm(made[1])) == "wrong_state"
    assert queries.find(db, anna.user_id).waiting_number is None


def test_a_code_that_cannot_be_sent_is_told(db: Session, databases: Databases) -> None:
    anna = make_user(db)
    event_id = ask(db, anna)
    confirmation.note_problem(db, anna.user_id, event_id, "undeliverable")
    row = queries.find(db, anna.user_id)
    assert (row.problem, row.is_sent) == ("undeliverable", False)
    later(db, minutes=2)
    queries.stop(db, RULES, NUMBER)
    assert refusal(lambda: ask(db, anna)) == "sms_stopped"
    queries.resume(db, RULES, NUMBER)
    assert ask(db, anna) > event_id


def test_codes_are_counted_for_accounts_and_for_numbers(db: Session, databases: Databases) -> None:
    anna = make_user(db)
    for number in range(MOST_CODES):
        ask(db, anna, f"+491511234567{number}")
        assert refusal(lambda: ask(db, anna, OTHER)) == "rate_limited", "once a minute"
        later(db, minutes=2)
    with pytest.raises(RateLimited) as caught:
        ask(db, anna, OTHER)
    assert 23 * 3600 < (caught.value.retry_after or 0) <= 24 * 3600
    db.rollback()
    for _ in range(MOST_CODES):
        ask(db, make_user(db), NUMBER)
        later(db, minutes=2)
    assert refusal(lambda: ask(db, make_user(db), NUMBER)) == "rate_limited"
    db.rollback()
    later(db, hours=24)
    ask(db, anna, NUMBER)


def test_who_shows_a_number_takes_it_over_and_its_former_holder_is_not_told_who(
    db: Session, databases: Databases
) -> None:
    anna, ben = make_user(db), make_user(db)
    confirmation.confirm(db, databases, actor_of(anna), RULES, code_for(db, anna))
    later(db, minutes=2)
    confirmation.confirm(db, databases, actor_of(ben), RULES, code_for(db, ben))
    assert (queries.confirmed_number(db, anna.user_id), queries.confirmed_number(db, ben.user_id)) == (None, NUMBER)
    event = db.execute(sa.select(Event).where(Event.type == "user.phone_removed")).scalar_one()
    assert (event.subject_id, event.actor_id) == (anna.user_id, None)


def test_the_owner_takes_it_out_and_erasure_leaves_nothing(db: Session, databases: Databases) -> None:
    anna = make_user(db)
    confirmation.confirm(db, databases, actor_of(anna), RULES, code_for(db, anna))
    later(db, minutes=2)
    code_for(db, anna, OTHER)
    taken = privacy_export.collect(db, anna.user_id)
    assert [row["number"] for row in (*taken["phones"], *taken["phone_codes"])] == [NUMBER, OTHER]
    assert "code_hash" not in taken["phone_codes"][0]
    erasure.erase_account(db, RULES, fresh(db, anna.user_id), operator("test"))
    assert not (taken := privacy_export.collect(db, anna.user_id))["phones"] and not taken["phone_codes"]


def test_twilio_s_reports_say_what_arrived_and_who_wants_nothing(db: Session) -> None:
    anna = make_user(db)
    for number in range(3):
        db.execute(
            sa.text(
                "INSERT INTO deliveries (user_id, channel, type, event_id, status, date_done, provider_reference) "
                "VALUES (:id, 'sms', 'new_login', :number, 'sent', now(), 'SM' || :number)"
            ),
            {"id": anna.user_id, "number": number},
        )

    def report(**fields: str) -> list[Any]:
        reports.take(db, RULES, fields)
        statement = sa.text("SELECT status, error FROM deliveries ORDER BY delivery_id")
        return [tuple(row) for row in db.execute(statement)]

    sent = ("sent", None)
    assert report(MessageSid="SM0", MessageStatus="sent") == [sent, sent, sent]
    assert report(MessageSid="SM9", MessageStatus="failed") == [sent, sent, sent]
    report(MessageSid="SM0", MessageStatus="delivered")
    failed = {"MessageSid": "SM1", "MessageStatus": "undelivered", "To": NUMBER, "ErrorCode": "21610"}
    report(**failed)
    # In whatever order, and again.
    assert report(**{**failed, "MessageSid": "SM0"}) == [("delivered", None), ("failed", "undelivered"), sent]
    assert queries.is_stopped(db, RULES, NUMBER)
    report(From=NUMBER, OptOutType="START", Body="Start")
    assert not queries.is_stopped(db, RULES, NUMBER)
    report(From=NUMBER, OptOutType="STOP", Body="Stop")
    assert queries.is_stopped(db, RULES, NUMBER) and not queries.is_stopped(db, RULES, OTHER)


def test_however_many_guess_at_once_only_five_are_looked_at(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        anna = make_user(session)
        code = code_for(session, anna)

    def guessing(guess: str) -> Any:
        return lambda session: confirmation.confirm(session, committed_databases, actor_of(anna), RULES, guess)

    guesses = [f"{(int(code) + step) % 10**6:06}" for step in range(1, 13)]
    results = at_once(committed_databases, *map(guessing, guesses))
    assert sorted(getattr(result, "code", "?") for result in results) == ["invalid_code"] * 5 + ["wrong_state"] * 7
    with committed_databases.session() as session:
        later(session, minutes=2)
        code = code_for(session, anna)
    results = at_once(committed_databases, *[guessing(code)] * 4)
    assert len([result for result in results if not isinstance(result, Conflict)]) == 1, "a code is used once"
    with committed_databases.session() as session:
        assert event_types(session, anna.user_id).count("user.phone_confirmed") == 1


def test_two_who_show_one_number_at_once_do_not_both_have_it(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        users = [make_user(session) for _ in range(4)]
        codes = []
        for user in users:
            codes.append(code_for(session, user))
            later(session, minutes=2)
        session.execute(sa.text("UPDATE phone_codes SET expires_at = now() + interval '1 minute'"))
        session.commit()
    work = [
        lambda session, user=user, code=code: confirmation.confirm(
            session, committed_databases, actor_of(user), RULES, code
        )
        for user, code in zip(users, codes, strict=True)
    ]
    results = at_once(committed_databases, *work)
    assert [result for result in results if isinstance(result, Exception)] == []
    # Of one account and of one number alike: a count is lost to nobody.
    asked = at_once(
        committed_databases, *[lambda session: confirmation.request_code(session, actor_of(users[0]), RULES, OTHER)] * 4
    )
    with committed_databases.session() as session:
        holders = session.execute(sa.text("SELECT count(*), count(DISTINCT number) FROM phones")).one()
        assert tuple(holders) == (1, 1)
    assert sorted(type(result).__name__ for result in asked) == ["RateLimited"] * 3 + ["Row"]
