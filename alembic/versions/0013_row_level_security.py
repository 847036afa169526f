"""The application's role, and who may see which rows.

Revision: 0013, after: 0012
"""

import sqlalchemy as sa

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROLE = "marketplace_app"

# The role is of the whole server: databases beside this one may make it at the same moment, or have made it before.
MAKE_ROLE = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

# An owner who is no superuser has to be a member, so that the application can log in by its URL and become the role.
JOIN_ROLE = f"""
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        GRANT {ROLE} TO CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege OR unique_violation THEN NULL;
END $$
"""  # noqa: S608  made of constants only

# What the application does to tables whose rows it never deletes, or never changes.
NEVER_DELETED = (
    "conversation_sides",
    "inboxes",
    "listings",
    "messages",
    "moderation_batch_rows",
    "moderation_batches",
    "notification_boxes",
    "reports",
    "reviews",
    "users",
)
APPEND_ONLY = ("events",)
READ_ONLY = ("alembic_version", "categories")

ME = "(SELECT nullif(current_setting('app.user_id', true), '')::bigint)"


def has(role: str) -> str:
    """Asked once for a statement, not once for a row."""
    return f"(SELECT current_setting('app.roles', true) = '{role}')"


OWN = f"user_id = {ME}"
PARTICIPATES = f"participant1_id = {ME} OR participant2_id = {ME}"
MODERATES = has("moderator")
REPORTED = (
    f"{MODERATES} AND EXISTS (SELECT FROM reports "
    "WHERE reports.subject_type = 'message' AND reports.subject_id = messages.message_id)"
)
PUBLIC = "kind IN ('photo', 'picture', 'video')"

# Table, name, command, and the condition on the rows that there are and that there come to be. Of the conditions for one
# command PostgreSQL tries first what comes last by name; to judge costs more than to own.
POLICIES = (
    ("conversations", "own_read", "SELECT", PARTICIPATES),
    ("conversations", "own_add", "INSERT", PARTICIPATES),
    ("conversations", "own_change", "UPDATE", PARTICIPATES),
    ("conversation_sides", "own_read", "SELECT", f"user_id = {ME} OR other_id = {ME}"),
    ("conversation_sides", "own_change", "UPDATE", OWN),
    ("inboxes", "own_read", "SELECT", OWN),
    ("messages", "own_read", "SELECT", f"sender_id = {ME} OR receiver_id = {ME}"),
    ("messages", "own_add", "INSERT", f"sender_id = {ME}"),
    ("messages", "own_change", "UPDATE", f"receiver_id = {ME}"),
    ("messages", "judged_read", "SELECT", REPORTED),
    ("blocks", "own", "ALL", OWN),
    ("blocks", "own_read_of_others", "SELECT", f"blocked_id = {ME}"),
    ("notifications", "own", "ALL", OWN),
    ("notification_boxes", "own", "ALL", OWN),
    ("notification_preferences", "own", "ALL", OWN),
    ("notification_choices", "own", "ALL", OWN),
    ("sessions", "own_read", "SELECT", OWN),
    ("sessions", "own_add", "INSERT", OWN),
    ("sessions", "own_change", "UPDATE", OWN),
    ("one_time_tokens", "own", "ALL", OWN),
    ("verifications", "own_read", "SELECT", OWN),
    ("verifications", "own_add", "INSERT", OWN),
    ("verifications", "moderated_read", "SELECT", MODERATES),
    ("verifications", "moderated_change", "UPDATE", MODERATES),
    ("files", "own", "ALL", f"owner_id = {ME}"),
    ("files", "moderated_read", "SELECT", MODERATES),
    ("files", "public_read", "SELECT", PUBLIC),
    ("reports", "own_read", "SELECT", f"reporter_id = {ME}"),
    ("reports", "own_add", "INSERT", f"reporter_id = {ME}"),
    ("reports", "moderated_read", "SELECT", MODERATES),
    ("reports", "moderated_change", "UPDATE", MODERATES),
)
PROTECTED = tuple(dict.fromkeys(policy[0] for policy in POLICIES))

