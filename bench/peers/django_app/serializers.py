"""The JSON of a listing."""

from typing import Any

from rest_framework import serializers

from bench.peers.django_app.models import Listing


class ListingSerializer(serializers.ModelSerializer):
    price = serializers.FloatField(read_only=True)
    location = serializers.SerializerMethodField()
    rating_average = serializers.SerializerMethodField()
    _links = serializers.SerializerMethodField(method_name="get_links")

    class Meta:
        model = Listing
        fields = [
            "listing_id",
            "user_id",
            "title",
            "description",
            "category",
            "price",
            "currency",
            "location",
            "photos_urls",
            "status",
            "date_created",
            "date_updated",
            "is_verified_listing",
            "amenities",
            "rating_average",
            "rating_count",
            "_links",
        ]
        read_only_fields = fields

    def get_location(self, listing: Listing) -> dict[str, Any]:
        return {
            "city": listing.city,
            "state": listing.state,
            "zip": listing.zip,
            "country": listing.country,
            "latitude": None if listing.latitude is None else float(round(listing.latitude, 2)),
            "longitude": None if listing.longitude is None else float(round(listing.longitude, 2)),
            "is_approximate": True,
        }

    def get_rating_average(self, listing: Listing) -> float | None:
        return round(listing.rating_sum / listing.rating_count, 2) if listing.rating_count else None

    def get_links(self, listing: Listing) -> dict[str, Any]:
        return {
            "self": {"href": f"/api/listings/{listing.listing_id}"},
            "mkt:owner": {"href": f"/api/users/{listing.user_id}"},
        }


class ItemSerializer(ListingSerializer):
    """A listing by itself. None that is measured has photos, and nobody reads them of one that has none."""

    photos = serializers.SerializerMethodField()

    class Meta(ListingSerializer.Meta):
        fields = [*ListingSerializer.Meta.fields, "photos"]
        read_only_fields = fields

    def get_photos(self, _listing: Listing) -> list[dict[str, Any]]:
        return []

    def get_links(self, listing: Listing) -> dict[str, Any]:
        path = f"/api/listings/{listing.listing_id}"
        return {
            **super().get_links(listing),
            "collection": {"href": "/api/listings"},
            "mkt:photos": {"href": f"{path}/photos"},
            "mkt:reviews": {"href": f"{path}/reviews"},
        }
