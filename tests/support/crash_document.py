"""A process that sends a document and is killed (SIGKILL) at a point of the way; run by the tests of crashes.

Arguments: database URL, data folder, user id, point (see ``tests.support.crash``, of whose points one file meets these).
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import make_databases
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.verifications import submission
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import UrlSigner
from tests.factories.verifications import make_pdf
from tests.support.crash import Mortal, die

POINTS = ("rows", "writing", "first", "uncommitted", "committed")


def main(url: str, data_dir: str, user_id: str, point: str) -> None:
    databases = make_databases(url, system=True)
    storage = Mortal(Path(data_dir) / "files", UrlSigner.from_secret("secret"), point)
    keys = DocumentKeys.from_settings(Settings())
    with databases.session() as session:
        submission.submit(
            session,
            databases,
            storage,
            keys,
            Actor(int(user_id)),
            document_type="passport",
            stream=BytesIO(make_pdf(size=200_000)),
            name="mine.pdf",
        )
        if point == "uncommitted":
            die()
        session.commit()
    die()


if __name__ == "__main__":
    main(*sys.argv[1:])
