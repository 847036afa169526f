"""The marketplace back end: a hypermedia REST API on Pyramid and Cornice."""

from __future__ import annotations

from typing import Any


def main(global_config: dict[str, str], **ini: str) -> Any:
    """The paste app factory: a WSGI application from the ini's ``[app:main]``."""
    from marketplace_api.app import make_app
    from marketplace_api.boot import BootError
    from marketplace_api.config.settings import SettingsError

    try:
        return make_app({**global_config, **ini})
    except (BootError, SettingsError) as error:
        raise SystemExit(f"Error: {error}") from None
