"""Importing many listings at once: checked row by row, written batch by batch, each batch in a transaction of its own.

An import can be run again: each stored row carries a key made of its owner, its content and its place among the
equal rows of its file, so a second run adds only what is missing. A row whose content has changed is another row to
it and becomes a new listing. What files look like is the business of the caller, who also brings the rules for a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import owners
from marketplace_api.domain.catalog.listings.editing import PLACE
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import Conflict, FieldError, Invalid
from marketplace_api.models.catalog.categories import Category

BATCH = 1_000
"""Rows of a transaction: large enough that the cost of a statement does not count, done in well under a second."""

ATTEMPTS = 3

Row = Mapping[str, Any] | Invalid
"""What a file says of one listing, or why that cannot be read."""

Validate = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Gives the fields of a new listing as the schema does, and ``owner_email``; raises :class:`Invalid`."""

# Of four ways, measured on 6,898 rows of 1,000 a batch with the triggers of search: 2.2k rows/s this way, 1.9k by COPY
# into a temporary table, 1.5k by executemany, 0.95k by one INSERT of many VALUES that SQLAlchemy writes out.
_SOURCE = """
json_to_recordset(CAST(:rows AS json)) AS incoming (
    number bigint, user_id bigint, import_key text, title text, description text, category text, price numeric, currency text,
    address text, city text, state text, zip text, country text, latitude numeric, longitude numeric,
    photos_urls text[], amenities text[], status text
)
"""
_COLUMNS = (
    "title, description, category, price, currency, address, city, state, zip, country, latitude, longitude, "
    "photos_urls, amenities, status"
)
_INSERT = sa.text(
    f"INSERT INTO listings (user_id, import_key, {_COLUMNS}) "  # noqa: S608  constants
    f"SELECT user_id, decode(import_key, 'hex'), {_COLUMNS} FROM {_SOURCE} "
    # A row that is there must not use up an id either: the ids of a batch shall be few ranges.
    "WHERE NOT EXISTS (SELECT FROM listings AS stored WHERE stored.user_id = incoming.user_id "
    "AND stored.import_key = decode(incoming.import_key, 'hex')) "
    "ORDER BY number ON CONFLICT (user_id, import_key) DO NOTHING RETURNING listing_id"
)
_COUNT_STORED = sa.text(
    f"SELECT count(*) FROM {_SOURCE} JOIN listings AS stored ON stored.user_id = incoming.user_id "  # noqa: S608
    "AND stored.import_key = decode(incoming.import_key, 'hex')"
)
# Any number, the same in every process. Two imports take turns by the batch: each waits where the other has stored an
# equal row and not committed, so that with their rows in different orders they would wait for each other.
_TAKE_TURNS = sa.text("SELECT pg_advisory_xact_lock(7405003)")


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of rows: each one ``read`` was ``created``, ``skipped`` (it was there already) or ``bad``."""

    read: int = 0
    created: int = 0
    skipped: int = 0
    bad: int = 0
    owners_created: int = 0

    def __add__(self, other: ImportCounts) -> ImportCounts:
        return ImportCounts(
            self.read + other.read,
            self.created + other.created,
            self.skipped + other.skipped,
            self.bad + other.bad,
            self.owners_created + other.owners_created,
        )


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import.

    ``source`` names the file in the audit trail. ``create_owners`` makes accounts for unknown e-mail addresses, which
    are bad rows otherwise: named after the address, without a password until it is reset by mail. ``dry_run`` checks
    and counts, and writes nothing.
    """

    source: str
    create_owners: bool = False
    dry_run: bool = False
    batch: int = BATCH


@dataclass(frozen=True, slots=True)
class Reports:
    """Who hears of the progress: ``bad(row number, field, reason)`` for each thing wrong, as many as a row has, and
    ``batch(counts of this batch)`` after each batch, once it is committed."""

    bad: Callable[[int, str, str], None] = lambda _number, _field, _reason: None
    batch: Callable[[ImportCounts], None] = lambda _counts: None


def import_listings(
    databases: Databases,
    rules: AccountRules,
    actor: Actor,
    rows: Iterable[tuple[int, Row]],
    validate: Validate,
    *,
    options: ImportOptions,
    reports: Reports = Reports(),
) -> ImportCounts:
    """Import the numbered ``rows`` of one file and return the totals.

    Rows that are wrong are reported and left out, the others stored. Each batch commits listings, new owners and one
    event ``listing.imported`` that counts and names them, or none of these; whatever interrupts the import, whole batches stay,
    and a run over the same file adds the rest. Memory holds one batch, and about 100 bytes for each row to tell equal
    rows apart.
    """
    run = _Run(databases, rules, actor, validate, options, reports, _categories(databases))
    total = ImportCounts()
    for batch in _batches(rows, options.batch):
        counts = run.take(batch)
        reports.batch(counts)
        total += counts
    return total


@dataclass(frozen=True, slots=True)
class _Checked:
    """A row that is right as far as it can be told without its owner."""

    number: int
    email: str
    columns: dict[str, Any]
    import_key: str


