"""Sessions: logging in, refreshing, logging out, and who a caller is.

Times are the database's (the start of the transaction, UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import (
    errors,
    known_devices,
    login_throttle,
    queries,
    refresh_tokens,
    token_rotation,
)
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import ANONYMOUS, Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.paging import (
    TOTAL_CAP,
    Page,
    PageRequest,
    assemble,
    decode_cursor,
    fingerprint,
    offset_of,
)
from marketplace_api.domain.kernel.tokens import AccessClaims, SigningKeys, hash_opaque
from marketplace_api.errors import NotFound, Unauthenticated
from marketplace_api.models.identity.accounts import AccountSession, User

_s = AccountSession.__table__.c
_u = User.__table__.c
_LIVE = sa.and_(_s.ended_at.is_(None), _s.expires_at > sa.func.now())

# Log-in looks an account up by what was typed; the index is on the lowered address.
_CREDENTIALS = sa.select(_u.user_id, _u.email, _u.password_hash, _u.state).where(
    sa.func.lower(_u.email) == sa.func.lower(sa.bindparam("email", type_=sa.String))
)

# One row, on every authenticated request: the database finds out who calls, and keeps it for its policies.
_IDENTITY = Prepared(
    sa.text("SELECT username, roles, suspended, powers FROM identify_caller(:session_id, :user_id, :lasting)")
)

# The id goes into the refresh token, whose hash goes into the row: so it is drawn first, with 122 random
# bits.
_NEXT_ID = sa.select(
    sa.func.nextval(sa.func.pg_get_serial_sequence("sessions", "session_id")),
    sa.func.uuid_send(sa.func.gen_random_uuid()),
)

_OWN_COLUMNS = (_s.session_id, _s.user_id, _s.device, _s.address, _s.date_created, _s.last_used, _s.expires_at)
_OWN_ORDER = (_s.last_used, _s.session_id)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a log-in gives: an access token good for ``expires_in`` seconds, a refresh token for the next one."""

    token: str
    refresh_token: str
    expires_in: int
    user: User
    session_id: int
    token_type: str = "Bearer"


def log_in(
    session: Session,
    databases: Databases,
    keys: SigningKeys,
    rules: AccountRules,
    *,
    email: str,
    password: str,
    device: str,
    address: str,
    actor: Actor,
    refresh_token: str | None = None,
) -> TokenPair:
    """Begin a session; a deactivated account comes back to life by it.

    ``refresh_token`` is the last one that the device had: a device that is known waits for nobody else's failures.

    Raises :class:`Unauthenticated` ``invalid_credentials`` for a wrong password and for an unknown address
    alike, in the same time; :class:`RateLimited` after too many failures; :class:`Forbidden`
    ``account_banned``, but only to who knows the password. No connection is held while the password is
    checked.
    """
    with databases.separately() as short:
        account = short.execute(_CREDENTIALS, {"email": email}).one_or_none()
        known = known_devices.recognise(
            short,
            rules,
            account.user_id if account else None,
            device=_short(device, 255),
            address=_short(address, 64),
            refresh_token=refresh_token,
        )
        named = account.email if account else email
        attempt = login_throttle.Attempt(rules, named, address, password=password, known=known)
        login_throttle.admit(short, attempt)
    right = passwords.matches(password, account.password_hash if account else None, rules.bcrypt_cost)
    if account is None or not right:
        with databases.separately() as short:
            login_throttle.count_failure(short, attempt)
        raise errors.invalid_credentials()
    upgraded = None
    if passwords.needs_upgrade(account.password_hash, rules.bcrypt_cost):
        upgraded = passwords.hash_password(password, rules.bcrypt_cost)
    user, now = queries.lock_user(session, account.user_id)
    if user.password_hash != account.password_hash:  # changed, or erased, while it was checked
        raise errors.invalid_credentials()
    row_security.act_for(session, user.user_id)
    _come_back(session, user, actor)
    user.password_hash = upgraded or user.password_hash
    login_throttle.clear(session, attempt)
    new_device = _is_new_device(session, user, device, address)
    pair = begin(session, keys, rules, user, device=device, address=address, now=now)
    new = {"session_id": pair.session_id, "new_device": new_device}
    record(session, _as(user, actor), EventType.USER_LOGGED_IN, user.user_id, new=new)
    return pair


