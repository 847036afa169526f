"""What a person may mean who has typed the beginning of a word, or mistyped it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.search.sql import prepared
from marketplace_api.models.catalog.search import PHRASE, PLACE, WORD

_NOT_WORD = re.compile(r"[\W_]+")
_LONGEST = 80
_HEADS = (1, 3, 6)
_LONG = 9
"""Few terms begin with so many given letters: they are read in their own order, not in that of their frequency."""
_MOST_WORDS = 4
_CANDIDATES = 40


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text worth searching for, what it is, and how many searchable listings it stands for."""

    text: str
    kind: Literal["listing", "category", "location"]
    count: int


_KINDS: dict[int, Literal["listing", "location"]] = {WORD: "listing", PHRASE: "listing", PLACE: "location"}


def _begun(condition: str) -> Prepared:
    """The most frequent terms that begin with ``:prefix``."""
    return prepared(
        f"""
        WITH candidates AS (
            SELECT wanted.kind, found.term FROM unnest(CAST(:kinds AS smallint[])) AS wanted (kind)
            CROSS JOIN LATERAL (
                SELECT base.term FROM search_terms AS base
                WHERE base.kind = wanted.kind AND base.kind > 0 AND {condition}
                ORDER BY base.count DESC LIMIT {_CANDIDATES}
            ) AS found
            UNION
            (SELECT pending.kind, pending.term FROM search_term_deltas AS pending
            WHERE pending.kind = ANY(CAST(:kinds AS smallint[]))
            AND pending.term >= :prefix AND pending.term < :prefix || chr(1114111) LIMIT 500)
        )
        SELECT kind, term, counted.count FROM candidates CROSS JOIN LATERAL (
            SELECT sum(count) AS count FROM (
                SELECT base.count FROM search_terms AS base
                WHERE base.kind = candidates.kind AND base.term = candidates.term
                UNION ALL
                SELECT pending.delta FROM search_term_deltas AS pending
                WHERE pending.kind = candidates.kind AND pending.term = candidates.term
            ) AS parts
        ) AS counted WHERE counted.count > 0 ORDER BY counted.count DESC, term LIMIT :limit
        """  # noqa: S608  made of constants only
    )


_BEGUN = {
    head: _begun(f"\"left\"(base.term, {head}) = :head AND starts_with(base.term || '', :prefix)") for head in _HEADS
}
_BEGUN_LONG = _begun("base.term >= :prefix AND base.term < :prefix || chr(1114111)")

_SIMILAR = prepared(
    """
    WITH candidates AS (
        (SELECT base.kind, base.term FROM search_terms AS base
        WHERE base.kind = ANY (ARRAY[1, 3]) AND base.term % :word
        ORDER BY similarity(base.term, :word) DESC, base.count DESC LIMIT 20)
        UNION
        (SELECT pending.kind, pending.term FROM (
            SELECT kind, term FROM search_term_deltas ORDER BY delta_id DESC LIMIT 2000
        ) AS pending WHERE pending.kind IN (1, 3) AND pending.term % :word LIMIT 20)
    )
    SELECT kind, term, counted.count FROM candidates CROSS JOIN LATERAL (
        SELECT sum(count) AS count FROM (
            SELECT base.count FROM search_terms AS base
            WHERE base.kind = candidates.kind AND base.term = candidates.term
            UNION ALL
            SELECT pending.delta FROM search_term_deltas AS pending
            WHERE pending.kind = candidates.kind AND pending.term = candidates.term
        ) AS parts
    ) AS counted WHERE counted.count > 0 ORDER BY similarity(term, :word) DESC, counted.count DESC, term
    """
)


def suggest(db: Reader, text: str, limit: int = 10) -> list[Suggestion]:
    """At most ``limit`` suggestions for ``text``: what begins with it first, then what resembles it.

    Every suggestion stands for at least one listing that anyone may find.
    """
    words = _words(text)
    if not words or limit < 1:
        return []
    found: dict[tuple[str, str], Suggestion] = {}
    _add(found, _categories(db, " ".join(words)))
    _add(found, _begin_with(db, words, limit))
    if len(found) < limit:
        _add(found, _resembling(db, words, limit))
    return list(found.values())[:limit]


def _words(text: str) -> list[str]:
    sendable = text[:_LONGEST].encode("utf-8", "ignore").decode()
    return [word for word in _NOT_WORD.split(sendable.lower()) if word]


def _add(found: dict[tuple[str, str], Suggestion], more: Iterable[Suggestion]) -> None:
    for suggestion in more:
        found.setdefault((suggestion.kind, suggestion.text), suggestion)


def _categories(db: Reader, typed: str) -> list[Suggestion]:
    """The categories with a word that begins with ``typed``, the fullest first."""
    named = [
        Suggestion(node.name, "category", node.total)
        for node in categories.walk(categories.tree(db))
        if node.total and any(_NOT_WORD.sub(" ", name.lower()).strip().startswith(typed) for name in _tails(node.name))
    ]
    return sorted(named, key=lambda suggestion: (-suggestion.count, suggestion.text))[:3]


def _tails(name: str) -> list[str]:
    words = name.split()
    return [" ".join(words[start:]) for start in range(len(words))]


def _begin_with(db: Reader, words: list[str], limit: int) -> list[Suggestion]:
    """Words, pairs of words and places. Only the last two words matter to a title's pairs."""
    listed = " ".join(words[-2:])
    rows = [*_rows(db, listed, (WORD, PHRASE), limit), *_rows(db, " ".join(words).title(), (PLACE,), 3)]
    return _suggestions(rows)


def _rows(db: Reader, prefix: str, kinds: tuple[int, ...], limit: int) -> list[Any]:
    head = max(length for length in _HEADS if length <= len(prefix))
    parameters = {"kinds": list(kinds), "head": prefix[:head], "prefix": prefix, "limit": limit}
    return (_BEGUN[head] if len(prefix) < _LONG else _BEGUN_LONG).all(db, parameters)


def _suggestions(rows: Iterable[Any]) -> list[Suggestion]:
    return [Suggestion(row.term, _KINDS[row.kind], int(row.count)) for row in rows]


def _resembling(db: Reader, words: list[str], limit: int) -> list[Suggestion]:
    """Each word is put right by the most similar known one, then completed as if it had been typed so."""
    words = words[-_MOST_WORDS:]
    similar = {word: _SIMILAR.all(db, {"word": word}) for word in dict.fromkeys(words)}
    righted = [next((row.term for row in similar[word] if row.kind == WORD), word) for word in words]
    rows = list(_rows(db, " ".join(righted[-2:]), (WORD, PHRASE), limit)) if righted != words else []
    whole = " ".join(words)
    places = _SIMILAR.all(db, {"word": whole}) if len(words) > 1 else ()
    return _suggestions([*rows, *similar[words[-1]], *(row for row in places if row.kind == PLACE)])
