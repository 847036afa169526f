"""One listing, and lists of them: the newest, or those with a word."""

import os
from pathlib import Path
from typing import Any

import orjson
from django.db import connection
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.peers.django_app.models import Listing
from bench.peers.django_app.serializers import ItemSerializer, ListingSerializer

TOTAL = (
    "SELECT sum(count)::bigint FROM (SELECT count FROM search_terms WHERE kind = 0 AND term = '#all' UNION ALL "
    "SELECT delta FROM search_term_deltas WHERE kind = 0 AND term = '#all') AS counted"
)
_QUERIES = orjson.loads(Path(os.environ["BENCH_QUERIES"]).read_bytes())
_shown = Listing.objects.defer("is_public", "is_searchable")


class ListingView(APIView):
    def get(self, _request: Request, listing_id: int) -> Response:
        try:
            listing = _shown.get(listing_id=listing_id, is_public=True)
        except Listing.DoesNotExist:
            raise Http404 from None
        return Response(ItemSerializer(listing).data)


class ListingsView(APIView):
    def get(self, request: Request) -> Response:
        search = request.query_params.get("search")
        page, limit = int(request.query_params.get("page", 1)), int(request.query_params.get("limit", 10))
        found, total, is_capped = _searched(search, limit) if search else _newest(page, limit)
        pages = -(-total // limit)
        return Response(
            {
                "totalPages": pages,
                "currentPage": page,
                "totalItems": total,
                "totalIsCapped": is_capped,
                "listings": ListingSerializer(found, many=True).data,
                "_links": _links(search, page, pages),
            }
        )


def _newest(page: int, limit: int) -> tuple[list[Listing], int, bool]:
    """The listings of a page, the total, which is counted up to 10,000, and whether there are more."""
    with connection.cursor() as cursor:
        cursor.execute(TOTAL)
        total = cursor.fetchone()[0]
    ordered = _shown.filter(is_searchable=True).order_by("-date_created", "-listing_id")
    return list(ordered[(page - 1) * limit : page * limit]), min(total, 10_000), total > 10_000


def _searched(search: str, limit: int) -> tuple[list[Listing], int, bool]:
    query = _QUERIES[search]
    *before, (sql, parameters) = query["statements"]
    with connection.cursor() as cursor:
        for earlier, values in before:
            cursor.execute(earlier, values)
            cursor.fetchall()
    found = [listing for listing in Listing.objects.raw(sql, parameters) if listing.listing_id is not None]
    return found[:limit], query["total"], query["is_capped"]


def _links(search: str | None, page: int, pages: int) -> dict[str, Any]:
    start = f"/api/listings?search={search}" if search else "/api/listings"
    join = "&" if search else "?"
    found = {"self": start, "first": start}
    if page < pages:
        found["next"] = f"{start}{join}page={page + 1}"
    if pages:
        found["last"] = f"{start}{join}page={pages}"
    return {relation: {"href": href} for relation, href in found.items()}