def begin(
    session: Session, keys: SigningKeys, rules: AccountRules, user: User, *, device: str, address: str, now: datetime
) -> TokenPair:
    """A new session of an account that has just proved itself; ``now`` is the time by the database."""
    session_id, nonce = session.execute(_NEXT_ID).one()
    refresh_token = refresh_tokens.make(rules, session_id, 0, nonce)
    row = AccountSession(
        session_id=session_id,
        user_id=user.user_id,
        refresh_nonce=nonce,
        refresh_hash=hash_opaque(refresh_token),
        refresh_generation=0,
        rotated_at=now,
        date_created=now,
        last_used=now,
        expires_at=now + rules.session_lifetime,
        device=_short(device, 255),
        address=_short(address, 64),
    )
    session.add(row)
    user.last_login = now
    session.flush()
    return _pair(keys, rules, user, row, refresh_token=refresh_token, now=now)


def refresh(
    session: Session,
    databases: Databases,
    keys: SigningKeys,
    rules: AccountRules,
    *,
    refresh_token: str,
    device: str,
    address: str,
    actor: Actor = ANONYMOUS,
) -> TokenPair:
    """Trade a refresh token for the next pair (rotation with reuse detection, RFC 9700, section 4.14.2).

    Within ``token_rotation.GRACE`` of the trade the same token yields the same pair again. Raises
    :class:`Unauthenticated`: ``token_invalid`` for what we never made, ``session_ended`` for a session that
    is over or whose account may not act, ``refresh_token_reused`` for an older token; the latter ends the
    session, whatever becomes of the request.
    """
    token = refresh_tokens.parse(refresh_token)
    try:
        # Undoing the savepoint gives the row's lock back, for which ``end_stolen`` would wait for ever.
        with session.begin_nested(), row_security.elevated(session):
            row, user, current, now = token_rotation.rotate(
                session, rules, token, device=_short(device, 255), address=_short(address, 64)
            )
    except Unauthenticated as refusal:
        if refusal.code == token_rotation.REUSED:
            with databases.separately() as short, row_security.elevated(short):
                token_rotation.end_stolen(short, token.session_id, actor)
        raise
    return _pair(keys, rules, user, row, refresh_token=current, now=now)


def identify(db: Reader, claims: AccessClaims, request_id: str | None, *, replica: Reader | None = None) -> Actor:
    """The caller behind an access token, in one query of one row; ``db`` is theirs from here on.

    With a ``replica``, that is theirs, and ``db`` is only asked. A suspension that has run out counts as over. Raises
    :class:`Unauthenticated` ``session_ended`` when the session is over or the account may not act.
    """
    alone = replica is None and not isinstance(db, Session)
    lasting = alone and row_security.keeps_caller(db)
    if lasting:
        row_security.note_caller(db)
    elif alone:
        row_security.forget_caller(db)
    values = {"session_id": claims.session_id, "user_id": claims.user_id, "lasting": lasting}
    row = _IDENTITY.first(db, values)
    if row is None:
        raise errors.session_ended()
    username, roles, suspended, powers = row
    if replica is not None or (alone and not lasting):
        row_security.introduce(db if replica is None else replica, claims.user_id, powers)
    return Actor(
        user_id=claims.user_id,
        username=username,
        roles=frozenset(roles),
        state="suspended" if suspended else "active",
        session_id=claims.session_id,
        request_id=request_id,
    )


def list_sessions(db: Reader, actor: Actor, page: PageRequest) -> Page:
    """The caller's live sessions, last used first; raises :class:`Invalid` for a page or cursor that leads nowhere."""
    list_hash = fingerprint("sessions", actor.user_id)
    position = decode_cursor(page.cursor, list_hash, (datetime, int)) if page.cursor else None
    backward = position is not None and position.backward
    statement = sa.select(*_OWN_COLUMNS).where(_s.user_id == actor.user_id, _LIVE)
    counted = statement.limit(TOTAL_CAP + 1).subquery()
    if position is None:
        statement = statement.offset(offset_of(page))
    else:
        place, here = sa.tuple_(*_OWN_ORDER), sa.tuple_(*position.keys, types=[_s.last_used.type, sa.BigInteger()])
        statement = statement.where(place > here if backward else place < here)
    order = (column.asc() if backward else column.desc() for column in _OWN_ORDER)
    found = db.execute(statement.order_by(*order).limit(page.limit + 1)).all()
    total = db.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()
    return assemble(found, page, position, list_hash, lambda row: (row.last_used, row.session_id), total=total)


