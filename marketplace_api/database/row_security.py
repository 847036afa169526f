"""As whom the application talks to the database: its role, and the caller whom the policies of the tables ask for.

Two settings of a connection say who calls: ``app.user_id``, and ``app.roles``, which is ``moderator`` or ``system`` for
who may see more than their own. Where neither is set, nobody's rows are seen. See the revision that made the role and the policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus

from marketplace_api.database.per_transaction import driver_of

APP_ROLE = "marketplace_app"
SYSTEM, MODERATOR = "system", "moderator"

_CARRIES = "carries a caller"

_ELEVATE = sa.text(
    "SELECT coalesce(current_setting('app.roles', true), ''), set_config('app.roles', :roles, true)"
).bindparams(roles=SYSTEM)
_ROLES = sa.text("SELECT set_config('app.roles', :roles, true)")
_USER = sa.text("SELECT set_config('app.user_id', :user_id, true)")
_BOTH = sa.text("SELECT set_config('app.user_id', :user_id, false), set_config('app.roles', :roles, false)")


@contextmanager
def elevated(session: Any) -> Iterator[None]:
    """Sees and writes everything for a few statements of the session's transaction: before it is known who calls, and
    where one account ends what another has begun. The test of the architecture lists who may."""
    before = session.execute(_ELEVATE).first()[0]
    driver = session.connection().connection.driver_connection
    try:
        yield
    finally:
        # A transaction that failed forgets it by itself when it is rolled back.
        if session.is_active and driver.info.transaction_status == TransactionStatus.INTRANS:
            session.execute(_ROLES, {"roles": before})


def act_for(session: Any, user_id: int, roles: str | None = None) -> None:
    """From here on the session's transaction is that of an account which has proved itself; with these ``roles``, if
    any are given."""
    session.execute(_USER, {"user_id": str(user_id)})
    if roles is not None:
        session.execute(_ROLES, {"roles": roles})


def keeps_caller(connection: Any) -> bool:
    """Whether a bare connection keeps on the server who calls, from one statement to the next."""
    return driver_of(connection) is None


def note_caller(connection: Any) -> None:
    """A bare connection is about to carry a caller, for longer than a transaction."""
    connection.connection.info[_CARRIES] = True


def carries_caller(connection: Any) -> bool:
    """Whether a bare connection may still carry the caller of a request before."""
    return _CARRIES in connection.connection.info


def introduce(connection: Any, user_id: int, roles: str) -> None:
    """A bare connection is from here on that of an account that another connection knows."""
    note_caller(connection)
    _become(connection, str(user_id), roles)


def forget_caller(connection: Any) -> None:
    """A bare connection is nobody's; asks the database only where it may be somebody's."""
    if carries_caller(connection):
        _become(connection, "", "")
        del connection.connection.info[_CARRIES]


def _become(connection: Any, user_id: str, roles: str) -> None:
    driver = driver_of(connection)
    if driver is not None:
        driver.caller = (user_id, roles)
    else:
        connection.execute(_BOTH, {"user_id": user_id, "roles": roles})


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """As whom a URL talks to the database: ``login`` is the role of the URL, and what it could do without becoming the
    application's.

    ``has_app_role`` says that this role exists, ``may_become`` that the login is a member. ``unprotected`` names tables
    whose policies are switched off, ``unreadable`` tables that the application's role cannot read, ``rewritable`` parts
    of the event log that it could change. ``is_unbound``: no policy binds the application's role itself.
    """

    login: str
    is_superuser: bool
    bypasses_policies: bool
    owns_tables: bool
    has_app_role: bool
    may_become: bool
    unprotected: tuple[str, ...]
    unreadable: tuple[str, ...]
    rewritable: tuple[str, ...]
    is_unbound: bool

    @property
    def is_strict(self) -> bool:
        """Whether the login itself is bound by the policies."""
        return not (self.is_superuser or self.bypasses_policies or self.owns_tables)


_FACTS = r"""
SELECT session_user::text, role.rolsuper, role.rolbypassrls,
    EXISTS (
        SELECT FROM pg_class WHERE relkind IN ('r', 'p') AND relowner = role.oid
            AND relnamespace = current_schema()::regnamespace
    ),
    app.oid IS NOT NULL, coalesce(pg_has_role(role.oid, app.oid, 'MEMBER'), false),
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE NOT relrowsecurity AND relnamespace = current_schema()::regnamespace
            AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid) ORDER BY 1
    ),
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND app.oid IS NOT NULL
            AND NOT has_table_privilege(app.oid, pg_class.oid, 'SELECT') ORDER BY 1
    ),
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND app.oid IS NOT NULL
            AND relname ~ '^events(_rest|_\d{4}_\d\d)?$'
            AND has_table_privilege(app.oid, pg_class.oid, 'UPDATE, DELETE, TRUNCATE') ORDER BY 1
    ),
    coalesce(app.rolsuper OR app.rolbypassrls, false) OR EXISTS (
        SELECT FROM pg_class WHERE relkind IN ('r', 'p') AND relowner = app.oid
            AND relnamespace = current_schema()::regnamespace
    )
FROM pg_roles AS role LEFT JOIN pg_roles AS app ON app.rolname = %s WHERE role.rolname = session_user
"""


def role_findings(connection: psycopg.Connection[Any]) -> RoleFacts:
    """A look at the roles and policies through ``connection``, which logged in by the application's URL."""
    row = connection.execute(_FACTS, [APP_ROLE]).fetchone()
    assert row is not None
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return RoleFacts(*values)
