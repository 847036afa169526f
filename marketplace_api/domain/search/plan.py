"""How a search will be answered: its filters as one tsquery for the index, and at most how many listings match.

Counting first is what keeps common words fast: an index of words would have to fetch every hit of a common word
before the first could be shown, but a word that every tenth listing holds is found by looking at some tens of the
newest ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marketplace_api.domain.search import text
from marketplace_api.domain.search.facts import ALL, VERIFIED, Facts
from marketplace_api.domain.search.query import SearchQuery

_BLOCK_BITS = (12, 15, 18)
"""The sizes of the blocks of ids that ``document`` marks: 4,096, 32,768 and 262,144."""
_BLOCKS_PER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Term:
    """One filter as a tsquery, with at most how many listings pass it; ``is_exact`` when it is just so many."""

    tsquery: str
    count: int
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``walked`` filters rows met in some other order, ``indexed`` finds rows; both ``None`` without such filters.

    ``most`` bounds the number of matches, ``exact`` is that number where the counters know it. ``most_in_region``
    bounds those in the cells of the map alone (``None`` without a region). ``ranked`` is the text's tsquery.
    """

    walked: str | None
    indexed: str
    ranked: str
    most: int
    exact: int | None
    most_in_region: int | None
    top: int
    everything: int
    slugs: tuple[str, ...]

    @property
    def density(self) -> float:
        """The share of listings that may match."""
        return self.most / self.everything if self.everything else 0.0

    def blocks(self, top: int | None = None) -> list[str]:
        """The marks of all blocks of ids up to ``top``, newest first, beginning with a size that suits the density."""
        size = 0 if self.density > 0.1 else 1 if self.density > 0.0125 else 2
        return list(_blocks(self.top if top is None else min(top, self.top), size))


def _blocks(following: int, size: int) -> Iterator[str]:
    used = 0
    while following >= 0:
        bits = _BLOCK_BITS[size]
        block = following >> bits
        yield text.quote(f"#{size}={block}")
        following = (block << bits) - 1
        used += 1
        if size + 1 < len(_BLOCK_BITS) and used >= _BLOCKS_PER_SIZE and (following + 1) % (1 << _BLOCK_BITS[size + 1]) == 0:
            size, used = size + 1, 0


def make(query: SearchQuery, facts: Facts) -> Plan:
    """The plan for ``query``, whose category exists."""
    words = list(_words(query, facts))
    category = [_union(facts, [f"#c={slug}" for slug in facts.slugs], is_exact=True)] if query.category else []
    bands = [_union(facts, list(facts.bands))] if query.min_price is not None or query.max_price is not None else []
    cells = [_union(facts, list(facts.cells))] if facts.cells else []
    terms = [*words, *category, *bands, *cells]
    most = min((term.count for term in terms), default=facts.everything)
    # A band or cell that lets most rows through costs the index more than the rows it saves.
    useful = [term for term in (*bands, *cells) if term.count < facts.everything / 2]
    return Plan(
        walked=_all_of(words) if words else None,
        indexed=_all_of([*_anchor(words, category, useful), *words, *category, *useful]),
        ranked=words[0].tsquery if query.words else "",
        most=most,
        exact=_exact(query, terms, facts),
        most_in_region=cells[0].count if cells else None,
        top=facts.top,
        everything=facts.everything,
        slugs=tuple(facts.slugs),
    )


def _anchor(*groups: list[Term]) -> list[Term]:
    """What an index can begin with, for when the filters only say what must not be there."""
    return [] if any("!" not in term.tsquery for group in groups for term in group) else [Term(text.quote(ALL), 0)]


def _all_of(terms: list[Term]) -> str:
    return " & ".join(f"( {term.tsquery} )" for term in terms)


def _exact(query: SearchQuery, terms: list[Term], facts: Facts) -> int | None:
    """The number of matches, where one counted filter alone decides."""
    compared: list[Any] = [query.min_price, query.max_price, query.owner, query.radius_km, query.bbox]
    if any(value is not None for value in compared) or query.order == "distance":
        return None
    if not terms:
        return facts.everything
    return terms[0].count if len(terms) == 1 and terms[0].is_exact else None


def _union(facts: Facts, terms: list[str], is_exact: bool = False) -> Term:
    """Any of ``terms``; the count is exact where no listing can hold two of them."""
    known = [term for term in terms if term in facts.counts]
    return Term(text.any_of(known), min(facts.sum(known), facts.everything), is_exact)


def _words(query: SearchQuery, facts: Facts) -> Iterator[Term]:
    """The filters that are lexemes of the document: the text first, then amenities, badge and place."""
    if query.words:
        yield _text(facts)
    for amenity in query.wanted_amenities:
        yield _union(facts, [f"#a={amenity}"], is_exact=True)
    if query.verified is not None:
        verified = facts.counts.get(VERIFIED, 0)
        mark = text.quote(VERIFIED)
        yield Term(mark, verified, True) if query.verified else Term(f"!{mark}", facts.everything - verified, True)
    if query.place:
        yield from _place(facts)


def _text(facts: Facts) -> Term:
    parts = [facts.head] if facts.head else []
    count = text.bound(facts.head, facts.counts, facts.everything)
    if facts.last:
        begun, begun_count = _completed(facts, facts.prefix)
        parts.append(f"( {facts.last} | {begun} )" if begun else facts.last)
        last = text.bound(facts.last, facts.counts, facts.everything) + begun_count
        count = min(count, last)
    tsquery = " & ".join(f"( {part} )" for part in parts)
    return Term(tsquery, min(count, facts.everything) if parts else 0, is_exact=_is_one_lexeme(tsquery))


def _is_one_lexeme(tsquery: str) -> bool:
    return not any(sign in tsquery.replace("'", "") for sign in "&|!<*")


def _place(facts: Facts) -> Iterator[Term]:
    for place in facts.places:
        yield _union(facts, [f"#l={place}"], is_exact=True)
    if facts.last_place:
        begun, count = _completed(facts, f"#l={facts.last_place}")
        yield Term(begun, min(count, facts.everything))
    elif not facts.places:
        yield Term("", 0)


def _completed(facts: Facts, prefix: str) -> tuple[str, int]:
    """Any lexeme that begins with ``prefix``, and at most how many listings hold one."""
    found = facts.completions.get(prefix)
    if not prefix or found is None:
        return "", 0
    if found.number > len(found.lexemes):
        return f"{text.quote(prefix)}:*", int(found.total)
    return text.any_of(found.lexemes), int(found.total)
