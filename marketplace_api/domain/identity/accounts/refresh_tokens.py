"""Refresh tokens: base64url of session id, generation and a keyed hash of both.

The hash makes three answers possible without storing any token: the current one can be told again to a client
that lost the answer, an older one is known to have been ours, and an invented one cannot end anybody's
session.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass

from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.domain.identity.accounts import errors
from marketplace_api.domain.identity.accounts.config import AccountRules

_HEAD = struct.Struct(">QI")
_TEXT_LENGTH = 59  # 12 bytes of head and 32 of hash, in base64url without padding


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token as it came in: well-formed, not yet believed."""

    text: str
    session_id: int
    generation: int

    def was_made(self, rules: AccountRules, nonce: bytes) -> bool:
        """Whether we made this token for the session that has this nonce."""
        return hmac.compare_digest(make(rules, self.session_id, self.generation, nonce), self.text)


def make(rules: AccountRules, session_id: int, generation: int, nonce: bytes) -> str:
    """The token of a session's generation; to make one takes both the secret and the session's row."""
    head = _HEAD.pack(session_id, generation)
    raw = head + rules.keyed_hash("refresh-token", head + nonce)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def parse(text: str) -> RefreshToken:
    """Read a token; raises :class:`Unauthenticated` ``token_invalid`` for what cannot be one."""
    if len(text) != _TEXT_LENGTH or not text.isascii():
        raise errors.invalid_refresh_token()
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
        session_id, generation = _HEAD.unpack_from(raw)
    except (binascii.Error, struct.error):
        raise errors.invalid_refresh_token() from None
    if not 0 < session_id <= BIGINT_MAX:
        raise errors.invalid_refresh_token()
    return RefreshToken(text, session_id, generation)
