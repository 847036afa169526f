"""The event log: read in the order of its ids, kept in months; and keys for programs that read it.

**Order.** Whoever records shows from which id on.
A statement that records first takes, once in a transaction, a shared advisory lock whose key tells the highest id there
was. It blocks nobody; it is gone, with the mark that it is held, as soon as what was recorded under it is committed or
undone, savepoints included. All ids up to the horizon are decided: ``domain/eventlog/feed.py``, decision 15.

**Months.** The table is partitioned by the month (UTC) of ``date_created``, so that what is older than one wants to keep
goes as whole tables. Months are made ahead, and what no month was made for goes to the partition ``events_rest``. The
application makes and drops months by functions that act as their owner; it can write to no partition itself, and
nobody can change what is in one. Both directions copy the log, during which nobody can read or write it.

Revision: 0018, after: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ROLE = "marketplace_app"
KEYS = 0x4D6B
"""The upper 16 bits of the keys; the lower 48 are an id."""

# The function, and not a look at the sequence as a table: while a value is taken, what lies there is for a moment
# 32 too high, and the function waits for that moment to pass.
LAST = "coalesce(pg_sequence_last_value('events_event_id_seq'), 0)"

SHOW_RECORDER = f"""
CREATE FUNCTION show_event_recorder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('app.records', true), '') = '' THEN
        PERFORM pg_advisory_xact_lock_shared(({KEYS}::bigint << 48) | {LAST}), set_config('app.records', 'yes', true);
    END IF;
    RETURN NULL;
END $$
"""

RECORDERS = f"""
CREATE FUNCTION event_recorders() RETURNS TABLE (pid integer, start bigint) LANGUAGE sql VOLATILE AS $$
    SELECT held.pid, ((held.classid::bigint & 65535) << 32) | held.objid::bigint FROM pg_locks AS held
    WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.classid::bigint >> 16 = {KEYS}
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$
"""  # noqa: S608  made of constants only

# In this order: who took an id up to the first answer, and is not among the second, has ended.
HORIZON = f"""
CREATE FUNCTION event_horizon() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    taken bigint;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'only the primary knows who records' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    taken := {LAST};
    RETURN least(taken, (SELECT min(start) FROM event_recorders()));
END $$
"""  # noqa: S608  made of constants only

FEWEST_MONTHS = 12
"""Whole months that are kept in any case, whatever the application asks for."""

# A month that is made late takes what went to the rest meanwhile. Nobody writes to the rest from the moment that its
# triggers are off, which is for the moment of this transaction only.
MAKE_MONTH = """
CREATE FUNCTION make_event_month(month timestamptz) RETURNS boolean LANGUAGE plpgsql
SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first timestamptz := date_trunc('month', month);
    past timestamptz := date_trunc('month', month) + interval '1 month';
    name text := to_char(month, '"events_"YYYY"_"MM');
    late boolean;
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    SELECT EXISTS (SELECT FROM events_rest WHERE date_created >= first AND date_created < past) INTO late;
    IF late THEN
        ALTER TABLE events_rest DISABLE TRIGGER events_append_only;
        EXECUTE format('WITH moved AS (DELETE FROM events_rest WHERE date_created >= $1 AND date_created < $2 RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', name) USING first, past;
        ALTER TABLE events_rest ENABLE TRIGGER events_append_only;
    END IF;
    EXECUTE format('CREATE TRIGGER events_append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I '
        'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I FROM {role}', name);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, past);
    RETURN true;
END $$
"""

# Whoever waits for the lock makes all others wait: rather a try on another day.
MAKE_MONTHS = """
CREATE FUNCTION make_event_months() RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = {schema}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
    SELECT (count(*) FILTER (WHERE make_event_month(date_trunc('month', now()) + ahead * interval '1 month')))::integer
    FROM generate_series(0, 2) AS ahead
$$
"""

# The upper end of a month is the first day of the one after it; its name tells which it is.
DROP_MONTH = f"""
CREATE FUNCTION drop_event_month(keep integer)
RETURNS TABLE (month text, events bigint, last_id bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {{schema}}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
BEGIN
    IF keep IS NULL OR keep < {FEWEST_MONTHS} THEN
        RAISE EXCEPTION 'at least {FEWEST_MONTHS} months of events are kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(relname) INTO month FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'events'::regclass AND relname ~ '^events_\\d{{{{4}}}}_\\d\\d$'
        AND to_date(relname, '"events_"YYYY"_"MM') < date_trunc('month', now()) - keep * interval '1 month';
    IF month IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*), max(event_id) FROM %I', month) INTO events, last_id;
    EXECUTE format('DROP TABLE %I', month);
    month := replace(substr(month, 8), '_', '-');
    RETURN NEXT;
