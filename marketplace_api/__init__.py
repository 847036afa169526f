"""The marketplace back end: a hypermedia REST API on Pyramid and Cornice."""

from __future__ import annotations

from typing import Any


def main(global_config: dict[str, str], **ini: str) -> Any:
    """The paste app factory: a WSGI application from the ini's ``[app:main]``."""
    from marketplace_api.app import make_app

    return make_app({**global_config, **ini})
