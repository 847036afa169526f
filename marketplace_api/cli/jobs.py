"""`marketplace-admin jobs`: run a worker, look at the queue, try failed jobs again."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.context import Context, pass_context

COLUMNS = ("job_id", "task", "status", "attempts", "scheduled_at", "args")


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
    from marketplace_api.jobs.worker import run_worker
    from marketplace_api.logs import configure_logging, configure_sentry
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
@click.option(
    "--status",
    type=click.Choice(["todo", "doing", "succeeded", "failed", "cancelled", "aborted"]),
    help="Only jobs in this state.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Jobs at most.")
@pass_context
def list_jobs(context: Context, status: str | None, limit: int) -> None:
    """Show jobs, newest first. Those that succeeded are deleted at once.

    Example: `marketplace-admin jobs list --status failed`
    """
    from marketplace_api.jobs import queue

    with context.databases() as databases, databases.session() as session:
        context.output.rows(COLUMNS, queue.list_jobs(session, status, limit))


@jobs.command()
@click.argument("job_id", type=int, help="The job's id, as `jobs list` shows it.")
@pass_context
def retry(context: Context, job_id: int) -> None:
    """Put a failed job back into the queue.

    Example: `marketplace-admin jobs retry 42`
    """
    from marketplace_api.jobs import queue

    with context.databases() as databases, databases.session() as session, session.begin():
        queue.retry(session, job_id)
    context.output.record({"job_id": job_id, "status": "todo"}, f"Job {job_id} is in the queue again.")


@jobs.command()
@pass_context
def schedule(context: Context) -> None:
    """Show what runs by the clock (UTC).

    Example: `marketplace-admin jobs schedule`
    """
    from marketplace_api.jobs.schedule import all_periodic

    context.output.rows(("cron", "task", "purpose"), all_periodic())
