"""Alembic's entry: runs the revisions against the URL of ``marketplace_api.database.migrations``, else of DATABASE_OWNER_URL,
DATABASE_DIRECT_URL or DATABASE_URL.

So `alembic -c development.ini history` works, and with one of them set everything else.
"""

import os
import re

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import ischema_names

import marketplace_api.models  # noqa: F401  every table must be known before a comparison
from alembic import context
from marketplace_api.database.base import Base
from marketplace_api.database.engines import driver_url
from marketplace_api.models.catalog.listings import Cube

# An extension's type, which reflection would warn about.
ischema_names["cube"] = Cube

# What belongs to others: the job queue brings its own tables, and what refers to them has a name like theirs. Parts of a
# table follow from it.
FOREIGN = re.compile(r"procrastinate_|events_(\d{4}_\d\d|rest)$")
KINDS = ("table", "foreign_key_constraint")
# For the whole connection, unless whoever runs this has set one (PGOPTIONS, or ALTER ROLE … SET).
LIMIT_WAITING = sa.text(
    "SELECT set_config('lock_timeout', :timeout, false) WHERE current_setting('lock_timeout') = '0'"
)


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind in KINDS and name is not None and FOREIGN.match(name))


def _of_environment() -> str:
    names = ("DATABASE_OWNER_URL", "DATABASE_DIRECT_URL", "DATABASE_URL")
    return next(filter(None, map(os.environ.get, names)), "")


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or _of_environment()
    if not url:
        raise SystemExit(
            "Use `marketplace-admin db upgrade`, or set DATABASE_URL: the embedded server has no fixed address."
        )
    engine = sa.create_engine(driver_url(url), poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        if timeout := context.config.attributes.get("lock_timeout"):
            connection.execute(LIMIT_WAITING, {"timeout": timeout})
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=include_name,
            transaction_per_migration=True,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
