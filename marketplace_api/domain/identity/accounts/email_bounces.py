"""Addresses that mail comes back from: nothing goes there but what guards the account, until it is confirmed again."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import now_of
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.models.identity.accounts import User

KINDS = ("permanent", "temporary", "complaint")
LASTING = ("permanent", "complaint")
"""Kinds after which an address is not written to; a ``temporary`` failure passes by itself."""

_u = User.__table__.c


def note(session: Session, actor: Actor, *, recipient: str, kind: str, message_id: str | None) -> None:
    """A mail came back, or its receiver called it unwanted: ``kind`` is one of :data:`KINDS`.

    Whether there is such an address nobody learns. What is known of it already is no news.
    """
    if kind not in LASTING:
        return
    found = sa.select(User).where(sa.func.lower(_u.email) == sa.func.lower(recipient), _u.email_bounced_at.is_(None))
    user = session.execute(found.with_for_update(key_share=True)).scalar_one_or_none()
    if user is None:
        return
    now = now_of(session)
    user.email_bounced_at = user.date_updated = now
    user.version += 1
    session.flush()
    told: dict[str, Any] = {"kind": kind, **({"message_id": message_id} if message_id else {})}
    record(session, actor, EventType.USER_EMAIL_BOUNCED, user.user_id, new=told)


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether ``sha256=`` and the hex digits of HMAC-SHA256 of ``body`` under ``secret`` are what came with it."""
    genuine = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(genuine.encode(), signature.encode("utf-8", "replace"))
