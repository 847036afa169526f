"""The event log, read in the order of its ids: whoever records shows from which id on.

A statement that records first takes, once in a transaction, a shared advisory lock whose key tells the highest id there
was. It blocks nobody; it is gone, with the mark that it is held, as soon as what was recorded under it is committed or
undone, savepoints included. All ids up to the horizon are decided: ``domain/feed.py``, decision 15.

Revision: 0018, after: 0016
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    show_recorders()


def downgrade() -> None:
    op.execute("DROP TRIGGER show_event_recorder ON events")
    for function in ("event_horizon", "event_recorders", "show_event_recorder"):
        op.execute(f"DROP FUNCTION {function}()")


def show_recorders() -> None:
    for statement in (SHOW_RECORDER, RECORDERS, HORIZON):
        op.execute(statement)
    op.execute(
        "CREATE TRIGGER show_event_recorder BEFORE INSERT ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION show_event_recorder()"
    )
