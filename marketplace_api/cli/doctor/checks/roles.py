"""As whom the application talks to its database, and whether the policies on private rows are in force."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace_api import boot
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem, warning
from marketplace_api.database.row_security import APP_ROLE, RoleFacts
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts


def roles(
    installation: Installation, url: str, _inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Nothing about a database whose migrations have not made the role yet: that is a finding of its own."""
    settings = installation.settings
    found = boot.login_facts(settings)
    if found is None or not boot.schema_is_current(url):
        return
    if not found.has_app_role:
        yield problem(
            "roles",
            f"the server has no role {APP_ROLE}",
            f"CREATE ROLE {APP_ROLE} NOLOGIN; then restore its rights from a backup.",
        )
        return
    if found.unprotected:
        yield problem(
            "roles",
            f"the policies are switched off on {', '.join(found.unprotected)}",
            " ".join(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;" for table in found.unprotected),
        )
    if found.unreadable:
        yield problem(
            "roles",
            f"{APP_ROLE} may not read {', '.join(found.unreadable)}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(found.unreadable)} TO {APP_ROLE};",
        )
    yield from _too_much(found)
    if settings.production and not found.is_strict:
        why = "a superuser" if found.is_superuser else "beyond the policies" if found.bypasses_policies else "the owner"
        yield warning(
            "roles",
            f"DATABASE_URL logs in as {found.login}, {why}; every connection becomes {APP_ROLE}, but could go back",
            f"Let DATABASE_URL name a login of its own (CREATE ROLE web LOGIN PASSWORD '…' IN ROLE {APP_ROLE};) and "
            "DATABASE_OWNER_URL this one.",
        )
    elif not (found.unprotected or found.unreadable or found.rewritable or found.is_unbound):
        yield ok("roles", f"{found.login} acts as {APP_ROLE}, which sees of private tables what is the caller's")


def _too_much(found: RoleFacts) -> Iterator[Finding]:
    """What the application's role could do that it must not."""
    if found.is_unbound:
        yield problem(
            "roles",
            f"no policy binds {APP_ROLE}: it is a superuser, beyond row level security, or owns tables",
            f"ALTER ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS; and ALTER TABLE … OWNER TO the role that migrates.",
        )
    if found.rewritable:
        tables = ", ".join(found.rewritable)
        yield problem(
            "roles",
            f"{APP_ROLE} could change what was recorded in {tables}",
            f"REVOKE UPDATE, DELETE, TRUNCATE ON {tables} FROM {APP_ROLE}, PUBLIC;",
        )
