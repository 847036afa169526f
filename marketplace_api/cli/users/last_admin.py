"""The last active admin goes only at the command line, by an operator who was told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marketplace_api.cli.context import Context

if TYPE_CHECKING:
    from marketplace_api.domain.kernel.actors import Actor

WARNING = "This is the last active admin: another can then be made by `users set-role USER admin` only."


def is_last(session: Any, actor: Actor, account: Any) -> bool:
    """Whether the operator would take away the last active admin; who acts under an account (``--as``) never may."""
    from marketplace_api.domain.identity.accounts import admins

    return actor.user_id is None and admins.is_last(session, account)


def ask(context: Context, question: str, *, is_last: bool, dry_run: bool) -> None:
    """Have ``question`` confirmed, and what it means where the account ``is_last``; a rehearsal only tells."""
    if dry_run:
        if is_last:
            context.output.remark(WARNING)
        return
    context.output.confirm(f"{WARNING} {question}" if is_last else question)
