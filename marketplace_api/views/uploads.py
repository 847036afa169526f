"""Reading forms that carry a file: bounded before and while they are read, kept where their declaration says."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, Any

import colander
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header
from pyramid.request import Request

from marketplace_api.errors import DomainError, FieldError, Invalid, RateLimited, Unavailable
from marketplace_api.hal.affordances import Operation
from marketplace_api.schemas.base import field_errors
from marketplace_api.schemas.uploads import FILE, MULTIPART, Upload, UploadForm
from marketplace_api.views.negotiation import summary

MAX_PARTS = 20
MAX_FIELDS = 64 * 1024  # bytes of all the other fields and of what is between the parts
SPOOLED = 1024 * 1024  # bytes that stay in memory before a disk is used
CHUNK = 64 * 1024
LONGEST_NAME = 150


@dataclass(slots=True)
class _Form:
    """What was read so far."""

    stream: IO[bytes]
    limit: int
    fields: dict[str, bytes] = field(default_factory=dict)
    file: MultipartSegment | None = None
    digest: Any = field(default_factory=hashlib.sha256)
    spent: int = 0


def read_upload(request: Request, operation: Operation) -> Upload:
    """The validated form; ``request.raw_body`` becomes a digest of what it says, whatever its boundary.

    Raises DomainError (``unsupported_media_type``, ``body_too_large``), Invalid with every field's error at once, and
    Unavailable when there is no room for it.
    """
    form: Any = operation.upload
    limit: int = getattr(request.registry.app_settings, form.limit)
    boundary = _boundary(request)
    if (request.content_length or 0) > limit + MAX_FIELDS:
        raise _too_large(limit)
    stream: IO[bytes] = BytesIO() if form.in_memory else tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115
    request.add_finished_callback(lambda _request: _close(stream))
    found = _Form(stream, limit)
    try:
        _read(request, boundary, found)
    except OSError as error:
        message = f"There is no room for the file ({error.strerror}); nothing was saved."
        raise Unavailable(message, retry_after=30) from error
    validated = _validated(found, operation.body)
    size = stream.tell()
    stream.seek(0)
    request.raw_body = _fingerprint(found)
    file: Any = found.file
    return Upload(_shown_name(file.filename or ""), (file.content_type or "")[:100], stream, size, validated)


def limit_megapixels(request: Request, form: UploadForm) -> None:
    """Count what it costs to decode the file that was read, by address and by account, before it is decoded.

    Raises RateLimited, and Unavailable while too many others are decoded.
    """
    limiter = request.registry.limiter
    if limiter is None or form.megapixels is None:
        return
    cost = form.megapixels(request.upload.stream)
    request.upload.stream.seek(0)
    for subject, account in ((request.address, False), (request.actor.caller, True)):
        allowance = limiter.hit("megapixels", subject, account=account, cost=cost)
        if allowance is not None and not allowance.allowed:
            told = f"These are {cost} megapixels, too many at once; wait {allowance.reset} seconds."
            raise RateLimited(told, retry_after=max(1, allowance.reset))


def _boundary(request: Request) -> str:
    media, options = parse_options_header(request.environ.get("CONTENT_TYPE", ""))
    if media != MULTIPART:
        raise DomainError(f"Send the file in a form: Content-Type {MULTIPART}.", code="unsupported_media_type")
    boundary = str(options.get("boundary", ""))
    if not 1 <= len(boundary) <= 200 or not boundary.isascii():
        raise Invalid("The Content-Type names no usable boundary.", code="malformed_body")
    return boundary


def _read(request: Request, boundary: str, form: _Form) -> None:
    parser = PushMultipartParser(
        boundary,
        content_length=request.content_length or -1,
        max_segment_count=MAX_PARTS,
        strict=True,
        max_segment_size=max(form.limit, MAX_FIELDS),
    )
    segment: MultipartSegment | None = None
    try:
        with parser:
            for event in _events(request, parser, form):
                if isinstance(event, MultipartSegment):
                    segment = _begun(form, event)
                elif event is not None and segment is not None:
                    _take(form, segment, bytes(event))
    except ParserLimitReached as error:
        raise _too_large(form.limit) from error
    except (MultipartError, UnicodeDecodeError) as error:
        raise Invalid(f"The form cannot be read: {error}.", code="malformed_body") from error


def _events(request: Request, parser: PushMultipartParser, form: _Form) -> Iterator[Any]:
    """What the parser finds; no more is read than what the limits leave."""
    left = form.limit + MAX_FIELDS
    while not parser.closed:
        chunk = request.environ["wsgi.input"].read(min(CHUNK, left + 1))
        left -= len(chunk)
        if left < 0:
            raise _too_large(form.limit)
        if not chunk:
            break
        yield from parser.parse(chunk)


def _begun(form: _Form, segment: MultipartSegment) -> MultipartSegment:
    name = segment.name or ""
    if name in form.fields or (name == FILE and form.file is not None):
        raise Invalid(f"The form has the field {name[:60]!r} twice.", code="malformed_body")
    if name == FILE:
        form.file = segment
    else:
        form.fields[name] = b""
    return segment


def _take(form: _Form, segment: MultipartSegment, data: bytes) -> None:
    if segment is form.file:
        if form.stream.tell() + len(data) > form.limit:
            raise _too_large(form.limit)
        form.stream.write(data)
        form.digest.update(data)
        return
    form.spent += len(data)
    if form.spent > MAX_FIELDS:
        raise DomainError(f"The fields beside the file may have {MAX_FIELDS} bytes at most.", code="body_too_large")
    form.fields[segment.name or ""] += data


def _validated(form: _Form, schema: Any) -> dict[str, Any]:
    errors: list[FieldError] = []
    texts: dict[str, str] = {}
    known = {child.name for child in schema.children}
    for name, raw in form.fields.items():
        if name not in known:
            told = f"There is no field of this name. The file goes into `{FILE}`."
            errors.append(FieldError("body", name[:60], "unknown_field", told))
            continue
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError:
            errors.append(FieldError("body", name[:60], "invalid_characters", "Send text as UTF-8."))
    if form.file is None:
        errors.append(FieldError("body", FILE, "required", "This field is required."))
    validated: dict[str, Any] = {}
    try:
        validated = schema.deserialize(texts)
    except colander.Invalid as problem:
        errors += field_errors(problem, "body")
    if errors:
        raise Invalid(summary(errors), errors=errors)
    return validated


def _fingerprint(form: _Form) -> bytes:
    form.digest.update(repr(sorted(form.fields.items())).encode())
    result: bytes = form.digest.digest()
    return result


def _shown_name(given: str) -> str:
    """The last part of a path, without what does not print: a name to show, never one to open."""
    last = given.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip()[-LONGEST_NAME:].strip()


def _too_large(limit: int) -> DomainError:
    return DomainError(f"The file may have {limit} bytes at most.", code="body_too_large")


def _close(stream: IO[bytes]) -> None:
    with suppress(OSError):
        stream.close()
