"""Listings as files hold them, one after the other and however many: what an import reads back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings.editing import PLACE
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User

FETCHED = 1_000
"""Rows that are in memory at a time."""

RESTARTED = "inactive"
"""The status under which a listing is written that no new one may begin with: nobody sees it before somebody decides."""

_l, _u = table_of(Listing).c, table_of(User).c
# Sold, waiting, rejected or suspended ones must not come to life by the way of a file.
_STATUS = sa.case((_l.status.in_(LISTING_WORKFLOW.initial), _l.status), else_=RESTARTED).label("status")
_ROWS = (
    sa.select(
        _u.email.label("owner_email"),
        _l.title,
        _l.description,
        _l.category,
        _l.price,
        _l.currency,
        *(_l[name] for name in PLACE),
        _l.amenities,
        _l.photos_urls,
        _STATUS,
        (_l.status != _STATUS).label("is_restarted"),
    )
    .join_from(table_of(Listing), table_of(User), _u.user_id == _l.user_id)
    .where(_l.deleted_at.is_(None), _l.owner_hidden.is_(False), _u.email.is_not(None))
    .order_by(_l.listing_id)
)


@contextmanager
def exported(
    databases: Databases, where: Callable[[Session], sa.ColumnElement[bool]] | None = None
) -> Iterator[Iterable[Any]]:
    """The listings that ``where`` gives the condition of, else all, by id, all as of one moment; memory holds :data:`FETCHED` of them.

    Rows have the columns of a file that is imported, and ``is_restarted``: whether ``status`` is :data:`RESTARTED`
    instead of its own. Without those that are deleted or hidden with their owner (banned, or leaving). Raises what
    ``where`` raises.
    """
    with databases.session() as session:
        statement = _ROWS.where(where(session)) if where is not None else _ROWS
        streaming = {"stream_results": True, "yield_per": FETCHED}
        with closing(session.connection().execute(statement, execution_options=streaming)) as rows:
            yield rows
