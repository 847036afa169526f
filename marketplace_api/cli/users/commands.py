"""`marketplace-admin users`: accounts; the commands that judge them have a file of their own."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import REASON, SINCE
from marketplace_api.cli.users import last_admin
from marketplace_api.cli.users.moderation import JUDGING, SESSION_COLUMNS, user_argument

ROLES = ("customer", "driver", "moderator", "staff", "admin")
STATES = ("active", "suspended", "banned", "deactivated", "erased")
COLUMNS = ("user_id", "username", "email", "roles", "state", "is_verified", "date_joined", "last_login")
VERIFICATION = ("verification_id", "status", "date_submitted", "date_decided", "expires_at")


@click.group()
def users() -> None:
    """Accounts. USER is an id, a user name or an e-mail address, everywhere."""


for command in JUDGING:
    users.add_command(command)


@users.command("list")
@click.option("--search", default="", metavar="TEXT", help="A part of the user name or the e-mail address.")
@click.option("--role", type=click.Choice(ROLES), help="Only accounts with this role.")
@click.option("--state", type=click.Choice(STATES), help="Only accounts in this state.")
@click.option("--verified", type=click.Choice(("yes", "no")), help="Only verified accounts, or only others.")
@click.option("--joined-since", type=SINCE, metavar="WHEN", help="A date, a time, or an age such as 7d.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Accounts at most.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="ID", help="Begin behind this id.")
@pass_context
def list_users(
    context: Context,
    *,
    search: str,
    role: str | None,
    state: str | None,
    verified: str | None,
    joined_since: datetime | None,
    limit: int,
    after: int,
) -> None:
    """Show accounts by id.

    Example: `marketplace-admin --json users list --role admin --joined-since 30d`
    """
    from marketplace_api.domain.identity.accounts import admin_search

    with context.databases() as databases, databases.session() as session:
        found = admin_search.list_accounts(
            session,
            search=search,
            role=role,
            state=state,
            verified={"yes": True, "no": False}.get(verified or ""),
            joined_since=joined_since,
            limit=limit,
            after=after,
        )
    context.output.rows(COLUMNS, [dict(row._mapping) for row in found])
    if len(found) == limit:
        context.output.remark(f"There may be more: --after {found[-1].user_id}")


@users.command()
@user_argument
@pass_context
def show(context: Context, user: str) -> None:
    """Show one account: its state, its listings, reports about it, its verification, its last sessions, and what was
    done to it: who suspended it, when and why, for example.

    Example: `marketplace-admin users show ada@example.org`
    """
    from marketplace_api.cli.events import format as event_format
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.privacy import overview

    with context.databases() as databases, databases.session() as session:
        account = _account(lifecycle.find(session, user))
        user_id = account["user_id"]
        listings, verification = overview.listing_counts(session, user_id), overview.verification(session, user_id)
        account["open_reports"] = overview.open_reports(session, user_id)
        last_sessions = [dict(row._mapping) for row in overview.last_sessions(session, user_id)]
        history = event_format.deeds(session, overview.last_deeds(session, user_id))
    if context.for_programs:
        parts = {name: getattr(verification, name) for name in VERIFICATION} if verification is not None else None
        more = {"verification": parts, "sessions": last_sessions, "history": history}
        context.output.record({**account, "listings": listings, **more})
        return
    account["listings"] = [f"{count:,} {status.replace('_', ' ')}" for status, count in sorted(listings.items())]
    account["verification"] = f"{verification.status} ({verification.verification_id})" if verification else "none"
    context.output.record(account)
    if last_sessions:
        context.output.rows((*SESSION_COLUMNS, "ended_at", "end_reason"), last_sessions)
    if history:
        context.output.rows(event_format.DEED_COLUMNS, history)
    context.output.remark(f"All that happened to it: `events tail --subject user:{user_id}`.")


@users.command()
@click.argument("email", help="The address that the account logs in with; nobody else may have it.")
@click.option("--username", required=True, help="3 to 50 characters.")
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="May be repeated; `customer` always is.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--no-password", is_flag=True, help="They set one by the link that `users send-password-reset` mails them."
)
@click.option("--unconfirmed", is_flag=True, help="Have the address confirmed by mail first.")
@click.option("--dry-run", is_flag=True, help="Check everything and change nothing.")
@pass_context
def create(
    context: Context,
    email: str,
    username: str,
    roles: tuple[str, ...],
    password_stdin: bool,
    no_password: bool,
    unconfirmed: bool,
    dry_run: bool,
) -> None:
    """Make an account.

    Example: `marketplace-admin users create ada@example.org --username ada --role admin`
    """
    from marketplace_api.domain.identity.accounts import registration
    from marketplace_api.domain.identity.accounts.config import AccountRules

    password = None if no_password else _password(password_stdin)
    fields = _checked(username, email)
    with context.acting() as (session, actor):
        account = registration.create_account(
            session,
            AccountRules.from_settings(context.settings),
            username=fields["username"],
            email=fields["email"],
            password=password,
            roles=roles,
            actor=actor,
            confirmed=not unconfirmed,
        )
        session.flush()
        done = {**_account(account), "dry_run": dry_run}
        if dry_run:
            session.rollback()
    verb = "would be made" if dry_run else "is made"
    context.output.record(done, f"The account {username} ({email}, {', '.join(done['roles'])}) {verb}.")


@users.command("set-role")
@user_argument
@click.argument(
    "roles",
    metavar="ROLE...",
    type=click.Choice(ROLES),
    nargs=-1,
    required=True,
    help="One or more; `customer` always is.",
)
@click.option("--reason", type=REASON, help="Why; goes into the audit trail.")
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@pass_context
def set_role(context: Context, user: str, roles: tuple[str, ...], reason: str | None, dry_run: bool) -> None:
    """Give an account these roles and no others; its sessions end, so that it acts at once.

    Asks before it makes an admin, and before it takes the role from the last one who is active.

    Example: `marketplace-admin users set-role ada moderator`
    """
    from marketplace_api.domain.identity.accounts import lifecycle

    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session, reason)
            account = lifecycle.find(session, user)
            user_id, name, had = account.user_id, account.username, "admin" in account.roles
            is_last = "admin" not in roles and last_admin.is_last(session, actor, account)
        if is_last or ("admin" in roles and not had):
            question = (
                f"Take the role admin from {name}?" if is_last else f"Make {name} an admin, who may do everything?"
            )
            last_admin.ask(context, question, is_last=is_last, dry_run=dry_run)
        with databases.session() as session, session.begin():
            before = list(lifecycle.find(session, str(user_id)).roles)
            account = lifecycle.set_roles(session, actor, user_id, roles, also_last_admin=is_last)
            done = {**_account(account), "previous_roles": before, "dry_run": dry_run}
            if dry_run:
                session.rollback()
    verb = "would have" if dry_run else "has"
    context.output.record(
        done, f"{done['username']} {verb} the roles {', '.join(done['roles'])} (was {', '.join(before)})."
    )


def _account(user: Any) -> dict[str, Any]:
    return {
        name: getattr(user, name)
        for name in (
            "user_id",
            "username",
            "email",
            "pending_email",
            "email_confirmed_at",
            "roles",
            "state",
            "state_reason",
            "suspended_until",
            "is_verified",
            "date_joined",
            "last_login",
            "deactivated_at",
        )
    }


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Say --password-stdin to pipe the password in, or --no-password.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _checked(username: str, email: str) -> dict[str, str]:
    """User name and address as the API takes them, or an error that says why not."""
    import colander

    from marketplace_api.schemas.base import field_errors
    from marketplace_api.schemas.identity.accounts import Register

    try:
        found = Register().deserialize({"username": username, "email": email, "password": "checked by the domain"})
    except colander.Invalid as problem:
        told = "; ".join(f"{error.name}: {error.message}" for error in field_errors(problem, "body"))
        raise click.UsageError(told) from None
    return {"username": found["username"], "email": found["email"]}
