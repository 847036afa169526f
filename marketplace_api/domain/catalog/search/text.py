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


def all_lexemes(tsquery: str) -> list[str] | None:
    """The lexemes of a tsquery that asks for all of them and for nothing else; ``None`` for any other."""
    found = list(_TOKEN.finditer(tsquery))
    if any((token[1] is None and token[0] != "&") or not token[0].endswith(("'", "&")) for token in found):
        return None
    return [_unquoted(token[1]) for token in found if token[1] is not None]


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
