"""Where the files of something are fetched: at a public address while it is public, at a signed one by who may see it."""

from __future__ import annotations

from pyramid.request import Request


def file_address(request: Request, key: str, *, is_public: bool) -> str:
    """The address of one file; a signed one leads to this service itself, for a CDN must not keep it."""
    if is_public:
        return f"{request.registry.files_url}/files/{key}"
    address: str = request.registry.url_signer.steady_path(key)
    return address
