"""A small marketplace with everything in it, places to restore it to, and a walk over all that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from marketplace_api.boot import connection_url
from marketplace_api.cli import main
from marketplace_api.database.engines import Databases
from tests.factories.accounts import People, make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.reports import make_report
from tests.factories.reviews import make_bookmark, make_review
from tests.factories.verifications import make_pdf
from tests.functional.photos_world import add
from tests.functional.test_shown_is_allowed import documents, links
from tests.support.client import HAL_FORMS, Client, Named

ROOT = Path(__file__).resolve().parents[3]
PDF = make_pdf(size=100_000)
MOST_PAGES = 400


class Place:
    """A database and a data folder, and the command line on both."""

    def __init__(self, databases: Databases, folder: Path, monkeypatch: Any) -> None:
        self.databases, self.folder, self._monkeypatch = databases, folder, monkeypatch
        self.environment = {
            "DATABASE_URL": connection_url(databases),
            "DATA_DIR": str(folder),
            "MARKETPLACE_INI": str(ROOT / "development.ini"),
        }

    def run(self, *words: str | Path) -> Result:
        for name, value in self.environment.items():
            self._monkeypatch.setenv(name, value)
        return CliRunner().invoke(main, [str(word) for word in words])

    def told(self, *words: str | Path, code: int = 0) -> Any:
        """What the command prints as JSON."""
        result = self.run("--json", *words)
        assert (result.exit_code, bool(result.stdout)) == (code, True), (result.output, result.exception)
        return json.loads(result.stdout)

    def ask(self, statement: str) -> list[Any]:
        """As the owner, who sees everything, what others wait for as well."""
        with self.databases.owner_session() as session, session.begin():
            result = session.connection().exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    @property
    def is_empty(self) -> bool:
        return self.ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]

    @property
    def files(self) -> dict[str, bytes]:
        """The content of all files that are kept, by key."""
        found = {path.name: path.read_bytes() for path in (self.folder / "files").rglob("*.*") if path.is_file()}
        assert len(found) == len([path for path in (self.folder / "files").rglob("*") if path.is_file()])
        return found


class Marketplace:
    """People who offer, write, review, report, and show who they are."""

    def __init__(self, people: People) -> None:
        session = people.session
        self.customer, self.moderator, self.anonymous = people.customer(), people.moderator(), people.anonymous()
        other = make_user(session)
        listings = [make_listing(session, user) for user in (self.customer.user, other, other)]
        session.commit()
        for listing in listings[:1] * 2:
            assert add(self.customer, listing).status_int == 201
        send(session, other, self.customer.user, listing_id=listings[0].listing_id)
        send(session, self.customer.user, other)
        make_review(session, self.customer.user, listing=listings[1])
        make_bookmark(session, self.customer.user, listings[2])
        make_notification(session, self.customer.user, other)
        make_report(session, other, "listing", listings[0].listing_id)
        session.commit()
        file = Named("mine.pdf", "application/pdf", PDF)
        sent = self.customer.request("POST", "/api/users/me/verification", {"document_type": "passport", "file": file})
        assert sent.status_int == 200, sent.text

    def answers(self) -> dict[tuple[str, str], Any]:
        """Status, ETag and body of everything that the three can reach by links from the entry."""
        callers = {"anonymous": self.anonymous, "customer": self.customer, "moderator": self.moderator}
        return {(name, path): answer for name, client in callers.items() for path, answer in _walk(client).items()}


def _walk(client: Client) -> dict[str, Any]:
    waiting, seen = ["/api"], {}
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop()
        if path in seen or path.startswith("http"):
            continue
        response = client.get(path, Accept=f"{HAL_FORMS}, */*;q=0.1", X_Request_ID="the-same-in-both")
        # The ETag of a file in a folder is made from where it lies on the disk.
        etag = None if path.startswith("/files/") else response.headers.get("ETag")
        seen[path] = (response.status_int, etag, response.body)
        if response.headers.get("Content-Type", "").startswith(HAL_FORMS) and response.status_int == 200:
            waiting += [link for document in documents(response.json) for link in links(document)]
            waiting += _pictures(response.json)
    assert len(seen) < MOST_PAGES
    return seen


def _pictures(value: Any) -> list[str]:
    """Paths of files anywhere in a document."""
    if isinstance(value, dict):
        return [path for child in value.values() for path in _pictures(child)]
    if isinstance(value, list):
        return [path for child in value for path in _pictures(child)]
    return [value] if isinstance(value, str) and value.startswith("/files/") else []


MakePlace = Callable[[str], Place]
