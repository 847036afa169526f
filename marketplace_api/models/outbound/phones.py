"""Telephone numbers of accounts, the codes that confirm them, and the numbers that want nothing any more.

Numbers are in E.164. They are private: no row of others is ever shown to anybody.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created, Timestamp

MOST_ATTEMPTS = 5
"""Wrong codes after which another one has to be asked for."""

PROBLEMS = ("undeliverable", "stopped")
E164 = r"^\+[1-9][0-9]{6,14}$"


class Phone(Base):
    """The number of an account that its owner has shown to hold; whoever shows it later takes it over."""

    __tablename__ = "phones"

    user_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(sa.String(16))
    confirmed_at: Mapped[Created]

    __table_args__ = (
        sa.Index("uq_phones_number", "number", unique=True),
        sa.CheckConstraint(f"number ~ '{E164}'", "number"),
    )


class PhoneCode(Base):
    """A number that waits to be confirmed, one for an account; the job that sends the code makes it.

    ``event_id`` is the request that the code is for; ``code_hash`` is keyed, and empty until a code was made.
    ``problem`` says why none could be sent.
    """

    __tablename__ = "phone_codes"

    user_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(sa.String(16))
    event_id: Mapped[BigInt | None]
    code_hash: Mapped[bytes | None] = mapped_column(postgresql.BYTEA)
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    problem: Mapped[str | None] = mapped_column(sa.String(20))
    date_created: Mapped[Created]
    expires_at: Mapped[Timestamp]

    __table_args__ = (
        sa.CheckConstraint(f"number ~ '{E164}'", "number"),
        sa.CheckConstraint(f"attempts BETWEEN 0 AND {MOST_ATTEMPTS}", "attempts"),
        sa.CheckConstraint("octet_length(code_hash) = 32", "code_hash"),
        sa.CheckConstraint(f"problem IN ({', '.join(map(repr, PROBLEMS))})", "problem"),
        sa.Index("ix_phone_codes_expires_at", "expires_at"),
    )


class PhoneCodeCount(Base):
    """How many codes an account asked for, or a number was sent, since ``date_begun``; ``subject`` is a keyed hash."""

    __tablename__ = "phone_code_counts"

    subject: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    sent: Mapped[int]
    date_begun: Mapped[Created]
    last_sent: Mapped[Created]

    __table_args__ = (sa.CheckConstraint("sent > 0", "sent"), sa.Index("ix_phone_code_counts_last_sent", "last_sent"))


class PhoneStop(Base):
    """A number whose holder answered STOP: nothing is sent to it. ``subject`` is a keyed hash, which names nobody."""

    __tablename__ = "phone_stops"

    subject: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    date_created: Mapped[Created]
