"""`marketplace-admin`: the operator's commands, a file or a package for each noun. They call the same domain functions as the API.

This file holds the top group, the table of its commands and the mapping of errors to exit codes; a command's module
is loaded when it is called for, so that `--help` is quick.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich_click as click
from click.exceptions import Exit, NoSuchCommand
from click.shell_completion import CompletionItem

from marketplace_api import lazy
from marketplace_api.characters import visible_lines
from marketplace_api.cli.exit_codes import CONFLICT, DONE, FAILED, NOT_FOUND, PARTLY_DONE, USAGE, around_us, of_error
from marketplace_api.cli.global_options import FORMATS, add_to
from marketplace_api.cli.terminal import say, tell_uncaught

__all__ = ["COMMANDS", "CONFLICT", "DONE", "FAILED", "NOT_FOUND", "PARTLY_DONE", "USAGE", "main"]

# Name -> (module below this package, one line of help). Each module holds its click command under its own name.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up.commands", "Run everything for development: database, demo data, API, worker and realtime."),
    "doctor": ("doctor.commands", "Check settings, database, folders, mail and clock, with a remedy for each finding."),
    "db": ("db.commands", "The database: migrations, demo data, a prompt."),
    "users": ("users.commands", "Accounts: list, show, create, set roles, suspend, ban, erase, log out."),
    "verification": ("verification", "Verification: look at documents, approve, reject, end."),
    "listings": ("listings.commands", "Listings: look through, verify, suspend, delete, import, export."),
    "moderation": ("moderation.commands", "Reports; many things at once: suspend, ban, delete, and undo."),
    "reviews": ("reviews", "Reviews: list, show, delete or bring back."),
    "messages": ("messages", "Messages that were reported: list, show, delete or bring back."),
    "report": ("report", "Figures: listings, accounts, moderation."),
    "events": ("events.commands", "The event log: who did what; follow it, export it."),
    "jobs": ("jobs", "The job queue: run a worker, list, retry, cancel."),
    "webhooks": ("webhooks", "Webhooks: make, test, enable, look at deliveries, send again."),
    "deliveries": ("deliveries", "Notifications by e-mail, SMS and push: list, show, retry."),
    "realtime": ("realtime", "The realtime process: push what happens to open connections."),
    "keys": ("keys", "Keys that sign tokens and seal documents: make, list, rotate."),
    "api-keys": ("api_keys", "Keys with which programs call: make, list, revoke."),
    "workflow": ("workflow", "Workflows: states, steps and who may take them."),
    "routes": ("routes", "Print every operation of the API."),
    "errors": ("errors", "Print the codes of errors and what helps."),
    "openapi": ("openapi", "Print the OpenAPI description."),
    "shell": ("shell", "A Python prompt on the database."),
    "completion": ("completion", "Print the script that completes commands in a shell."),
    "version": ("version", "Print the version."),
}


class LazyGroup(click.RichGroup):
    """A group whose commands are known by name and help, and imported when they run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._complete: set[click.Command] = set()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, summary = COMMANDS[cmd_name]
        if getattr(ctx, "listing_commands", False):
            return click.RichCommand(name=cmd_name, short_help=summary, help=summary)
        command = getattr(lazy.load(f"marketplace_api.cli.{module}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        if command not in self._complete:
            add_to(command)
            self._complete.add(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # As for help.
        ctx.listing_commands = True  # type: ignore[attr-defined]
        return super().shell_complete(ctx, incomplete)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # Help needs the one-liners of the table only.
        ctx.listing_commands = True
        super().format_help(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            # Click looks for what was meant among the commands that are loaded, and here none is.
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _told_visibly():
            return super().make_context(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        sys.excepthook = tell_uncaught
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _told_visibly():
                return super().invoke(ctx)
        except (Exit, click.UsageError, click.Abort):
            raise
        except click.ClickException as error:
            # Unboxed: a sentence stays one line, for logs and for grep.
            say(f"Error: {error.format_message()}", err=True)
            ctx.exit(error.exit_code)
        except Exception as error:
            code = of_error(error)
            told = UNMIGRATED if is_unmigrated(error) else around_us(error)
            if code is None and told is not None:
                say(told, err=True)
                ctx.exit(FAILED)
            if code is None:
                raise
            say(f"Error: {error}", err=True)
            for detail in getattr(error, "errors", ()):
                if detail.message not in str(error):
                    say(f"  {detail.name}: {detail.message}", err=True)
            ctx.exit(code)


@contextmanager
def _told_visibly() -> Iterator[None]:
    """What was mistyped is repeated by click itself, in a frame: ids and names may come out of somebody's file."""
    try:
        yield
    except click.UsageError as error:
        error.message = visible_lines(error.message)  # type: ignore[misc]
        raise


UNMIGRATED = (
    "Error: The database has not the tables of this version: run `marketplace-admin db upgrade`. "
    "If it should have them, look whether DATABASE_URL and DATA_DIR name the right one."
)


def is_unmigrated(error: Exception) -> bool:
    """Whether the database lacks a table, or has not let the application in: what migrations bring."""
    undefined_table, insufficient_privilege = "42P01", "42501"
    cause = getattr(error, "orig", error)
    return getattr(cause, "sqlstate", None) in (undefined_table, insufficient_privilege)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ini", metavar="FILE", help="The settings; else MARKETPLACE_INI, else development.ini here.")
@click.option(
    "--set", "pairs", metavar="NAME=VALUE", multiple=True, help="Fill in a %(name)s of the ini; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--output",
    "output_format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="What results are printed as: `jsonl` is an object on each line, `csv` has the columns of the table.",
)
@click.option(
    "--ids", "ids_only", is_flag=True, help="Print the ids of a list alone, one a line, as `… approve -` reads them."
)
@click.option(
    "--yes", is_flag=True, help="Answer every confirmation with yes, and replace a file that is there already."
)
@click.option("--quiet", is_flag=True, help="Print results and errors only.")
@click.option("--verbose", is_flag=True, help="Log what happens underneath, on standard error.")
@click.option(
    "--as", "actor", metavar="USER", help="Act under this account (id, user name or e-mail) in the audit trail."
)
@click.pass_context
def main(
    ctx: click.Context,
    ini: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
    output_format: str,
    ids_only: bool,
    yes: bool,
    quiet: bool,
    verbose: bool,
    actor: str | None,
) -> None:
    """Runs and looks after a marketplace.

    Example: `marketplace-admin users create ada@example.org --username ada --role admin`

    What a list finds goes to another command by its ids: `marketplace-admin --ids verification list | marketplace-admin
    --yes verification approve -`

    The options of this page may stand behind a command as well, all but --set, --verbose and those that the command has
    itself.

    Exit codes: 0 done, 1 failed, 2 usage (what was typed can never be right, or needs --yes), 3 not found, 4 conflict
    (its state stands against it: done already, deleted, a file in the way), 5 partly done. One thing alone fails with
    1 to 4; of several, 5 is some and 1 is none. `marketplace-admin errors --exit-codes` explains them.
    """
    # What a command loads is kept: to look through it for garbage again and again takes a tenth of its time.
    gc.set_threshold(50_000)
    from marketplace_api.cli.context import Context

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other.")
    if not all("=" in pair for pair in pairs):
        raise click.UsageError("--set takes NAME=VALUE.")
    ctx.obj = Context(
        ini=ini,
        output_format="ids" if ids_only else "json" if as_json else output_format,
        yes=yes,
        quiet=quiet,
        verbose=verbose,
        actor_reference=actor,
        overrides=dict(pair.split("=", 1) for pair in pairs),
    )
