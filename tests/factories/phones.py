"""Telephone numbers for tests, confirmed and waiting."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.phones import confirmation
from marketplace_api.models.identity.accounts import User
from tests.support.samples import VALUES


def make_phone(session: Session, user: User, number: str = "+4915112345678") -> None:
    """A number that ``user`` has confirmed."""
    values = {"id": user.user_id, "number": number}
    session.execute(sa.text("INSERT INTO phones (user_id, number) VALUES (:id, :number)"), values)
    session.commit()


def make_waiting_phone(session: Session, rules: Any, user: User, number: str = "+4915187654321") -> str:
    """A number of ``user`` that waits for its code, which was sent and is that of the samples."""
    hashed = confirmation._hash(rules, user.user_id, number, VALUES["code"])
    session.execute(
        sa.text(
            "INSERT INTO phone_codes (user_id, number, code_hash, expires_at) "
            "VALUES (:id, :number, :hashed, now() + interval '10 minutes')"
        ),
        {"id": user.user_id, "number": number, "hashed": hashed},
    )
    session.commit()
    return str(VALUES["code"])
