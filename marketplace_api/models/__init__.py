"""Tables, relations and database constraints, one file per domain. No ACL, no request, no rules.

Import this package to have every table in ``Base.metadata``.
"""

from marketplace_api.models import accounts, categories, events, idempotency, listings, search

__all__ = ["accounts", "categories", "events", "idempotency", "listings", "search"]
