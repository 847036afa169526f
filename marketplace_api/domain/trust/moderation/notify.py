"""Telling those whom a batch of moderation concerns: the owners of listings, each once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications import create
from marketplace_api.domain.outbound.notifications.create import NewNotification

_NOTIFY_OWNERS = create.statement(
    """
    claimed CROSS JOIN (
        SELECT listing.user_id, count(*) AS listings,
            CASE WHEN count(*) = 1 THEN max(listing.listing_id) END AS listing_id
        FROM moderation_batch_rows AS part JOIN listings AS listing ON listing.listing_id = part.subject_id
        WHERE part.batch_id = :batch_id AND part.subject_id BETWEEN :first_id AND :last_id AND part.outcome = ANY(CAST(:outcomes AS text[]))
        AND listing.user_id IS DISTINCT FROM CAST(:moderator_id AS bigint)
        GROUP BY listing.user_id
    ) AS receiver
    """,
    f"claimed AS ({create.CLAIM}), ",
    count="receiver.listings",
    listing_id="receiver.listing_id",
)


def notify_listing_owners(
    session: Session,
    notice: NewNotification,
    *,
    batch_id: int,
    first_id: int,
    last_id: int,
    outcomes: Sequence[str],
    moderator_id: int | None,
) -> None:
    """Tell those whose listings a part of a batch of moderation changed or restored (``outcomes``), each once.

    ``first_id`` and ``last_id`` are the ends of the part; the parts of a batch add up in its ``group_key``.
    """
    of_part = {"batch_id": batch_id, "first_id": first_id, "last_id": last_id, "outcomes": list(outcomes)}
    create.run(session, _NOTIFY_OWNERS, {**of_part, "moderator_id": moderator_id}, notice)
