"""Tickets that open a stream of events where no header can be sent: browsers' ``EventSource``."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created, Timestamp


class StreamTicket(Base):
    """Stands for a session once and for some seconds; stored as a SHA-256. The row goes when it is used."""

    __tablename__ = "stream_tickets"

    ticket_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"), index=True)
    session_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), index=True)
    date_created: Mapped[Created]
    expires_at: Mapped[Timestamp]

    __table_args__ = (sa.CheckConstraint("octet_length(ticket_hash) = 32", "hash"),)
