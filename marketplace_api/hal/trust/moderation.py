"""What waits for moderators, as it goes out: the queues and how much is in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog.listings import review_queue as waiting_listings
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.paging import TOTAL_CAP
from marketplace_api.domain.trust.reports import queue
from marketplace_api.domain.trust.verifications import reading as verifications
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Representation, link
from marketplace_api.resources.trust.moderation import ModerationContext

Counter = Callable[[Reader, Actor], int]

QUEUES: tuple[tuple[str, str, str, Counter], ...] = (
    (
        "reports",
        "Reports",
        "/api/moderation/reports?status=open,assigned",
        lambda db, actor: queue.waiting(db, actor.user_id),
    ),
    ("listings", "Listings to verify", "/api/moderation/listings", lambda db, _actor: waiting_listings.waiting(db)),
    ("verifications", "Verifications", "/api/moderation/verifications", lambda db, _actor: verifications.waiting(db)),
)
"""Name, title and address of each queue, and how many wait in it, counted to one beyond ``TOTAL_CAP``."""


@represents(ModerationContext)
def moderation(context: ModerationContext) -> Representation:
    """The queues."""
    request = context.request
    queues = [_queue(name, title, href, count(request.db, request.actor)) for name, title, href, count in QUEUES]
    links: Any = {"self": link(context.path), "mkt:users": link("/api/admin/users"), "up": link("/api")}
    return Representation({}, links, {"queues": queues}, context=context)


def _queue(name: str, title: str, href: str, number: int) -> Representation:
    state = {"name": name, "title": title, "count": min(number, TOTAL_CAP), "is_capped": number > TOTAL_CAP}
    return Representation(state, {"self": link(href)})
