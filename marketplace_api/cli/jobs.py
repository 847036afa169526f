"""`marketplace-admin jobs`: run a worker, look at the queue, try failed jobs again, take back those that wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, do_each, dry_run_option, ids_argument, ids_argument_of, pages
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import SINCE

STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
QUEUES = ("default", "mail", "sms", "push", "media", "webhooks")
COLUMNS = ("job_id", "task", "queue", "status", "attempts", "scheduled_at", "args", "error")
RUNS = ("task", "cron", "last_run", "outcome", "seconds", "error", "next_run", "overdue", "purpose")


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
    from marketplace_api import boot
    from marketplace_api.database import migrations
    from marketplace_api.gateways.crash_reports import configure_sentry
    from marketplace_api.jobs.worker import Work, run_worker
    from marketplace_api.logs import configure_logging
    from marketplace_api.models.kernel.jobs import Queue
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
    from marketplace_api.jobs import admin

    chosen = admin.Criteria(status=status, queue=queue, task=task, since=since)
    with context.databases() as databases, databases.session() as session:
        context.output.rows(COLUMNS, admin.list_jobs(session, chosen, limit))


@jobs.command()
@click.argument("job_id", type=click.IntRange(1, LARGEST_ID), help="The job's id, as `jobs list` shows it.")
@pass_context
def show(context: Context, job_id: int) -> None:
    """Show one job, what became of it, and how each attempt at it failed.

    Example: `marketplace-admin jobs show 42`
    """
    from marketplace_api.jobs import admin

    with context.databases() as databases, databases.session() as session:
        job = admin.find(session, job_id)
    if context.for_programs:
        context.output.record(job)
        return
    history, errors = job.pop("history"), job.pop("errors")
    context.output.record(job)
    context.output.rows(("at", "what"), history)
    if errors:
        context.output.rows(("at", "attempt", "error", "message", "place"), errors)


@jobs.command()
@ids_argument_of(required=False)
@click.option("--failed", is_flag=True, help="All that failed for good.")
@click.option("--waiting", is_flag=True, help="All that failed and wait for the time of their next attempt.")
@dry_run_option
@pass_context
def retry(context: Context, ids: tuple[str, ...], failed: bool, waiting: bool, dry_run: bool) -> None:
    """Let jobs run now that failed, or that wait for their next attempt. Each is done by itself: one that cannot be does
    not stop others.

    Example: `marketplace-admin --yes jobs retry --failed`

    Exit codes: 0 done, 3 not found, 4 it did not fail; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.jobs import admin

    if bool(ids) + failed + waiting != 1:
        raise click.UsageError("Name jobs by their ids, or all that failed with --failed or --waiting.")
    after = admin.failed_after if failed else admin.waiting_after
    chosen: Sequence[str | int] = ids or pages(context, after)
    do_each(context, chosen, Work("retry", "job", lambda session, _, id_: admin.retry(session, id_)), dry_run=dry_run)


@jobs.command()
@ids_argument
@dry_run_option
@pass_context
def cancel(context: Context, ids: tuple[str, ...], dry_run: bool) -> None:
    """Take back jobs that wait; a running one ends by itself. Each is done by itself.

    Example: `marketplace-admin jobs cancel 42`

    Exit codes: 0 done, 3 not found, 4 it runs or has run; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.jobs import admin

    do_each(context, ids, Work("cancel", "job", lambda session, _, id_: admin.cancel(session, id_)), dry_run=dry_run)


@jobs.command()
@pass_context
def schedule(context: Context) -> None:
    """Show what runs by the clock (UTC), how its last run went, and for how many seconds one is overdue.

    Example: `marketplace-admin jobs schedule`
    """
    from marketplace_api.jobs import schedule_runs
    from marketplace_api.jobs.schedule import CRONS, all_periodic

    purposes = {periodic["task"]: periodic["purpose"] for periodic in all_periodic()}
    with context.databases() as databases, databases.session() as session:
        lines = schedule_runs.log_outcome(session, CRONS, datetime.now(UTC))
    context.output.rows(RUNS, [{**line, "purpose": purposes[line["task"]]} for line in lines])
