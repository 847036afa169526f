"""What a person typed, as words and as a tree of lexemes: which word may be unfinished, how many listings can match."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LAST_WORD = re.compile(r"(?:^|(?<=\s))[^\W_]{3,}$")
_TOKEN = re.compile(r"'((?:[^'\\]|''|\\.)*)'(?::[*A-D]+)?|<(?:-|\d+)>|[&|!()]", re.DOTALL)
_ESCAPE = re.compile(r"''|\\(.)", re.DOTALL)


def split_last_word(text: str) -> tuple[str, str]:
    """``text`` without the word that may still be typed, and that word; it is empty where it must stay as it is.

    A word in quotes, after a minus, or in a text with "or" means exactly itself.
    """
    found = _LAST_WORD.search(text)
    if found is None or text.count('"') % 2 or "or" in text.lower().split():
        return text, ""
    return text[: found.start()], found[0]


def quote(lexeme: str) -> str:
    """``lexeme`` as it is written in a tsquery."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def any_of(lexemes: list[str]) -> str:
    return " | ".join(map(quote, lexemes))


def only_lexeme(tsquery: str) -> str | None:
    """The lexeme of a tsquery that is nothing but one; ``""`` of an empty tsquery."""
    if not tsquery:
        return ""
    found = _TOKEN.fullmatch(tsquery)
    return _unquoted(found[1]) if found and found[1] and tsquery.endswith("'") else None


def _unquoted(lexeme: str) -> str:
    return _ESCAPE.sub(lambda found: found[1] or "'", lexeme)


def bound(tsquery: str, counts: Mapping[str, int], everything: int) -> int:
    """At most how many listings match ``tsquery``, when ``counts`` tells how many hold each of its lexemes."""
    return _Bound(tsquery, counts, everything).either()


class _Bound:
    """A walk through the text form of a tsquery: ``!`` binds closest, then ``<->``, ``&`` and ``|``."""

    def __init__(self, tsquery: str, counts: Mapping[str, int], everything: int) -> None:
        self._tokens = [(found[0], found[1]) for found in _TOKEN.finditer(tsquery)]
        self._counts = counts
        self._everything = everything

    def _next_is(self, *operators: str) -> bool:
        if self._tokens and self._tokens[0][0].startswith(operators):
            self._tokens.pop(0)
            return True
        return False

    def either(self) -> int:
        total = self._every()
        while self._next_is("|"):
            total += self._every()
        return min(total, self._everything)

    def _every(self) -> int:
        least = self._one()
        while self._next_is("&", "<"):
            least = min(least, self._one())
        return least

    def _one(self) -> int:
        if self._next_is("!"):
            self._one()
            return self._everything
        if self._next_is("("):
            inner = self.either()
            self._next_is(")")
            return inner
        if not self._tokens:
            return self._everything
        written, lexeme = self._tokens.pop(0)
        return self._everything if written.endswith("*") else self._counts.get(_unquoted(lexeme), 0)
