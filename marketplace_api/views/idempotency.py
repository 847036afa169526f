"""``Idempotency-Key`` on POST: the answer is kept with the effect and repeated for a retry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.kernel import idempotency
from marketplace_api.errors import FieldError, Invalid
from marketplace_api.views.responses import STATUS, Answer

KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Link", "Vary", "Cache-Control", "Preference-Applied")


def answered_once(request: Request, run: Callable[[], Response]) -> Response:
    """Run the operation, or repeat its stored answer. The caller's permission has been checked again before this."""
    key = request.environ["HTTP_IDEMPOTENCY_KEY"].strip()
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        error = FieldError("header", "Idempotency-Key", "wrong_format", "Use 1 to 255 printable ASCII characters.")
        raise Invalid("The Idempotency-Key cannot be used.", errors=[error])
    caller = f"user:{request.actor.user_id}" if request.actor.user_id is not None else f"address:{request.address}"
    hashed = idempotency.key_hash(caller, key)
    fingerprint = hashlib.sha256(
        b"\0".join((request.path.encode(), request.environ.get("QUERY_STRING", "").encode(), request.raw_body))
    ).digest()
    cipher = request.registry.answer_cipher
    sealed = idempotency.find_answer(request.db, hashed, fingerprint)
    stored = cipher.open(sealed, hashed) if sealed is not None else None
    if stored is not None:
        return _repeated(stored)
    response = run()
    if sealed is None:
        answer = orjson.dumps(
            [response.status_int, [h for h in response.headerlist if h[0] in KEPT_HEADERS], response.text]
        )
        idempotency.keep_answer(request.db, hashed, fingerprint, cipher.seal(answer, hashed))
    return response


def _repeated(stored: bytes) -> Response:
    status, headers, text = orjson.loads(stored)
    body = text.encode()
    fixed = [("Idempotent-Replayed", "true"), ("Content-Length", str(len(body)))]
    return Answer(status=STATUS[status], headerlist=[(n, v) for n, v in headers] + fixed, app_iter=[body])
