"""Brings a database to the schema that this code expects, and tells whether it is there.

The revisions live in ``alembic/`` beside the ini files, and an installed package carries them along (``setup.py``). This
module is the only one that drives Alembic, and loads it only to do so: servers and commands that find everything
migrated go without it.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import psycopg
import structlog

from marketplace_api.database.engines import driver_url

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_SHIPPED = Path(__file__).resolve().with_name("alembic")
# A package that was not built is a checkout. The other way round an installed one would find the library ``alembic``.
FOLDER = _SHIPPED if _SHIPPED.is_dir() else Path(__file__).resolve().parents[2] / "alembic"
# How long a migration waits for a lock while all who want that table wait behind it, and how often it is tried.
LOCK_TIMEOUT = "5s"
ATTEMPTS = 10
_PAUSE_SECONDS = (0.5, 1.5)
_REASONS: dict[type[BaseException], str] = {
    psycopg.errors.DeadlockDetected: "The migration and another transaction waited for each other",
    psycopg.errors.LockNotAvailable: "A lock did not come free in time",
}

log = structlog.get_logger(__name__)


def alembic_config(url: str, stdout: TextIO | None = None) -> Config:
    """Alembic's configuration for the database at ``url``, without any ini file; it talks on standard error."""
    from alembic.config import Config

    config = Config(stdout=stdout or sys.stderr)
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", driver_url(url).render_as_string(hide_password=False).replace("%", "%%"))
    return config


def upgrade(
    url: str, revision: str = "head", *, attempts: int = ATTEMPTS, tell: Callable[[str], None] | None = None
) -> None:
    """Migrate up to ``revision``, each revision in a transaction of its own.

    What fails by a deadlock, or waits longer for a lock than ``lock_timeout`` (five seconds, unless the connection has
    one already), is tried again after about a second, ``attempts`` times in all; ``tell`` gets a sentence each time, and
    without it the log. The last error is raised as it comes.
    """
    from alembic import command

    config = alembic_config(url)
    config.attributes["lock_timeout"] = LOCK_TIMEOUT
    for attempt in range(1, attempts + 1):
        try:
            command.upgrade(config, revision)
        except Exception as error:
            reason = _reason(error)
            if reason is None or attempt == attempts:
                raise
        else:
            return
        if tell is not None:
            tell(f"{reason}, and its revision was undone: trying again ({attempt + 1} of {attempts}).")
        else:
            log.warning("migration.tried_again", reason=reason, attempt=attempt + 1, of=attempts)
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  two machines must not keep step


def _reason(error: Exception) -> str | None:
    """Why it may go better the next time; ``None`` where it will not."""
    cause = getattr(error, "orig", error)
    return next((reason for kind, reason in _REASONS.items() if isinstance(cause, kind)), None)


def downgrade(url: str, revision: str) -> None:
    from alembic import command

    command.downgrade(alembic_config(url), revision)


def check(url: str) -> None:
    """Raise ``alembic.util.CommandError`` where the models and the migrated schema differ."""
    from alembic import command

    # What it says of a schema that is right, the caller says.
    command.check(alembic_config(url, StringIO()))


@lru_cache(maxsize=1)
def head() -> str | None:
    """The newest revision in ``alembic/``; ``None`` where no revision is found."""
    scripts = _scripts()
    return scripts.get_current_head() if scripts is not None else None


@lru_cache(maxsize=1)
def revisions() -> frozenset[str]:
    """All revisions in ``alembic/``; none where the folder is missing."""
    scripts = _scripts()
    return frozenset(script.revision for script in scripts.walk_revisions()) if scripts is not None else frozenset()


def _scripts() -> ScriptDirectory | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(FOLDER)) if FOLDER.is_dir() else None


def suffices(revision: str | None) -> bool:
    """Whether this code can work on a database at ``revision``: the newest that it knows, or one that it does not know.

    That is the work of a newer release, and those only add to what the one before them reads. A database that was never
    migrated does not suffice; nor does any to code that finds no revisions, for it cannot tell old from new.
    """
    return revision is not None and bool(revisions()) and (revision == head() or revision not in revisions())


def current(connection: sa.Connection) -> str | None:
    """The revision that the database is at, ``None`` when it was never migrated; of several, all with commas between."""
    from alembic.runtime.migration import MigrationContext

    return ",".join(sorted(MigrationContext.configure(connection).get_current_heads())) or None
