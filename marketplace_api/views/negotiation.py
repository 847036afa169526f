"""Reading requests: media types, bodies, query strings and preconditions."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import colander
import orjson
from pyramid.request import Request
from webob.acceptparse import create_accept_header

from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.errors import DomainError, FieldError, Invalid
from marketplace_api.hal.affordances import Operation
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON
from marketplace_api.schemas.base import Query, field_errors, validated
from marketplace_api.schemas.uploads import MULTIPART

OFFERS = (JSON, HAL, HAL_FORMS)
HTML = "text/html"
MAX_PARAMETERS = 60
FORM = "application/x-www-form-urlencoded"
_CHARSET = re.compile(r"\s*;\s*charset=[^;,]*", re.IGNORECASE)
MAX_DEPTH = 20


@lru_cache(maxsize=512)
def media_for(accept: str, offers: tuple[str, ...] = OFFERS) -> str | None:
    """The best of our media types for an ``Accept`` header, ``None`` when it takes none of them."""
    if not accept or accept in ("*/*", JSON):
        return JSON
    # JSON has no charset parameter (RFC 8259, 11); who sends one all the same means JSON.
    taken = create_accept_header(_CHARSET.sub("", accept)).acceptable_offers(offers)
    return taken[0][0] if taken else None


def negotiate(request: Request, operation: Operation) -> str:
    offers = (*OFFERS, HTML) if operation.has_page else OFFERS
    media = media_for(request.environ.get("HTTP_ACCEPT", ""), offers)
    if media is None:
        raise DomainError(f"This can be had as {', '.join(offers)}.", code="not_acceptable")
    return media


def read_body(request: Request, operation: Operation) -> dict[str, Any]:
    """The validated body. Raises :class:`Invalid` with every field's error at once."""
    assert operation.body is not None
    given = request.content_type
    raw = bounded_body(request)
    if (raw and given not in operation.content_types) or (not raw and given and given not in operation.content_types):
        raise DomainError(f"Send the body as {' or '.join(operation.content_types)}.", code="unsupported_media_type")
    try:
        document = _document(raw, given)
        return validated(operation.body, document, lambda: request.context.stored_fields)
    except colander.Invalid as problem:
        errors = field_errors(problem, "body")
        raise Invalid(summary(errors), errors=errors) from problem


def _document(raw: bytes, media_type: str) -> Any:
    """What a body says: JSON, or the fields of a form; of a form in parts, which only holds words of no use, nothing."""
    if not raw or media_type == MULTIPART:
        return {}
    return _parameters(raw.decode("utf-8", "replace")) if media_type == FORM else parse_json(raw)


def bounded_body(request: Request) -> bytes:
    """The body as it came, read no further than the limit; also ``request.raw_body`` from here on."""
    limit: int = request.registry.app_settings.body_limit
    length: int = request.content_length or 0
    stream = request.environ["wsgi.input"]
    if stream.seekable():  # a form with a file is read once only
        stream.seek(0)  # an earlier attempt may have read it
    body: bytes = stream.read(limit + 1) if length <= limit else b""
    if max(len(body), length) > limit:
        raise DomainError(f"The body may have {limit} bytes at most.", code="body_too_large")
    if len(body) < length:
        raise Invalid("The body is shorter than its Content-Length.", code="malformed_body")
    request.raw_body = body
    return body


def parse_json(raw: bytes) -> Any:
    """Strict JSON (RFC 8259): no NaN, no lone surrogates, no key twice, at most :data:`MAX_DEPTH` levels."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not JSON: {error}.", code="malformed_body") from error
    if not isinstance(document, dict):
        raise Invalid("The body must be one JSON object.", code="malformed_body")
    if _too_deep(document, MAX_DEPTH):
        raise Invalid(f"The body is nested deeper than {MAX_DEPTH} levels.", code="malformed_body")
    # orjson keeps the last of two equal keys, other readers the first: nobody shall be told two stories.
    json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    return document


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Invalid("The body has the same key twice in one object.", code="malformed_body")


def _too_deep(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _too_deep(child, levels - 1) for child in children if isinstance(child, (dict, list)))


def read_query(request: Request, schema: Query | None) -> dict[str, Any]:
    """The validated query string; unknown and repeated parameters are errors."""
    raw = request.environ.get("QUERY_STRING", "")
    if not raw:
        return _defaults(schema) if schema is not None else {}
    given = _parameters(raw)
    if schema is None:
        schema = _NOTHING
    try:
        validated: dict[str, Any] = schema.deserialize(given)
    except colander.Invalid as problem:
        errors = field_errors(problem, "querystring")
        code = "unknown_parameter" if all(e.code == "unknown_parameter" for e in errors) else "invalid_input"
        raise Invalid(summary(errors), code=code, errors=errors) from problem
    return validated


_NOTHING = Query()
_DEFAULTS: dict[Query, dict[str, Any]] = {}


def _defaults(schema: Query) -> dict[str, Any]:
    if schema not in _DEFAULTS:
        try:
            _DEFAULTS[schema] = schema.deserialize({})
        except colander.Invalid as problem:
            errors = field_errors(problem, "querystring")
            raise Invalid(summary(errors), errors=errors) from problem
    return dict(_DEFAULTS[schema])


def _parameters(raw: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise Invalid("The query string is not UTF-8.") from error
    except ValueError as error:
        raise Invalid(f"Use at most {MAX_PARAMETERS} query parameters.") from error
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name[:60] for name in names if names.count(name) > 1})
        errors = [FieldError("querystring", name, "repeated", "Give this parameter once.") for name in repeated]
        raise Invalid(summary(errors), errors=errors)
    return given


def summary(errors: list[FieldError]) -> str:
    """The first of the errors as a sentence, and how many more there are."""
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return f"{first.name or first.location}: {first.message}{more}"


def expected_version(request: Request) -> int | None:
    """The row version that ``If-Match`` asks for, ``None`` without the header or with ``*``; -1 never matches.

    Only the part of our ETags before the dot counts, so one read in any media type will do. Weakened tags (proxies
    that compress do so) are taken as well.
    """
    header = request.environ.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return None
    wanted = set()
    for tag in header.split(","):
        number = tag.strip().removeprefix("W/").strip('"').partition(".")[0]
        if number.isascii() and number.isdigit() and len(number) < 10:
            wanted.add(int(number))
    current = getattr(request.context, "version", None)
    return current if current in wanted else next(iter(wanted), -1)


def preferences(request: Request) -> frozenset[str]:
    """What ``Prefer`` (RFC 7240) asks for, such as ``return=minimal``, without parameters; unknown ones do no harm."""
    header = request.environ.get("HTTP_PREFER", "")
    if not header:
        return frozenset()
    return frozenset(part.partition(";")[0].replace(" ", "").replace('"', "").lower() for part in header.split(","))


def page_request(query: dict[str, Any]) -> PageRequest:
    """The part of a list that the query string asks for."""
    return PageRequest(query["page"], query["limit"], query["cursor"])
