"""In the child: pictures checked by their content, decoded, and encoded anew without metadata."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import puremagic

# The plugins are named so that they are there before the first picture comes.
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from marketplace_api.errors import Invalid
from marketplace_api.gateways.decoding.refusals import refused

ACCEPTED = ("image/jpeg", "image/png", "image/webp")
QUALITY = 82
_FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
_HEAD = 4096

# What makes a file two things at once: scripts and pages anywhere, a PDF by its beginning, an archive by its end.
_SECOND_NATURE = re.compile(rb"<\?php|<script|<html|<!doctype|<iframe", re.IGNORECASE)
_PDF_WITHIN = 1024
_ZIP_END = (b"PK\x05\x06", 66_000)
_PNG_END = b"IEND\xaeB`\x82"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an orientation of EXIF."""

# The library's own limit warns at one number of pixels and refuses at twice as many; ours is asked instead.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Variant:
    """One encoding: WebP bytes and their size in pixels."""

    name: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest picture that is decoded: ``pixels`` in all, ``side`` on the longer one."""

    pixels: int
    side: int


def variants(data: bytes, sizes: Mapping[str, int], bounds: Bounds, *, square: bool) -> Iterator[Variant]:
    """The picture in each of these sizes (the longest side, in pixels), largest first; raises Invalid."""
    _check_content(data)
    with _complaints(bounds):
        image = _decoded(data, max(sizes.values()), bounds, square=square)
        for name, side in sizes.items():  # each from the one before, which is not needed any more
            image = _fitted(image, side, square=square)
            yield Variant(name, *image.size, _encoded(image))


def require_whole(data: bytes, media_type: str, bounds: Bounds) -> None:
    """Raise Invalid unless ``data`` is an image of this one of :data:`ACCEPTED`, complete and nothing else besides."""
    _check_content(data)
    with _complaints(bounds):
        image = Image.open(BytesIO(data), formats=[media_type.removeprefix("image/").upper()])
        _check_size(image, bounds)
        image.draft(None, (1, 1))  # a JPEG is read to its end all the same
        image.load()
        if image.format == "PNG" and not data.rstrip(b"\x00\r\n ").endswith(_PNG_END):
            raise EOFError  # which the decoder would forgive


def pixels(data: bytes, bounds: Bounds) -> int:
    """How many pixels the picture's header tells of; raises Invalid for what is no picture, or too large a one."""
    with _complaints(bounds):
        image: Image.Image = Image.open(BytesIO(data), formats=_FORMATS)
        _check_size(image, bounds)
        return image.width * image.height


def _check_content(data: bytes) -> None:
    """Raise Invalid unless ``data`` begins as one of :data:`ACCEPTED` and looks like nothing else."""
    if not data:
        raise refused("empty_file", "The file is empty.")
    try:
        found = {match.mime_type for match in puremagic.magic_string(bytes(data[:_HEAD]))}
    except (puremagic.PureError, ValueError):
        found = set()
    if found.isdisjoint(ACCEPTED):
        raise refused("wrong_content", "Send a JPEG, PNG or WebP; by its content the file is none of them.")
    mark, last = _ZIP_END
    if b"%PDF-" in data[:_PDF_WITHIN] or mark in data[-last:] or _SECOND_NATURE.search(data):
        raise refused("hidden_content", "The file is an image and something else at once. Export it anew.")


def _decoded(data: bytes, side: int, bounds: Bounds, *, square: bool) -> Image.Image:
    """Upright, in RGB or RGBA, its colours sRGB; not much larger than needed where the format allows that.

    Each step lets go of the one before: a picture of 50 megapixels takes 200 MB each time that it is there.
    """
    image: Image.Image = Image.open(BytesIO(data), formats=_FORMATS)
    _check_size(image, bounds)
    if image.format == "JPEG" and not square:
        image.draft("RGB" if image.mode != "L" else None, (side, side))
    image.load()
    profile = image.info.get("icc_profile")
    image = _upright(image)
    transparent = "A" in image.mode or "transparency" in image.info
    if profile:
        image = _in_srgb(image, profile)
    if image.mode.startswith("I"):  # 16 bits of grey, of which the plain conversion would keep the lower ones
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    mode = "RGBA" if transparent else "RGB"
    if image.mode != mode or "transparency" in image.info:
        image = image.convert(mode)
    image.info.clear()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """As the camera was held. What else its EXIF says is not even read, for it may be broken in a picture that is not."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever the reader of metadata stumbles over
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = dict(image.info)
    return turned


def _check_size(image: Image.Image, bounds: Bounds) -> None:
    if image.width * image.height > bounds.pixels or max(image.size) > bounds.side:
        raise _too_many_pixels(bounds)


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
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _encoded(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4, exif=b"", xmp=b"", icc_profile=None)
    return out.getvalue()


@contextmanager
def _complaints(bounds: Bounds) -> Iterator[None]:
    """Whatever the decoder says is the sender's to mend: it was given their bytes only."""
    try:
        yield
    except Invalid:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(bounds) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        raise refused("broken_file", "The image cannot be read: it is damaged or incomplete.") from error


def _too_many_pixels(bounds: Bounds) -> Invalid:
    limit = f"{bounds.pixels // 1_000_000} megapixels, and {bounds.side} pixels a side"
    return refused("too_many_pixels", f"The image may have {limit} at most.")