def find_own(db: Reader, actor: Actor, session_id: int) -> Any | None:
    """One live session of the caller as :func:`list_sessions` gives it, or ``None``."""
    mine = sa.and_(_s.session_id == session_id, _s.user_id == actor.user_id, _LIVE)
    return db.execute(sa.select(*_OWN_COLUMNS).where(mine)).first()


def log_out(session: Session, actor: Actor, *, scope: str = "this") -> int:
    """End ``this`` session of the caller, all ``others`` or ``all``; returns how many ended."""
    if scope == "this":
        return _end_where(session, _s.session_id == actor.session_id, "logged_out", actor, actor.user_id)
    kept = actor.session_id if scope == "others" else None
    return end_all(session, actor.user_id or 0, "logged_out", except_session=kept, actor=actor)


def end(session: Session, actor: Actor, session_id: int) -> None:
    """End one of the caller's sessions; raises :class:`NotFound` when it is not theirs or over."""
    if not _end_where(session, _s.session_id == session_id, "ended_by_owner", actor, actor.user_id):
        raise NotFound("You have no such session.")


def end_one(session: Session, user_id: int, session_id: int, reason: str, *, actor: Actor) -> None:
    """End one session of an account; ``reason`` as in :func:`end_all`. Raises :class:`NotFound` when it is over."""
    if not _end_where(session, _s.session_id == session_id, reason, actor, user_id):
        raise NotFound("The account has no such session.")


def end_all(
    session: Session, user_id: int, reason: str, *, except_session: int | None = None, actor: Actor = ANONYMOUS
) -> int:
    """End an account's sessions, but for one; ``reason`` is a word of up to 30 characters. Returns how many
    ended.

    Where an account loses rights, its row is locked before, so that no log-in slips through beside it.
    """
    others = _s.session_id != except_session if except_session is not None else sa.true()
    return _end_where(session, others, reason, actor, user_id)


def _end_where(session: Session, which: sa.ColumnElement[bool], reason: str, actor: Actor, user_id: int | None) -> int:
    statement = (
        sa.update(AccountSession)
        .where(which, _s.user_id == user_id, _LIVE)
        .values(ended_at=sa.func.now(), end_reason=reason)
        .returning(_s.session_id)
        .execution_options(synchronize_session=False)
    )
    ended = sorted(session.execute(statement).scalars())
    for session_id in ended:
        new = {"user_id": user_id, "reason": reason}
        record(session, actor, EventType.SESSION_ENDED, session_id, new=new)
    return len(ended)


def _is_new_device(session: Session, user: User, device: str, address: str) -> bool:
    """Whether no session that is known of was on this device at this address; nothing is new at the first log-in."""
    here = sa.and_(_s.user_id == user.user_id, _s.device == _short(device, 255), _s.address == _short(address, 64))
    return user.last_login is not None and not session.execute(sa.select(sa.exists().where(here))).scalar_one()


def _come_back(session: Session, user: User, actor: Actor) -> None:
    if user.state == "banned":
        raise errors.banned(user.state_reason)
    if user.state == "deactivated":
        user.state, user.deactivated_at = "active", None
        user.version += 1
        queries.hide_belongings(session, user.user_id, hidden=False)
        record(session, _as(user, actor), EventType.USER_REACTIVATED, user.user_id)


def _pair(
    keys: SigningKeys, rules: AccountRules, user: User, row: AccountSession, *, refresh_token: str, now: datetime
) -> TokenPair:
    # Dated from the turn of the refresh token, so that a repeated trade gives the very same pair.
    token = keys.sign(
        user.user_id, row.session_id, row.rotated_at, rules.access_lifetime, generation=row.refresh_generation
    )
    left = rules.access_lifetime - max(now - row.rotated_at, timedelta())
    return TokenPair(token, refresh_token, int(left.total_seconds()), user, row.session_id)


def _as(user: User, actor: Actor) -> Actor:
    """The caller as the account they have just proved to be; nameless, for the log keeps what it is told."""
    return Actor(user_id=user.user_id, request_id=actor.request_id, reason=actor.reason)


def _short(text: str, length: int) -> str:
    return text.replace("\x00", "")[:length]
