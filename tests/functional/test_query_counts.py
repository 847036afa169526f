"""What a request costs the database: a fixed number of statements, and no transaction for what only reads."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases
from tests.factories.accounts import PASSWORD, People, make_user, open_session
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.postgres import as_owner
from tests.support.problems import assert_problem
from tests.support.sql_recorder import recorded

MEDIA = ("application/json", HAL_FORMS)


def _fill(db: Session, owner: Any, count: int) -> None:
    """``count`` more listings of as many owners, and as many sessions of ``owner``'s."""
    db.execute(
        sa.text(
            "WITH sellers AS (INSERT INTO users (username, email, roles) "
            "SELECT 'seller' || n || :mark, 'seller' || n || :mark || '@people.example', '{customer}' "
            "FROM generate_series(1, :count) AS n RETURNING user_id) "
            "INSERT INTO listings "
            "(user_id, title, description, category, price, currency, city, latitude, longitude, amenities) "
            "SELECT user_id, 'Bicycle ' || user_id, 'Plain.', 'bicycles', user_id % 1000, 'EUR', 'Berlin', 52.5, 13.4, "
            "'{lights}' FROM sellers"
        ),
        {"count": count, "mark": uuid4().hex[:6]},
    )
    db.execute(
        sa.text(
            "INSERT INTO listings (user_id, title, description, category, price, currency) "
            "SELECT :owner, 'Chair ' || n, 'Plain.', 'furniture', n, 'EUR' FROM generate_series(1, :count) AS n"
        ),
        {"owner": owner.user_id, "count": count},
    )
    for _ in range(min(count, 50)):
        open_session(db, owner)
    db.commit()


def _counts(client: Client, pages: list[str]) -> dict[tuple[str, str], int]:
    counted = {}
    for page in pages:
        for media in MEDIA:
            with recorded() as statements:
                response = client.get(page, Accept=media)
            assert response.status_int == 200, response.text
            counted[page, media] = len(statements)
    return counted


def test_the_number_of_statements_does_not_grow_with_the_data(people: People, db: Session) -> None:
    owner = people.customer()
    first = make_listing(db, owner.user)
    lists = (
        "/api/listings",
        "/api/users/me/listings",
        f"/api/users/{owner.user.user_id}/listings",
        "/api/auth/sessions",
    )
    searches = (
        "embed=owner",
        "search=bicycle",
        "search=bicycle&embed=owner",
        "category=bicycles",
        "sortBy=price",
        "near=52.5,13.4&sortBy=distance",
        "facets=category,amenities,city,price,verified",
        "location=berlin",
        "amenities=lights",
        "page=2",
        "min_price=1&max_price=500",
    )
    pages = [
        *(f"{page}?limit={limit}" for page in lists for limit in (5, 10)),
        *(f"/api/listings?{search}" for search in searches),
        f"/api/listings/{first.listing_id}",
        f"/api/listings/{first.listing_id}?embed=owner",
        "/api",
        "/api/users/me",
        "/api/categories",
        f"/api/users/{owner.user.user_id}",
        "/api/search/suggestions?query=bi",
    ]
    _fill(db, owner.user, 10)
    few = _counts(owner, pages)
    _fill(db, owner.user, 990)
    many = _counts(owner, pages)
    # A search may take another way through more data, but never a way whose length depends on it; and of a page of one's
    # own listings nobody is asked whom one may write to and review.
    grown = {page: (few[page], many[page]) for page in few if many[page] > few[page] + 2}
    assert grown == {}
    assert max(many.values()) <= 9  # none of them grows with the data
    for page in lists:
        for media in MEDIA:
            assert many[f"{page}?limit=5", media] == many[f"{page}?limit=10", media], page


def test_more_items_on_a_page_cost_no_more_statements(people: People, db: Session) -> None:
    owner = people.customer()
    _fill(db, owner.user, 120)
    for page in (
        "/api/listings?embed=owner",
        "/api/listings?search=bicycle&embed=owner",
        "/api/users/me/listings?fields=title",
    ):
        counts = set()
        for limit in (1, 10, 100):
            with recorded() as statements:
                response = owner.get(f"{page}&limit={limit}", Accept=HAL_FORMS)
            assert len(response.json["_embedded"]["listings"]) == limit
            counts.add(len(statements))
        assert len(counts) == 1, page


def test_what_is_asked_most_costs_least(people: People, db: Session) -> None:
    owner = people.customer()
    path = f"/api/listings/{make_listing(db, owner.user).listing_id}"
    for caller, known in ((people.anonymous(), 0), (owner, 1)):
        for page, own in (
            (path, 1 + known),  # whether the caller keeps it
            (f"{path}?embed=owner", 2 + known),
            ("/api", 0),
            ("/healthz", 0),
            ("/api/errors", 0),
            ("/api/auth/login", 0),
        ):
            with recorded() as statements:
                assert caller.get(page).status_int == 200
            expected = own + known if page != "/healthz" else len(statements)
            assert len(statements) == expected, f"{page}: {statements}"
            assert len(statements) <= own + known


# Transactions.


