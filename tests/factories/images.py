"""Images for tests, real ones, as cameras and mischief makers produce them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

GPS = 0x8825
MAKE, ORIENTATION = 0x010F, 0x0112


def make_image(kind: str = "JPEG", size: tuple[int, int] = (64, 48), *, noise: bool = False, **options: Any) -> bytes:
    """An encoded image of this kind; ``noise`` makes one that hardly compresses."""
    mode = options.pop("mode", "RGB")
    image = (
        Image.effect_noise(size, 90).convert(mode) if noise else Image.new(mode, size, options.pop("color", None) or 90)
    )
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo_with_gps(size: tuple[int, int] = (120, 80), orientation: int = 6) -> bytes:
    """A JPEG that tells where it was taken and by which camera; its left half is red, its right half blue."""
    image = Image.new("RGB", size, "blue")
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[MAKE] = "SecretCam"
    exif[ORIENTATION] = orientation
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)})
    out = BytesIO()
    image.save(out, "JPEG", exif=exif, comment=b"SecretComment", quality=95)
    return out.getvalue()


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few kilobytes that would fill gigabytes."""
    row = zlib.compress(bytes(1 + (width + 7) // 8) * 16)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
