"""In the child: what a document really is, told by its content."""

from __future__ import annotations

import re

import puremagic

from marketplace_api.gateways.decoding import image_work
from marketplace_api.gateways.decoding.image_work import Bounds
from marketplace_api.gateways.decoding.refusals import refused

PDF = "application/pdf"
_IMAGES = ("image/jpeg", "image/png")

# Senders that do not know say nothing or octet-stream; some have old names for JPEG.
_SAYS_NOTHING = frozenset({"", "application/octet-stream"})
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": PDF}

_HEAD = 4096
_PDF_BEGIN = re.compile(rb"%PDF-[12]\.\d")
# The last lines of a PDF (ISO 32000-2, 7.5.5); nothing but white space may come behind them.
_PDF_END = re.compile(rb"startxref\s+\d+\s+%%EOF[\s\x00]*\Z")
_PDF_TAIL = 2048
# A page or script before the first object of a PDF, or an archive around it (its directory is at the end).
_SECOND_NATURE = re.compile(rb"<\?php|<script|<html|<!doctype|<iframe|<svg", re.IGNORECASE)
_ZIP_END, _ZIP_LAST = b"PK\x05\x06", 66_000


def media_type_of(data: bytes, declared: str, bounds: Bounds) -> str:
    """The media type of ``data``, a PDF, JPEG or PNG; ``declared`` is what its sender says.

    Raises Invalid for what is empty, none of them, broken off, two things at once, or not what it is said to be.
    """
    if not data:
        raise refused("empty_file", "The file is empty.")
    found = PDF if _PDF_BEGIN.match(data) else _image_type(data)
    said = declared.partition(";")[0].strip().lower()
    if found is None:
        raise refused("wrong_content", "Send a PDF, JPEG or PNG; by its content the file is none of them.")
    if said not in _SAYS_NOTHING and _ALIASES.get(said, said) != found:
        raise refused("wrong_content_type", f"The file is said to be {said[:60]}, but by its content it is {found}.")
    if found == PDF:
        _check_pdf(data)
    else:
        image_work.require_whole(data, found, bounds)
    return found


def pixels(data: bytes, bounds: Bounds) -> int:
    """How many pixels a picture of a document has; none for a PDF. Raises Invalid."""
    return 0 if _PDF_BEGIN.match(data) else image_work.pixels(data, bounds)


def _image_type(data: bytes) -> str | None:
    try:
        found = {match.mime_type for match in puremagic.magic_string(bytes(data[:_HEAD]))}
    except (puremagic.PureError, ValueError):
        return None
    return next((kind for kind in _IMAGES if kind in found), None)


def _check_pdf(data: bytes) -> None:
    if _SECOND_NATURE.search(data[:_HEAD]) or _ZIP_END in data[-_ZIP_LAST:]:
        raise refused("hidden_content", "The file is a PDF and something else at once. Export it anew.")
    if not _PDF_END.search(data[-_PDF_TAIL:]):
        raise refused("broken_file", "The PDF cannot be read: it is damaged or incomplete.")
