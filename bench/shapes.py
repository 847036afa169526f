"""The kinds of requests that are measured, each with hundreds of different values, drawn with a seed.

Values follow the data: words of listings that exist, places that listings cluster around, owners as often as they
own. So the busy and the idle corners of a marketplace are met as often as its visitors would.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import orjson
import psycopg

from bench.application import WsgiApp, get, make_environ
from bench.fill import cities, vocabulary

SEED = 11
VALUES = 300
ATTEMPTS = 40
DEEP = 1_000
LEAVES = (
    "cars",
    "apartments",
    "phones",
    "furniture",
    "computers",
    "bicycles",
    "tools",
    "motorcycles",
    "garden",
    "cameras",
    "vehicles",
    "housing",
    "electronics",
    "leisure",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request; ``draw`` makes one value of it, an address."""

    name: str
    title: str
    draw: Callable[[Drawing], str]
    is_search: bool = True


class Drawing:
    """What one shape's values are drawn from: chance, the database, and the application for walking to cursors."""

    def __init__(self, name: str, connection: psycopg.Connection[Any], app: WsgiApp, values: int) -> None:
        self.chance = random.Random(f"{SEED} {name}")
        self.connection, self.app = connection, app
        self._sample_size = max(values, 50) * 2
        self.deep = _deep_pages(self)

    @cached_property
    def top(self) -> int:
        return int(self._one("SELECT max(listing_id) FROM listings"))

    @cached_property
    def listings(self) -> list[tuple[int, int, list[str], list[str]]]:
        """Id, owner, words of the title and of the description of some public listings."""
        wanted = [self.chance.randint(1, self.top) for _ in range(self._sample_size)]
        rows = self.connection.execute(
            "SELECT listing_id, user_id, title, description FROM listings WHERE listing_id = ANY(%s) AND is_searchable"
            " ORDER BY listing_id",
            [wanted],
        ).fetchall()
        found = [(number, owner, title.lower().split(), text.split()) for number, owner, title, text in rows]
        self.chance.shuffle(found)
        return found

    @cached_property
    def frequencies(self) -> Counter[str]:
        """How often the words of the sampled listings occur in all of them."""
        words = {word for _, _, title, text in self.listings for word in (*title, *text)}
        rows = self.connection.execute(
            "SELECT term, sum(count) FROM search_terms WHERE kind = 1 AND term = ANY(%s) GROUP BY term", [list(words)]
        ).fetchall()
        return Counter({word: int(count) for word, count in rows})

    def listing(self) -> tuple[int, int, list[str], list[str]]:
        return self.chance.choice(self.listings)

    def rank(self, first: int, last: int) -> str:
        """A word of the vocabulary, by its rank of frequency."""
        return vocabulary()[self.chance.randrange(first, last)]

    def place(self) -> tuple[float, float]:
        """A point in or around a city, the large ones as often as the small."""
        city = self.chance.choice(cities())
        return city.latitude + self.chance.gauss(0, 0.1), city.longitude + self.chance.gauss(0, 0.1)

    def answer(self, target: str) -> Any:
        return orjson.loads(get(self.app, make_environ(target))[1])

    def _one(self, sql: str) -> Any:
        row = self.connection.execute(sql).fetchone()
        assert row is not None
        return row[0]


def targets(shape: Shape, connection: psycopg.Connection[Any], app: WsgiApp, values: int = VALUES) -> list[str]:
    """Up to ``values`` different addresses of ``shape``, always the same for the same data."""
    drawing = Drawing(shape.name, connection, app, values)
    found: dict[str, None] = {}
    for _ in range(values * ATTEMPTS):
        found[shape.draw(drawing)] = None
        if len(found) == values or shape.name in _SINGLE:
            break
    return list(found)


def _search(**parameters: Any) -> str:
    return f"/api/listings?{urlencode(parameters)}" if parameters else "/api/listings"


def _item(drawing: Drawing) -> str:
    return f"/api/listings/{drawing.listing()[0]}"


def _newest(_drawing: Drawing) -> str:
    return _search()


def _category_and_price(drawing: Drawing) -> str:
    low = round(drawing.chance.lognormvariate(4.5, 1.3), 2)
    high = round(low * drawing.chance.uniform(1.2, 8) + 1, 2)
    return _search(category=drawing.chance.choice(LEAVES), min_price=low, max_price=high)


