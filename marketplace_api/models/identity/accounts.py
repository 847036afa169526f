"""Accounts and what proves them: users, sessions, one-time tokens, failed log-ins."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Json, RatingHistogram, Timestamp, Version

ROLES = ("customer", "driver", "moderator", "staff", "admin")
STATES = ("active", "suspended", "banned", "deactivated", "erased")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class User(Base):
    """An account. Personal columns are emptied when it is erased; the row stays for those who dealt with it.

    ``profile_picture_url`` is an address elsewhere, or the path of a file of ours.
    """

    __tablename__ = "users"

    user_id: Mapped[BigId]
    username: Mapped[str] = mapped_column(sa.String(50))
    email: Mapped[str | None] = mapped_column(sa.String(255))
    pending_email: Mapped[str | None] = mapped_column(sa.String(255))
    email_confirmed_at: Mapped[Timestamp | None]
    email_bounced_at: Mapped[Timestamp | None]
    password_hash: Mapped[str | None] = mapped_column(sa.String(255))
    profile_picture_url: Mapped[str | None] = mapped_column(sa.String(512))
    bio: Mapped[str | None] = mapped_column(sa.Text)
    contact_information: Mapped[Json] = mapped_column(server_default=sa.text("'{}'"))
    roles: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text), server_default=sa.text("'{customer}'"))
    state: Mapped[str] = mapped_column(sa.String(20), server_default="active")
    state_reason: Mapped[str | None] = mapped_column(sa.Text)
    suspended_until: Mapped[Timestamp | None]
    is_verified: Mapped[bool] = mapped_column(server_default=sa.false())
    rating_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    rating_sum: Mapped[int] = mapped_column(server_default=sa.text("0"))
    rating_histogram: Mapped[RatingHistogram]
    date_joined: Mapped[Created]
    date_updated: Mapped[Created]
    last_login: Mapped[Timestamp | None]
    deactivated_at: Mapped[Timestamp | None]
    version: Mapped[Version]

    __table_args__ = (
        sa.Index("uq_users_username", sa.func.lower(sa.column("username")), unique=True),
        sa.Index("uq_users_email", sa.func.lower(sa.column("email")), unique=True),
        sa.CheckConstraint(_one_of("state", STATES), "state"),
        sa.CheckConstraint(
            "roles <@ ARRAY['customer','driver','moderator','staff','admin'] AND 'customer' = ANY(roles)", "roles"
        ),
        sa.CheckConstraint("state = 'erased' OR email IS NOT NULL", "email_unless_erased"),
        sa.CheckConstraint("(state = 'deactivated') <= (deactivated_at IS NOT NULL)", "deactivated_at"),
        sa.CheckConstraint("jsonb_typeof(contact_information) = 'object'", "contact_information"),
        sa.CheckConstraint("rating_count >= 0 AND rating_sum BETWEEN rating_count AND 5 * rating_count", "rating"),
        sa.CheckConstraint("cardinality(rating_histogram) = 5 AND 0 <= ALL (rating_histogram)", "rating_histogram"),
        # The orders and filters of the moderators' directory; most accounts are active customers and in few of these.
        sa.Index("ix_users_date_joined", "date_joined", "user_id"),
        sa.Index("ix_users_state", "state", "date_joined", "user_id", postgresql_where=sa.text("state <> 'active'")),
        sa.Index("ix_users_is_verified", "is_verified", "date_joined", "user_id"),
        *(
            sa.Index(
                f"ix_users_{role}", "date_joined", "user_id", postgresql_where=sa.text(f"roles @> ARRAY['{role}']")
            )
            for role in ROLES[1:]
        ),
        # By bytes, so that they find beginnings too.
        *(
            sa.Index(
                f"ix_users_{column}_beginning",
                sa.func.lower(sa.column(column)).label("beginning"),
                "user_id",
                postgresql_ops={"beginning": "text_pattern_ops"},
            )
            for column in ("username", "email")
        ),
        sa.Index("ix_users_deactivated_at", "deactivated_at", postgresql_where=sa.text("state = 'deactivated'")),
    )


class AccountSession(Base):
    """One log-in on one device; the row is what log-out and bans act on.

    The current refresh token is stored as a SHA-256. ``refresh_nonce`` goes into every token of the session, so that
    none can be made from the service's secret alone.
    """

    __tablename__ = "sessions"

    session_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    refresh_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    refresh_nonce: Mapped[bytes] = mapped_column(
        postgresql.BYTEA, server_default=sa.text("uuid_send(gen_random_uuid())")
    )
    refresh_generation: Mapped[int] = mapped_column(server_default=sa.text("0"))
    rotated_at: Mapped[Created]
    device: Mapped[str] = mapped_column(sa.String(255), server_default="")
    address: Mapped[str] = mapped_column(sa.String(64), server_default="")
    date_created: Mapped[Created]
    last_used: Mapped[Created]
    expires_at: Mapped[Timestamp]
    ended_at: Mapped[Timestamp | None]
    end_reason: Mapped[str | None] = mapped_column(sa.String(30))

    __table_args__ = (
        sa.Index("ix_sessions_user_id", "user_id", postgresql_where=sa.text("ended_at IS NULL")),
        sa.Index("ix_sessions_known_device", "user_id", "device", "address"),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", "end_reason"),
    )


class OneTimeToken(Base):
    """A token sent by e-mail, stored as a SHA-256, usable once before it expires.

    One that undoes a change of address is made with the change, which ``event_id`` names, and another one in its place
    whenever the mail is sent; ``email`` is the former address.
    """

    __tablename__ = "one_time_tokens"

    token_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(sa.String(20))
    email: Mapped[str] = mapped_column(sa.String(255))
    date_created: Mapped[Created]
    expires_at: Mapped[Timestamp]
    used_at: Mapped[Timestamp | None]
    event_id: Mapped[BigInt | None]

    __table_args__ = (
        sa.CheckConstraint(_one_of("purpose", ("reset_password", "confirm_email", "undo_email")), "purpose"),
        sa.Index(
            "ix_one_time_tokens_undo_email",
            sa.func.lower(sa.column("email")),
            postgresql_where=sa.text("purpose = 'undo_email'"),
        ),
    )


class LoginFailures(Base):
    """Failed log-ins per account, network and device; ``subject`` is a keyed hash, so the table names nobody.

    ``account`` is what the rows of one account have in common, empty for a network's. ``last_failed_at`` is when the last
    one was counted, less what of the time till the next one is forgotten had passed. ``claim``: whose guess, by eight bits
    of a keyed hash, ``locked_until`` waits for; empty where it follows from a failure.
    """

    __tablename__ = "login_failures"

    subject: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    account: Mapped[bytes | None] = mapped_column(postgresql.BYTEA)
    failures: Mapped[int]
    last_failed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    locked_until: Mapped[Timestamp | None]
    claim: Mapped[int | None] = mapped_column(sa.SmallInteger)

    __table_args__ = (sa.Index("ix_login_failures_account", "account"),)
