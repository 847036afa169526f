"""The commands of `marketplace-admin users` that judge an account, end its sessions or erase it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import rich_click as click

from marketplace_api.characters import visible
from marketplace_api.cli.bulk import counted, done_word, dry_run_option
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import REASON, UNTIL
from marketplace_api.cli.users import last_admin

_TAKING = ("suspend", "ban")
SESSION_COLUMNS = ("session_id", "device", "address", "date_created", "last_used", "expires_at")

user_argument = click.argument("user", help="An id, a user name or an e-mail address.")
_read_reason = click.option(
    "--reason",
    type=REASON,
    required=True,
    help="Why; the account's owner can read it, and it goes into the audit trail.",
)
_kept_reason = click.option("--reason", type=REASON, help="Why; goes into the audit trail.")


@click.command()
@user_argument
@click.option(
    "--until", type=UNTIL, metavar="WHEN", help="A date, a time, or a span such as 7d; else until further notice."
)
@_read_reason
@dry_run_option
@pass_context
def suspend(context: Context, user: str, until: datetime | None, reason: str, dry_run: bool) -> None:
    """Let an account only read and appeal.

    Example: `marketplace-admin users suspend ada --until 7d --reason "Insults in three reviews."`
    """
    from marketplace_api.domain.identity.accounts import lifecycle

    _judge(context, user, "suspend", lifecycle.suspend, reason=reason, until=until, dry_run=dry_run)


@click.command()
@user_argument
@_read_reason
@dry_run_option
@pass_context
def reinstate(context: Context, user: str, reason: str, dry_run: bool) -> None:
    """Lift a suspension or a ban at once.

    Example: `marketplace-admin users reinstate ada --reason "The appeal was right."`
    """
    from marketplace_api.domain.identity.accounts import lifecycle

    _judge(context, user, "reinstate", lifecycle.reinstate, reason=reason, until=None, dry_run=dry_run)


@click.command()
@user_argument
@_read_reason
@dry_run_option
@pass_context
def ban(context: Context, user: str, reason: str, dry_run: bool) -> None:
    """Shut an account out for good, after a question: its sessions end, its listings are hidden. `reinstate` undoes it.

    Example: `marketplace-admin --yes users ban ada --reason "Sold stolen goods."`
    """
    from marketplace_api.domain.identity.accounts import lifecycle

    _judge(context, user, "ban", lifecycle.ban, reason=reason, until=None, dry_run=dry_run)


def _judge(
    context: Context,
    user: str,
    action: str,
    act: Callable[..., Any],
    *,
    reason: str,
    until: datetime | None,
    dry_run: bool,
) -> None:
    from marketplace_api.domain.identity.accounts import lifecycle

    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session)
            found = lifecycle.find(session, user)
            is_last = action in _TAKING and last_admin.is_last(session, actor, found)
            user_id, name = found.user_id, found.username
        if action == "ban" or is_last:
            last_admin.ask(context, f"{action.capitalize()} {name}?", is_last=is_last, dry_run=dry_run)
        more = {"also_last_admin": True} if is_last else {}
        with databases.session() as session, session.begin():
            found = lifecycle.find(session, str(user_id))
            before, was_until, was_reason = found.state, found.suspended_until, found.state_reason
            account = act(session, actor, user_id, reason=reason, until=until, **more)
            done = {
                "action": action,
                "user_id": user_id,
                "username": account.username,
                "previous_state": before,
                "previous_suspended_until": was_until,
                "previous_reason": was_reason,
                "state": account.state,
                "suspended_until": account.suspended_until,
                "reason": reason,
                "dry_run": dry_run,
            }
            if dry_run:
                session.rollback()
    verb = "would be" if dry_run else "is"
    term = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    message = f"{done['username']} {verb} {done_word(action)}{term} (was {before})."
    if action == "suspend" and before == "suspended":
        said = f"until {was_until:%Y-%m-%d %H:%M} UTC" if was_until else "until further notice"
        message += f" This replaces the suspension {said}: “{visible(was_reason or '')}”"
    context.output.record(done, message)


@click.command()
@user_argument
@_kept_reason
@click.option("--dry-run", is_flag=True, help="Say what would go and change nothing.")
@pass_context
def erase(context: Context, user: str, reason: str | None, dry_run: bool) -> None:
    """Erase an account's personal data at once. Nobody can undo it.

    The account becomes nameless and cannot be logged in to; its listings are deleted, its documents, bookmarks and
    notifications too. Reviews and messages stay for those who got them, without a name.

    Example: `marketplace-admin users erase ada@example.org --reason "Asked for by letter."`
    """
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.identity.accounts.config import AccountRules
    from marketplace_api.domain.privacy import erasure, overview

    rules = AccountRules.from_settings(context.settings)
    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session, reason)
            account = lifecycle.find(session, user)
            user_id, name, email = account.user_id, account.username, account.email
            is_last = last_admin.is_last(session, actor, account)
            goes = overview.erased_with(session, user_id)
        told = ", ".join(counted(number, kind[:-1]) for kind, number in goes.items() if number)
        whom = f"the account {name} ({email or 'no address'})" + (f" with {told}" if told else "")
        last_admin.ask(context, f"Erase {whom}? Nobody can undo this.", is_last=is_last, dry_run=dry_run)
        with databases.session() as session, session.begin():
            erasure.erase(session, rules, actor, user_id, also_last_admin=is_last)
            if dry_run:
                session.rollback()
    values = {"action": "erase", "user_id": user_id, "username": name, "erased": goes, "dry_run": dry_run}
    context.output.record(values, f"{'Would erase' if dry_run else 'Erased'} {whom}.")


@click.command()
@user_argument
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Sessions at most.")
@pass_context
def sessions(context: Context, user: str, limit: int) -> None:
    """Show where an account is logged in, the last used first.

    Example: `marketplace-admin users sessions ada`
    """
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.identity.accounts import sessions as known
    from marketplace_api.domain.kernel.actors import Actor
    from marketplace_api.domain.kernel.paging import PageRequest

    with context.databases() as databases, databases.session() as session:
        owner = Actor(user_id=lifecycle.find(session, user).user_id)
        found = known.list_sessions(session, owner, PageRequest(limit=limit))
    context.output.rows(
        SESSION_COLUMNS, [{name: getattr(row, name) for name in SESSION_COLUMNS} for row in found.items]
    )
    if found.total > limit:
        context.output.remark(f"… of {found.total:,} in all.")


@click.command()
@user_argument
@click.option(
    "--session",
    "session_id",
    type=click.IntRange(1, 2**63 - 1),
    metavar="ID",
    help="Only this one, as `users sessions` shows it; else all.",
)
@_kept_reason
@dry_run_option
@pass_context
def logout(context: Context, user: str, session_id: int | None, reason: str | None, dry_run: bool) -> None:
    """End an account's sessions; it acts at once.

    Example: `marketplace-admin users logout ada --reason "A laptop was stolen."`
    """
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.privacy import overview

    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session, reason)
            account = lifecycle.find(session, user)
            user_id, name = account.user_id, account.username
            live = overview.erased_with(session, user_id)["sessions"]
        if session_id is None and live > 1 and not dry_run:
            context.output.confirm(f"End {counted(live, 'session')} of {name}?")
        with databases.session() as session, session.begin():
            ended = lifecycle.log_out(session, actor, user_id, session_id)
            if dry_run:
                session.rollback()
    values = {"action": "logout", "user_id": user_id, "username": name, "ended": ended, "dry_run": dry_run}
    context.output.record(values, f"{'Would end' if dry_run else 'Ended'} {counted(ended, 'session')} of {name}.")


@click.command("send-password-reset")
@user_argument
@_kept_reason
@dry_run_option
@pass_context
def send_password_reset(context: Context, user: str, reason: str | None, dry_run: bool) -> None:
    """Mail an account's owner the link that sets a new password; at most once a minute.

    Example: `marketplace-admin users send-password-reset ada@example.org`
    """
    from marketplace_api.domain.identity.accounts import lifecycle, recovery

    with context.acting(reason) as (session, _):
        account = lifecycle.find(session, user)
        recovery.send_password_reset(session, context.actor(session, reason), account.user_id)
        values = {
            "action": "send-password-reset",
            "user_id": account.user_id,
            "username": account.username,
            "email": account.email,
            "dry_run": dry_run,
        }
        if dry_run:
            session.rollback()
    verb = "would be sent" if dry_run else "is on its way"
    context.output.record(values, f"A mail to set a new password {verb} to {values['email']}.")


JUDGING = (suspend, reinstate, ban, erase, sessions, logout, send_password_reset)
