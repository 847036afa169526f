"""Collections: one shape, with page links in the body and the ``Link`` header (RFC 8288)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import TOTAL_CAP, Page
from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.base import Context


def collection(
    request: Request,
    name: str,
    items: Sequence[Representation],
    page: Page,
    path: str,
    *,
    context: Context | None = None,
    is_public: bool = False,
    extra: dict[str, Any] | None = None,
) -> Representation:
    """``items`` under ``name`` with totals and links; page links keep the request's other parameters."""
    state: dict[str, Any] = {
        "totalPages": page.total_pages,
        "currentPage": page.page,
        "totalItems": page.total,
        **(extra or {}),
    }
    if page.total_is_capped:
        state["totalIsCapped"] = True
    if page.facets:
        state["facets"] = page.facets
    paging = _page_links(request, page, path)
    links: Links = {rel: link(href) for rel, href in paging.items()}
    return Representation(state, links, {name: list(items)}, context=context, is_public=is_public, paging=paging)


def _page_links(request: Request, page: Page, path: str) -> dict[str, str]:
    """Hrefs by relation. ``next`` and ``prev`` are cursors: they stay right when rows come in between."""
    raw = request.environ.get("QUERY_STRING", "")
    kept = [(n, v) for n, v in parse_qsl(raw) if n not in ("page", "cursor")] if raw else []

    unpaged = f"{path}?{urlencode(kept)}" if kept else path
    # Neither cursors nor numbers have anything to quote.
    paged = f"{unpaged}&" if kept else f"{path}?"
    found = {"self": f"{path}?{raw}" if raw else path, "first": unpaged}
    if page.prev_cursor:
        found["prev"] = f"{paged}cursor={page.prev_cursor}"
    if page.next_cursor:
        found["next"] = f"{paged}cursor={page.next_cursor}"
    if page.total and not page.total_is_capped and page.total_pages * page.limit <= TOTAL_CAP:
        found["last"] = f"{paged}page={page.total_pages}" if page.total_pages > 1 else unpaged
    return found
