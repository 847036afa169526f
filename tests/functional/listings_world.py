"""A listing as people offer it, and finding it again: shared by the tests of its journey."""

from __future__ import annotations

from typing import Any

from tests.support.client import Client

NEW = {
    "title": "Grand piano",
    "description": "Black, tuned last spring.",
    "category": "furniture",
    "price": 4200.5,
    "currency": "EUR",
    "amenities": ["Bench", "delivery"],
    "photos_urls": ["https://photos.example/piano.jpg"],
    "location": {
        "address": "Kastanienallee 7",
        "city": "Berlin",
        "state": "BE",
        "zip": "10435",
        "country": "Germany",
        "latitude": 52.538123,
        "longitude": 13.410456,
    },
}


def offer(owner: Client, **changes: Any) -> str:
    created = owner.post("/api/listings", {**NEW, **changes})
    assert created.status_int == 201, created.text
    return str(created.headers["Location"])


def found(client: Client, query: str = "") -> list[str]:
    response = client.get(f"/api/listings?{query}")
    assert response.status_int == 200, response.text
    assert response.json["totalItems"] == len(response.json["listings"])
    return [listing["title"] for listing in response.json["listings"]]
