"""What a rehearsal of bulk moderation foretells is what then comes: as many changed, as many skipped, for the same reasons."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.filters import parse
from marketplace_api.domain.trust.moderation import batches, messages
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import actor_of
from tests.unit.domain.trust.test_batches import BOSS, NOW, details, run


def market(db: Session) -> User:
    """Things of all kinds in every state that matters; returns a moderator who is concerned by some of them."""
    judge, author = make_user(db, roles=["moderator"]), make_user(db)
    boss = make_user(db, roles=["admin"])
    for state in ("suspended", "banned", "erased"):
        make_user(db, state=state)
    listings = [
        make_listing(db, owner, **values)
        for owner, values in (
            (author, {}),
            (judge, {}),
            (author, {"status": "suspended", "suspended_from": "active"}),
            (author, {"status": "pending_verification", "review_requested_at": NOW}),
            (author, {"deleted_at": NOW}),
            (author, {"review_requested_at": NOW}),
            (boss, {"deleted_at": NOW - timedelta(days=40)}),
        )
    ]
    gone = {"deleted_at": NOW, "moderation_reason": "Spam."}
    told = {"reviewer_id": author.user_id, "rating": 1, "comment": "Bad"}
    rows: list[dict[str, Any]] = [
        {"listing_id": listings[1].listing_id, **gone},
        {"listing_id": listings[1].listing_id},
        {"reviewee_id": judge.user_id, **gone},
        {"reviewee_id": judge.user_id, **gone},
        {"reviewee_id": boss.user_id},
    ]
    for row in rows:
        db.add(Review(**told, **row))
    for sender, receiver in ((author, boss), (judge, boss), (author, judge), (boss, author)):
        message = send(db, sender, receiver)
        make_report(db, receiver, "message", message.message_id)
    messages.remove(db, BOSS, message.message_id, reason="Spam.")
    db.flush()
    return judge


def test_what_is_foreseen_is_what_comes(db: Session) -> None:
    """For every action upon every target, by an operator and by a moderator who is concerned."""
    judge = actor_of(market(db))
    for target in TARGETS.values():
        where = f"{target.shown[0]} >= 1"
        conditions = parse(where, target.fields, NOW)
        for action, actor in product(target.actions, (BOSS, judge)):
            foreseen = batches.preview(db, actor, target, action, conditions).counts
            with db.begin_nested() as rehearsal:
                batch_id = run(db, target.name, action, where, actor)
                came = Counter(detail for _, detail in details(db, batch_id).values())
                assert foreseen == came, (target.name, action)
                assert len(came) > 1, "some are done, or skipped for different reasons"
                assert batches.reasons(db, batch_id) == {why: n for why, n in came.items() if why is not None}
                rehearsal.rollback()
            db.expire_all()
    assert db.scalar(sa.select(sa.func.count()).select_from(Review)) == 5
