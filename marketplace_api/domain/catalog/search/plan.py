"""How a search will be answered: its filters as one tsquery for the index, and at most how many listings match.

Counting first is what keeps common words fast: an index of words would have to fetch every hit of a common word
before the first could be shown, but a word that every tenth listing holds is found by looking at some tens of the
newest ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from marketplace_api.domain.catalog.search import text
from marketplace_api.domain.catalog.search.query import SearchQuery
from marketplace_api.domain.catalog.search.statistics import ALL, VERIFIED, Facts

_BLOCK_BITS = (12, 15, 18)
"""The sizes of the blocks of ids that ``document`` marks: 4,096, 32,768 and 262,144."""
_BLOCKS_PER_SIZE = 8
MOST_CONDITIONS = 6
"""So many tsqueries are given to the index side by side, which intersects them faster than the parts of one."""


Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One filter as a tsquery, with at most how many listings pass it; ``is_exact`` when it is just so many.

    ``groups`` says the same in another way where it can be said so: of each group some lexeme must be there. Within a
    group the most frequent comes first.
    """

    tsquery: str
    count: int
    is_exact: bool = False
    groups: Groups = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """``walked`` filters rows met in some other order; ``indexed`` finds rows, the filter that fewest pass first.

    ``most`` bounds the number of matches, ``likely`` guesses it, ``exact`` is that number where the counters know it,
    ``groups`` are those of all terms, when together they say it all. ``most_in_region`` bounds those in the
    cells of the map alone (``None`` without a region). ``ranked`` is the text's tsquery.
    """

    walked: str | None
    indexed: tuple[str, ...]
    ranked: str
    most: int
    likely: float
    exact: int | None
    groups: Groups
    counts: Mapping[str, int]
    frequent: frozenset[str]
    most_in_region: int | None
    top: int
    everything: int
    slugs: tuple[str, ...]

    def blocks(self, top: int | None = None) -> list[str]:
        """The marks of all blocks of ids up to ``top``, newest first, beginning with a size that suits the density."""
        density = self.likely / self.everything if self.everything else 0.0
        size = 0 if density > 0.1 else 1 if density > 0.0125 else 2
        return list(_blocks(self.top if top is None else min(top, self.top), size))


def _blocks(following: int, size: int) -> Iterator[str]:
    used = 0
    while following >= 0:
        bits = _BLOCK_BITS[size]
        block = following >> bits
        yield text.quote(f"#{size}={block}")
        following = (block << bits) - 1
        used += 1
        is_last = size + 1 == len(_BLOCK_BITS)
        if used >= _BLOCKS_PER_SIZE and not is_last and (following + 1) % (1 << _BLOCK_BITS[size + 1]) == 0:
            size, used = size + 1, 0


def make(query: SearchQuery, facts: Facts) -> Plan:
    """The plan for ``query``, whose category exists."""
    typed = _text(facts) if query.words else []
    words = [*typed, *_attributes(query, facts)]
    category = [_union(facts, [f"#c={slug}" for slug in facts.slugs], is_exact=True)] if query.category else []
    bands = [_union(facts, facts.bands)] if query.min_price is not None or query.max_price is not None else []
    cells = [_union(facts, facts.cells)] if facts.cells else []
    terms = [*words, *category, *bands, *cells]
    everything = facts.everything
    # A band or cell that lets most rows through costs the index more than the rows it saves.
    useful = [*words, *category, *(term for term in (*bands, *cells) if term.count < everything / 2)]
    return Plan(
        walked=_all_of(words) if words else None,
        indexed=_indexed(useful, everything),
        ranked=_ranked(facts),
        most=min((term.count for term in terms), default=everything),
        likely=everything * prod(term.count / max(everything, 1) for term in terms),
        exact=_exact(terms, everything) if not _compares_columns(query) else None,
        groups=_groups(terms) if not _compares_columns(query) else (),
        counts=facts.counts,
        frequent=facts.frequent,
        most_in_region=cells[0].count if cells else None,
        top=facts.top,
        everything=everything,
        slugs=tuple(facts.slugs),
    )


