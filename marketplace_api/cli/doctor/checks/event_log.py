"""What the database says about the event log: whether it can be followed, and whether its months are there."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, warning
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts

MOST_SECONDS_HELD = 120


def event_log(
    _installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    """Whether nobody holds the feed up, and whether what happens next month has its place."""
    if not facts.has_months:
        return
    log = inspector.event_log()
    held = log.behind_seconds > MOST_SECONDS_HELD
    if held:
        holders = ", ".join(map(str, log.recorders))
        yield warning(
            "event feed",
            f"what was recorded since {log.behind_seconds / 60:.0f} minutes waits for a transaction that has recorded and "
            f"does not end (connection {holders})",
            "Look at its pid in pg_stat_activity; SELECT pg_terminate_backend(PID) ends it, and undoes what it has done.",
        )
    if log.has_strays or not log.has_next_month:
        missing = "some events lie outside of all months" if log.has_strays else "the next month is not made yet"
        remedy = "Start a worker, which makes the months every day, or SELECT make_event_months();"
        yield warning("event months", missing, remedy)
    elif not held:
        yield ok("event log", "its next month is made, and nobody holds the feed up")
