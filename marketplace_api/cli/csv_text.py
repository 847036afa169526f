"""Cells of CSV that a spreadsheet takes for text: an apostrophe stands before what it would compute, and is taken off again.

``=1+1`` is written ``'=1+1``; a text that begins so already, ``'=1+1``, is written ``''=1+1``. So reading takes exactly one
apostrophe off where one or more stand before such a character, and every text comes back as it was.
"""

from __future__ import annotations

import re

# What OWASP lists under "CSV Injection", with the wide forms that some spreadsheets take for the same.
_FORMULA = "[=+\\-@\t\r\n＝＋－＠]"
_COMPUTED = re.compile(f"'*{_FORMULA}")
_ESCAPED = re.compile(f"'+{_FORMULA}")


def escaped(text: str) -> str:
    """The text of one cell, so that no spreadsheet computes it."""
    return f"'{text}" if _COMPUTED.match(text) else text


def unescaped(cell: str) -> str:
    """The text that :func:`escaped` was given; a cell without its apostrophe is taken as it is."""
    return cell[1:] if _ESCAPED.match(cell) else cell