def _exact(terms: list[Term], everything: int) -> int | None:
    """The number of matches, where the counters know it."""
    if not terms:
        return everything
    return terms[0].count if len(terms) == 1 and terms[0].is_exact else None


def _all_of(terms: Sequence[Term]) -> str:
    return " & ".join(f"( {term.tsquery} )" for term in terms)


def _groups(terms: list[Term]) -> Groups:
    """The groups of all ``terms``; none where some term cannot be said so."""
    return tuple(group for term in terms for group in term.groups) if all(term.groups for term in terms) else ()


def _compares_columns(query: SearchQuery) -> bool:
    """Whether some filter is beyond what the counters count."""
    compared: list[Any] = [query.min_price, query.max_price, query.owner, query.radius_km, query.bbox]
    return query.order == "distance" or any(value is not None for value in compared)


def _indexed(terms: list[Term], everything: int) -> tuple[str, ...]:
    """The tsqueries, the most selective first; an index cannot begin with what must not be there."""
    if not any("!" not in term.tsquery for term in terms):
        terms = [*terms, Term(text.quote(ALL), everything)]
    terms = sorted(terms, key=lambda term: term.count)
    rest = terms[MOST_CONDITIONS - 1 :]
    return (*(term.tsquery for term in terms[: MOST_CONDITIONS - 1]), *([_all_of(rest)] if rest else ()))


def _union(facts: Facts, terms: Sequence[str], is_exact: bool = False) -> Term:
    """Any of ``terms``; the count is exact where no listing can hold two of them."""
    known = [term for term in dict.fromkeys(terms) if term in facts.counts]
    known.sort(key=lambda term: -facts.counts[term])
    count = min(facts.sum(known), facts.everything)
    return Term(text.any_of(known), count, is_exact or len(known) == 1, (tuple(known),))


def _attributes(query: SearchQuery, facts: Facts) -> Iterator[Term]:
    """The other filters that are lexemes of the document: amenities, badge and place."""
    for amenity in query.wanted_amenities:
        yield _union(facts, [f"#a={amenity}"])
    if query.verified is not None:
        verified = facts.counts.get(VERIFIED, 0)
        mark = text.quote(VERIFIED)
        yield Term(mark, verified, True) if query.verified else Term(f"!{mark}", facts.everything - verified, True)
    if query.place:
        yield from (_union(facts, [f"#l={place}"]) for place in facts.places)
        if facts.last_place or not facts.places:
            yield _union(facts, facts.completions.get(f"#l={facts.last_place}", ()))


def _text(facts: Facts) -> list[Term]:
    """The words; the last of them finished by the stemmer or by any completion. Only stop words match nothing."""
    terms = [_written(facts, facts.head)] if facts.head else []
    if facts.last:
        completions = facts.completions.get(facts.prefix, []) if facts.prefix else []
        stems = text.all_lexemes(facts.last)
        if stems is not None and len(stems) == 1:
            terms.append(_union(facts, [*stems, *completions]))
        else:
            terms.append(_written(facts, " | ".join(filter(None, (facts.last, text.any_of(completions))))))
    return terms or [Term("", 0)]


def _ranked(facts: Facts) -> str:
    """The text for ranking, where a prefix costs less than its completions one by one."""
    begun = f"{text.quote(facts.prefix)}:*" if facts.completions.get(facts.prefix) else ""
    last = " | ".join(filter(None, (facts.last, begun)))
    return " & ".join(f"( {part} )" for part in (facts.head, last) if part)


def _written(facts: Facts, tsquery: str) -> Term:
    """A tsquery as the parser wrote it."""
    lexemes = text.all_lexemes(tsquery) or ()
    count = text.bound(tsquery, facts.counts, facts.everything)
    return Term(tsquery, count, len(lexemes) == 1, tuple((lexeme,) for lexeme in lexemes))
