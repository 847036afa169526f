"""How long a text message may be, and how one that is longer is cut.

One that is sent in parts costs as many messages: 153 characters of the GSM alphabet each (3GPP TS 23.038), or 67 units
of UTF-16 where there is any other.
"""

from __future__ import annotations

MOST_PARTS = 2

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = "^{}\\[~]|€"  # these take two places
_GSM = frozenset(_BASIC + _EXTENDED)
_GSM_ONE, _GSM_PART = 160, 153
_UTF16_ONE, _UTF16_PART = 70, 67


def length(text: str) -> int:
    """The places that ``text`` takes in the alphabet that it needs."""
    if _GSM.issuperset(text):
        return len(text) + sum(text.count(character) for character in _EXTENDED)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parts(text: str) -> int:
    """How many messages ``text`` is sent as."""
    one, part = (_GSM_ONE, _GSM_PART) if _GSM.issuperset(text) else (_UTF16_ONE, _UTF16_PART)
    taken = length(text)
    return 1 if taken <= one else -(-taken // part)


def compose(text: str, url: str | None = None, most_parts: int = MOST_PARTS) -> str:
    """``text`` and the address after it as one message of ``most_parts`` parts at most.

    What is too long ends at a word with three dots; an address is whole or left out.
    """
    line = " ".join(text.split())
    for ending in (f" {url}" if url else "", ""):
        if parts(line + ending) <= most_parts:
            return line + ending
        cut = _cut(line, f"...{ending}", most_parts)
        if cut:
            return f"{cut}...{ending}"
    return ""


def _cut(line: str, ending: str, most_parts: int) -> str:
    """The longest beginning of ``line`` that fits with ``ending``; whole words, unless that costs more than half."""
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if parts(line[:middle] + ending) <= most_parts:
            low = middle
        else:
            high = middle - 1
    # A character of another alphabet halves what fits: before it, more may.
    beginning = line[:low]
    whole, space, _ = beginning.rpartition(" ")
    return (whole if space and len(whole) > low // 2 and line[low : low + 1] != " " else beginning).rstrip()