class ServerLog:
    """What PostgreSQL itself saw: the statements of one database, from its own log."""

    def __init__(self, folder: Path, databases: Databases) -> None:
        self.folder, self.databases = folder, databases
        self.seen = self._text_until_marked()

    def _text_until_marked(self) -> str:
        """The log up to here: a marker goes through the server first, because the log is written behind its back."""
        marker = f"marker-{uuid4().hex}"
        with self.databases.read.connect() as connection:
            connection.exec_driver_sql(f"SELECT '{marker}'")
        deadline = time.monotonic() + 30
        while True:
            text = "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))
            if marker in text:
                return text[: text.index(marker)]
            assert time.monotonic() < deadline, "the log does not say what was run"
            time.sleep(0.05)

    def since(self) -> list[str]:
        """The statements since the last look."""
        text = self._text_until_marked()
        new, self.seen = text[len(self.seen) :], text
        found = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", new)
        return [statement for statement in found if "marker-" not in statement]


@pytest.fixture
def server_log(
    postgres_server: EmbeddedPostgres, committed_databases: Databases, api_databases: Databases, live_app: object
) -> Iterator[ServerLog]:
    with committed_databases.write.begin() as connection, as_owner(connection):
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET log_statement = 'all'")
        log_folder = connection.exec_driver_sql(
            "SELECT current_setting('data_directory') || '/' || current_setting('log_directory')"
        )
        folder = Path(str(log_folder.scalar_one()))
    for databases in (committed_databases, api_databases):
        databases.dispose()  # the setting counts for connections from now on
    with api_databases.write.connect():
        """What an engine says once, with its first connection, is no request's."""
    yield ServerLog(folder, committed_databases)


CONTROL = re.compile(r"(?i)\s*(BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|END|ABORT|SET|DISCARD)\b")


def test_what_only_reads_opens_no_transaction(live_people: People, server_log: ServerLog) -> None:
    owner = live_people.customer()
    path = f"/api/listings/{make_listing(live_people.session, owner.user).listing_id}"
    live_people.session.close()
    stranger = live_people.anonymous()
    for caller in (stranger, owner):
        caller.get(path)  # what connections say once, when they are new
    server_log.since()
    for caller in (stranger, owner):
        for page in (
            path,
            f"{path}?embed=owner",
            "/api/listings",
            "/api/listings?search=bicycle&facets=category",
            "/api/categories",
            "/api",
        ):
            assert caller.get(page, Accept=HAL_FORMS).status_int == 200
        assert caller.request("HEAD", path).status_int == 200
        assert caller.request("OPTIONS", path).status_int == 204
        assert caller.get(path, If_None_Match="*").status_int == 304
        assert_problem(caller.get("/api/listings/999999"), 404, "not_found")
        assert_problem(caller.get("/api/listings?page=0"), 400, "invalid_input")
    for page in ("/api/users/me", "/api/auth/sessions", "/api/users/me/listings", "/api/users/me/export"):
        assert owner.get(page).status_int == 200
    assert_problem(stranger.get("/api/users/me"), 401, "unauthenticated")
    read = server_log.since()
    assert len(read) > 20
    assert [statement for statement in read if CONTROL.match(statement)] == []
    # The same log does show a transaction where there is one.
    assert owner.put(path, {"title": "Changed"}).status_int == 200
    written = [CONTROL.match(statement) for statement in server_log.since()]
    assert [found[1].upper() for found in written if found] == ["BEGIN", "COMMIT"]


def test_a_refused_write_ends_in_a_rollback(live_people: People, server_log: ServerLog) -> None:
    owner = live_people.customer()
    path = f"/api/listings/{make_listing(live_people.session, owner.user).listing_id}"
    live_people.session.close()
    owner.put(path, {"bogus": 1})
    server_log.since()
    assert_problem(owner.put(path, {"title": "New", "category": "nope"}), 400, "invalid_input")
    statements = server_log.since()
    control = [found[1].upper() for found in map(CONTROL.match, statements) if found]
    assert (control[0], control[-1], "COMMIT" in control) == ("BEGIN", "ROLLBACK", False)
    assert not [statement for statement in statements if statement.startswith(("INSERT", "UPDATE"))]


def test_a_reader_has_changed_nothing(
    live_people: People, committed_databases: Databases, api_databases: Databases
) -> None:
    """Reading leaves no row behind, not even who looked or when."""
    owner = live_people.customer()
    path = f"/api/listings/{make_listing(live_people.session, owner.user).listing_id}"
    live_people.session.close()
    owner.post("/api/auth/login", {"email": owner.user.email, "password": PASSWORD})
    before = _changed_rows(committed_databases, api_databases)
    for page in (
        path,
        "/api/listings?search=bicycle",
        "/api/users/me",
        "/api/auth/sessions",
        "/api/users/me/export",
        "/api/categories",
    ):
        assert owner.get(page).status_int == 200
    assert _changed_rows(committed_databases, api_databases) == before
    owner.put(path, {"title": "Changed"})
    assert _changed_rows(committed_databases, api_databases) > before


def _changed_rows(databases: Databases, of_requests: Databases) -> int:
    """How many rows were ever written; connections have told it for certain when they are gone."""
    databases.dispose()
    of_requests.dispose()
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    deadline = time.monotonic() + 30
    with databases.read.connect() as connection:
        while connection.exec_driver_sql(others).scalar_one():
            assert time.monotonic() < deadline, "a connection stays"
            time.sleep(0.02)
        return int(connection.exec_driver_sql(written).scalar_one())


def test_the_helper_sees_every_statement(people: People, db: Session) -> None:
    """A proof by counting is worth what its counter is worth."""
    with recorded() as statements:
        db.execute(sa.text("SELECT 1"))
        make_user(db)
    words = [statement.split()[0] for statement in statements]
    assert [word for word in words if word != "SAVEPOINT"] == ["SELECT", "INSERT"]
