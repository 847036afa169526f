"""Rows and objects held against each other: what a crash or a lost disk left apart is found and mended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.kernel.registries import SWEEPERS
from marketplace_api.domain.media.files import store
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.media.files import File

MOST_STRAYS = 20
MOST_STRAYS_SHARE = 0.1
"""More than either of strange objects is no crash: this may be the storage of another installation."""

_t = table_of(File)
_f = _t.c
_DIGITS = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: files ``cleared`` as left behind or doomed, writes left ``unfinished``, rows whose objects are
    ``missing`` or were ``found_again``, and ``strays``, objects without a row.
    """

    cleared: int
    unfinished: int
    missing: tuple[str, ...]
    found_again: tuple[str, ...]
    strays: tuple[str, ...]
    strays_deleted: bool

    @property
    def is_clean(self) -> bool:
        return not (self.missing or self.found_again or self.strays)


def sweep(session: Session, storage: Storage, now: datetime) -> Report:
    """Mend what can be mended, committing in between; may run beside requests and beside itself.

    A photo or video whose object is missing is not shown until the object is back. Raises Unavailable while the storage is away.
    """
    cleared = 0
    while removed := store.clear(session, storage, now):
        cleared += removed
    unfinished = storage.tidy(now - store.PENDING_FOR)
    missing: list[str] = []
    found_again: list[str] = []
    strays: list[str] = []
    seen = 0
    for kind in store.KINDS:
        for digit in _DIGITS:
            seen += _compare(session, storage, f"{kind}-{digit}", now, (missing, found_again, strays))
    deleted = len(strays) <= max(MOST_STRAYS, int(seen * MOST_STRAYS_SHARE))
    for key in strays if deleted else ():
        storage.delete(key)
    return Report(cleared, unfinished, tuple(missing), tuple(found_again), tuple(strays), bool(strays) and deleted)


def discard_all(session: Session, storage: Storage) -> int:
    """Delete the object of every file that this database knows, because it is about to be emptied; how many.

    Without rows they would be taken for another installation's. Raises Unavailable while the storage is away.
    """
    if session.execute(sa.text("SELECT to_regclass('files')")).scalar_one() is None:
        return 0
    keys = session.execute(sa.select(_f.key)).scalars().all()
    for key in keys:
        storage.delete(key)
    return len(keys)


def _compare(
    session: Session, storage: Storage, prefix: str, now: datetime, found: tuple[list[str], list[str], list[str]]
) -> int:
    """Files whose keys begin with ``prefix``; returns how many objects there are."""
    missing, found_again, strays = found
    # Objects first: every one of them has had its row committed by then.
    objects = {file.key: file for file in storage.walk(prefix)}
    rows = {row.key: row for row in session.execute(_known(prefix))}
    session.commit()
    old = now - store.PENDING_FOR
    strays += [key for key, file in objects.items() if key not in rows and file.modified < old]
    suspects = [r.key for r in rows.values() if r.state == "stored" and r.key not in objects and r.date_created < old]
    lost = [key for key in suspects if storage.find(key) is None]
    back = [row.key for row in rows.values() if row.state == "missing" and row.key in objects]
    if lost or back:
        _mark(session, lost, "stored", "missing")
        _mark(session, back, "missing", "stored")
        _show_or_hide(session, [*lost, *back])
        session.commit()
    missing += lost
    found_again += back
    return len(objects)


def _known(prefix: str) -> sa.Select[Any]:
    # "g" follows the last hexadecimal digit, and keys are ordered by bytes.
    return sa.select(_f.key, _f.state, _f.date_created).where(_f.key >= prefix, _f.key < f"{prefix}g")


def _mark(session: Session, keys: Sequence[str], state: str, to: str) -> None:
    if keys:
        session.execute(sa.update(_t).where(_f.key.in_(keys), _f.state == state).values(state=to))


def _show_or_hide(session: Session, keys: Iterable[str]) -> None:
    """What has any of these files is broken as long as one of its files is missing."""
    named = list(keys)
    for sweeper in SWEEPERS:
        table = sweeper.table
        columns = [table.c[name] for name in sweeper.columns]
        concerned = sa.or_(*(column.in_(named) for column in columns))
        lost = sa.exists(sa.select(1).where(_f.key.in_(columns), _f.state == "missing"))
        session.execute(sa.update(table).where(concerned).values(is_broken=lost))
