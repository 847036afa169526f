"""Characters that nobody sees but a terminal or a program obeys: told to people, and kept out of what comes in."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, and what has no shape of its own: soft hyphen, zero widths, marks of direction, separators of
# lines, tags, surrogates. A joiner between two letters that are not ASCII's shapes Persian, Indic scripts and emoji.
_CLASS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_JOINER_AT_WORK = re.compile(r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])")
_HIDDEN = re.compile(rf"[\n\t{_CLASS}]")
_HIDDEN_BUT_LINES = re.compile(f"[{_CLASS}]")
# Colours, and nothing else that a terminal obeys (ECMA-48, SGR).
_COLORS = re.compile(r"\x1b\[[0-9;]*m")

_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text as a person may see it on one line: ``\x1b``, ``\u202e`` and ``\n`` for what would not be seen."""
    return text if text.isprintable() else _HIDDEN.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """As :func:`visible`, but line feeds and tabs stay what they are."""
    return _HIDDEN_BUT_LINES.sub(_escaped, text)


def visible_colored(text: str) -> str:
    """As :func:`visible_lines`, but colours stay what they are: for text that a program of ours has coloured."""
    colors = _COLORS.findall(text)
    plain = map(visible_lines, _COLORS.split(text))
    return "".join(part + color for part, color in zip(plain, [*colors, ""], strict=True))


def visible_json(document: str) -> str:
    r"""The same JSON value, with ``\u009b`` for what a terminal may obey: such characters stand inside strings only."""
    return document if document.isprintable() else _HIDDEN_BUT_LINES.sub(_json_escaped, document)


def folded_lines(text: str) -> str:
    """One kind of line break, LF, for all that keyboards, forms and word processors send; no byte order mark in front."""
    return _LINE_BREAKS.sub("\n", text.removeprefix("\ufeff"))


def find_control(text: str) -> str | None:
    """The first control character (C0, C1, DEL) or lone surrogate, as ``U+001B``; line feed and tab are none here."""
    found = _CONTROLS.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def _escaped(match: re.Match[str]) -> str:
    if _JOINER_AT_WORK.match(match.string, match.start()):
        return match[0]
    code = ord(match[0])
    if match[0] in "\t\n\r":
        return {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