def _common_word(drawing: Drawing) -> str:
    return _search(search=drawing.rank(0, 400))


def _three_words(drawing: Drawing) -> str:
    _, _, title, text = drawing.listing()
    return _search(search=" ".join(drawing.chance.sample([*title, *text], 3)))


def _rare_word(drawing: Drawing) -> str:
    _, _, title, text = drawing.listing()
    rarest = min((word for word in (*title, *text)), key=lambda word: (drawing.frequencies[word], word))
    return _search(search=f'"{rarest}"')


def _typo(drawing: Drawing) -> str:
    word = ""
    while len(word) < 5:
        word = drawing.rank(0, 8_000)
    place = drawing.chance.randrange(1, len(word) - 1)
    wrong = drawing.chance.choice(
        (
            word[:place] + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + drawing.chance.choice("aeioubcdfglmnprst") + word[place + 1 :],
        )
    )
    return f"/api/search/suggestions?{urlencode({'query': wrong})}"


def _radius(drawing: Drawing) -> str:
    latitude, longitude = drawing.place()
    sort = {"sortBy": "distance"} if drawing.chance.random() < 0.5 else {}
    return _search(
        near=f"{latitude:.4f},{longitude:.4f}", radius_km=drawing.chance.choice((5, 10, 25, 50, 100)), **sort
    )


def _box_and_facets(drawing: Drawing) -> str:
    latitude, longitude = drawing.place()
    half = drawing.chance.choice((0.1, 0.25, 0.5, 2))
    box = (longitude - half, latitude - half, longitude + half, latitude + half)
    return _search(bbox=",".join(f"{edge:.4f}" for edge in box), facets="category,amenities,city,price,verified")


def _owner(drawing: Drawing) -> str:
    return f"/api/users/{drawing.listing()[1]}/listings"


def _prefix(drawing: Drawing) -> str:
    begun = drawing.rank(0, 3_000)
    begun = begun[: drawing.chance.randint(3, max(3, len(begun) - 1))]
    return _search(search=begun if drawing.chance.random() < 0.5 else f"{drawing.rank(0, 400)} {begun}")


def _location(drawing: Drawing) -> str:
    city = drawing.chance.choice(cities())
    texts = (city.name, f"{city.name} {city.state}", f"{city.state} {city.country}")
    return _search(location=drawing.chance.choice(texts))


def _deep_page(drawing: Drawing) -> str:
    return next(drawing.deep)


def _deep_pages(drawing: Drawing) -> Iterator[str]:
    """Cursors to about page 1,000 of lists of that length, or to the last page of shorter ones."""
    lists: list[dict[str, str]] = [{}, *({"sortBy": sort} for sort in ("price", "title", "rating", "date_updated"))]
    lists += [{"category": category} for category in LEAVES]
    lengths = [(parameters, drawing.answer(_search(**parameters))["totalPages"]) for parameters in lists]
    while True:
        parameters, pages = drawing.chance.choice(lengths)
        page = min(DEEP, pages) - drawing.chance.randint(1, 50)
        if page > 0:
            yield str(drawing.answer(_search(**parameters, page=page))["_links"]["next"]["href"])


ITEM = Shape("item", "Item read", _item, is_search=False)
NEWEST = Shape("newest", "Newest, page 1", _newest)
COMMON_WORD = Shape("common_word", "One common word", _common_word)
SHAPES = (
    ITEM,
    NEWEST,
    Shape("category_price", "Category and price", _category_and_price),
    COMMON_WORD,
    Shape("three_words", "Three words", _three_words),
    Shape("rare_word", "A rare word", _rare_word),
    Shape("prefix", "Last word unfinished", _prefix),
    Shape("location", "Text of the location", _location),
    Shape("radius", "Radius around a point", _radius),
    Shape("box_facets", "Box on the map, all facets", _box_and_facets),
    Shape("deep_page", "Page 1,000 by cursor", _deep_page),
    Shape("owner", "An owner's list", _owner),
    Shape("typo", "Suggestions for a typo", _typo),
)
_SINGLE = frozenset({NEWEST.name})
