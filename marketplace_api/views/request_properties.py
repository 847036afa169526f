"""What every request carries: who calls, and the connection that its method deserves."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request

from marketplace_api.database import row_security
from marketplace_api.errors import Unauthenticated
from marketplace_api.security.identity import actor_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def needs_transaction(request: Request) -> bool:
    """Safe methods never open a transaction manager."""
    return request.environ["REQUEST_METHOD"] not in SAFE


def connection(request: Request) -> Any:
    """``request.connection``: what ``request.db`` becomes once it is known who calls; until then it may still carry the
    caller of another request."""
    databases = request.registry.databases
    if request.environ["REQUEST_METHOD"] in SAFE:
        reader = databases.reader(known="HTTP_AUTHORIZATION" in request.environ)
        request.add_finished_callback(lambda _request: databases.give_back(reader))
        return reader
    session = databases.session()
    zope.sqlalchemy.register(session, transaction_manager=request.tm)
    request.add_finished_callback(lambda _request: session.close())
    return session


def database(request: Request) -> Any:
    """``request.db``: an AUTOCOMMIT reader for safe methods, else the session of the request's transaction.

    It is the caller's from the first statement on, and nobody's for a caller who is not known.
    """
    user_id = None
    if "HTTP_AUTHORIZATION" in request.environ:
        with suppress(Unauthenticated):  # for those who have to know who calls
            user_id = request.actor.user_id
    if user_id is None and request.environ["REQUEST_METHOD"] in SAFE:
        row_security.forget_caller(request.connection)
    return request.connection


def primary(request: Request) -> Any:
    """``request.primary``: for what must not lag behind, such as whether a session was ended."""
    databases = request.registry.databases
    if request.method not in SAFE or not databases.has_replica:
        return request.connection
    reader = databases.primary_reader()
    request.add_finished_callback(lambda _request: reader.close())
    return reader


def address(request: Request) -> str:
    """``request.address``: the client's, as the last trusted proxy saw it; the header alone proves nothing."""
    proxies = request.registry.app_settings.trusted_proxies
    direct = str(request.environ.get("REMOTE_ADDR", ""))
    return trusted_address(direct, request.environ.get("HTTP_X_FORWARDED_FOR", ""), proxies)


def trusted_address(direct: str, forwarded_for: str, proxies: int) -> str:
    """The address of a client that connects from ``direct``, behind so many proxies that are ours."""
    if proxies == 0:
        return direct
    forwarded = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    chain = [*forwarded, direct]
    return chain[max(0, len(chain) - 1 - proxies)][:64]


def includeme(config: Configurator) -> None:
    config.add_request_method(connection, "connection", reify=True)
    config.add_request_method(database, "db", reify=True)
    config.add_request_method(primary, "primary", reify=True)
    config.add_request_method(address, "address", reify=True)
    config.add_request_method(actor_of, "actor", reify=True)
