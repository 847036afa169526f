"""What people write to each other, how far they have read, and whom they do not want to hear from any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from marketplace_api.domain.community.conversations import blocks, inbox, send
from marketplace_api.domain.operations.demo import fixtures
from marketplace_api.domain.operations.demo.fixtures import WrittenConversation
from marketplace_api.domain.operations.demo.timeline import Timeline
from marketplace_api.models.community.conversations import Block, Conversation, Message

# Minutes between a message and its answer: at once, within hours, the next day.
PAUSES = ((2, 15), (2, 15), (2, 15), (40, 340), (40, 340), (500, 1200))
PAUSE_OF_ONE = (1, 3)


def plan(market: Timeline) -> None:
    """Everything that is said, and the blocks that followed from some of it."""
    for talk in fixtures.talks():
        _plan_talk(market, talk)
    for row in fixtures.rows("blocks"):
        market.plan(market.ago(row["days_ago"]), partial(_block, market, row["username"], row["blocked"]))


def moments(talk: WrittenConversation, now: datetime) -> Iterator[datetime]:
    """When each message was sent: all within nine tenths of the time that has passed since the first."""
    dice = fixtures.seeded("pauses", talk.title)
    names = [name for name, _ in talk.messages]
    pauses = [0.0]
    for before, name in pairwise(names):
        pauses.append(dice.uniform(*(PAUSE_OF_ONE if name == before else dice.choice(PAUSES))))
    squeeze = min(1.0, talk.days_ago * 24 * 60 * 0.9 / sum(pauses))
    moment = now - timedelta(days=talk.days_ago)
    for pause in pauses:
        moment += timedelta(minutes=pause * squeeze)
        yield moment


def _plan_talk(market: Timeline, talk: WrittenConversation) -> None:
    names = [name for name, _ in talk.messages]
    other = next(name for name in names if name != talk.buyer)
    conversation: dict[str, int] = {}
    moment = market.now
    for (name, words), moment in zip(talk.messages, moments(talk, market.now), strict=True):
        to = other if name == talk.buyer else talk.buyer
        market.plan(moment, partial(_send, market, conversation, talk.title, name, to, words))
    reader = other if names[-1] == talk.buyer else talk.buyer
    later = (market.now - moment) / 3
    if not talk.unread:
        market.plan(moment + later, partial(_read, market, conversation, reader))
    if talk.archived_by:
        market.plan(moment + 2 * later, partial(_archive, market, conversation, talk.archived_by))


def _send(
    market: Timeline, conversation: dict[str, int], title: str, name: str, to: str, words: str, moment: datetime
) -> None:
    """Who answers has read what came before."""
    if conversation:
        _read(market, conversation, name, moment)
    sent: Any = send.send(
        market.session,
        market.people[name],
        content=words,
        receiver_id=market.people[to].user_id,
        listing_id=None if conversation else market.listings[title],
    )
    conversation["id"] = sent.conversation_id
    market.date(Message, Message.message_id == sent.message_id, timestamp_sent=moment)
    began = sa.func.least(Conversation.timestamp_created, moment)
    same = Conversation.conversation_id == sent.conversation_id
    market.date(Conversation, same, timestamp_created=began, timestamp_updated=moment)


def _read(market: Timeline, conversation: dict[str, int], name: str, _moment: datetime) -> None:
    inbox.mark_all_read(market.session, market.people[name], conversation["id"])


def _archive(market: Timeline, conversation: dict[str, int], name: str, _moment: datetime) -> None:
    inbox.archive(market.session, market.people[name], conversation["id"], archived=True)


def _block(market: Timeline, name: str, blocked: str, moment: datetime) -> None:
    row, _ = blocks.add(market.session, market.people[name], market.people[blocked].user_id or 0)
    same = sa.and_(Block.user_id == row.user_id, Block.blocked_id == row.blocked_id)
    market.date(Block, same, date_blocked=moment)
