"""A process that adds a photo and is killed (SIGKILL) at a point of the way; run by the tests of crashes.

Arguments: database URL, data folder, listing id, point. Points: ``rows`` (pending rows committed), ``writing`` (half a
file written), ``first``, ``all`` (one or all objects written), ``uncommitted`` (just before the commit), ``committed``.
"""

from __future__ import annotations

import os
import signal
import sys
from io import BytesIO
from pathlib import Path
from typing import IO

from marketplace_api.database.engines import make_databases
from marketplace_api.domain.catalog import photos
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from tests.factories.images import make_image

POINTS = ("rows", "writing", "first", "all", "uncommitted", "committed")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Torn(BytesIO):
    """Kills the process when half of it was read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            die()
        return super().read(max(1, len(self.getvalue()) // 2))


class Mortal(LocalStorage):
    """The real storage, in a process that dies at the ``point``."""

    def __init__(self, folder: Path, signer: UrlSigner, point: str) -> None:
        super().__init__(folder, signer)
        self.point, self.written = point, 0

    def put(self, key: str, content: IO[bytes]) -> None:
        if self.point == "rows":
            die()
        super().put(key, Torn(content.read()) if self.point == "writing" else content)
        self.written += 1
        if self.written == {"first": 1, "all": 3}.get(self.point):
            die()


def main(url: str, data_dir: str, listing_id: str, point: str) -> None:
    databases = make_databases(url, system=True)
    storage = Mortal(Path(data_dir) / "files", UrlSigner.from_secret("secret"), point)
    with databases.session() as session:
        listing = queries.find(session, int(listing_id))
        assert listing is not None
        actor = Actor(listing.user_id)
        photos.add(session, databases, storage, actor, listing, stream=BytesIO(make_image()))
        if point == "uncommitted":
            die()
        session.commit()
    die()


if __name__ == "__main__":
    main(*sys.argv[1:])
