"""What a document really is, told by its content: a PDF, a JPEG or a PNG, whole and nothing else at once."""

from __future__ import annotations

from typing import IO

from marketplace_api.gateways import images
from marketplace_api.gateways.decoding.pool import PICTURES, Order

PDF = "application/pdf"
ENDINGS = {PDF: "pdf", "image/jpeg": "jpg", "image/png": "png"}
"""Media types that are accepted, and how names of such files end."""

ACCEPTED = tuple(ENDINGS)


def media_type_of(data: bytes, declared: str = "") -> str:
    """The one of :data:`ACCEPTED` that ``data`` is; ``declared`` is what its sender says.

    It goes to another process (``decoding/``) through memory alone. Raises Invalid (field ``file``) for what is empty,
    none of them, broken off, two things at once, or not what it is said to be, and Unavailable while too many others
    are decoded.
    """
    order = Order("document", {"declared": declared[:200], **images.bounds()}, data)
    found = str(PICTURES.run(order).words["media_type"])
    if found not in ENDINGS:
        raise RuntimeError("the decoder names a media type that is not accepted")
    return found


def megapixels(stream: IO[bytes]) -> int:
    """What it costs to decode the document in ``stream``: as for other pictures, and 1 for a PDF."""
    return images.megapixels(stream)
