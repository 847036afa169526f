"""Where the demo's pictures are made while the rest goes on: drawn, and put through what every upload goes through."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from typing import IO

from PIL import Image

from marketplace_api.domain.operations.demo import placeholder_images
from marketplace_api.gateways import images
from marketplace_api.gateways.decoding.pool import patiently
from marketplace_api.gateways.images import Variant

DRAWERS = 2
QUALITY = 95


class ImagePool:
    """Takes orders first and hands out the pictures later, best in the order in which they were ordered.

    Leaving its block forgets what nobody came for. Within it nobody is told that all decoders are busy.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(DRAWERS, thread_name_prefix="studio")
        self._photos: dict[tuple[str, int], Future[dict[str, Variant]]] = {}
        self._portraits: dict[str, Future[bytes]] = {}
        self._block = ExitStack()

    def __enter__(self) -> ImagePool:
        self._block.enter_context(patiently())
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._block.close()

    def order_photos(self, title: str, category: str, views: int) -> None:
        """So many views of what is offered under this title."""
        for number in range(views):
            self._photos[title, number] = self._pool.submit(_photo, title, category, number)

    def photo(self, title: str, number: int) -> Mapping[str, Variant]:
        """One of the views that were ordered, in the sizes of a photo; waits for it. Each is handed out once."""
        return self._photos.pop((title, number)).result()

    def order_portrait(self, name: str) -> None:
        """A picture of a person."""
        self._portraits[name] = self._pool.submit(_portrait, name)

    def portrait(self, name: str) -> IO[bytes]:
        """The file with the picture that was ordered; waits for it."""
        return BytesIO(self._portraits.pop(name).result())


def _photo(title: str, category: str, number: int) -> dict[str, Variant]:
    with patiently():
        return images.photo_variants(BytesIO(_jpeg(placeholder_images.photo(title, category, number))))


def _portrait(name: str) -> bytes:
    return _jpeg(placeholder_images.portrait(name))


def _jpeg(image: Image.Image) -> bytes:
    """As a camera would send it."""
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()
