"""What waits for quiet hours to end or for the digest of its day, when the person changes those.

A delivery that is put off holds the time that followed from the preferences of then. So a change of them has all that
waits looked at again, by whoever sends it: there alone it is decided when something goes.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications.create import GATHER, remember_due

# Also what is due already: who sends may hold it, with the old preferences in hand, and be about to put it off.
# What has an ``error`` failed, and waits for its next attempt.
_HOLD = sa.text(
    """
    SELECT delivery_id FROM deliveries WHERE user_id = :user_id AND status = 'due' AND error IS NULL
    ORDER BY delivery_id FOR UPDATE
    """
)
_FIRST = f"greatest(now(), date_created + {GATHER})"
# Apart from the locking, so that it sees what was committed while that went on.
_LOOK_ANEW = sa.text(
    f"""
    UPDATE deliveries SET due_at = {_FIRST}
    WHERE delivery_id = ANY (:ids) AND status = 'due' AND error IS NULL AND due_at > {_FIRST}
    RETURNING channel, due_at <= now() AS is_due
    """  # noqa: S608  made of constants only
)


def reschedule(session: Session, user_id: int) -> None:
    """Have all looked at again that an account has waiting: at once, or as soon as it is gathered.

    What was put off after a failure keeps its time. Waits for who sends the account something just now.
    """
    ids = session.execute(_HOLD, {"user_id": user_id}).scalars().all()
    moved = session.execute(_LOOK_ANEW, {"ids": ids}).all()
    remember_due(session, {row.channel for row in moved if row.is_due})
