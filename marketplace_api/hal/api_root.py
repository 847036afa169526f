"""The entry point, the catalogues of errors and relations, categories and suggestions as they go out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.eventlog.stream_tickets import stream_links
from marketplace_api.hal.problems import CODES
from marketplace_api.hal.representation import Link, Links, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.schemas.catalog.listings import SearchListings

RELATIONS = {
    "listings": "The listings on offer; search and creation start there.",
    "categories": "The category tree with counts.",
    "suggestions": "Completions for what is being typed, templated; at a search without hits what may have been meant.",
    "register": "Make an account.",
    "login": "Log in.",
    "refresh": "Get a new pair of tokens.",
    "logout": "End sessions.",
    "password-reset": "Ask for a mail that lets a forgotten password be replaced.",
    "me": "The caller's own account.",
    "resend-verification": "Have the mail that confirms an address sent again; there only while one waits for it.",
    "profile": "The public profile of an account.",
    "my-listings": "The caller's own listings in all states.",
    "sessions": "The caller's open sessions.",
    "stream": "Server-sent events about what the caller may see; templated. The realtime process serves it.",
    "socket": "The same by socket.io.",
    "stream-tickets": "Where a ticket for the stream comes from, for browsers that cannot send a header.",
    "export": "Everything that is held about the caller.",
    "owner": "The account that offers a listing.",
    "photos": "The photos of a listing.",
    "video": "The video of a listing; there only if it has one.",
    "bookmarks": "The listings that the caller keeps.",
    "bookmark": "The caller's bookmark of a listing.",
    "reviews": "The reviews of a listing or a person, with their ratings.",
    "listing": "The listing that a review or a message is about.",
    "reviewee": "The person that a review is about.",
    "conversations": "The caller's conversations.",
    "conversation": "The conversation that a message belongs to.",
    "messages": "The messages of a conversation.",
    "message": "Where to write to somebody; there only for who may.",
    "participant": "The other person of a conversation.",
    "blocks": "Whom the caller has blocked.",
    "verification": "Where the caller's own verification stands; documents are sent there.",
    "verifications": "The verifications that wait for moderators.",
    "document": "The document of a verification; templated, for it asks for a reason.",
    "notifications": "What the caller is told of.",
    "notification-preferences": "Of what the caller is told, and by which channel.",
    "phone": "The caller's own telephone number, for text messages.",
    "push-subscriptions": "The caller's browsers that take notifications by web push.",
    "moderation": "What waits for moderators.",
    "users": "The accounts in all states, for those who look after the marketplace.",
    "audit": "The event log, for admins.",
    "events": "The event log as a feed, oldest first, for admins and programs.",
    "api-keys": "The keys with which programs call.",
    "subject": "What a report or an event is about.",
    "reporter": "Who made a report.",
    "reported": "Whom a report is about.",
    "assignee": "The moderator who works on a report or decided it.",
    "reports": "All reports of the same subject.",
    "actor": "Who caused an event.",
    "webhooks": "Who is told of events, for admins.",
    "webhook": "The webhook that a delivery is of.",
    "deliveries": "What a webhook was told.",
    "event": "The event that a delivery tells of.",
    "errors": "The catalogue of error codes.",
    "openapi": "The OpenAPI 3.1 description of the API.",
    "docs": "The reference for people.",
}


def entry(context: Context, actor: Actor, version: str, realtime_url: str = "") -> Representation:
    """``/api``: what the service is, who the caller is, and where they may go."""
    state: dict[str, Any] = {
        "name": "Marketplace API",
        "version": version,
        "caller": {
            "user_id": actor.user_id,
            "username": actor.username or None,
            "roles": sorted(actor.roles),
            "state": actor.state if actor.user_id is not None else "anonymous",
        },
    }
    parameters = ",".join(child.name for child in SearchListings().children)
    links: Links = {
        "self": link("/api"),
        "mkt:listings": link("/api/listings", title="Listings"),
        "search": link(f"/api/listings{{?{parameters}}}", templated=True, title="Search listings"),
        "mkt:categories": link("/api/categories", title="Categories"),
        "mkt:suggestions": link("/api/search/suggestions{?query,limit}", templated=True, title="Suggestions"),
        "mkt:errors": link("/api/errors"),
        "mkt:openapi": link("/api/openapi.json", type="application/json"),
        "mkt:docs": link("/docs", type="text/html"),
    }
    links |= {**_known_links(), **stream_links(realtime_url)} if actor.user_id is not None else _stranger_links()
    links |= _staff_links(actor)
    return Representation(state, links, context=context, is_public=True)


def _stranger_links() -> dict[str, Link]:
    return {
        "mkt:register": link("/api/auth/register", title="Register"),
        "mkt:login": link("/api/auth/login", title="Log in"),
        "mkt:refresh": link("/api/auth/refresh"),
        "mkt:password-reset": link("/api/auth/request-password-reset"),
    }


def _known_links() -> dict[str, Link]:
    return {
        "mkt:me": link("/api/users/me", title="Your account"),
        "mkt:my-listings": link("/api/users/me/listings", title="Your listings"),
        "mkt:bookmarks": link("/api/users/me/bookmarks", title="Your bookmarks"),
        "mkt:conversations": link("/api/conversations", title="Your conversations"),
        "mkt:notifications": link("/api/notifications", title="Your notifications"),
        "mkt:sessions": link("/api/auth/sessions", title="Your sessions"),
        "mkt:logout": link("/api/auth/logout", title="Log out"),
    }


def _staff_links(actor: Actor) -> dict[str, Link]:
    links: dict[str, Link] = {}
    if actor.moderates:
        links |= {
            "mkt:moderation": link("/api/moderation", title="Moderation"),
            "mkt:verifications": link("/api/moderation/verifications", title="Verifications to decide about"),
            "mkt:users": link("/api/admin/users", title="Accounts"),
        }
    if actor.administers:
        links["mkt:audit"] = link("/api/audit", title="Event log")
        links["mkt:events"] = link("/api/events", title="Event feed")
        links["mkt:api-keys"] = link("/api/admin/api-keys", title="API keys")
        links["mkt:webhooks"] = link("/api/admin/webhooks", title="Webhooks")
    return links


def errors() -> Representation:
    """All codes that a problem document may carry."""
    items = [error(code) for code in CODES]
    return Representation({}, {"self": link("/api/errors"), "up": link("/api")}, {"errors": items}, is_public=True)


def error(code: str) -> Representation:
    """One code, its status and what to do about it; raises KeyError."""
    entry_ = CODES[code]
    state = {"code": code, "status": entry_.status, "title": entry_.title, "advice": entry_.advice}
    links: Links = {"self": link(f"/api/errors/{code}"), "collection": link("/api/errors")}
    return Representation(state, links, is_public=True)


def relation(name: str) -> Representation:
    """What a relation ``mkt:{name}`` means; raises KeyError."""
    state = {"rel": f"mkt:{name}", "meaning": RELATIONS[name]}
    return Representation(state, {"self": link(f"/api/rels/{name}"), "up": link("/api")}, is_public=True)


def categories(nodes: Iterable[Any]) -> Representation:
    """The tree; each node links to its listings."""
    items = [_category(node) for node in nodes]
    links: Links = {"self": link("/api/categories"), "up": link("/api")}
    return Representation({}, links, {"categories": items}, is_public=True)


def _category(node: Any) -> Representation:
    state = {"slug": node.slug, "name": node.name, "count": node.count, "total_count": node.total}
    children = [_category(child) for child in node.children]
    # A category is a part of the tree's document, so a fragment names it; HAL clients pass over items without ``self``.
    own, theirs = link(f"/api/categories#{node.slug}"), link(f"/api/listings?category={node.slug}")
    return Representation(state, {"self": own, "mkt:listings": theirs}, {"children": children})


def suggestions(found: Iterable[Any], path: str) -> Representation:
    """Completions, best first."""
    items = [{"text": each.text, "kind": each.kind, "count": each.count} for each in found]
    return Representation({"suggestions": items}, {"self": link(path), "up": link("/api")}, is_public=True)
