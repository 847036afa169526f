"""Browsers that take notifications by web push (RFC 8030)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp

MOST_SUBSCRIPTIONS = 10
"""Browsers of one account at most."""

LONGEST_ENDPOINT = 1000


class PushSubscription(Base):
    """One browser, as long as the session lasts in which it subscribed.

    ``p256dh`` is its public key (a point of P-256), ``auth`` the secret that it shares with us (RFC 8291).
    Its push service asked for nothing more before ``paused_until``.
    """

    __tablename__ = "push_subscriptions"

    subscription_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    session_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), index=True)
    endpoint: Mapped[str] = mapped_column(sa.String(LONGEST_ENDPOINT))
    p256dh: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    auth: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    device: Mapped[str] = mapped_column(sa.String(255), server_default="")
    date_created: Mapped[Created]
    last_used: Mapped[Timestamp | None]
    paused_until: Mapped[Timestamp | None]

    __table_args__ = (
        sa.Index("uq_push_subscriptions_endpoint", "endpoint", unique=True),
        sa.Index("ix_push_subscriptions_user_id", "user_id", "subscription_id"),
        sa.CheckConstraint("endpoint LIKE 'https://%'", "endpoint"),
        sa.CheckConstraint("octet_length(p256dh) = 65", "p256dh"),
        sa.CheckConstraint("octet_length(auth) = 16", "auth"),
    )
