"""Events as people read them: one line each, and as programs do: one JSON object each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marketplace_api.characters import visible, visible_json
from marketplace_api.cli.output import csv_cells

if TYPE_CHECKING:
    from marketplace_api.database.prepared import Reader

FIELDS = (
    "event_id",
    "type",
    "actor_id",
    "actor_name",
    "on_behalf_of_id",
    "subject_type",
    "subject_id",
    "previous",
    "new",
    "reason",
    "request_id",
    "date_created",
)
COLUMNS = ("time", "event_id", "type", "subject", "actor", "change", "reason")
DEED_COLUMNS = ("time", "type", "actor", "change", "reason")
_WIDTHS = {"time": 25, "event_id": 9, "type": 28, "subject": 16, "actor": 24, "change": 60}
LONGEST_CHANGE = 100


def fields(row: Any) -> dict[str, Any]:
    """The whole event, under the names of the API."""
    return {name: getattr(row, name) for name in FIELDS}


def lines(db: Reader, rows: Sequence[Any]) -> list[dict[str, str]]:
    """The events by :data:`COLUMNS`, with the user names of today."""
    from marketplace_api.domain.eventlog import audit

    ids = {user_id for row in rows for user_id in (row.actor_id, row.on_behalf_of_id) if user_id is not None}
    names = audit.names(db, ids)
    return [_line(row, names) for row in rows]


def deeds(db: Reader, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """What was done to one thing, by :data:`DEED_COLUMNS` and whole (``previous``, ``new``), with the names of today."""
    from marketplace_api.domain.eventlog import audit

    names = audit.names(db, {row.actor_id for row in rows if row.actor_id is not None})
    return [
        {
            "event_id": row.event_id,
            "time": row.date_created,
            "type": row.type,
            "actor": _actor(row, names),
            "change": _change(row.previous or {}, row.new),
            "reason": visible(row.reason or ""),
            "previous": row.previous,
            "new": row.new,
        }
        for row in rows
    ]


def _actor(row: Any, names: Mapping[int, str]) -> str:
    return visible(_person(row.actor_id, names) if row.actor_id is not None else row.actor_name or "")


def _line(row: Any, names: Mapping[int, str]) -> dict[str, str]:
    actor = _actor(row, names)
    if row.on_behalf_of_id is not None:
        actor += f" for {_person(row.on_behalf_of_id, names)}"
    return {
        "time": row.date_created.isoformat(sep=" ", timespec="seconds"),
        "event_id": str(row.event_id),
        "type": row.type,
        "subject": f"{row.subject_type}:{row.subject_id}" if row.subject_id is not None else row.subject_type,
        "actor": visible(actor),
        "change": _change(row.previous or {}, row.new),
        "reason": visible(row.reason or ""),
    }


def _person(user_id: int, names: Mapping[int, str]) -> str:
    return f"{names[user_id]} ({user_id})" if user_id in names else f"user {user_id}"


def _change(previous: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    parts = []
    for name in dict.fromkeys((*previous, *new)):
        if name not in previous:
            parts.append(f"{name}: {new[name]}")
        elif name not in new:
            parts.append(f"{name}: {previous[name]} →")
        elif previous[name] != new[name]:
            parts.append(f"{name}: {previous[name]} → {new[name]}")
    text = visible("; ".join(parts))
    return text if len(text) <= LONGEST_CHANGE else f"{text[: LONGEST_CHANGE - 1]}…"


def padded(line: Mapping[str, str]) -> str:
    """A line of a table that is written while its rows come."""
    return "  ".join(line[column].ljust(_WIDTHS.get(column, 0)) for column in COLUMNS).rstrip()


def head() -> str:
    return padded({column: column for column in COLUMNS})


def csv_lines(rows: Iterable[Any], *, heading: bool) -> bytes:
    """A line of CSV per event, with the :data:`FIELDS` above them if wanted."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if heading:
        writer.writerow(FIELDS)
    writer.writerows(csv_cells(FIELDS, fields(row)) for row in rows)
    return text.getvalue().encode()


def id_lines(rows: Iterable[Any]) -> bytes:
    """The ids of the events, one a line."""
    return b"".join(b"%d\n" % row.event_id for row in rows)


def json_lines(rows: Iterable[Any]) -> bytes:
    """One JSON object per event and line."""
    import orjson

    lines = b"".join(orjson.dumps(fields(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return visible_json(lines.decode()).encode()
