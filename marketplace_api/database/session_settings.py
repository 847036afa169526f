"""What a connection is made to be: role, rights, time zone and timeouts, by statements, and looked at afterwards.

libpq's startup ``options`` would do it without a statement, but a pooler may refuse them, or drop them without a word:
then the connection is that of whoever logged in, whom no policy binds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from marketplace_api.database.per_transaction import ROLES, USER
from marketplace_api.database.row_security import APP_ROLE, SYSTEM

_SEEN = sa.text(
    "SELECT current_user\\:\\:text AS current_user, coalesce(current_setting('app.user_id', true), '') AS user_id, "
    "coalesce(current_setting('app.roles', true), '') AS roles, current_setting('TimeZone') AS zone, "
    "(SELECT setting FROM pg_settings WHERE name = 'statement_timeout') AS milliseconds"
)
_LOOK = sql.SQL("SELECT current_user::text, pg_backend_pid(), {}")


class UnexpectedSession(psycopg.OperationalError):
    """A connection is not what was asked of it, so nothing is done through it."""


def application_settings(*, system: bool, timeout: int | None = None) -> dict[str, str]:
    """The settings of the application's own connections; ``timeout`` is the statement timeout in seconds.

    ``system`` is for the processes that work for everybody: the worker and the command line.
    """
    settings = {"role": APP_ROLE, USER: "", ROLES: SYSTEM if system else "", "TimeZone": "UTC"}
    if timeout is not None:
        settings["statement_timeout"] = f"{timeout}s"
    return settings


def set_up(connection: psycopg.Connection[Any], settings: Mapping[str, str], *, pooled: bool = True) -> None:
    """Give a new connection its settings for as long as it lives, and see that it has them.

    Where it is not ``pooled``, it must lead to the server itself. Raises :class:`UnexpectedSession`, and closes the
    connection whatever is raised.
    """
    try:
        before = connection.autocommit
        connection.autocommit = True
        given = connection.execute(_give(settings), prepare=False).fetchone()
        seen = connection.execute(_look(settings), prepare=False).fetchone()
        _compare(settings, given, seen, None if pooled else connection.info.backend_pid)
        connection.autocommit = before
    except BaseException as error:
        connection.close()
        raise _explained(error) from error


async def set_up_async(connection: psycopg.AsyncConnection[Any], settings: Mapping[str, str]) -> None:
    """:func:`set_up` for the connections of the job queue, which begin no transactions."""
    try:
        await connection.set_autocommit(True)
        given = await (await connection.execute(_give(settings), prepare=False)).fetchone()
        seen = await (await connection.execute(_look(settings), prepare=False)).fetchone()
        _compare(settings, given, seen, None)
    except BaseException as error:
        await connection.close()
        raise _explained(error) from error


def session_faults(connection: sa.Connection, settings: Mapping[str, str]) -> list[str]:
    """What is not as it was asked for, as a statement sees it that goes through ``connection`` like any other."""
    row = connection.execute(_SEEN).one()
    driver: Any = connection.connection.driver_connection
    expected = {
        "current_user": (settings["role"], row.current_user),
        "app.roles": (settings[ROLES], row.roles),
        "app.user_id": (settings[USER], row.user_id),
        "statement_timeout": (settings.get("statement_timeout"), f"{int(row.milliseconds) // 1000}s"),
        "TimeZone": (settings["TimeZone"], row.zone),
        "the client's time zone": (settings["TimeZone"], driver.info.parameter_status("TimeZone")),
    }
    return [f"{name} is {has!r} and not {had!r}" for name, (had, has) in expected.items() if had not in (has, None)]


def _give(settings: Mapping[str, str]) -> sql.Composed:
    calls = [sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in settings.items()]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls))


def _look(settings: Mapping[str, str]) -> sql.Composed:
    calls = [sql.SQL("current_setting({}, true)").format(name) for name in settings]
    return _LOOK.format(sql.SQL(", ").join(calls))


def _compare(settings: Mapping[str, str], given: Any, seen: Any, pid: int | None) -> None:
    user, seen_pid, *values = seen
    wrong = [name for name, had, has in zip(settings, given, values, strict=True) if had != has]
    if "role" in settings and user != settings["role"]:
        wrong.append("current_user")
    if wrong:
        told = f"The settings {', '.join(wrong)} of the connection do not last from one statement to the next"
        raise UnexpectedSession(f"{told}: something between us and PostgreSQL pools transactions.")
    if pid is not None and pid != seen_pid:
        told = "A pooler has come between us and PostgreSQL since the start"
        raise UnexpectedSession(f"{told}: start the service anew, so that it sees what that is.")


def _explained(error: BaseException) -> BaseException:
    """A role that is missing or refused is an outage to whoever asks, not a mistake of theirs."""
    if isinstance(error, psycopg.ProgrammingError | psycopg.DataError):
        return UnexpectedSession(f"The connection cannot become the application's: {error}")
    return error
