"""The search itself: which way leads to the rows soonest, and the page that comes of it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog.search import bitmaps, facets, geo, plan, predicates, statements, statistics, text
from marketplace_api.domain.catalog.search.query import SearchQuery, check, key_kinds
from marketplace_api.domain.kernel.paging import Page, PageRequest, Position, assemble, decode_cursor, offset_of
from marketplace_api.errors import FieldError, Invalid

_FEW = 500
"""So few rows are sorted faster than any index is walked."""
_MANY = 1_500
"""So many matches are better read block by block, when only the newest of them are wanted."""

_ENTRIES_PER_ROW = 8
"""So many entries of an index are read in the time of one row of the table."""


def search(db: Reader, query: SearchQuery, page: PageRequest) -> Page:
    """The part of the searchable listings that match ``query``, as rows of ``listings.queries.COLUMNS``.

    With ``near`` each row also has ``distance_km`` (``None`` where a listing has no place). Sorting by distance
    leaves out those. ``facets`` of the page maps each wanted facet to ``[{"value", "count"}, …]`` and ``capped`` to
    whether only the first 5,001 matches were counted; price values are ``{"from", "to"}``.
    Raises ``Invalid``: contradictions, ``unknown_category``, ``invalid_cursor``, ``page_too_deep``.
    """
    check(query)
    list_hash = query.list_hash
    position = decode_cursor(page.cursor, list_hash, key_kinds(query)) if page.cursor else None
    offset = 0 if position else offset_of(page)
    known = statistics.read(db, query)
    if query.category and not known.slugs:
        raise _unknown_category(db, query.category)
    run = Run(db, query, page, position, offset, plan.make(query, known))
    if run.plan.most == 0:
        return assemble([], page, position, list_hash, run.keys_of, total=0, facets=facets.nothing(query))
    counted = facets.count(db, query, run.plan) if query.facets else None
    rows, total = run.ranked() if query.order == "relevance" else run.ordered(counted.total if counted else None)
    return assemble(
        rows, page, position, list_hash, run.keys_of, total=total, facets=counted.values if counted else None
    )


def _unknown_category(db: Reader, slug: str) -> Invalid:
    """The error for a category that is not there, with the nearest one that is."""
    slugs = db.execute(sa.text("SELECT slug FROM categories")).scalars().all()
    near = difflib.get_close_matches(slug.lower(), slugs, n=1)
    message = f"There is no category {slug[:100]!r}." + (f" Did you mean {near[0]!r}?" if near else "")
    problem = FieldError("querystring", "category", "unknown_category", message)
    return Invalid(message, errors=[problem], extra={"did_you_mean": near[0]} if near else {})


@dataclass(frozen=True, slots=True)
class Run:
    """One execution: the query, where in its list to read, and the plan. Answers with rows and the total."""

    db: Reader
    query: SearchQuery
    page: PageRequest
    position: Position | None
    offset: int
    plan: plan.Plan

    @property
    def backward(self) -> bool:
        return self.position is not None and self.position.backward

    @property
    def is_near(self) -> bool:
        return self.query.near is not None

    def keys_of(self, row: Any) -> tuple[Any, ...]:
        """The cursor keys of a row of this list."""
        if self.query.order != "relevance":
            return row.sort_key, row.listing_id
        if hasattr(row, "floor"):
            return row.sort_key, row.listing_id, row.floor, row.top
        # Walked beyond the ranked part: the cursor's own bounds go on.
        return -1.0, row.listing_id, *(self.position.keys[2:] if self.position else ())

    def values(self) -> dict[str, Any]:
        found = predicates.values(self.query, self.plan)
        found |= {"count": self.page.limit + 1, "offset": self.offset, "most_ranked": statements.RANKED}
        found["blocks"] = self.plan.blocks()
        if self.position is not None:
            found |= {"key": self.position.keys[0], "id": self.position.keys[1]}
        return found

    # Sorted by a column.

    def ordered(self, counted: int | None = None) -> tuple[list[Any], int]:
        """The rows in the query's order; ``counted`` is their number where it is known already."""
        values = self.values()
        total = self.known_total(values) if counted is None else counted
        if total is not None and (walked := self.walk_bitmaps(values, total)):
            return walked, total
        if total is None or not self.walking_is_shorter(total):
            rows, found = self.collect(values)
            if found < predicates.CAP:
                return rows, found
            total = found
        return self.walk(values, self.query.order), total

    def known_total(self, values: dict[str, Any]) -> int | None:
        """The number of matches, where that is known or found without collecting them; above the cap, anything."""
        if self.plan.exact is not None:
            return self.plan.exact
        if predicates.is_price_range(self.query):
            return int(statements.count(predicates.price_range(self.query)).scalar(self.db, values))
        if len(self.plan.groups) == 1 and (total := self.union_total(values)) is not None:
            return total
        return bitmaps.count(self.db, self.plan, values) if self.plan.most > _MANY else None

    def union_total(self, values: dict[str, Any]) -> int | None:
        """The number of listings with any of some lexemes, from the counters."""
        (first, *rest), counts = self.plan.groups[0], self.plan.counts
        if counts[first] >= predicates.CAP or not rest:
            return counts[first]
        if sum(counts[lexeme] for lexeme in rest) > _MANY:
            return None
        # Those with the most frequent lexeme are counted already; only the few others must be looked at.
        others = {"indexed_0": text.any_of(rest), "indexed_1": f"!{text.quote(first)}"}
        statement = statements.count_hits(("indexed_0", "indexed_1"))
        return counts[first] + int(statement.scalar(self.db, {**values, **others}))

    def walking_is_shorter(self, total: int) -> bool:
        """Whether an index in the wanted order meets a page of rows sooner than all matches are collected."""
        return total >= predicates.CAP or (total > _FEW and self.met(total) < total)

    def met(self, total: int) -> float:
        """How many entries of an index in the wanted order are likely to be met before the page is full."""
        return (self.offset + self.page.limit + 1) * self.plan.everything / max(total, 1)

    def collect(self, values: dict[str, Any]) -> tuple[list[Any], int]:
        if predicates.is_price_range(self.query):
            names = predicates.price_range(self.query)
        else:
            names = predicates.collected(self.query, self.plan, at_once=predicates.CAP / 2)
        is_keyed = self.position is not None
        statement = statements.collect(names, self.query.order, self.sql_descending(), is_keyed, self.is_near)
        return _split(statement.all(self.db, values))

    def walk_bitmaps(self, values: dict[str, Any], total: int) -> list[Any] | None:
        """As :meth:`walk`, but without visiting rows that do not match; ``None`` where another way is shorter."""
        visited = min(self.met(total), total) if total < predicates.CAP else self.met(total)
        if self.is_near or visited < _FEW or self.met(total) > visited * _ENTRIES_PER_ROW:
            return None
        names = bitmaps.conditions(self.plan)
        if names is None:
            return None
        statement = statements.walk_bitmaps(names, self.query.order, self.sql_descending(), self.position is not None)
        return statement.all(self.db, {**values, **bitmaps.values(self.plan)})

    def walk(self, values: dict[str, Any], order: str) -> list[Any]:
        names = predicates.walked(self.query, self.plan, order)
        if order == "distance" and self.backward and self.position and self.query.near:
            # No index reads from far to near; but what is nearer than the cursor lies in a cube.
            centre = predicates.order_centre(self.query, self.query.near)
            values["region"] = geo.cube_around(centre, self.position.keys[0])
            names = (*names, "region")
        statement = statements.walk(names, order, self.sql_descending(), self.position is not None, self.is_near)
        return statement.all(self.db, values)

    def sql_descending(self) -> bool:
        """The direction in SQL: distances are always measured from where the first rows lie."""
        descending = self.query.is_descending and self.query.order != "distance"
        return descending != self.backward

    # Sorted by relevance.

    def ranked(self) -> tuple[list[Any], int]:
        values, position = self.values(), self.position
        is_older = position is not None and position.keys[0] < 0
        rows_above = position.page * self.page.limit if position else self.offset + self.page.limit
        is_on_top = not is_older and rows_above < statements.RANKED
        if is_on_top and (found := self.rank_bitmaps(values)):
            return found
        total = self.known_total(values)
        if position and is_older and self.is_beyond_hits(position):
            if total is None:
                names = predicates.collected(self.query, self.plan, at_once=predicates.CAP / 2)
                total = int(statements.count_hits(names).scalar(self.db, values))
            if total >= predicates.CAP:
                return self.walk(values | {"key": position.keys[1]}, "listing_id"), total
        at_once = predicates.CAP / 2
        if total is not None and is_on_top and self.plan.likely > _MANY:
            at_once, values["cap"] = _MANY, statements.RANKED
        rows, found_total = self.rank(values, at_once)
        if found_total >= predicates.CAP and self.plan.likely <= at_once:
            # More than was likely, so that those collected need not be the newest.
            rows, found_total = self.rank(values, at_once=-1)
        return rows, found_total if total is None else total

    def rank_bitmaps(self, values: dict[str, Any]) -> tuple[list[Any], int] | None:
        """The page from the bitmaps of the newest matches; ``None`` where these cannot tell, or few match anyway."""
        names = bitmaps.conditions(self.plan) if self.plan.most > _MANY else None
        if names is None:
            return None
        values = {**values, "cap": statements.RANKED}
        from_block = bitmaps.newest(self.plan, statements.RANKED) if self.position is None else 0
        if from_block and (recent := bitmaps.conditions(self.plan, from_block)):
            rows, total = self.rank_from(recent, {**values, **bitmaps.values(self.plan, from_block)})
            if total is not None and total >= statements.RANKED:
                return rows, predicates.CAP if self.plan.exact is None else self.plan.exact
        rows, total = self.rank_from(names, {**values, **bitmaps.values(self.plan)})
        return None if total is None else (rows, total)

    def rank(self, values: dict[str, Any], at_once: float) -> tuple[list[Any], int]:
        return self.rank_from(predicates.collected(self.query, self.plan, at_once=at_once), values)

    def rank_from(self, names: tuple[str, ...], values: dict[str, Any]) -> tuple[list[Any], int]:
        if self.position is not None:
            floor, top = self.position.keys[2:]
            values = {**values, "floor": floor, "top": top, "blocks": self.plan.blocks(top)}
            if "bitmaps" in names:
                values["cap"] = predicates.CAP
            names = (*names, "not_above")
        statement = statements.rank(names, self.position is not None, self.backward, self.is_near)
        return _split(statement.all(self.db, values))

    def is_beyond_hits(self, position: Position) -> bool:
        return not position.backward or position.page * self.page.limit >= predicates.CAP


def _split(rows: Any) -> tuple[list[Any], int]:
    """The rows that are listings, and the total that each row carries."""
    return [row for row in rows if row.listing_id is not None], rows[0].total
