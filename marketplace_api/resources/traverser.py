"""The way through the tree: from the root to the context of the route that was matched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request
from pyramid.traversal import ResourceTreeTraverser

from marketplace_api.resources.base import Context

Steps = tuple[tuple[str, bool], ...]
"""The segments of a path, each a name, or that of a parameter of the route and ``True``."""


def steps_of(pattern: str) -> Steps:
    """The steps along a pattern such as ``/api/listings/{listing_id}``."""
    segments = [segment for segment in pattern.split("/") if segment]
    return tuple((segment.strip("{}"), segment.startswith("{")) for segment in segments)


def descend(root: Context, steps: Steps, parameters: Mapping[str, str]) -> tuple[Context, str]:
    """The last node along ``steps`` that is there, and the segment that leads on to nothing, empty if none does."""
    node = root
    for name, is_parameter in steps:
        segment = parameters[name] if is_parameter else name
        try:
            node = node[segment]
        except KeyError:
            return node, segment  # no view has a name, so this is a 404
    return node, ""


class Traverser:
    """Pyramid's traversal (an ``ITraverser``) along the path that the route's service has in the tree.

    Node by node with ``__getitem__``, as ever. Pyramid's own would first quote the path, join it, split it and decode
    it again, 6 % of a cheap request, and look for view names and virtual roots (``X-Vhm-Root``) that we have not.
    ``registry.steps`` holds the steps by the route's name; any other path is left to Pyramid.
    """

    def __init__(self, root: Context) -> None:
        self._root = root

    def __call__(self, request: Request) -> dict[str, Any]:
        route = request.matched_route
        steps: Steps | None = request.registry.steps.get(route.name) if route is not None else None
        if steps is None:
            elsewhere: dict[str, Any] = ResourceTreeTraverser(self._root)(request)
            return elsewhere
        node, missing = descend(self._root, steps, request.matchdict)
        return {
            "context": node,
            "view_name": missing,
            "subpath": (),
            "traversed": (),
            "virtual_root": self._root,
            "virtual_root_path": (),
            "root": self._root,
        }
