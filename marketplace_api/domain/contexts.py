"""What each context registers with lower ones. The API, the worker and the command line load it before they work."""

from __future__ import annotations

from marketplace_api.domain.catalog import registration as catalog
from marketplace_api.domain.kernel import registries


def load() -> None:
    """Fill the registries of ``kernel.registries``; to do so again changes nothing."""
    for context in (catalog,):
        context.register()
    registries.complete()
