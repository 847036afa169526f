"""Reviews and reported messages at the command line, one by one and by condition."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.cli import CONFLICT, DONE, NOT_FOUND, PARTLY_DONE, USAGE
from marketplace_api.database.engines import Databases
from marketplace_api.models.community.conversations import Message
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.conversations import send
from tests.factories.reports import make_report
from tests.factories.reviews import make_review
from tests.functional.test_cli_moderation import Run, environment, run

__all__ = ["environment", "run"]  # fixtures


@pytest.fixture
def reviews(committed_databases: Databases) -> list[int]:
    """Two reviews of one person, by anna and by ben; the second was reported."""
    with committed_databases.session() as session:
        person, anna, ben = (make_user(session, username=name) for name in ("carl", "anna", "ben"))
        made = [
            make_review(session, author, person=person, rating=rating, comment=comment).review_id
            for author, rating, comment in ((anna, 5, "Very kind. " * 20), (ben, 1, "A fool"))
        ]
        make_report(session, person, "review", made[1])
        session.commit()
    return made


@pytest.fixture
def messages(committed_databases: Databases) -> list[int]:
    """Three messages of anna's to ben, who reported the last two."""
    with committed_databases.session() as session:
        anna, ben = make_user(session, username="anna"), make_user(session, username="ben")
        made = [send(session, anna, ben, text).message_id for text in ("Hello", "You fool", "Buy this")]
        for message_id, reason in zip(made[1:], ("offensive", "spam"), strict=True):
            make_report(session, ben, "message", message_id, reason=reason)
        session.commit()
    return made


def listed(run: Run, noun: str, *words: Any) -> list[int]:
    return [row[f"{noun}_id"] for row in json.loads(run("--json", f"{noun}s", "list", *words).stdout)]


def deleted(databases: Databases, model: type[Review] | type[Message]) -> set[int]:
    with databases.session() as session:
        key = sa.inspect(model).primary_key[0]
        return set(session.execute(sa.select(key).where(model.deleted_at.is_not(None))).scalars())


def test_looking_through_reviews(run: Run, reviews: list[int]) -> None:
    first, second = reviews
    assert listed(run, "review") == [second, first]
    for words, expected in (
        (("--author", "anna"), [first]),
        (("--person", "carl", "--limit", 1), [second]),
        (("--rating", 1), [second]),
        (("--reported",), [second]),
        (("--status", "deleted"), []),
        (("--before", second), [first]),
        (("--since", "1h", "--status", "published"), [second, first]),
        (("--listing", 1), []),
    ):
        assert listed(run, "review", *words) == expected, words
    table = run("reviews", "list").stdout
    assert "A fool" in table and "…" in table
    shown = json.loads(run("--json", "reviews", "show", first).stdout)
    assert (shown["rating"], shown["reviewer_username"], shown["status"]) == (5, "anna", "published")
    assert shown["comment"].count("Very kind.") == 20
    assert run("reviews", "show", 999).exit_code == NOT_FOUND


def test_reviews_are_deleted_and_brought_back(run: Run, reviews: list[int], committed_databases: Databases) -> None:
    first, second = reviews
    words = ("reviews", "delete", second, "--reason", "Insults.")
    assert "Would delete the review" in run(*words, "--dry-run").stdout
    assert deleted(committed_databases, Review) == set()
    assert run(*words).exit_code == DONE
    assert run(*words).exit_code == CONFLICT, "it is there, and deleted"
    assert deleted(committed_databases, Review) == {second}
    many = ("reviews", "delete", first, second, "--reason", "Insults.")
    assert run(*many).exit_code == USAGE, "nobody said yes"
    assert run("--yes", *many).exit_code == PARTLY_DONE
    assert run("--yes", *many, "--restore").exit_code == DONE
    assert deleted(committed_databases, Review) == set()
    assert run(*words, "--restore").exit_code == CONFLICT


