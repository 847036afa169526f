"""Becoming known and ceasing to be: register, log in, refresh, log out, reset, confirm; the sessions.

Each address that only takes a POST answers GET with its form, so that links to it lead somewhere.
"""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.characters import visible
from marketplace_api.domain.identity.accounts import recovery, registration, sessions
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.identity import accounts as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.identity.accounts import AuthContext, MeContext, SessionContext, SessionsContext
from marketplace_api.resources.root import ApiContext
from marketplace_api.schemas.identity import accounts as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service


def _service(name: str) -> Service:
    return Service(f"auth-{name}", f"/api/auth/{name}", AuthContext, on="/api/auth", limits="auth")


def _security(request: Request) -> dict[str, Any]:
    """What the functions that begin sessions need to know about the process and the device."""
    registry = request.registry
    return {
        "databases": registry.databases,
        "keys": registry.signing_keys,
        "rules": registry.account_rules,
        "device": visible(request.user_agent or "")[:255],
        "address": (request.address)[:64],
    }


registering = _service("register")
logging_in = _service("login")
refreshing = _service("refresh")
logging_out = _service("logout")
own = _service("me")
requesting_reset = _service("request-password-reset")
resetting = _service("reset-password")
confirming = _service("verify-email")
resending = _service("resend-verification")
session_list = Service("sessions", "/api/auth/sessions", SessionsContext)
session_item = Service("session", "/api/auth/sessions/{session_id}", SessionContext)


def _is_welcome(context: AuthContext, actor: Actor) -> bool:
    """The entry offers it to whom it serves; at its own address everyone may begin another session."""
    return actor.user_id is None or context.page is None


@registering.operation(
    "POST",
    "register",
    P.ACCOUNT_REGISTER,
    title="Register",
    body=schemas.Register,
    applies=_is_welcome,
    success=201,
    shown_on=(ApiContext,),
    result="token_pair",
)
def register(request: Request) -> Representation:
    pair = registration.register(request.db, actor=request.actor, **_security(request), **request.validated)
    return represent.token_pair(pair)


@logging_in.operation(
    "POST",
    "login",
    P.SESSION_BEGIN,
    title="Log in",
    body=schemas.LogIn,
    applies=_is_welcome,
    shown_on=(ApiContext,),
    result="token_pair",
)
def log_in(request: Request) -> Representation:
    return represent.token_pair(
        sessions.log_in(request.db, actor=request.actor, **_security(request), **request.validated)
    )


@refreshing.operation(
    "POST", "refresh", P.SESSION_BEGIN, title="Get a new pair of tokens", body=schemas.Refresh, result="token_pair"
)
def refresh(request: Request) -> Representation:
    return represent.token_pair(
        sessions.refresh(request.db, actor=request.actor, **_security(request), **request.validated)
    )


@logging_out.operation(
    "POST", "logout", P.SESSION_END, title="Log out", body=schemas.LogOut, shown_on=(ApiContext,), result="message"
)
def log_out(request: Request) -> Representation:
    sessions.log_out(request.db, request.actor, scope=request.validated["scope"])
    return message("Logged out successfully", "/api")


@own.operation("GET", "read-me", P.ACCOUNT_READ, title="Read your account", query=schemas.ReadMe, result="me")
def me(request: Request) -> Representation:
    return represent.me(request.context.me(), request.query["fields"])


@requesting_reset.operation(
    "POST",
    "request-password-reset",
    P.PASSWORD_RESET,
    title="Ask for a password reset",
    body=schemas.RequestPasswordReset,
    result="message",
)
def request_password_reset(request: Request) -> Representation:
    recovery.request_password_reset(request.db, email=request.validated["email"], actor=request.actor)
    return message("Password reset email sent", "/api")


@resetting.operation(
    "POST", "reset-password", P.PASSWORD_RESET, title="Set a new password", body=schemas.ResetPassword, result="message"
)
def reset_password(request: Request) -> Representation:
    body = request.validated
    recovery.reset_password(
        request.db,
        request.registry.account_rules,
        token=body["token"],
        new_password=body["newPassword"],
        actor=request.actor,
    )
    return message("Password reset successful", "/api/auth/login")


@confirming.operation(
    "POST",
    "verify-email",
    P.EMAIL_CONFIRM,
    title="Confirm an e-mail address",
    body=schemas.ConfirmEmail,
    result="message",
)
def confirm_email(request: Request) -> Representation:
    recovery.confirm_email(
        request.db, request.registry.account_rules, token=request.validated["token"], actor=request.actor
    )
    return message("Email verified", "/api")


def _unconfirmed(context: AuthContext, _actor: Actor) -> bool:
    return context.me().awaits_confirmation


@resending.operation(
    "POST",
    "resend-verification",
    P.EMAIL_RESEND,
    title="Send the confirmation mail again",
    applies=_unconfirmed,
    shown_on=(MeContext,),
    result="message",
)
def resend_verification(request: Request) -> Representation:
    recovery.request_email_confirmation(request.db, request.actor)
    return message("Verification email sent", "/api/users/me")


@session_list.operation(
    "GET", "list-sessions", P.SESSION_LIST, title="List your sessions", query=schemas.ListSessions, result="sessions"
)
def list_sessions(request: Request) -> Representation:
    page = sessions.list_sessions(request.db, request.actor, page_request(request.query))
    return represent.sessions(request, page, request.context)


@session_item.operation("GET", "read-session", P.SESSION_LIST, title="Read a session", result="session")
def read_session(request: Request) -> Representation:
    return represent.session(request.context)


@session_item.operation("DELETE", "end", P.SESSION_END, title="End this session", result="message")
def end_session(request: Request) -> Representation:
    sessions.end(request.db, request.actor, request.context.row.session_id)
    return message("Session ended", "/api/auth/sessions")


for _offered in (registering, logging_in, refreshing, logging_out, requesting_reset, resetting, confirming, resending):
    _offered.offer_form()