# Who a session belongs to, as long as it lasts and its account may act; from here on the connection (``lasting``), or
# the transaction, is that account's. A caller who is not known any more is nobody.
IDENTIFY = """
CREATE FUNCTION identify_caller(of_session bigint, of_user bigint, lasting boolean)
RETURNS TABLE (username text, roles text[], suspended boolean, powers text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    SELECT account.username, account.roles,
        account.state = 'suspended' AND coalesce(account.suspended_until > now(), true)
    INTO username, roles, suspended
    FROM sessions AS held JOIN users AS account ON account.user_id = held.user_id
    WHERE held.session_id = of_session AND held.user_id = of_user AND held.ended_at IS NULL
        AND held.expires_at > now() AND account.state IN ('active', 'suspended');
    IF NOT FOUND THEN
        PERFORM set_config('app.user_id', '', NOT lasting), set_config('app.roles', '', NOT lasting);
        RETURN;
    END IF;
    powers := CASE WHEN roles && '{{moderator,staff,admin}}' AND NOT suspended THEN 'moderator' ELSE '' END;
    PERFORM set_config('app.user_id', of_user::text, NOT lasting), set_config('app.roles', powers, NOT lasting);
    RETURN NEXT;
END $$
"""

# Of the connections of other roles the server shows a role only that they are there.
CONNECTION_STATES = """
CREATE FUNCTION connection_states() RETURNS TABLE (state text, count bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(held.state, 'other'), count(*) FROM pg_stat_activity AS held
    WHERE held.datname = current_database() AND held.backend_type = 'client backend' GROUP BY 1
$$
"""

# What these do is not for who causes it to do, to the other side of a conversation or to the counts of search: they act
# as their owner.
TRUSTED = ("make_sides", "guard_message", "count_message", "count_inbox", "recount_search_terms")


def upgrade() -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    run(MAKE_ROLE)
    run(JOIN_ROLE)
    grant(schema)
    run(IDENTIFY.format(schema=schema))
    run(CONNECTION_STATES)
    for function in TRUSTED:
        run(f"ALTER FUNCTION {function}() SECURITY DEFINER SET search_path = {schema}, pg_temp")
    for table in PROTECTED:
        run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(f"CREATE POLICY system ON {table} USING ({has('system')})")
    for table, name, command, condition in POLICIES:
        using = "" if command == "INSERT" else f" USING ({condition})"
        check = f" WITH CHECK ({condition})" if command == "INSERT" else ""
        run(f"CREATE POLICY {name} ON {table} FOR {command}{using}{check}")


def grant(schema: str) -> None:
    """What the application needs and no more; what later migrations make it may read and write."""
    run(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
    run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {ROLE}")
    run(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {ROLE}")
    run(f"REVOKE DELETE ON {', '.join(NEVER_DELETED)} FROM {ROLE}")
    run(f"REVOKE UPDATE, DELETE ON {', '.join(APPEND_ONLY)} FROM {ROLE}")
    run(f"REVOKE INSERT, UPDATE, DELETE ON {', '.join(READ_ONLY)} FROM {ROLE}")
    later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT"
    run(f"{later} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE}")
    run(f"{later} USAGE ON SEQUENCES TO {ROLE}")


def downgrade() -> None:
    """The role stays, for it is not this database's alone; here it may do nothing any more."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for table, name, _command, _condition in POLICIES:
        run(f"DROP POLICY {name} ON {table}")
    for table in PROTECTED:
        run(f"DROP POLICY system ON {table}")
        run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for function in TRUSTED:
        run(f"ALTER FUNCTION {function}() SECURITY INVOKER RESET search_path")
    run("DROP FUNCTION identify_caller(bigint, bigint, boolean)")
    run("DROP FUNCTION connection_states()")
    later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON"
    run(f"{later} TABLES FROM {ROLE}")
    run(f"{later} SEQUENCES FROM {ROLE}")
    for kind in ("TABLES", "SEQUENCES"):
        run(f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM {ROLE}")
    run(f"REVOKE ALL ON SCHEMA {schema} FROM {ROLE}")


def run(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", r"\:")))
