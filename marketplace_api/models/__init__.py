"""Tables, relations and database constraints, one file per noun. No ACL, no request, no rules.

Import this package to have every table in ``Base.metadata``.
"""

from marketplace_api.models.catalog import bookmarks, categories, listings, photos, search, videos
from marketplace_api.models.community import conversations, reviews
from marketplace_api.models.eventlog import stream_tickets
from marketplace_api.models.identity import accounts, api_keys, pictures
from marketplace_api.models.kernel import events, idempotency, jobs
from marketplace_api.models.media import files
from marketplace_api.models.outbound import deliveries, notifications, phones, push_subscriptions, webhooks
from marketplace_api.models.trust import batches, reports, verifications

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
    "photos",
    "pictures",
    "push_subscriptions",
    "reports",
    "reviews",
    "search",
    "stream_tickets",
    "verifications",
    "videos",
    "webhooks",
]
