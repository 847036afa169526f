"""What the catalog registers with lower contexts."""

from __future__ import annotations

from marketplace_api.database.base import table_of
from marketplace_api.domain.catalog import photos, videos
from marketplace_api.domain.catalog.listings.visibility import hide_of_owner
from marketplace_api.domain.kernel.registries import (
    OWNER_EFFECTS,
    SWEEPERS,
    WITHDRAWALS,
    OwnerEffect,
    Sweeper,
    Withdrawal,
)
from marketplace_api.models.catalog.photos import ListingPhoto
from marketplace_api.models.catalog.videos import ListingVideo


def register() -> None:
    """Listings go out of sight with their owner, and their files with them; photos and videos are not shown while a file
    of theirs is missing."""
    OWNER_EFFECTS.add(OwnerEffect("listings", hide_of_owner))
    SWEEPERS.add(Sweeper("photos", table_of(ListingPhoto), ("full_key", "card_key", "thumb_key")))
    SWEEPERS.add(Sweeper("videos", table_of(ListingVideo), ("video_key", "poster_key")))
    WITHDRAWALS.add(Withdrawal(photos.KIND, photos.is_withdrawn))
    WITHDRAWALS.add(Withdrawal(videos.KIND, videos.is_withdrawn))
