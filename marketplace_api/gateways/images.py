"""Pictures as people send them, made safe: checked by their content, decoded, and encoded anew without metadata.

Nothing of the original file survives but its pixels: no EXIF (which tells where a photo was taken), no comments, no
second file hidden behind the first. All of that happens in another process (``decoding/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from marketplace_api.errors import Invalid
from marketplace_api.gateways.decoding.pool import PICTURES, Order

ACCEPTED = ("image/jpeg", "image/png", "image/webp")
PHOTO_SIZES: Mapping[str, int] = {"full": 1600, "card": 480, "thumb": 160}
"""Longest side in pixels, by variant; nothing is ever made larger than it came."""

PICTURE_SIZES: Mapping[str, int] = {"card": 480, "thumb": 160}
"""Of profile pictures, which are cut to a square."""

MAX_PIXELS = 50_000_000
"""Decoded it is four bytes each; a photo of the usual 12 to 48 megapixels passes."""

MAX_SIDE = 16_383  # WebP knows no longer one


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding: WebP bytes and their size in pixels."""

    content: bytes
    width: int
    height: int


def photo_variants(stream: IO[bytes]) -> dict[str, Variant]:
    """The variants of :data:`PHOTO_SIZES` of a JPEG, PNG or WebP.

    Raises Invalid (field ``file``), and Unavailable while too many others are decoded.
    """
    return _variants(stream, PHOTO_SIZES, square=False)


def picture_variants(stream: IO[bytes]) -> dict[str, Variant]:
    """The variants of :data:`PICTURE_SIZES`, cut to the square in the middle; raises as :func:`photo_variants`."""
    return _variants(stream, PICTURE_SIZES, square=True)


def megapixels(stream: IO[bytes]) -> int:
    """What it costs to decode the picture in ``stream``, told by its header: megapixels, begun ones counted.

    At least 1, also for what cannot be decoded. Raises Unavailable as :func:`photo_variants`.
    """
    try:
        pixels = int(PICTURES.run(Order("pixels", bounds(), stream.read())).words["pixels"])
    except Invalid:
        return 1
    return max(1, -(-pixels // 1_000_000))


def bounds() -> dict[str, Any]:
    """The largest picture that is decoded, as the child is told."""
    return {"most_pixels": MAX_PIXELS, "longest_side": MAX_SIDE}


def _variants(stream: IO[bytes], sizes: Mapping[str, int], *, square: bool) -> dict[str, Variant]:
    words = {"sizes_of": dict(sizes), "square": square, **bounds()}
    answer = PICTURES.run(Order("variants", words, stream.read()))
    found = zip(answer.words["variants"], answer.blobs, strict=True)
    return {name: Variant(bytes(content), width, height) for (name, width, height), content in found}
