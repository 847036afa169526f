"""Sending files: whole or in part (RFC 9110, chapter 14), unless the caller has them already."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyramid.request import Request
from pyramid.response import Response
from webob.datetime_utils import serialize_date

from marketplace_api.errors import DomainError, NotFound
from marketplace_api.gateways.storage import Storage, StoredFile
from marketplace_api.views.errors import answer
from marketplace_api.views.responses import Answer

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def send(request: Request, storage: Storage, key: str, cache_control: str) -> Response:
    """The file of this key. Raises NotFound, and Unavailable while the storage is away."""
    file = storage.find(key)
    if file is None:
        raise NotFound("There is nothing at this address.")
    etag = f'"{file.etag}"'
    headers = [
        ("ETag", etag),
        ("Cache-Control", cache_control),
        ("Last-Modified", serialize_date(file.modified)),
        # Photos are shown by front ends of other origins.
        ("Cross-Origin-Resource-Policy", "cross-origin"),
    ]
    wanted = request.environ.get("HTTP_IF_NONE_MATCH", "")
    if wanted and (wanted.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in wanted.split(",")]):
        return Response(status="304 Not Modified", headerlist=headers, app_iter=[])
    asked = _requested_range(request, etag)
    part = _part(asked, file.size) if asked else None
    if asked and part is None:
        error = DomainError(f"The file has {file.size} bytes.", code="range_not_satisfiable")
        return answer(error, request, [("Content-Range", f"bytes */{file.size}")])
    headers += [("Content-Type", file.content_type), ("Accept-Ranges", "bytes")]
    first, last = part or (0, file.size - 1)
    headers.append(("Content-Length", str(last - first + 1)))
    if part:
        headers.append(("Content-Range", f"bytes {first}-{last}/{file.size}"))
    content = () if request.method == "HEAD" else _content(storage, file, part)
    return Answer(status="206 Partial Content" if part else "200 OK", headerlist=headers, app_iter=content)


def _requested_range(request: Request, etag: str) -> tuple[str, str] | None:
    """Both ends of the range as they were sent; ``None`` where the whole is to be sent: no range, one that is none,
    several, or a file that changed."""
    match = _RANGE.fullmatch(request.environ.get("HTTP_RANGE", "").strip())
    unchanged = request.environ.get("HTTP_IF_RANGE", etag).strip() == etag
    if match is None or not unchanged or match[1] == match[2] == "":
        return None
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    return match[1], match[2]


def _part(asked: tuple[str, str], size: int) -> tuple[int, int] | None:
    """First and last byte, or ``None`` where the file has none of them."""
    first, last = asked
    if not first:
        count = min(int(last), size)
        return (size - count, size - 1) if count else None
    return (int(first), min(int(last or size), size - 1)) if int(first) < size else None


def _content(storage: Storage, file: StoredFile, part: tuple[int, int] | None) -> Iterator[bytes]:
    chunks = storage.read(file.key, *part) if part else storage.read(file.key)
    if chunks is None:
        raise NotFound("There is nothing at this address.")
    return chunks
