"""Endpoints and deliveries as they are read: single ones, and one part of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint

_e, _d = table_of(WebhookEndpoint).c, table_of(WebhookDelivery).c

ENDPOINT_COLUMNS = tuple(column for column in _e if column.name not in ("secret", "previous_secret"))
"""Everything but the secrets."""
DELIVERY_COLUMNS = tuple(_d)

_FIND = Prepared(sa.select(*ENDPOINT_COLUMNS).where(_e.endpoint_id == sa.bindparam("endpoint_id")))
_FIND_DELIVERY = Prepared(
    sa.select(*DELIVERY_COLUMNS).where(
        _d.endpoint_id == sa.bindparam("endpoint_id"), _d.delivery_id == sa.bindparam("delivery_id")
    )
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which deliveries of an endpoint: all of these at once."""

    status: str | None = None
    type: str | None = None


def find(db: Reader, endpoint_id: int) -> Any | None:
    """One endpoint by :data:`ENDPOINT_COLUMNS`, or ``None``."""
    return _FIND.first(db, {"endpoint_id": endpoint_id})


def find_delivery(db: Reader, endpoint_id: int, delivery_id: int) -> Any | None:
    """One delivery of this endpoint by :data:`DELIVERY_COLUMNS`, or ``None``."""
    return _FIND_DELIVERY.first(db, {"endpoint_id": endpoint_id, "delivery_id": delivery_id})


def list_page(db: Reader, page: PageRequest) -> Page:
    """One part of the endpoints, newest first. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``."""
    return _page(db, "webhook_endpoints", "endpoint_id", {}, page)


def deliveries(db: Reader, endpoint_id: int, wanted: Criteria, page: PageRequest) -> Page:
    """One part of an endpoint's deliveries, newest first. Raises as :func:`list_page`."""
    given = {"endpoint_id": endpoint_id, "status": wanted.status, "type": wanted.type}
    return _page(
        db,
        "webhook_deliveries",
        "delivery_id",
        {name: value for name, value in given.items() if value is not None},
        page,
    )


def failed(db: Reader, endpoint_id: int, since: datetime | None, limit: int) -> Sequence[int]:
    """Ids of the endpoint's deliveries that failed and whose event was not sent again since, the oldest first."""
    later = sa.alias(table_of(WebhookDelivery))
    again = sa.exists(
        sa.select(sa.literal_column("1")).where(
            later.c.endpoint_id == _d.endpoint_id, later.c.event_id == _d.event_id, later.c.delivery_id > _d.delivery_id
        )
    )
    statement = sa.select(_d.delivery_id).where(_d.endpoint_id == endpoint_id, _d.status == "failed", ~again)
    if since is not None:
        statement = statement.where(_d.date_created >= since)
    found: Sequence[int] = db.execute(statement.order_by(_d.delivery_id).limit(limit)).scalars().all()
    return found


def _page(db: Reader, table: str, key: str, given: dict[str, Any], page: PageRequest) -> Page:
    list_hash = fingerprint(table, given)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values: dict[str, Any] = given | {
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
    }
    if position:
        values["key"] = position.keys[0]
    found = _statement(table, key, tuple(given), position is not None, position is not None and position.backward).all(
        db, values
    )
    kept = [row for row in found if getattr(row, key) is not None]
    return assemble(kept, page, position, list_hash, lambda row: (getattr(row, key),), total=found[0].total)


@lru_cache(maxsize=32)
def _statement(table: str, key: str, given: tuple[str, ...], keyed: bool, backward: bool) -> Prepared:
    comparison, direction = (">", "ASC") if backward else ("<", "DESC")
    columns = ENDPOINT_COLUMNS if table == "webhook_endpoints" else DELIVERY_COLUMNS
    named = ", ".join(column.name for column in columns)
    matches = " AND ".join(["true", *(f"{name} = :{name}" for name in given)])
    beyond = f"{key} {comparison} :key" if keyed else "true"
    statement = sa.text(
        f"""
        WITH counted AS (SELECT count(*) AS total FROM (SELECT FROM {table} WHERE {matches} LIMIT :cap) AS hits),
        page AS (
            SELECT {named} FROM {table} WHERE {matches} AND {beyond}
            ORDER BY {key} {direction} LIMIT :count OFFSET :offset
        )
        SELECT page.*, counted.total FROM counted LEFT JOIN page ON true ORDER BY page.{key} {direction}
        """  # noqa: S608  made of constants only
    )
    return Prepared(statement)