@dataclass(slots=True)
class _Run:
    """One import: what stays the same from batch to batch, and what each row looked like."""

    databases: Databases
    rules: AccountRules
    actor: Actor
    validate: Validate
    options: ImportOptions
    reports: Reports
    categories: frozenset[str]
    # The first 8 bytes of a row's digest -> how many such rows came before. A collision only skips an ordinal.
    seen: dict[int, int] = field(default_factory=dict)
    # Owners that a dry run would have made.
    imagined: set[str] = field(default_factory=set)

    def take(self, batch: Sequence[tuple[int, Row]]) -> ImportCounts:
        """Check and store one batch."""
        checked = [row for number, raw in batch if (row := self.check(number, raw)) is not None]
        counts = self.rehearse(checked) if self.options.dry_run else self.store_again(checked, len(batch))
        return _of(counts, len(batch))

    def check(self, number: int, raw: Row) -> _Checked | None:
        try:
            if isinstance(raw, Invalid):
                raise raw
            fields = dict(self.validate(raw))
            email = fields.pop("owner_email").lower()
            columns = _columns(fields)
            self.check_columns(columns)
        except Invalid as refusal:
            for error in refusal.errors or [FieldError("body", "", refusal.code, refusal.detail)]:
                self.reports.bad(number, error.name, error.message)
            return None
        return _Checked(number, email, columns, self.import_key(email, columns))

    def check_columns(self, columns: Mapping[str, Any]) -> None:
        errors = []
        if columns["category"] not in self.categories:
            message = f"There is no category {columns['category']!r}."
            errors.append(FieldError("body", "category", "unknown_category", message))
        if (columns["latitude"] is None) != (columns["longitude"] is None):
            errors.append(FieldError("body", "location", "half_a_position", "Give latitude and longitude together."))
        if errors:
            raise Invalid("This row contradicts itself or the marketplace.", errors=errors)

    def import_key(self, email: str, columns: Mapping[str, Any]) -> str:
        """SHA-256 over owner, content and ordinal among equal rows, in hexadecimal.

        Empty values do not count, so that a column which is added to listings some day changes no key.
        """
        content = {name: value for name, value in columns.items() if value}
        digest = hashlib.sha256(email.encode() + b"\x00" + orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
        short = int.from_bytes(digest.digest()[:8])
        ordinal = self.seen[short] = self.seen.get(short, -1) + 1
        digest.update(b"\x00%d" % ordinal)
        return digest.hexdigest()

    def rehearse(self, checked: Sequence[_Checked]) -> ImportCounts:
        """What :meth:`store` would count; reads only."""
        emails = {row.email for row in checked}
        with self.databases.session() as session:
            known = owners.find(session, emails)
            missing = emails - known.keys() if self.options.create_owners else set()
            placed, refused = _placed(checked, known | dict.fromkeys(missing, owners.Owner(None)))
            stored = session.execute(_COUNT_STORED, {"rows": _json(placed)}).scalar_one()
        self.report(refused)
        made = len(missing - self.imagined)
        self.imagined |= missing
        return ImportCounts(created=len(placed) - stored, skipped=stored, owners_created=made)

    def store_again(self, checked: Sequence[_Checked], read: int) -> ImportCounts:
        """:meth:`store`, repeated where another process made the same account meanwhile."""
        for _ in range(ATTEMPTS - 1):
            with suppress(Conflict):
                return self.store(checked, read)
        return self.store(checked, read)

    def store(self, checked: Sequence[_Checked], read: int) -> ImportCounts:
        """Owners, listings and the event in one transaction; ``read`` is how many rows there were before the check."""
        emails = {row.email for row in checked}
        made: dict[str, owners.Owner] = {}
        with self.databases.session() as session, session.begin():
            session.execute(_TAKE_TURNS)
            known = owners.find(session, emails, hold=True)
            if self.options.create_owners:
                made = owners.create_missing(session, self.rules, self.actor, emails, known)
            placed, refused = _placed(checked, known | made)
            ids = session.connection().execute(_INSERT, {"rows": _json(placed)}).scalars().all() if placed else ()
            counts = ImportCounts(created=len(ids), skipped=len(placed) - len(ids), owners_created=len(made))
            if ids or made:
                self.record(session, _of(counts, read), ids)
        self.report(refused)
        return counts

    def record(self, session: Session, counts: ImportCounts, ids: Iterable[int]) -> None:
        new = {"file": self.options.source, **asdict(counts), "listing_ids": ranges(ids)}
        record(session, self.actor, EventType.LISTING_IMPORTED, None, new=new)

    def report(self, refused: Iterable[tuple[_Checked, str]]) -> None:
        for row, reason in refused:
            self.reports.bad(row.number, "owner_email", reason)


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """The ids as pairs of the first and the last of each unbroken run, in order: nobody else's are within them."""
    found: list[list[int]] = []
    for each in sorted(ids):
        if found and each == found[-1][1] + 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return found


def _of(counts: ImportCounts, read: int) -> ImportCounts:
    """The counts of ``read`` rows: what was neither created nor there already is bad."""
    return replace(counts, read=read, bad=read - counts.created - counts.skipped)


def _placed(
    checked: Sequence[_Checked], known: Mapping[str, owners.Owner]
) -> tuple[list[dict[str, Any]], list[tuple[_Checked, str]]]:
    """The rows with the ids of their owners, ready for the database, and those whose owner cannot have them."""
    placed, refused = [], []
    for row in checked:
        owner = known.get(row.email)
        if owner is None:
            refused.append((row, f"There is no account {row.email}."))
        elif owner.state != "active":
            refused.append((row, f"The account {row.email} is {owner.state}."))
        else:
            key = {"number": row.number, "user_id": owner.user_id, "import_key": row.import_key}
            placed.append({**key, **row.columns})
    return placed, refused


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a listing as JSON-ready columns: ``location`` spread out, numbers exact and in one form."""
    place = fields["location"] or {}
    columns = {name: value for name, value in fields.items() if name != "location"}
    columns |= {part: place.get(part) for part in PLACE}
    for name in ("price", "latitude", "longitude"):
        if columns[name] is not None:
            columns[name] = f"{columns[name].normalize():f}"
    return columns


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _categories(databases: Databases) -> frozenset[str]:
    with databases.session() as session:
        return frozenset(session.execute(sa.select(Category.slug)).scalars())


def _batches(rows: Iterable[tuple[int, Row]], size: int) -> Iterator[list[tuple[int, Row]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch
