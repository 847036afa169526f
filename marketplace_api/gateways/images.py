"""Pictures as people send them, made safe: checked by their content, decoded, and encoded anew without metadata.

Nothing of the original file survives but its pixels: no EXIF (which tells where a photo was taken), no comments, no
second file hidden behind the first.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import BoundedSemaphore
from typing import IO

import puremagic
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from marketplace_api.errors import FieldError, Invalid

ACCEPTED = ("image/jpeg", "image/png", "image/webp")
PHOTO_SIZES: Mapping[str, int] = {"full": 1600, "card": 480, "thumb": 160}
"""Longest side in pixels, by variant; nothing is ever made larger than it came."""

PICTURE_SIZES: Mapping[str, int] = {"card": 480, "thumb": 160}
"""Of profile pictures, which are cut to a square."""

MAX_PIXELS = 50_000_000
"""Decoded it is four bytes each; a photo of the usual 12 to 48 megapixels passes."""

MAX_SIDE = 16_383  # WebP knows no longer one
QUALITY = 82
_FORMATS = ("JPEG", "PNG", "WEBP")
_HEAD = 4096

# What makes a file two things at once: scripts and pages anywhere, a PDF by its beginning, an archive by its end.
_SECOND_NATURE = re.compile(rb"<\?php|<script|<html|<!doctype|<iframe", re.IGNORECASE)
_PDF_WITHIN = 1024
_ZIP_END = (b"PK\x05\x06", 66_000)
_PNG_END = b"IEND\xaeB`\x82"

# Decoding takes the most memory of all that the service does, so only so many at a time.
_DECODERS = BoundedSemaphore(2)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding: WebP bytes and their size in pixels."""

    content: bytes
    width: int
    height: int


def photo_variants(stream: IO[bytes]) -> dict[str, Variant]:
    """The variants of :data:`PHOTO_SIZES` of a JPEG, PNG or WebP; raises Invalid (field ``file``)."""
    return _variants(stream, PHOTO_SIZES, square=False)


def picture_variants(stream: IO[bytes]) -> dict[str, Variant]:
    """The variants of :data:`PICTURE_SIZES`, cut to the square in the middle; raises Invalid (field ``file``)."""
    return _variants(stream, PICTURE_SIZES, square=True)


def require_whole(data: bytes, media_type: str) -> None:
    """Raise Invalid (field ``file``) unless ``data`` is an image of this one of :data:`ACCEPTED`, complete and nothing
    else besides."""
    _check_content(data)
    with _DECODERS, _complaints():
        image = Image.open(BytesIO(data), formats=[media_type.removeprefix("image/").upper()])
        _check_size(image)
        image.draft(None, (1, 1))  # a JPEG is read to its end all the same
        image.load()
        if image.format == "PNG" and not data.rstrip(b"\x00\r\n ").endswith(_PNG_END):
            raise EOFError  # which the decoder would forgive


def _variants(stream: IO[bytes], sizes: Mapping[str, int], *, square: bool) -> dict[str, Variant]:
    data = stream.read()
    _check_content(data)
    with _DECODERS, _complaints():
        image = _decoded(data, max(sizes.values()), square=square)
        made = {}
        for name, side in sizes.items():  # largest first, each from the one before
            image = _fitted(image, side, square=square)
            made[name] = _encoded(image)
        return made


def _check_content(data: bytes) -> None:
    if not data:
        raise refused("empty_file", "The file is empty.")
    try:
        found = {match.mime_type for match in puremagic.magic_string(data[:_HEAD])}
    except (puremagic.PureError, ValueError):
        found = set()
    if found.isdisjoint(ACCEPTED):
        raise refused("wrong_content", "Send a JPEG, PNG or WebP; by its content the file is none of them.")
    mark, last = _ZIP_END
    if b"%PDF-" in data[:_PDF_WITHIN] or mark in data[-last:] or _SECOND_NATURE.search(data):
        raise refused("hidden_content", "The file is an image and something else at once. Export it anew.")


def _decoded(data: bytes, side: int, *, square: bool) -> Image.Image:
    """Upright, in RGB or RGBA, its colours sRGB; not much larger than needed where the format allows that."""
    image: Image.Image = Image.open(BytesIO(data), formats=_FORMATS)
    _check_size(image)
    if image.format == "JPEG" and not square:
        image.draft("RGB" if image.mode != "L" else None, (side, side))
    image.load()
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    transparent = "A" in upright.mode or "transparency" in upright.info
    if profile:
        upright = _in_srgb(upright, profile)
    if upright.mode.startswith("I"):  # 16 bits of grey, of which the plain conversion would keep the lower ones
        upright = upright.point(lambda value: value * (1 / 256)).convert("L")
    plain = upright.convert("RGBA" if transparent else "RGB")
    plain.info.clear()
    return plain


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise _too_many_pixels()


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours as they are meant, for the profile does not go along; as they stand where it is broken."""
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        return (
            ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGBA" if image.mode == "RGBA" else "RGB",
            )
            or image
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _fitted(image: Image.Image, side: int, *, square: bool) -> Image.Image:
    if square:
        side = min(side, *image.size)
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    copy = image.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def _encoded(image: Image.Image) -> Variant:
    out = BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4, exif=b"", xmp=b"", icc_profile=None)
    return Variant(out.getvalue(), image.width, image.height)


@contextmanager
def _complaints() -> Iterator[None]:
    """Whatever the decoder says is the sender's to mend: it was given their bytes only."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        raise refused("broken_file", "The image cannot be read: it is damaged or incomplete.") from error


def _too_many_pixels() -> Invalid:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels, and {MAX_SIDE} pixels a side"
    return refused("too_many_pixels", f"The image may have {limit} at most.")


def refused(code: str, message: str) -> Invalid:
    """The error for a file that can never be taken."""
    return Invalid(f"file: {message}", code="invalid_file", errors=[FieldError("body", "file", code, message)])
