"""User names that would be taken for those who run the service, in whatever spelling.

Names are compared by what they look like: without case, separators and accents, with digits read as letters and letters
of other scripts as the Latin ones that they resemble (the idea of Unicode's UTS 39, section 4, for what these names hold).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import lru_cache

from marketplace_api.errors import FieldError, Invalid

# For each Latin letter: Cyrillic, Greek, Armenian and Latin ones, digits and signs. In many fonts i and l are one.
_LIKE = {
    "a": "а\u03b1\u02514@",
    "b": "вьβ68",
    "c": "с\u03f2",
    "d": "дԁđ",
    "e": "е\u03b53",
    "g": "\u0261ԍց9",
    "h": "н\u04bbհħ",
    "i": "і\u03b9\u04cf\u0131łl1|!",
    "j": "\u0458\u03f3յ",
    "k": "к\u03ba",
    "m": "м\u03bc",
    "n": "п\u03b7\u0578",
    "o": "о\u03bfσ\u0585ø0",
    "p": "р\u03c1",
    "q": "ԛ",
    "r": "г",
    "s": "\u04555$",
    "t": "тτ7",
    "u": "\u057dυ",
    "v": "\u03bdѵ",
    "w": "ԝω",
    "x": "х\u03c7",
    "y": "уγ",
    "z": "2",
}
_LOOK_ALIKES = str.maketrans({seen: letter for letter, all_seen in _LIKE.items() for seen in all_seen})
_PAIRS = (("rn", "m"), ("vv", "w"))


def require_free(reserved: Collection[str], username: str) -> None:
    """Raise :class:`Invalid`, field ``username`` ``reserved``, for a name that looks like one of ``reserved``.

    One of those that ends in ``*`` stands for all that begin so; digits behind a name make it no other.
    """
    if is_reserved(frozenset(reserved), username):
        message = "This user name is reserved; choose another."
        raise Invalid(message, errors=[FieldError("body", "username", "reserved", message)])


@lru_cache(maxsize=1024)
def is_reserved(reserved: frozenset[str], username: str) -> bool:
    """Whether a name looks like one of those that nobody may have."""
    spellings = {skeleton(username), skeleton(username.rstrip("0123456789.-_"))} - {""}
    for name in reserved:
        wanted = skeleton(name.removesuffix("*"))
        if wanted and any(given.startswith(wanted) if name.endswith("*") else given == wanted for given in spellings):
            return True
    return False


@lru_cache(maxsize=4096)
def skeleton(name: str) -> str:
    """What a name looks like: two that are taken for each other have the same."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    letters = "".join(c for c in plain.translate(_LOOK_ALIKES) if c.isalnum())
    for seen, like in _PAIRS:
        letters = letters.replace(seen, like)
    return letters
