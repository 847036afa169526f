"""`marketplace-admin jobs`: run a worker, look at the queue, try failed jobs again, take back those that wait."""

from __future__ import annotations

from datetime import datetime

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.each import each, pages
from marketplace_api.cli.values import SINCE

STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
COLUMNS = ("job_id", "task", "queue", "status", "attempts", "scheduled_at", "args")
LARGEST = 2**63 - 1
NOUNS = ("job", "jobs")


@click.group()
def jobs() -> None:
    """The job queue."""


@jobs.command()
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="Jobs worked on at a time.")
@pass_context
def run(context: Context, threads: int) -> None:
    """Work until SIGTERM or Ctrl-C, then finish the jobs in hand.

    Example: `marketplace-admin --ini production.ini jobs run --threads 8`
    """
    from marketplace_api import boot, migrations
    from marketplace_api.crash_reports import configure_sentry
    from marketplace_api.jobs.worker import run_worker
    from marketplace_api.logs import configure_logging
    from marketplace_api.serve import end_with_supervisor
    from marketplace_api.version import VERSION

    end_with_supervisor()
    configure_logging(context.settings.log_level)
    configure_sentry(context.settings, VERSION)
    with context.databases() as databases:
        url = boot.connection_url(databases)
        if not migrations.suffices(boot.current_revision(url)):
            raise click.ClickException("The database is not migrated: run `marketplace-admin db upgrade` first.")
        run_worker(context.settings, databases, threads=threads)


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
    """Show jobs, newest first. Those that succeeded are deleted at once.

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
    """Show one job and what became of it.

    Example: `marketplace-admin jobs show 42`
    """
    from marketplace_api.jobs import board

    with context.databases() as databases, databases.session() as session:
        job = board.find(session, job_id)
    if context.for_programs:
        context.output.record(job)
        return
    history = job.pop("history")
    context.output.record(job)
    context.output.rows(("at", "what"), history)


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
        ids = pages(databases, board.failed_after) if failed else dict.fromkeys(job_ids)
        each(
            context, databases, ids, board.retry, nouns=NOUNS, status=board.RETRIED, told="in the queue again",
            dry_run=dry_run,
        )  # fmt: skip


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
        each(
            context, databases, dict.fromkeys(job_ids), board.cancel, nouns=NOUNS, status=board.CANCELLED,
            told="cancelled", dry_run=dry_run,
        )  # fmt: skip


@jobs.command()
@pass_context
def schedule(context: Context) -> None:
    """Show what runs by the clock (UTC).

    Example: `marketplace-admin jobs schedule`
    """
    from marketplace_api.jobs.schedule import all_periodic

    context.output.rows(("cron", "task", "purpose"), all_periodic())
