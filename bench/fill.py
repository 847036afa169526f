"""Fills a database with listings that look like a marketplace's: ``python -m bench.fill --url URL --size 1000000``.

The content depends on the seed and the size alone. A database that already holds them is left as it is; one that
holds anything else is refused.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from bisect import bisect
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import psycopg

from marketplace_api.database import migrations

SIZES = (10_000, 100_000, 1_000_000)
WORDS = 40_000
END = datetime(2026, 11, 1, tzinfo=UTC)
SPAN = timedelta(days=730)
CHUNK = 20_000
WORKERS = 2

CATEGORIES = (
    "cars",
    "apartments",
    "phones",
    "furniture",
    "computers",
    "houses",
    "bicycles",
    "sports",
    "tools",
    "motorcycles",
    "rooms",
    "fashion",
    "garden",
    "kitchen",
    "cameras",
    "audio",
    "music",
    "books",
    "toys",
    "vans",
    "services",
    "boats",
    "other",
    "vehicles",
    "housing",
    "electronics",
    "home-garden",
    "leisure",
)
_AMENITIES = (
    "wifi parking air_conditioning heating garden balcony pool elevator washer dryer kitchen tv fireplace gym sauna "
    "pets_allowed furnished bluetooth gps usb sunroof leather abs airbags towbar roof_rack child_seat cruise_control "
    "automatic electric hybrid diesel warranty receipt original_box charger case delivery pickup negotiable new used "
    "refurbished vintage handmade limited waterproof wireless foldable adjustable solid_wood stainless cordless "
    "rechargeable portable compact large quiet fast eco insured serviced"
)
AMENITIES = tuple(_AMENITIES.split())
_ONSETS = "b br c d f g gl h k l m n p pr r s st t tr v w z"
_CODAS = "ck d ff g l m n nd p r rt s t x"
STATUSES = ("draft", "inactive", "sold", "pending_verification", "rejected")

LISTING_COLUMNS = (
    "listing_id, user_id, title, description, category, price, currency, address, city, state, zip, country, latitude, "
    "longitude, photos_urls, amenities, status, suspended_from, is_verified_listing, rating_count, rating_sum, "
    "date_created, date_updated, deleted_at"
)


class City(NamedTuple):
    """A place that listings cluster around."""

    name: str
    state: str
    country: str
    latitude: float
    longitude: float


@lru_cache(maxsize=4)
def vocabulary(seed: int = 7) -> tuple[str, ...]:
    """The words of titles and descriptions, the most frequent first."""
    chance = random.Random(f"words {seed}")
    starts = [a + b for a in _ONSETS.split() for b in "aeiou"]
    ends = [a + b for a in _CODAS.split() for b in ("", "a", "o", "er", "i")]
    words: dict[str, None] = {}
    while len(words) < WORDS:
        syllables = chance.choices(starts, k=chance.choice((1, 2, 2, 3)))
        words["".join(syllables) + chance.choice(ends)] = None
    return tuple(words)


@lru_cache(maxsize=4)
def cities(seed: int = 7) -> tuple[City, ...]:
    """The cities, the largest first."""
    chance = random.Random(f"cities {seed}")
    names = chance.sample(vocabulary(seed)[5_000:30_000], 200)
    states = [word[:2].upper() for word in chance.sample(vocabulary(seed), 40)]
    return tuple(
        City(
            name.title(),
            chance.choice(states),
            chance.choice(("USA", "USA", "Germany", "France", "Japan")),
            chance.uniform(-40, 60),
            chance.uniform(-170, 170),
        )
        for name in names
    )


def _zipf(number: int, exponent: float) -> list[float]:
    return list(accumulate(1 / (rank + 2.7) ** exponent for rank in range(number)))


_WORD_WEIGHTS = _zipf(WORDS, 1.05)
_CITY_WEIGHTS = _zipf(200, 0.9)
_CATEGORY_WEIGHTS = _zipf(len(CATEGORIES), 0.9)
_AMENITY_WEIGHTS = _zipf(len(AMENITIES), 0.8)


def _pick(chance: random.Random, weights: list[float]) -> int:
    return bisect(weights, chance.random() * weights[-1])


def _text(chance: random.Random, words: tuple[str, ...], number: int) -> str:
    return " ".join(chance.choices(words, cum_weights=_WORD_WEIGHTS, k=number))


def listings(seed: int, size: int, chunk: int) -> Iterator[tuple[Any, ...]]:
    """The rows of one chunk, in the order of their ids."""
    chance = random.Random(f"listings {seed} {chunk}")
    words, places, owners = vocabulary(seed), cities(seed), size // 20
    for number in range(chunk * CHUNK, min(size, (chunk + 1) * CHUNK)):
        city = places[_pick(chance, _CITY_WEIGHTS)]
        created = END - SPAN + SPAN * ((number + chance.random()) / size)
        is_active = chance.random() < 0.92
        is_deleted = not is_active and chance.random() < 0.3
        ratings = int(chance.expovariate(0.5)) if chance.random() < 0.4 else 0
        yield (
            number + 1,
            1 + int(owners * chance.random() ** 3),
            _text(chance, words, chance.randint(3, 7)).capitalize(),
            _text(chance, words, chance.randint(15, 40)),
            CATEGORIES[_pick(chance, _CATEGORY_WEIGHTS)],
            f"{min(chance.lognormvariate(5, 1.6), 9_999_999):.2f}",
            "USD",
            f"{chance.randint(1, 400)} Main Street",
            city.name,
            city.state,
            f"{chance.randint(10_000, 99_999)}",
            city.country,
            f"{max(-89.0, min(89.0, chance.gauss(city.latitude, 0.15))):.6f}",
            f"{chance.gauss(city.longitude, 0.15):.6f}",
            [],
            sorted({AMENITIES[_pick(chance, _AMENITY_WEIGHTS)] for _ in range(chance.randint(0, 6))}),
            "active" if is_active or is_deleted else chance.choice(STATUSES),
            None,
            chance.random() < 0.25,
            ratings,
            sum(chance.choices((1, 2, 3, 4, 5), (1, 1, 2, 5, 8), k=ratings)),
            created,
            created + timedelta(days=chance.expovariate(0.1)),
            END if is_deleted else None,
        )


def _load(url: str, seed: int, size: int, chunk: int) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        # Neither triggers nor foreign keys: the counts are built at the end, the owners are known.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET synchronous_commit = off")
        with cursor.copy(f"COPY listings ({LISTING_COLUMNS}) FROM STDIN") as copy:
            for row in listings(seed, size, chunk):
                copy.write_row(row)


def _load_users(connection: psycopg.Connection[Any], seed: int, size: int) -> None:
    chance = random.Random(f"users {seed}")
    with connection.cursor().copy("COPY users (user_id, username, email, is_verified, date_joined) FROM STDIN") as copy:
        for number in range(1, size // 20 + 1):
            joined = END - SPAN * (1 + chance.random())
            copy.write_row((number, f"user{number}", f"user{number}@example.org", chance.random() < 0.3, joined))


def fill(url: str, size: int, seed: int = 7) -> bool:
    """Migrate the database at ``url`` and fill it; False when it is filled already. Needs a superuser."""
    mark = f"bench size={size} seed={seed}"
    with psycopg.connect(url, autocommit=True) as connection:
        if _mark(connection) == mark:
            return False
        migrations.upgrade(url)
        if connection.execute("SELECT EXISTS (SELECT FROM listings)").fetchone() != (False,):
            raise SystemExit("This database holds other listings; give an empty one.")
        _load_users(connection, seed, size)
        definitions = _drop_indexes(connection)
        chunks = range(-(-size // CHUNK))
        with ProcessPoolExecutor(WORKERS) as pool:
            list(pool.map(_load, repeat(url), repeat(seed), repeat(size), chunks))
        for definition in definitions:
            connection.execute(definition)
        for table, column in (("users", "user_id"), ("listings", "listing_id")):
            sequence = f"pg_get_serial_sequence('{table}', '{column}')"
            connection.execute(f"SELECT setval({sequence}, max({column})) FROM {table}")
        connection.execute("SELECT recount_search_terms()")
        connection.execute("VACUUM ANALYZE users, listings, search_terms, search_term_deltas, search_bitmaps")
        connection.execute(f"COMMENT ON DATABASE \"{connection.info.dbname}\" IS '{mark}'")
    return True


def _mark(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    return row[0] if row else None


def _drop_indexes(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop what is faster to build than to keep; returns the statements that build it, with memory for that."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'listings' AND indexname LIKE 'ix_listings_%'"
    ).fetchall()
    for name, _definition in found:
        connection.execute(f'DROP INDEX "{name}"')
    return ["SET maintenance_work_mem = '1GB'", "SET work_mem = '256MB'", *(definition for _name, definition in found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="a database of its own; postgresql://…")
    parser.add_argument("--size", type=int, required=True, help=f"number of listings, for example {SIZES}")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    start = time.monotonic()
    done = fill(arguments.url, arguments.size, arguments.seed)
    print(f"filled in {time.monotonic() - start:.0f} s" if done else "filled already", file=sys.stderr)


if __name__ == "__main__":
    main()
