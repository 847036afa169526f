"""Tables, relations and database constraints, one file per domain. No ACL, no request, no rules.

Import this package to have every table in ``Base.metadata``.
"""

from marketplace_api.models import (
    accounts,
    bookmarks,
    categories,
    conversations,
    events,
    files,
    idempotency,
    listings,
    reports,
    reviews,
    search,
)

__all__ = [
    "accounts",
    "bookmarks",
    "categories",
    "conversations",
    "events",
    "files",
    "idempotency",
    "listings",
    "reports",
    "reviews",
    "search",
]