END $$
"""  # noqa: S608  made of constants only

INDEXES = {
    "ix_events_subject": "subject_type, subject_id, event_id",
    "ix_events_actor_id": "actor_id, event_id",
    "ix_events_type": "type, event_id",
    "ix_events_actor_id_type": "actor_id, type, event_id",
    "ix_events_date_created": "date_created, event_id",
}


def upgrade() -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for statement in (SHOW_RECORDER, RECORDERS, HORIZON):
        op.execute(statement)
    put_aside()
    make_table(partitioned=True)
    for function in (MAKE_MONTH, MAKE_MONTHS, DROP_MONTH):
        op.execute(sa.text(function.format(schema=schema, role=ROLE).replace(":", r"\:")))
    for function in ("make_event_month(timestamptz)", "make_event_months()", "drop_event_month(integer)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION make_event_months(), drop_event_month(integer) TO {ROLE}")
    op.execute("CREATE TABLE events_rest PARTITION OF events DEFAULT")
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON events_rest FROM {ROLE}")
    op.execute(
        "SELECT make_event_month(month AT TIME ZONE 'UTC') FROM "
        "(SELECT DISTINCT date_trunc('month', date_created AT TIME ZONE 'UTC') AS month FROM events_before) AS found"
    )
    op.execute("SELECT make_event_months()")
    move_back(primary_key="event_id, date_created")
    op.execute(
        "CREATE TRIGGER events_append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON events_rest "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER show_event_recorder BEFORE INSERT ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION show_event_recorder()"
    )
    make_keys()


def downgrade() -> None:
    op.drop_table("api_keys")
    put_aside()
    make_table(partitioned=False)
    move_back(primary_key="event_id")
    for function in ("drop_event_month(integer)", "make_event_months()", "make_event_month(timestamptz)"):
        op.execute(f"DROP FUNCTION {function}")
    for function in ("event_horizon", "event_recorders", "show_event_recorder"):
        op.execute(f"DROP FUNCTION {function}()")


def make_keys() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "api_keys",
        sa.Column("api_key_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("key_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_by", sa.BigInteger()),
        sa.Column("date_created", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("last_used", sa.Date()),
        sa.Column("expires_at", moment),
        sa.Column("revoked_at", moment),
        sa.CheckConstraint("octet_length(key_hash) = 32", name=op.f("ck_api_keys_key_hash")),
        sa.CheckConstraint("scopes <> '{}' AND scopes <@ '{events:read}'", name=op.f("ck_api_keys_scopes")),
        sa.PrimaryKeyConstraint("api_key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.execute(f"REVOKE DELETE ON api_keys FROM {ROLE}")


def put_aside() -> None:
    """The names are for the table that takes the place of the present one."""
    op.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("ALTER SEQUENCE events_event_id_seq RENAME TO events_before_event_id_seq")
    op.execute("ALTER TABLE events_before RENAME CONSTRAINT pk_events TO pk_events_before")
    for name in INDEXES:
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_before")


def make_table(*, partitioned: bool) -> None:
    how = " PARTITION BY RANGE (date_created)" if partitioned else ""
    op.execute(f"CREATE TABLE events (LIKE events_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS){how}")
    op.execute(
        "ALTER TABLE events ALTER event_id ADD GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME events_event_id_seq)"
    )
    op.execute(f"REVOKE UPDATE, DELETE ON events FROM {ROLE}")


def move_back(*, primary_key: str) -> None:
    """Rows first: to build an index at once is faster than row by row. Triggers last: nothing of this is news."""
    op.execute("INSERT INTO events SELECT * FROM events_before")
    op.execute("SELECT setval('events_event_id_seq', last_value, is_called) FROM events_before_event_id_seq")
    op.execute("DROP TABLE events_before")
    op.execute(f"ALTER TABLE events ADD CONSTRAINT pk_events PRIMARY KEY ({primary_key})")
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON events ({columns})")
    op.execute(
        "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER ring_event_bell AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION ring_event_bell()"
    )
