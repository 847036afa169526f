"""Tables, relations and database constraints, one file per domain. No ACL, no request, no rules.

Import this package to have every table in ``Base.metadata``.
"""

from marketplace_api.models import (
    accounts,
    batches,
    bookmarks,
    categories,
    conversations,
    events,
    files,
    idempotency,
    listings,
    notifications,
    reports,
    reviews,
    search,
    streams,
    verifications,
)

__all__ = [
    "accounts",
    "batches",
    "bookmarks",
    "categories",
    "conversations",
    "events",
    "files",
    "idempotency",
    "listings",
    "notifications",
    "reports",
    "reviews",
    "search",
    "streams",
    "verifications",
]
