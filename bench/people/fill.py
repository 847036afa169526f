"""Fills a database with people who write to each other: ``python -m bench.people.fill --url URL --size 1000000``.

The content depends on the seed and the number of messages alone. Rows go in by COPY without triggers; what triggers
would have counted is counted here, and holds. A database that already has them is left as it is.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import psycopg

from bench import fill as market
from bench.people.plan import QUIET_CONVERSATIONS, Pair, Plan, conversations
from marketplace_api.database import migrations
from marketplace_api.models.community.conversations import PREVIEW

Row = tuple[Any, ...]

END, SPAN = market.END, market.SPAN
LASTING = datetime(2100, 1, 1, tzinfo=UTC)
LINES = 20_000
RECENT = 10
"""Who has not read everything yet stopped within so many of the last messages."""

DROPPED = "^ix_(messages|events|bookmarks|reviews)_"
COUNTED = (
    "users",
    "listings",
    "sessions",
    "conversations",
    "messages",
    "bookmarks",
    "reviews",
    "events",
    "notifications",
)


def _copy(connection: psycopg.Connection[Any], table: str, columns: str, rows: Iterator[Row]) -> None:
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _at(share: float) -> datetime:
    return END - SPAN + SPAN * share


# People and listings.


def _people(connection: psycopg.Connection[Any], plan: Plan, seed: int) -> None:
    chance = random.Random(f"users {seed}")
    users = ((n, f"user{n}", f"user{n}@example.org", _at(-chance.random())) for n in range(1, plan.users + 1))
    _copy(connection, "users", "user_id, username, email, date_joined", users)
    # A session each, whose number is that of the account.
    sessions = ((n, n, chance.randbytes(32), END, END, LASTING) for n in range(1, plan.users + 1))
    columns = "session_id, user_id, refresh_hash, date_created, last_used, expires_at"
    _copy(connection, "sessions", columns, sessions)


def _listings(connection: psycopg.Connection[Any], plan: Plan, seed: int) -> dict[int, int]:
    """Listings without ratings; returns who owns them."""
    owners: dict[int, int] = {}
    rating = market.LISTING_COLUMNS.split(", ").index("rating_count")

    def rows() -> Iterator[Row]:
        for chunk in range(-(-plan.listings // market.CHUNK)):
            for row in market.listings(seed, plan.listings, chunk):
                owners[row[0]] = row[1]
                yield (*row[:rating], 0, 0, *row[rating + 2 :])

    _copy(connection, "listings", market.LISTING_COLUMNS, rows())
    return owners


def _bookmarks(connection: psycopg.Connection[Any], plan: Plan, seed: int) -> None:
    chance = random.Random(f"bookmarks {seed}")
    numbers = dict.fromkeys(plan.busy, plan.bookmarks) | dict.fromkeys(plan.quiet, QUIET_CONVERSATIONS)
    numbers |= {user: int(chance.expovariate(0.3)) for user in plan.crowd}
    listings = range(1, plan.listings + 1)
    kept = [
        (user, listing) for user, number in numbers.items() for listing in chance.sample(listings, min(number, 50_000))
    ]
    chance.shuffle(kept)
    rows = ((*pair, _at(place / len(kept))) for place, pair in enumerate(kept))
    _copy(connection, "bookmarks", "user_id, listing_id, date_bookmarked", rows)


def _reviews(connection: psycopg.Connection[Any], plan: Plan, seed: int, owners: dict[int, int]) -> None:
    chance = random.Random(f"reviews {seed}")
    lines = _lines(seed)
    numbers = {listing: int(chance.expovariate(0.25)) for listing in owners}
    numbers |= dict.fromkeys(plan.popular, plan.popular_reviews)
    given = [
        (listing, author)
        for listing, number in numbers.items()
        for author in chance.sample(plan.crowd, min(number, len(plan.crowd)))
        if author != owners[listing]
    ]
    chance.shuffle(given)
    stars = chance.choices((1, 2, 3, 4, 5), (1, 1, 2, 5, 8), k=len(given))
    rows = (
        (listing, author, rating, chance.choice(lines), _at(place / len(given)), _at(place / len(given)))
        for place, ((listing, author), rating) in enumerate(zip(given, stars, strict=True))
    )
    _copy(connection, "reviews", "listing_id, reviewer_id, rating, comment, date_posted, date_updated", rows)
    connection.execute(
        "UPDATE listings SET rating_count = found.number, rating_sum = found.stars, rating_histogram = found.bars FROM ("
        " SELECT listing_id, count(*) AS number, sum(rating) AS stars,"
        " ARRAY[count(*) FILTER (WHERE rating = 1), count(*) FILTER (WHERE rating = 2),"
        " count(*) FILTER (WHERE rating = 3), count(*) FILTER (WHERE rating = 4), count(*) FILTER (WHERE rating = 5)]"
        " AS bars FROM reviews GROUP BY listing_id) AS found WHERE found.listing_id = listings.listing_id"
    )


# Messages.


def _lines(seed: int) -> list[str]:
    chance = random.Random(f"lines {seed}")
    words, weights = market.vocabulary(seed)[:8_000], list(accumulate(1 / (rank + 2.7) for rank in range(8_000)))
    return [
        " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(3, 30))).capitalize() + "."
        for _ in range(LINES)
    ]


def _preview(content: str) -> str:
    return content if len(content) <= PREVIEW else content[: PREVIEW - 1] + "…"


class _Thread:
    """A conversation while its messages are written."""

    __slots__ = ("ids", "last", "number", "pair", "senders")

    def __init__(self, number: int, pair: Pair) -> None:
        self.number, self.pair = number, pair
        self.ids: list[int] = []
        self.senders: list[int] = []
        self.last = ""


def _messages(connection: psycopg.Connection[Any], plan: Plan, seed: int) -> list[_Thread]:
    """All messages, in the order of time; those of a conversation lie among those of all others."""
    chance = random.Random(f"messages {seed}")
    lengths, lines = conversations(plan, seed), _lines(seed)
    threads = [_Thread(number, pair) for number, pair in enumerate(lengths, 1)]
    order = [thread for thread, length in zip(threads, lengths.values(), strict=True) for _ in range(length)]
    chance.shuffle(order)

    def rows() -> Iterator[Row]:
        toss, choice = chance.random, chance.choice
        for number, thread in enumerate(order, 1):
            one, other = thread.pair
            sender, receiver = (one, other) if toss() < 0.5 else (other, one)
            thread.ids.append(number)
            thread.senders.append(sender)
            thread.last = choice(lines)
            listing = 1 + int(toss() * plan.listings) if toss() < 0.3 else None
            yield number, thread.number, sender, receiver, listing, thread.last, _at(number / plan.size)

    columns = "message_id, conversation_id, sender_id, receiver_id, listing_id, content, timestamp_sent"
    _copy(connection, "messages", columns, rows())
    return threads


def _threads(connection: psycopg.Connection[Any], plan: Plan, seed: int, threads: list[_Thread]) -> None:
    """Conversations, their sides and the inboxes, as the messages make them."""
    chance = random.Random(f"sides {seed}")
    made = (
        (
            thread.number,
            *thread.pair,
            thread.ids[-1],
            _preview(thread.last),
            _at(thread.ids[0] / plan.size),
            _at(thread.ids[-1] / plan.size),
        )
        for thread in threads
    )
    columns = "conversation_id, participant1_id, participant2_id, last_message_id, last_message_preview"
    _copy(connection, "conversations", f"{columns}, timestamp_created, timestamp_updated", made)
    sides = (_side(chance, plan, thread, *pair) for thread in threads for pair in (thread.pair, thread.pair[::-1]))
    columns = "conversation_id, user_id, other_id, archived, last_message_id, read_through, message_count, unread_count"
    _copy(connection, "conversation_sides", columns, sides)
    connection.execute(
        "INSERT INTO inboxes (user_id, unread_count, current_count, archived_count)"
        " SELECT user_id, sum(unread_count), count(*) FILTER (WHERE NOT archived), count(*) FILTER (WHERE archived)"
        " FROM conversation_sides GROUP BY user_id ORDER BY user_id"
    )


def _side(chance: random.Random, plan: Plan, thread: _Thread, user: int, other: int) -> Row:
    ids, senders = thread.ids, thread.senders
    read = len(ids) if chance.random() < 0.7 else max(0, len(ids) - chance.randint(1, RECENT))
    unread = Counter(senders[read:])[other]
    archived = user in plan.crowd and chance.random() < 0.05
    return thread.number, user, other, archived, ids[-1], ids[read - 1] if read else 0, len(ids), unread


def _events(connection: psycopg.Connection[Any]) -> None:
    """The log of what was sent: it is written to with every message, so its indexes are as large as they would be."""
    connection.execute(
        "INSERT INTO events (type, actor_id, subject_type, subject_id, new, date_created)"
        " SELECT 'message.sent', sender_id, 'message', message_id, jsonb_build_object('conversation_id',"
        " conversation_id, 'sender_id', sender_id, 'receiver_id', receiver_id, 'listing_id', listing_id),"
        " timestamp_sent FROM messages ORDER BY message_id"
    )


def _notifications(connection: psycopg.Connection[Any]) -> None:
    """One for each side that has got messages, as its latest; read where the side is, else open for more of its group."""
    connection.execute(
        "INSERT INTO notifications (user_id, type, group_key, count, event_id, actor_id, conversation_id, is_read,"
        " data, date_created, date_updated)"
        " SELECT side.user_id, 'new_message', 'conversation:' || conversation_id, greatest(side.unread_count, 1),"
        " event.event_id, side.other_id, conversation_id, side.unread_count = 0,"
        " jsonb_build_object('message_id', side.last_message_id), timestamp_updated, timestamp_updated"
        " FROM conversation_sides AS side JOIN conversations USING (conversation_id)"
        " JOIN events AS event ON event.subject_type = 'message' AND event.subject_id = side.last_message_id"
        " ORDER BY side.last_message_id, side.user_id"
    )
    connection.execute(
        "INSERT INTO notification_boxes (user_id, total_count, unread_count)"
        " SELECT user_id, count(*), count(*) FILTER (WHERE NOT is_read) FROM notifications"
        " GROUP BY user_id ORDER BY user_id"
    )


def fill(url: str, size: int, seed: int = 7) -> bool:
    """Migrate the database at ``url`` and fill it; False when it is filled already. Needs a superuser."""
    mark, plan = f"bench people size={size} seed={seed}", Plan(size)
    with psycopg.connect(url, autocommit=True) as connection:
        if _is_marked(connection, mark):
            return False
        migrations.upgrade(url)
        if connection.execute("SELECT EXISTS (SELECT FROM users)").fetchone() != (False,):
            raise SystemExit("This database holds other people; give an empty one.")
        for setting in ("session_replication_role = replica", "synchronous_commit = off"):
            connection.execute(f"SET {setting}")
        definitions = _drop_indexes(connection)
        _people(connection, plan, seed)
        owners = _listings(connection, plan, seed)
        _bookmarks(connection, plan, seed)
        _reviews(connection, plan, seed, owners)
        _threads(connection, plan, seed, _messages(connection, plan, seed))
        _events(connection)
        _notifications(connection)
        for definition in definitions:
            connection.execute(definition)
        for table in COUNTED:
            column = f"{table.removesuffix('s')}_id"
            sequence = f"pg_get_serial_sequence('{table}', '{column}')"
            connection.execute(f"SELECT setval({sequence}, max({column})) FROM {table}")
        connection.execute("SELECT recount_search_terms()")
        connection.execute("VACUUM ANALYZE")
        connection.execute(f"COMMENT ON DATABASE \"{connection.info.dbname}\" IS '{mark}'")
    return True


def _is_marked(connection: psycopg.Connection[Any], mark: str) -> bool:
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    return row == (mark,)


def _drop_indexes(connection: psycopg.Connection[Any]) -> list[str]:
    found = connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexname ~ %s", [DROPPED]).fetchall()
    for name, _definition in found:
        connection.execute(f'DROP INDEX "{name}"')
    return ["SET maintenance_work_mem = '512MB'", *(definition for _name, definition in found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="a database of its own; postgresql://…")
    parser.add_argument("--size", type=int, required=True, help="number of messages")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    start = time.monotonic()
    done = fill(arguments.url, arguments.size, arguments.seed)
    print(f"filled in {time.monotonic() - start:.0f} s" if done else "filled already", file=sys.stderr)


if __name__ == "__main__":
    main()
