"""The files themselves: public ones, and private ones by a signed address."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.media.files import store
from marketplace_api.errors import Forbidden, NotFound
from marketplace_api.resources.media.files import FileContext
from marketplace_api.schemas.media import files as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.file_response import send
from marketplace_api.views.service import Service

file = Service("file", "/files/{key}", FileContext, limits="files")

# Browsers keep a photo, which never changes. A CDN asks again, because photos may be withdrawn.
IMMUTABLE = "public, max-age=31536000, s-maxage=300, immutable"
PRIVATE = "private, no-store"


@file.operation(
    "GET",
    "fetch-file",
    P.FILE_READ,
    title="A file",
    query=schemas.FetchFile,
    result="file",
    errors=(403, 416),
    description="Photos are public and never change, as long as their listing is public; other files open by the signed "
    "address that somebody was given.",
)
def fetch(request: Request) -> Response:
    key, query, registry = request.context.__name__, request.query, request.registry
    if query["signature"] is None or query["expires"] is None:
        is_public = store.is_public(key.partition("-")[0])
        if is_public and registry.open_files.has(lambda: request.db, key):
            return send(request, registry.storage, key, IMMUTABLE)
        raise NotFound("There is nothing at this address.")
    if not registry.url_signer.is_valid(key, query["expires"], query["signature"]):
        raise Forbidden("This address has expired or was changed; ask for a new one where you got it.")
    return send(request, registry.storage, key, PRIVATE)
