"""Callers with accounts: each request carries an access token of the session that the account has."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.application import WsgiApp, get, make_environ
from marketplace_api.domain.kernel.tokens import SigningKeys

LIFETIME = timedelta(days=1)

Asking = Callable[[], tuple[str, bytes]]


class Callers:
    """Makes calls of ``app`` by accounts; the number of an account is that of its session."""

    def __init__(self, app: WsgiApp) -> None:
        self.app = app
        self.keys: SigningKeys = app.registry.signing_keys  # type: ignore[attr-defined]
        self._began = datetime.now(UTC)

    def token(self, user_id: int, generation: int = 0) -> str:
        return self.keys.sign(user_id, user_id, self._began, LIFETIME, generation=generation)

    def call(self, target: str, caller: int | None, method: str = "GET", body: str = "") -> Asking:
        """A request that can be made over and over; by nobody where ``caller`` is ``None``."""
        environ = make_environ(target) | {"REQUEST_METHOD": method}
        if caller is not None:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.token(caller)}"
        if method == "GET":
            return partial(get, self.app, environ)
        content = body.encode()
        environ["CONTENT_LENGTH"] = str(len(content))
        if content:
            environ["CONTENT_TYPE"] = "application/json"
        return lambda: get(self.app, environ | {"wsgi.input": io.BytesIO(content)})
