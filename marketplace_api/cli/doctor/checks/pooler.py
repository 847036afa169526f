"""What stands between the service and PostgreSQL, and whether what needs a session finds a way past it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from marketplace_api import boot
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem, warning
from marketplace_api.database.poolers import Pooler
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts


def pooler(
    installation: Installation, _url: str, _inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Only what the start does not refuse anyway comes here."""
    settings = installation.settings
    if settings.database_url == "embedded":
        return
    seen, place = boot.place_of(settings.database_url)
    if settings.database_read_url:
        with suppress(boot.BootError):  # a replica that is away is a finding of its own
            seen = max(seen, boot.place_of(settings.database_read_url)[0])
    others = {"DATABASE_DIRECT_URL": settings.database_direct_url, boot.OWNER: settings.database_owner_url}
    strays = [name for name, url in others.items() if url and boot.place_of(url)[1] != place]
    for name in strays:
        told = f"{name} leads to another database than DATABASE_URL"
        yield problem("pooler", told, "Have both name the same one: migrations and backups go by it.")
    if strays:
        return
    declared = settings.database_pooler
    if seen is Pooler.NONE and declared in (Pooler.SESSION, Pooler.TRANSACTION):
        told = f"DATABASE_POOLER says {declared}, and there is none"
        yield warning("pooler", told, "Set it to auto: so statements are prepared, and a pooler that comes is noticed.")
    elif seen is Pooler.NONE:
        yield ok("pooler", "none: connections lead to PostgreSQL itself")
    elif seen is Pooler.TRANSACTION:
        yield ok("pooler", "pools transactions: role and caller go with each; sessions go by DATABASE_DIRECT_URL")
    else:
        past = "DATABASE_DIRECT_URL" if settings.database_direct_url else "it as well, and hold servers of its pool"
        gain = "; DATABASE_POOLER=session would let statements be prepared" if declared == "auto" else ""
        yield ok("pooler", f"pools sessions; the queue, LISTEN and locks go by {past}{gain}")
