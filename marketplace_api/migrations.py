"""Brings a database to the schema that this code expects, and tells whether it is there.

The revisions live in ``alembic/`` beside the ini files; this module is the only one that drives Alembic.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from alembic import command
from marketplace_api.db import driver_url

FOLDER = Path(os.environ.get("MARKETPLACE_ALEMBIC") or Path(__file__).resolve().parent.parent / "alembic")


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the database at ``url``, without any ini file."""
    config = Config(stdout=sys.stderr)
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", driver_url(url).render_as_string(hide_password=False).replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    command.downgrade(alembic_config(url), revision)


def check(url: str) -> None:
    """Raise ``alembic.util.CommandError`` where the models and the migrated schema differ."""
    command.check(alembic_config(url))


@lru_cache(maxsize=1)
def head() -> str | None:
    """The newest revision in ``alembic/``."""
    return ScriptDirectory(str(FOLDER)).get_current_head()


def current(connection: sa.Connection) -> str | None:
    """The revision that the database is at, ``None`` when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def knows(revision: str) -> bool:
    """Whether the revision is one of those in ``alembic/``."""
    return any(script.revision == revision for script in ScriptDirectory(str(FOLDER)).walk_revisions())
