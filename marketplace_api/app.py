"""The application put together: one include after the other, in boot order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import IRequestExtensions
from pyramid.request import Request

from marketplace_api import boot, lazy, logs
from marketplace_api.config.settings import Settings, strange_keys
from marketplace_api.database.engines import Databases
from marketplace_api.domain import contexts
from marketplace_api.domain.community.reviews.eligibility import ReviewRules
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.tokens import SigningKeys
from marketplace_api.domain.media.files.visibility import OpenFiles
from marketplace_api.domain.operations.health import SchemaWatch
from marketplace_api.gateways import crash_reports
from marketplace_api.gateways.cipher import Cipher
from marketplace_api.gateways.decoding import pool as decoders
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.rate_limiter import Limiter
from marketplace_api.gateways.storage import UrlSigner, make_storage
from marketplace_api.gateways.webpush import vapid_key
from marketplace_api.jobs import dispatch
from marketplace_api.resources.root import Root, root_factory
from marketplace_api.resources.traverser import Traverser, steps_of
from marketplace_api.security.policy import TokenSecurityPolicy
from marketplace_api.version import VERSION
from marketplace_api.views import api_root
from marketplace_api.views.catalog import bookmarks, listings, my_listings, photos, videos
from marketplace_api.views.community import blocks, conversations, messages, reviews
from marketplace_api.views.eventlog import audit, feed, stream_tickets
from marketplace_api.views.identity import account_admin, api_keys, auth, pictures, users
from marketplace_api.views.media import files
from marketplace_api.views.middleware import limit_rate
from marketplace_api.views.operations import health, pools
from marketplace_api.views.outbound import mail, notifications, phones, push_subscriptions, webhooks
from marketplace_api.views.privacy import export
from marketplace_api.views.service import SERVICES, UNUSED
from marketplace_api.views.trust import moderated_messages, moderation, reports, verifications

log = logging.getLogger(__name__)

# Nothing of Pyramid's or Cornice's own behaviour is left to an ini: these are decisions, not settings.
FIXED = {
    "handle_exceptions": "false",
    "tm.annotate_user": "false",
    "tm.manager_hook": "pyramid_tm.explicit_manager",
    "tm.activate_hook": "marketplace_api.views.request_properties.needs_transaction",
}
VIEWS = (
    listings,
    photos,
    pictures,
    files,
    videos,
    auth,
    users,
    my_listings,
    export,
    bookmarks,
    reviews,
    conversations,
    messages,
    blocks,
    notifications,
    mail,
    phones,
    push_subscriptions,
    stream_tickets,
    reports,
    moderation,
    moderated_messages,
    account_admin,
    audit,
    feed,
    api_keys,
    webhooks,
    verifications,
    api_root,
    health,
)
HOT = (
    "/api/listings/{listing_id}",
    "/files/{key}",
    "/api/listings",
    "/api/search/suggestions",
    "/api/users/me",
    "/api/auth/me",
)
CLOSED = "nobody"  # the permission of a view that declares none: no ACL ever grants it


def make_app(ini: Mapping[str, str]) -> Any:
    """The WSGI application from ini keys and environment; starts the embedded database when they ask for it."""
    settings = Settings.load(ini)
    boot.make_data_folder(settings)
    logs.configure_logging(settings.log_level)
    for mistake in strange_keys(ini):
        log.warning(str(mistake))
    crash_reports.configure_sentry(settings, VERSION)
    contexts.load()
    databases, server = boot.open_databases(settings, dispatch.dispatch)
    if not settings.production:
        # A market of texts and drawings, for which production has no use.
        load_demo = lazy.load("marketplace_api.domain.operations.demo").load_once
        boot.development_ready(databases, settings, load_demo)
    app = configure(settings, databases).make_wsgi_app()
    pools.start_sampling(databases)
    app.embedded_server = server  # lives as long as the application
    return app


def configure(settings: Settings, databases: Databases) -> Configurator:
    """The configuration of an application on these databases; tests bring their own."""
    contexts.load()
    config = Configurator(settings=FIXED, root_factory=entrance)
    registry = config.registry
    registry.app_settings = settings
    registry.databases = databases
    registry.schema_watch = SchemaWatch()
    registry.account_rules = AccountRules.from_settings(settings)
    registry.review_rules = ReviewRules.from_settings(settings)
    registry.signing_keys = _signing_keys(settings)
    registry.answer_cipher = Cipher(settings.secret, "stored answers")
    registry.document_keys = DocumentKeys.from_settings(settings)
    registry.limiter = Limiter(settings.redis_url, settings.rate_multiplier) if settings.rate_limits else None
    registry.storage = make_storage(settings)
    decoders.configure(most=settings.decoders, memory=settings.decoder_memory * 1024 * 1024)
    registry.url_signer = UrlSigner.from_secret(settings.secret)
    registry.open_files = OpenFiles()
    push_key = vapid_key(settings)
    registry.push_public_key = push_key.public if push_key is not None else None
    registry.neighbours = health.neighbours_of(registry)
    registry.files_url = settings.files_url.rstrip("/")
    registry.pictures_url = registry.files_url or settings.public_url.rstrip("/")

    config.include("pyramid_tm")
    config.include("marketplace_api.views.retry")
    config.include("marketplace_api.views.service")
    config.set_security_policy(TokenSecurityPolicy())
    config.set_default_permission(CLOSED)
    config.include("marketplace_api.views.request_properties")
    config.include("marketplace_api.views.middleware")
    config.include("marketplace_api.views.errors")
    _register_services(config)
    config.include("marketplace_api.views.outbound.inbound_webhooks")
    config.include("marketplace_api.views.docs")
    config.commit()
    _settle_request_class(config)
    return config


def entrance(request: Request) -> Root:
    """The root of the tree, for a caller within the rate limits.

    Not a subscriber to an event: as long as there is none at all, Pyramid skips its four events of every request.
    """
    limit_rate(request)
    return root_factory(request)


def _settle_request_class(config: Configurator) -> None:
    """Put the requests' properties (``db``, ``actor``, ``tm`` …) on one class, now.

    Pyramid would make a class with them for every single request, a quarter of the cost of a cheap one.
    """
    extensions = config.registry.getUtility(IRequestExtensions)
    config.set_request_factory(type("MarketplaceRequest", (Request,), {**UNUSED, **extensions.descriptors}))
    extensions.descriptors.clear()


def _signing_keys(settings: Settings) -> SigningKeys:
    if settings.jwt_keys:
        return SigningKeys.from_setting(settings.jwt_keys)
    return SigningKeys.load_or_create(settings.data_dir / "keys")


def _register_services(config: Configurator) -> None:
    """Add the services of every module in :data:`VIEWS`, the most asked-for first: routes are tried in order."""
    rank = {pattern: position for position, pattern in enumerate(HOT)}
    for service in sorted(SERVICES, key=lambda service: rank.get(service.pattern, len(rank))):
        config.add_cornice_service(service)
    config.registry.limit_groups = {service.name: service.limits for service in SERVICES}
    config.registry.steps = {service.name: steps_of(service.context_pattern) for service in SERVICES}
    config.add_traverser(Traverser, Root)
