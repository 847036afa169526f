"""What every request carries: who calls, and the connection that its method deserves."""

from __future__ import annotations

from typing import Any

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request

from marketplace_api.security.identity import actor_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def needs_transaction(request: Request) -> bool:
    """Safe methods never open a transaction manager."""
    return request.environ["REQUEST_METHOD"] not in SAFE


def database(request: Request) -> Any:
    """``request.db``: an AUTOCOMMIT reader for safe methods, else the session of the request's transaction."""
    databases = request.registry.databases
    if request.environ["REQUEST_METHOD"] in SAFE:
        reader = databases.reader()
        request.add_finished_callback(lambda _request: databases.give_back(reader))
        return reader
    session = databases.session()
    zope.sqlalchemy.register(session, transaction_manager=request.tm)
    request.add_finished_callback(lambda _request: session.close())
    return session


def primary(request: Request) -> Any:
    """``request.primary``: for what must not lag behind, such as whether a session was ended."""
    databases = request.registry.databases
    if request.method not in SAFE or not databases.has_replica:
        return request.db
    reader = databases.primary_reader()
    request.add_finished_callback(lambda _request: reader.close())
    return reader


def address(request: Request) -> str:
    """``request.address``: the client's, as the last trusted proxy saw it; the header alone proves nothing."""
    proxies = request.registry.app_settings.trusted_proxies
    direct = str(request.environ.get("REMOTE_ADDR", ""))
    if proxies == 0:
        return direct
    forwarded = [part.strip() for part in request.environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    chain = [*forwarded, direct]
    return str(chain[max(0, len(chain) - 1 - proxies)])[:64]


def includeme(config: Configurator) -> None:
    config.add_request_method(database, "db", reify=True)
    config.add_request_method(primary, "primary", reify=True)
    config.add_request_method(address, "address", reify=True)
    config.add_request_method(actor_of, "actor", reify=True)
