"""The category tree with the number of searchable listings in each part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader


@dataclass(frozen=True, slots=True)
class Node:
    """A category: ``count`` searchable listings sit on it, ``total`` on it and below."""

    slug: str
    name: str
    count: int
    total: int
    children: tuple[Node, ...]


# The counters hold every category as a mark, so that nobody counts listings here.
_TREE = Prepared(
    sa.text(
        """
    SELECT slug, name, parent_slug, (
        SELECT coalesce(sum(count), 0) FROM (
            SELECT base.count FROM search_terms AS base WHERE base.kind = 0 AND base.term = '#c=' || slug
            UNION ALL
            SELECT pending.delta FROM search_term_deltas AS pending
            WHERE pending.kind = 0 AND pending.term = '#c=' || slug
        ) AS parts
    ) AS count
    FROM categories ORDER BY position, slug
    """
    )
)
_SUBTREE = sa.text(
    """
    WITH RECURSIVE subtree AS (
        SELECT slug FROM categories WHERE slug = :slug
        UNION SELECT child.slug FROM categories AS child JOIN subtree ON child.parent_slug = subtree.slug
    )
    SELECT slug FROM subtree
    """
)
_EXISTS = sa.text("SELECT EXISTS (SELECT FROM categories WHERE slug = :slug)")


def tree(db: Reader) -> tuple[Node, ...]:
    """The roots with their descendants, in the operator's order; the counts are exact."""
    below: dict[str | None, list[tuple[str, str, int]]] = {}
    for slug, name, parent, count in _TREE.all(db, {}):
        below.setdefault(parent, []).append((slug, name, int(count)))
    return _nodes(below, None)


def _nodes(below: dict[str | None, list[tuple[str, str, int]]], parent: str | None) -> tuple[Node, ...]:
    nodes = []
    for slug, name, count in below.get(parent, ()):
        children = _nodes(below, slug)
        nodes.append(Node(slug, name, count, count + sum(child.total for child in children), children))
    return tuple(nodes)


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Every node of the tree, parents first."""
    for node in nodes:
        yield node
        yield from walk(node.children)


def descendants(db: Reader, slug: str) -> tuple[str, ...]:
    """``slug`` and all below it; empty where there is no such category."""
    return tuple(db.execute(_SUBTREE, {"slug": slug}).scalars())


def exists(db: Reader, slug: str) -> bool:
    """Whether there is a category ``slug``."""
    return bool(db.execute(_EXISTS, {"slug": slug}).scalar_one())
