"""Writing answers: serialisation, ETags, caching and paging headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from gzip import compress
from hashlib import sha256
from typing import Any

import orjson
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.hal.affordances import Operation
from marketplace_api.hal.representation import Representation
from marketplace_api.security.principals import principals_of
from marketplace_api.views.negotiation import preferences

LEAST_PACKED = 1024  # bytes; less fits into a packet anyway
VARY = "Accept, Authorization, Origin"
STATUS = {200: "200 OK", 201: "201 Created", 202: "202 Accepted", 204: "204 No Content"}


class Answer(Response):
    """A response of given parts, as they are: WebOb would spend 3 % of a cheap request on finding out what they might be.

    Its ``Location`` stays the path that it is: behind a proxy WebOb would put its own idea of scheme and host before it.
    """

    def __init__(self, status: str, headerlist: list[tuple[str, str]], app_iter: Iterable[bytes]) -> None:
        self._status, self._headerlist, self._app_iter = status, headerlist, app_iter
        self._headers = None
        self.conditional_response = False

    def _abs_headerlist(self, _environ: Any) -> list[tuple[str, str]]:
        return list(self.headerlist)


def respond(request: Request, operation: Operation, representation: Representation) -> Response:
    """The answer to a successful operation, or 304 when the caller already has it."""
    if not operation.is_safe and "return=minimal" in preferences(request):
        return _minimal(request, representation)
    media: str = request.media
    body = orjson.dumps(representation.render(media, request.actor))
    etag = _etag(request, body, representation.version)
    headers = [
        ("Content-Type", media),
        ("Vary", VARY),
        ("ETag", etag),
        ("Cache-Control", _cache_control(request, operation, representation)),
    ]
    if representation.last_modified is not None:
        headers.append(("Last-Modified", _http_date(int(representation.last_modified.timestamp()))))
    if representation.paging:
        headers.append(("Link", ", ".join(f'<{href}>; rel="{rel}"' for rel, href in representation.paging.items())))
    if operation.is_safe and _has_it(request, etag):
        return Answer("304 Not Modified", [header for header in headers if header[0] != "Content-Type"], [])
    status = operation.again if operation.again and representation.is_repeat else operation.success
    if status == 201:
        headers.append(("Location", representation.links["self"]["href"]))
    headers.append(("Content-Length", str(len(body))))
    return Answer(STATUS[status], headers, [body])


def rehearsed(request: Request, response: Response) -> Response:
    """``response`` as the answer of a rehearsal: the transaction ends without a trace of what it tells."""
    request.tm.doom()
    # Tags and times would name a state that never is.
    kept = [(name, value) for name, value in response.headerlist if name not in ("ETag", "Last-Modified")]
    applied = ", ".join(["dry-run", *(value for name, value in kept if name == "Preference-Applied")])
    response.headerlist = [h for h in kept if h[0] != "Preference-Applied"] + [("Preference-Applied", applied)]
    return response


@dataclass(frozen=True, slots=True)
class Description:
    """Something that is the same for everyone, written and packed once; ``packed`` is empty where it does not pay.

    Only such things are packed: the length of what is packed tells of secrets that stand beside a stranger's words.
    """

    body: bytes
    packed: bytes
    tag: str


def description(document: dict[str, Any]) -> Description:
    """``document`` ready to be sent."""
    raw = orjson.dumps(document)
    packed = compress(raw, mtime=0) if len(raw) > LEAST_PACKED else b""
    return Description(raw, packed, sha256(raw).hexdigest()[:18])


def described(request: Request, known: Description, media: str, cache_control: str) -> Response:
    """The description, packed for who can unpack it, or 304 when the caller already has it."""
    packed = bool(known.packed) and unpacks(request)
    etag = f'"{known.tag}-gzip"' if packed else f'"{known.tag}"'
    headers = [("Vary", f"{VARY}, Accept-Encoding"), ("ETag", etag), ("Cache-Control", cache_control)]
    if _has_it(request, etag):
        return Response(status="304 Not Modified", headerlist=headers, app_iter=[])
    body = known.packed if packed else known.body
    headers += [("Content-Type", media), ("Content-Length", str(len(body)))]
    return Response(headerlist=[*headers, *([("Content-Encoding", "gzip")] if packed else [])], app_iter=[body])


def unpacks(request: Request) -> bool:
    """Whether the caller says that it takes gzip."""
    if "HTTP_ACCEPT_ENCODING" not in request.environ:
        return False
    return bool(request.accept_encoding.acceptable_offers(["gzip"]))


def document(body: dict[str, Any], status: int, media: str, headers: list[tuple[str, str]] | None = None) -> Response:
    """An answer outside the representations: problem details and descriptions."""
    raw = orjson.dumps(body)
    fixed = [("Content-Type", media), ("Vary", VARY), ("Content-Length", str(len(raw)))]
    response = Response(headerlist=fixed + (headers or []), app_iter=[raw])
    response.status = status
    return response


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _minimal(request: Request, representation: Representation) -> Response:
    """No body, but the tag that the next change needs."""
    body = orjson.dumps(representation.render(request.media, request.actor))
    headers = [
        ("Vary", VARY),
        ("Preference-Applied", "return=minimal"),
        ("Cache-Control", "no-store"),
        ("ETag", _etag(request, body, representation.version)),
    ]
    own = representation.links.get("self")
    if isinstance(own, dict):
        headers.append(("Location", own["href"]))
    return Answer(STATUS[204], headers, [])


def _etag(request: Request, body: bytes, version: int | None) -> str:
    """Covers the bytes and who asks: a caller whose permitted operations changed never gets a stale 304."""
    # Processors know SHA-256: for a page of a list it takes half the time of BLAKE2, 1 % of the request.
    digest = sha256(body)
    digest.update("|".join(principals_of(request.actor)).encode())
    tag = digest.hexdigest()[:18]
    return f'"{tag}"' if version is None else f'"{version}.{tag}"'


def _has_it(request: Request, etag: str) -> bool:
    header = request.environ.get("HTTP_IF_NONE_MATCH")
    if not header:
        return False
    return header.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in header.split(","))


def _cache_control(request: Request, operation: Operation, representation: Representation) -> str:
    if not operation.is_safe:
        return "no-store"
    if request.actor.user_id is None and representation.is_public:
        return "public, max-age=10"
    return "private, no-cache"
