"""Carrying out a batch of moderation part by part, and telling what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from marketplace_api.cli.context import Context
from marketplace_api.cli.error_summary import ErrorSummary
from marketplace_api.cli.exit_codes import CONFLICT, DONE, PARTLY_DONE
from marketplace_api.cli.signals import interruptible
from marketplace_api.cli.terminal import say_line

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases
    from marketplace_api.domain.kernel.actors import Actor

OUTCOMES = ("waiting", "changed", "skipped", "restored", "kept")
MOST_LOOKED_AT = 1_000
_GO_ON = "`moderation resume {0}` goes on, `moderation undo {0}` takes it back."

Part = Callable[[Any, "Actor", int], int]


def carry_out(context: Context, databases: Databases, actor: Actor, batch_id: int, part: Part) -> None:
    """Part by part until all is done or Ctrl-C, which ends it between two parts; exits with the command's code."""
    from marketplace_api.domain.trust.moderation import batches, locks
    from marketplace_api.errors import Conflict

    with databases.session() as session:
        batch, before = batches.find(session, batch_id), batches.counts(session, batch_id)
    todo = before.get("waiting" if part is batches.advance else "changed", 0)
    stopped_by, left = None, todo
    with (
        locks.batch_lock(databases, batch_id),
        interruptible() as interrupted,
        context.output.progress(batch.action, todo) as step,
    ):
        # When nothing is left, what is missing is but to say that it is done.
        while not interrupted.is_set() or left <= 0:
            try:
                with databases.session() as session, session.begin():
                    some = part(session, actor, batch_id)
            except Conflict as error:
                stopped_by = error.detail
                break
            except Exception:
                say_line(f"Batch {batch_id} was interrupted; {_GO_ON.format(batch_id)}")
                raise
            if not some:
                break
            left -= some
            step(some)
    with databases.session() as session:
        batch, counts = batches.find(session, batch_id), batches.counts(session, batch_id)
        why = batches.reasons(session, batch_id)
        # An undo tells what it kept: what was skipped before is as it was.
        odd = ("kept",) if part is batches.advance_undo else ("skipped", "kept")
        _name_odd(session, batch, counts, odd)
    message = f"Batch {batch_id} is {batch.state}: {_summary(counts)}{reasons_text(why)}."
    is_interrupted = interrupted.is_set() and batch.state in ("running", "undoing")
    if is_interrupted:
        message += f" Interrupted; {_GO_ON.format(batch_id)}"
    context.output.record(
        outcome_text(batch_id, batch.action, batch.target, batch.matched, counts, why, state=batch.state), message
    )
    if stopped_by:
        raise SystemExit(CONFLICT)
    unclean = is_interrupted or any(counts.get(outcome) for outcome in odd)
    raise SystemExit(PARTLY_DONE if unclean else DONE)


def _name_odd(session: Any, batch: Any, counts: Mapping[str, int], odd: tuple[str, ...]) -> None:
    """Lines for what has one of the ``odd`` outcomes: some of each reason, and how many more there are."""
    from marketplace_api.domain.trust.moderation import batches

    summary, batch_id = ErrorSummary(), batch.batch_id
    for outcome in odd:
        if counts.get(outcome):
            for row in batches.outcomes(session, batch_id, outcome=outcome, limit=MOST_LOOKED_AT):
                # As everywhere: `listing 15: …`, of a batch of listings.
                summary.add(f"{batch.target.removesuffix('s')} {row.subject_id}: {row.detail}", row.detail)
    if summary.print_rest(batches.reasons(session, batch_id, odd)):
        say_line(f"All of them: `moderation show {batch_id} --outcome skipped --limit 100000`, or `--outcome kept`.")


def _summary(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if outcome in counts) or "nothing to do"


def reasons_text(why: Mapping[str, int]) -> str:
    """Why some were, or would be, skipped, as half a sentence."""
    return "".join(f"; {_reason_text(reason.rstrip('.'), number)}" for reason, number in why.items())


def _reason_text(reason: str, number: int) -> str:
    if reason.startswith("It is "):
        return f"{number:,} {'is' if number == 1 else 'are'} {reason.removeprefix('It is ')}"
    return f"{number:,}: {reason}"


def outcome_text(
    batch_id: int | None,
    action: str,
    target: str,
    matched: int,
    counts: dict[str, int],
    why: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    shown = {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}
    return {
        "batch_id": batch_id,
        "action": action,
        "target": target,
        "matched": matched,
        **shown,
        "reasons": dict(why),
        "dry_run": False,
        **more,
    }