def test_only_reported_messages_are_found(run: Run, messages: list[int], committed_databases: Databases) -> None:
    private, insult, spam = messages
    assert listed(run, "message") == [spam, insult]
    for words, expected in (
        (("--reason", "spam"), [spam]),
        (("--sender", "ben"), []),
        (("--undecided", "--limit", 1), [spam]),
        (("--status", "deleted"), []),
        (("--before", spam, "--since", "1h"), [insult]),
    ):
        assert listed(run, "message", *words) == expected, words
    assert "fool" not in run("--json", "messages", "list").stdout
    assert run("messages", "show", private, "--reason", "Report 1").exit_code == NOT_FOUND
    unexplained = run("messages", "show", insult)
    assert unexplained.exit_code == USAGE and "--reason" in unexplained.stderr and "fool" not in unexplained.output
    assert run("messages", "delete", private, "--reason", "Spam.").exit_code == NOT_FOUND
    shown = json.loads(run("--json", "messages", "show", insult, "--reason", "Report 1").stdout)
    assert (shown["content"], shown["sender_username"], shown["reasons"]) == ("You fool", "anna", ["offensive"])
    with committed_databases.session() as session:
        event = session.execute(sa.select(Event).where(Event.type == "message.opened")).scalar_one()
        assert (event.subject_id, event.reason) == (insult, "Report 1")


def test_messages_are_deleted_and_brought_back(run: Run, messages: list[int], committed_databases: Databases) -> None:
    _, insult, spam = messages
    words = ("messages", "delete", insult, "--reason", "Insults.")
    assert run(*words, "--dry-run").exit_code == DONE
    assert deleted(committed_databases, Message) == set()
    assert run(*words).exit_code == DONE
    assert run(*words).exit_code == CONFLICT
    assert deleted(committed_databases, Message) == {insult}
    assert listed(run, "message", "--status", "deleted") == [insult]
    both = run("--yes", "--json", "messages", "delete", insult, spam, "--reason", "Insults.", "--restore")
    assert both.exit_code == PARTLY_DONE
    assert json.loads(both.stdout)["changed"] == 1
    assert deleted(committed_databases, Message) == set()


def test_messages_by_condition_and_the_undo(run: Run, messages: list[int], committed_databases: Databases) -> None:
    _private, insult, spam = messages
    words = ("--where", "sender = anna and sent < 1h", "--reason", "Insults.")
    bulk = ("moderation", "bulk", "delete", "--target", "messages")
    dry = run(*bulk, *words, "--dry-run")
    assert "2 messages match" in dry.stderr and "offensive" in dry.stderr
    assert "You fool" not in dry.output, "what a message says is read on the record only"
    by_word = run("--json", *bulk, "--where", "content ~ hello", "--reason", "Spam.", "--dry-run")
    assert json.loads(by_word.stdout)["matched"] == 0, "nobody reported it"
    for where, matched in (
        ("reason = spam", 1),
        ("reason != spam", 1),
        ("reports > 0 and undecided = 1", 2),
        ("reported > 1h", 0),
        (f"message_id = {insult} and status = sent", 1),
        ("receiver = anna", 0),
    ):
        found = run("--json", *bulk, "--where", where, "--reason", "Spam.", "--dry-run")
        assert json.loads(found.stdout)["matched"] == matched, where
    done = run("--yes", "--json", *bulk, *words)
    assert done.exit_code == DONE, done.output
    batch = json.loads(done.stdout)
    assert deleted(committed_databases, Message) == {insult, spam}
    assert run("messages", "delete", spam, "--reason", "Back.", "--restore").exit_code == DONE
    undone = run("--yes", "--json", "moderation", "undo", batch["batch_id"])
    assert undone.exit_code == PARTLY_DONE
    assert (json.loads(undone.stdout)["restored"], json.loads(undone.stdout)["kept"]) == (1, 1)
    assert deleted(committed_databases, Message) == set()
    back = run("--yes", *bulk[:2], "restore", *bulk[3:], "--where", "status = deleted", "--reason", "Mistake.")
    assert "0 messages match" in back.stderr
