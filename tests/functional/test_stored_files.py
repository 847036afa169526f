"""Files as they are fetched: tags, parts, signed addresses, a CDN."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.gateways.storage import UrlSigner, make_storage, new_key
from tests.factories.accounts import People
from tests.factories.images import make_image
from tests.functional.photos_world import add
from tests.support.client import Client

# The files themselves.


@pytest.fixture
def url(owner: Client, listing: Any) -> str:
    address: str = add(owner, listing, make_image("PNG", (400, 300), noise=True)).json["urls"]["full"]
    return address


def test_a_file_is_known_by_its_etag(url: str, client: Client) -> None:
    whole = client.get(url)
    etag = whole.headers["ETag"]
    for tag in (etag, f'W/{etag}, "other"', "*"):
        answer = client.request("GET", url, headers={"If-None-Match": tag})
        assert (answer.status_int, answer.body) == (304, b"")
        assert answer.headers["ETag"] == etag
    assert client.request("GET", url, headers={"If-None-Match": '"other"'}).status_int == 200
    head = client.request("HEAD", url)
    assert (head.status_int, head.body, head.headers["Content-Length"]) == (200, b"", str(len(whole.body)))


def test_parts_of_a_file(url: str, client: Client) -> None:
    content = client.get(url).body
    size = len(content)
    parts = {
        "bytes=0-9": (0, 9),
        "bytes=10-": (10, size - 1),
        "bytes=-7": (size - 7, size - 1),
        f"bytes=5-{size + 100}": (5, size - 1),
        f"bytes=-{size + 100}": (0, size - 1),
    }
    for asked, (first, last) in parts.items():
        answer = client.request("GET", url, headers={"Range": asked})
        assert answer.status_int == 206, asked
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.body == content[first : last + 1]
    for asked in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=-"):
        answer = client.request("GET", url, headers={"Range": asked})
        assert (answer.status_int, answer.body) == (200, content), asked
    for asked in (f"bytes={size}-", "bytes=-0"):
        answer = client.request("GET", url, headers={"Range": asked})
        assert (answer.status_int, answer.json["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    etag = client.get(url).headers["ETag"]
    for known, status in ((etag, 206), ('"older"', 200)):
        assert client.request("GET", url, headers={"Range": "bytes=0-1", "If-Range": known}).status_int == status


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "%2e%2e",
        "../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "photo-..",
        "photo-%00.webp",
        "unfinished",
        "photo-" + "0" * 32 + ".webp",
        "photo-" + "0" * 32 + "-full.webp",
        "photo-" + "0" * 32 + ".php",
        "PHOTO-" + "0" * 32 + ".webp",
    ],
)
def test_what_is_no_file_is_not_there(name: str, client: Client) -> None:
    assert client.get(f"/files/{name}").status_int in (308, 404)


def test_a_private_file_opens_by_its_signed_address_only(client: Client, people: People, settings: Settings) -> None:
    storage, key, other = make_storage(settings), new_key("document", "bin"), new_key("document", "bin")
    for each in (key, other):
        storage.put(each, BytesIO(b"secret"))
    url = storage.signed_url(key, 60)
    answer = client.get(url)
    assert (answer.status_int, answer.body) == (200, b"secret")
    assert answer.headers["Cache-Control"] == "private, no-store"
    for caller in (client, people.admin()):
        assert caller.get(f"/files/{key}").status_int == 404
        assert caller.get(f"/files/{other}?{url.partition('?')[2]}").status_int == 403
        assert caller.get(UrlSigner.from_secret(settings.secret).path(key, -1)).status_int == 403
        assert caller.get(UrlSigner.from_secret("something else").path(key, 60)).status_int == 403
        assert caller.get(f"/files/{key}?expires=x&signature=y").status_int == 400


def test_addresses_lead_to_the_cdn_where_there_is_one(owner: Client, listing: Any, app: Any) -> None:
    app.registry.files_url = "https://cdn.example"
    try:
        made = add(owner, listing)
        assert made.json["urls"]["thumb"].startswith("https://cdn.example/files/photo-")
    finally:
        app.registry.files_url = ""
