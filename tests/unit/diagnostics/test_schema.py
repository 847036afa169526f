"""Each way in which a schema can differ from its migrations gives a fault of its own; one that does not has none."""

from __future__ import annotations

import psycopg

from marketplace_api.boot import connection_url
from marketplace_api.database.engines import Databases, libpq_url
from marketplace_api.database.row_security import role_findings
from marketplace_api.diagnostics.schema import schema_faults


def test_what_is_not_as_it_was_made(committed_databases: Databases) -> None:
    with psycopg.connect(libpq_url(connection_url(committed_databases))) as connection:
        tables, there = ["users"], ["uq_users_email"]
        assert schema_faults(connection, tables, there) == []
        assert not role_findings(connection).is_unbound
        for statement in (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'uq_users_email'::regclass",
            "ALTER TABLE messages DISABLE TRIGGER USER",
            "ALTER TABLE reviews ADD CONSTRAINT later CHECK (rating < 99) NOT VALID",
            "ALTER ROLE marketplace_app BYPASSRLS",
        ):
            connection.execute(statement)
        told = [fault.detail for fault in schema_faults(connection, [*tables, "gone"], [*there, "ix_gone"])]
        assert [" ".join(line.split()[:3]) for line in told] == [
            "the constraint later",
            "the index ix_gone",
            "the index uq_users_email",
            "the table gone",
            "triggers of messages",
        ]
        facts = role_findings(connection)
        assert (facts.is_unbound, facts.rewritable) == (True, ())
        connection.rollback()  # the role is the server's
