"""`marketplace-admin jobs`: run a worker, look at the queue, try failed jobs again, take back those that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli import CONFLICT, DONE, NOT_FOUND, PARTLY_DONE
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.values import SINCE

if TYPE_CHECKING:
    from marketplace_api.db import Databases

STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
QUEUES = ("default", "mail", "sms", "push", "media", "webhooks")
COLUMNS = ("job_id", "task", "queue", "status", "attempts", "scheduled_at", "args", "error")
RUNS = ("task", "cron", "last_run", "outcome", "seconds", "error", "next_run", "overdue", "purpose")
LARGEST = 2**63 - 1


@click.group()
def jobs() -> None:
    """The job queue."""


@jobs.command()
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Jobs of the default queue worked on at a time; half as many of each other queue.",
)
@click.option("--queue", "queues", type=click.Choice(QUEUES), multiple=True, help="Only this queue; may be repeated.")
@pass_context
def run(context: Context, threads: int, queues: tuple[str, ...]) -> None:
    """Work until SIGTERM or Ctrl-C, then finish the jobs in hand.

    Each queue has threads of its own, so a mail server that does not answer holds up nothing but mail.

    Example: `marketplace-admin --ini production.ini jobs run --queue mail --queue sms`
    """
    from marketplace_api import boot, migrations
    from marketplace_api.crash_reports import configure_sentry
    from marketplace_api.jobs.worker import Work, run_worker
    from marketplace_api.logs import configure_logging
    from marketplace_api.models.jobs import Queue
    from marketplace_api.serve import end_with_supervisor
    from marketplace_api.version import VERSION

    end_with_supervisor()
    configure_logging(context.settings.log_level)
    configure_sentry(context.settings, VERSION)
    with context.databases() as databases:
        url = boot.connection_url(databases)
        if not migrations.suffices(boot.current_revision(url)):
            raise click.ClickException("The database is not migrated: run `marketplace-admin db upgrade` first.")
        run_worker(context.settings, databases, Work(threads, tuple(map(Queue, queues or QUEUES))))


@jobs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only jobs in this state.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--task", metavar="NAME", help="Only jobs of this task, or of this handler of events.")
@click.option(
    "--since", type=SINCE, help="Only jobs put into the queue since then: an age such as 2h, or a date (UTC)."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Jobs at most.")
@pass_context
def list_jobs(
    context: Context, *, status: str | None, queue: str | None, task: str | None, since: datetime | None, limit: int
) -> None:
    """Show jobs, newest first, with the last error of each. Those that succeeded are deleted at once.

    Example: `marketplace-admin jobs list --status failed --since 1d`
    """
    from marketplace_api.jobs import board

    chosen = board.Chosen(status=status, queue=queue, task=task, since=since)
    with context.databases() as databases, databases.session() as session:
        context.output.rows(COLUMNS, board.list_jobs(session, chosen, limit))


@jobs.command()
@click.argument("job_id", type=click.IntRange(1, LARGEST), help="The job's id, as `jobs list` shows it.")
@pass_context
def show(context: Context, job_id: int) -> None:
    """Show one job, what became of it, and how each attempt at it failed.

    Example: `marketplace-admin jobs show 42`
    """
    from marketplace_api.jobs import board

    with context.databases() as databases, databases.session() as session:
        job = board.find(session, job_id)
    if context.for_programs:
        context.output.record(job)
        return
    history, errors = job.pop("history"), job.pop("errors")
    context.output.record(job)
    context.output.rows(("at", "what"), history)
    if errors:
        context.output.rows(("at", "attempt", "error", "message", "place"), errors)


@jobs.command()
@click.argument(
    "job_ids", nargs=-1, type=click.IntRange(1, LARGEST), metavar="ID…", help="Jobs, as `jobs list` shows them."
)
@click.option("--failed", is_flag=True, help="All that failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be tried again and change nothing.")
@pass_context
def retry(context: Context, job_ids: tuple[int, ...], failed: bool, dry_run: bool) -> None:
    """Put failed jobs back into the queue, to run now. Each is done by itself: one that cannot be does not stop others.

    Example: `marketplace-admin jobs retry --failed --dry-run`

    Exit codes: 0 done, 3 there is none of that id, 4 not failed, 5 some could not be.
    """
    from marketplace_api.jobs import board

    if bool(job_ids) == failed:
        raise click.UsageError("Name jobs by their ids, or all that failed with --failed.")
    with context.databases() as databases:
        ids = _failed(databases) if failed else dict.fromkeys(job_ids)
        _each(context, databases, ids, board.retry, board.RETRIED, "in the queue again", dry_run=dry_run)


@jobs.command()
@click.argument(
    "job_ids", nargs=-1, required=True, type=click.IntRange(1, LARGEST), metavar="ID…",
    help="Jobs, as `jobs list` shows them.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be cancelled and change nothing.")
@pass_context
def cancel(context: Context, job_ids: tuple[int, ...], dry_run: bool) -> None:
    """Take back jobs that wait; a running one ends by itself. Each is done by itself.

    Example: `marketplace-admin jobs cancel 42 43`

    Exit codes: 0 done, 3 there is none of that id, 4 it runs or has run, 5 some could not be.
    """
    from marketplace_api.jobs import board

    with context.databases() as databases:
        _each(
            context, databases, dict.fromkeys(job_ids), board.cancel, board.CANCELLED, "cancelled", dry_run=dry_run
        )  # fmt: skip


@jobs.command()
@pass_context
def schedule(context: Context) -> None:
    """Show what runs by the clock (UTC), how its last run went, and for how many seconds one is overdue.

    Example: `marketplace-admin jobs schedule`
    """
    from marketplace_api.jobs import runs
    from marketplace_api.jobs.schedule import CRONS, all_periodic

    purposes = {periodic["task"]: periodic["purpose"] for periodic in all_periodic()}
    with context.databases() as databases, databases.session() as session:
        lines = runs.tell(session, CRONS, datetime.now(UTC))
    context.output.rows(RUNS, [{**line, "purpose": purposes[line["task"]]} for line in lines])


def _failed(databases: Databases) -> Iterator[int]:
    from marketplace_api.jobs import board

    last = 0
    while True:
        with databases.session() as session:
            ids = board.failed_after(session, last)
        if not ids:
            return
        yield from ids
        last = ids[-1]


def _each(
    context: Context, databases: Databases, ids: Iterable[int], act: Callable[[Any, int], None], status: str, told: str,
    *, dry_run: bool,
) -> None:  # fmt: skip
    """Do it to each job in a transaction of its own, tell of those that could not be, and exit with the command's code."""
    from marketplace_api.errors import Conflict, NotFound

    done: list[int] = []
    refused: list[dict[str, Any]] = []
    codes = set()
    for job_id in ids:
        try:
            with databases.session() as session, session.begin() as transaction:
                act(session, job_id)
                if dry_run:
                    transaction.rollback()
            done.append(job_id)
        except (Conflict, NotFound) as error:
            refused.append({"job_id": job_id, "reason": str(error)})
            codes.add(CONFLICT if isinstance(error, Conflict) else NOT_FOUND)
            click.echo(f"Error: {error!s}", err=True)
    values = {"job_ids": done, "status": status, "refused": refused, "dry_run": dry_run}
    if not codes or done:
        number = f"{len(done):,} job{'' if len(done) == 1 else 's'}"
        context.output.record(values, f"{number} {'would be' if dry_run else 'now'} {told}.")
    raise SystemExit(DONE if not codes else PARTLY_DONE if done or len(codes) > 1 else codes.pop())
