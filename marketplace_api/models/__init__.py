"""Tables, relations and database constraints, one file per domain. No ACL, no request, no rules.

Import this package to have every table in ``Base.metadata``.
"""

from marketplace_api.models import (
    accounts,
    api_keys,
    batches,
    bookmarks,
    categories,
    conversations,
    deliveries,
    events,
    files,
    idempotency,
    jobs,
    listings,
    notifications,
    phones,
    push,
    reports,
    reviews,
    search,
    streams,
    verifications,
    webhooks,
)

__all__ = [
    "accounts",
    "api_keys",
    "batches",
    "bookmarks",
    "categories",
    "conversations",
    "deliveries",
    "events",
    "files",
    "idempotency",
    "jobs",
    "listings",
    "notifications",
    "phones",
    "push",
    "reports",
    "reviews",
    "search",
    "streams",
    "verifications",
    "webhooks",
]
