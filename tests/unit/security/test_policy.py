"""Who may do what: our reading of the ACLs against Pyramid's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyramid.authorization import ACLHelper, Allow, Deny

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.security.policy import may
from marketplace_api.security.principals import principals_of

PERMISSIONS = ("listing:read", "listing:edit", "listing:moderate")
PRINCIPALS = ("system.Everyone", "system.Authenticated", "owner:1", "reader:1", "role:customer", "role:staff")


@dataclass
class Node:
    """A context as Pyramid sees it."""

    __acl__: list[tuple[str, str, tuple[str, ...]]]
    __parent__: Node | None = None


entries = st.tuples(
    st.sampled_from([Allow, Deny]), st.sampled_from(PRINCIPALS), st.lists(st.sampled_from(PERMISSIONS)).map(tuple)
)
trees = st.lists(st.lists(entries, max_size=4), min_size=1, max_size=4)
actors = st.builds(
    Actor,
    user_id=st.sampled_from([None, 1, 2]),
    roles=st.frozensets(st.sampled_from(["customer", "moderator", "staff", "admin", "monitor"])),
    state=st.sampled_from(["active", "suspended"]),
)


@given(trees, actors, st.sampled_from(PERMISSIONS))
def test_the_acls_are_read_as_pyramid_reads_them(tree: list[Any], actor: Actor, permission: str) -> None:
    context: Node | None = None
    for acl in tree:
        context = Node(acl, context)
    theirs = ACLHelper().permits(context, principals_of(actor), permission)
    assert may(actor, context, permission) == bool(theirs)
