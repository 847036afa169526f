"""Brings a database to the schema that this code expects, and tells whether it is there.

The revisions live in ``alembic/`` beside the ini files, and an installed package carries them along (``setup.py``). This
module is the only one that drives Alembic, and loads it only to do so: servers and commands that find everything
migrated go without it.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from marketplace_api.database.engines import driver_url

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

_SHIPPED = Path(__file__).resolve().with_name("alembic")
# A package that was not built is a checkout. The other way round an installed one would find the library ``alembic``.
FOLDER = _SHIPPED if _SHIPPED.is_dir() else Path(__file__).resolve().parents[2] / "alembic"


def alembic_config(url: str, stdout: TextIO | None = None) -> Config:
    """Alembic's configuration for the database at ``url``, without any ini file; it talks on standard error."""
    from alembic.config import Config

    config = Config(stdout=stdout or sys.stderr)
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", driver_url(url).render_as_string(hide_password=False).replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    from alembic import command

    command.upgrade(alembic_config(url), revision)


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
    """The newest revision in ``alembic/``."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(FOLDER)).get_current_head()


@lru_cache(maxsize=1)
def revisions() -> frozenset[str]:
    """All revisions in ``alembic/``."""
    from alembic.script import ScriptDirectory

    return frozenset(script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions())


def suffices(revision: str | None) -> bool:
    """Whether this code can work on a database at ``revision``: the newest that it knows, or one that it does not know.

    That is the work of a newer release, and those only add to what the one before them reads.
    """
    return revision == head() or (revision is not None and revision not in revisions())


def current(connection: sa.Connection) -> str | None:
    """The revision that the database is at, ``None`` when it was never migrated."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()
