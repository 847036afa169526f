"""What the migrations made and somebody, or a command that broke off, has taken away or switched off since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marketplace_api import boot
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem
from marketplace_api.database.base import Base
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts


def schema_faults(
    _installation: Installation, url: str, inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Nothing about a database that is not migrated, which is a finding of its own."""
    if not boot.schema_is_current(url):
        return
    tables = _tables()
    faults = inspector.schema_faults(
        [table.name for table in tables], [str(index.name) for table in tables for index in table.indexes]
    )
    for fault in faults:
        yield problem("schema", fault.detail, fault.remedy)
    if not faults:
        yield ok("schema", "tables, indexes, triggers and constraints are there and in force")


def _tables() -> list[Any]:
    import marketplace_api.models  # noqa: F401  every table is known after it

    return list(Base.metadata.tables.values())
