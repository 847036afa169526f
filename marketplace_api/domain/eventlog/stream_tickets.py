"""What open connections need beyond the resources that they are about: tickets to begin with, and totals to go by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.tokens import hash_opaque, new_opaque
from marketplace_api.errors import Unauthenticated
from marketplace_api.models.eventlog.stream_tickets import StreamTicket

TICKET_SECONDS = 30

_tickets = table_of(StreamTicket)
_t = _tickets.c

_UNREAD = Prepared(
    sa.text(
        """
        SELECT coalesce((SELECT unread_count FROM inboxes WHERE user_id = :user_id), 0) AS messages,
            coalesce((SELECT unread_count FROM notification_boxes WHERE user_id = :user_id), 0) AS notifications
        """
    )
)


def unread(db: Reader, user_id: int) -> Any:
    """One row: how many ``messages`` and ``notifications`` an account has not read."""
    return _UNREAD.first(db, {"user_id": user_id})


def issue_ticket(session: Session, actor: Actor) -> str:
    """A ticket for the actor's session, good once within :data:`TICKET_SECONDS`."""
    ticket = new_opaque()
    stale = sa.delete(_tickets).where(_t.user_id == actor.user_id, _t.expires_at < sa.func.now())
    session.execute(stale)
    values = {
        "ticket_hash": hash_opaque(ticket),
        "user_id": actor.user_id,
        "session_id": actor.session_id,
        "expires_at": sa.func.now() + timedelta(seconds=TICKET_SECONDS),
    }
    session.execute(sa.insert(StreamTicket).values(values))
    return ticket


def redeem_ticket(databases: Databases, ticket: str) -> tuple[int, int]:
    """Use a ticket up: whose it is, and the id of the session that it stands for; whether that still lives is asked
    elsewhere.

    Raises :class:`Unauthenticated` ``token_invalid`` for one that was used, has expired or never was.
    """
    used = sa.delete(_tickets).where(_t.ticket_hash == hash_opaque(ticket))
    with databases.separately() as session, row_security.elevated(session):
        row = session.execute(used.returning(_t.user_id, _t.session_id, _t.expires_at > sa.func.now())).first()
    if row is None or not row[2]:
        raise Unauthenticated("The ticket was used or has expired; ask for another one.", "token_invalid")
    return row[0], row[1]
