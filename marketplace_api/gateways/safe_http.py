"""Requests to addresses that somebody else chose: only to the public Internet, never for longer or more than we allow.

The name is resolved once, and the connection goes to exactly the addresses that were looked at: who answers the next
question otherwise (DNS rebinding) gains nothing. Redirects are answers like any other, the environment's proxies and
passwords are not used, and nothing is remembered from one request to the next.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.ssrf import OutboundRefused, check_url, require_public

Resolver = Callable[[str, int], list[str]]
"""Host and port -> the addresses of the host; raises ``OSError``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take: seconds to connect, between two pieces of the answer, in all; bytes of the answer."""

    connect: float = 5.0
    read: float = 10.0
    total: float = 15.0
    most_bytes: int = 64 * 1024


def session(settings: Settings, limits: Limits | None = None, resolve: Resolver | None = None) -> requests.Session:
    """A session for requests to addresses of others, https only in production; one per use, not shared by threads.

    Its requests raise :class:`OutboundRefused` where the address may not be called, and
    :class:`~marketplace_api.errors.Unavailable` where nobody answers in time. Of an answer that is longer than
    allowed the beginning is kept. ``timeout=`` is not heeded.
    """
    return _Session(_Adapter(settings, limits or Limits(), resolve or _resolve))


def _resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _Watch:
    """Ends a request when its time is up, whatever it is busy with: handshake, headers or body."""

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    @property
    def left(self) -> float:
        """Seconds, a little more than none at least: sockets take 0 for something else."""
        return max(self._ends - time.monotonic(), 0.001)

    def hold(self, connected: socket.socket) -> None:
        """Watch this connection; through a handle of its own, for TLS takes over the other one."""
        with self._lock:
            self._socket = connected.dup()
        if self.expired:
            self._end()

    def _end(self) -> None:
        self.expired = True
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _Guard:
    """How one request connects; ``nameless`` once its host's name led to no address."""

    watch: _Watch
    limits: Limits
    resolve: Resolver
    allow_private: bool
    nameless: bool = False

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first of the host's addresses that takes one, all of them looked at before."""
        addresses = self._addresses(host, port)
        if not self.allow_private:
            require_public(addresses)
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                seconds = min(self.limits.connect, self.watch.left)
                connected = socket.create_connection((address, port), timeout=seconds)
            except OSError as error:
                failure = error
                continue
            connected.settimeout(min(self.limits.read, self.watch.left))
            self.watch.hold(connected)
            return connected
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        """The resolver knows no time limit, so it is left behind when ours is reached."""
        found: list[list[str] | OSError] = []

        def ask() -> None:
            try:
                found.append(self.resolve(host, port))
            except (OSError, UnicodeError) as error:
                found.append(error if isinstance(error, OSError) else OSError("no name"))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(min(self.limits.connect, self.watch.left))
        self.nameless = not found or isinstance(found[0], OSError)
        if not found:
            raise OSError("the name was not resolved in time")
        if isinstance(found[0], OSError):
            raise found[0]
        return found[0]


class _GuardedHTTP(HTTPConnection):
    def __init__(self, *args: Any, guard: _Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self._dns_host, self.port)


class _GuardedHTTPS(HTTPSConnection):
    """Name of the server and certificate stay those of the host: only where to connect is decided here."""

    def __init__(self, *args: Any, guard: _Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self._dns_host, self.port)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


class _Adapter(HTTPAdapter):
    """Sends each request on a connection of its own, which nobody else uses after it."""

    def __init__(self, settings: Settings, limits: Limits, resolve: Resolver) -> None:
        super().__init__()
        self._settings, self._limits, self._resolver = settings, limits, resolve

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """As :func:`session` says; the content was read when it returns, whatever ``stream`` says."""
        check_url(self._settings, request.url or "")
        request.headers["Accept-Encoding"] = "identity"
        request.headers["Connection"] = "close"
        with _Watch(self._limits.total) as watch:
            guard = self._guard = _Guard(watch, self._limits, self._resolver, self._settings.outbound_allow_private)
            patience = (self._limits.connect, self._limits.read)
            try:
                response = super().send(request, stream=True, timeout=patience, verify=verify, cert=cert, proxies={})
                try:
                    # As it came: to unpack it could make gigabytes of it.
                    content = response.raw.read(self._limits.most_bytes, decode_content=False)
                finally:
                    response.close()
            except (requests.RequestException, HTTPError, OSError) as error:
                raise _unavailable(guard, error) from error
            if watch.expired:
                raise _unavailable(guard, None)
        response._content, response._content_consumed = content, True
        return response

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """A pool of one connection for this request alone."""
        host, options = self.build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            return _HTTPSPool(host["host"], host["port"], maxsize=1, guard=self._guard, **options)
        return _HTTPPool(host["host"], host["port"], maxsize=1, guard=self._guard)


def _unavailable(guard: _Guard, error: Exception | None) -> Unavailable:
    if guard.nameless:
        return Unavailable("No address was found for the name of the host (DNS).")
    if guard.watch.expired:
        return Unavailable(f"The receiver took longer than {guard.limits.total:g} seconds.")
    return Unavailable(f"The receiver did not answer ({type(error).__name__}).")


class _Session(requests.Session):
    """No proxies, no passwords of the machine, no cookies, no redirects."""

    def __init__(self, adapter: _Adapter) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = adapter

    def get_adapter(self, url: str) -> HTTPAdapter:
        return self._adapter

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: who redirects us was answered by somebody whom nobody looked at."""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().request(*args, **options)
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise OutboundRefused("That is no address.") from error
