"""`marketplace-admin listings import`: files of listings, checked row by row and stored batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from marketplace_api.characters import visible
from marketplace_api.cli.bulk import counted
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.error_summary import ErrorSummary
from marketplace_api.cli.exit_codes import DONE, FAILED, PARTLY_DONE
from marketplace_api.cli.terminal import say_line

if TYPE_CHECKING:
    from marketplace_api.cli.listings.formats import ListingFile
    from marketplace_api.database.engines import Databases
    from marketplace_api.domain.catalog.listings.import_ import ImportCounts, ImportOptions
    from marketplace_api.domain.kernel.actors import Actor

FORMATS = ("csv", "jsonl")

BAD_ROWS_KEPT = 100
"""How many bad rows the JSON document repeats."""


@click.command("import")
@click.argument(
    "files",
    metavar="FILE...",
    help="CSV (.csv) or JSON lines (.jsonl), one or more; `-` is standard input.",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path),
)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="Of standard input; that of a file is in its name."
)
@click.option("--create-owners", is_flag=True, help="Make an account for each owner's address that has none.")
@click.option("--dry-run", is_flag=True, help="Check and count everything and change nothing.")
@click.option("--batch", type=click.IntRange(1, 5000), default=1000, show_default=True, help="Rows of a transaction.")
@pass_context
def import_(
    context: Context, *, files: tuple[Path, ...], format_: str | None, create_owners: bool, dry_run: bool, batch: int
) -> None:
    """Import listings from CSV or JSONL files, by the API's own rules.

    The columns (CSV) or names (JSONL) are owner_email, title, description, category, price, currency, address, city,
    state, zip, country, latitude, longitude, amenities, photos_urls and status; the first two, category and price must
    be there. `|` separates several amenities or photos, or they are a JSON array. One apostrophe before what a spreadsheet
    would compute (`'=1+1`, `''=1+1`) is taken off, as an export puts it there. Bad rows are left out, and the others
    stored. The first few of each reason are told on standard error, by their number after the header (CSV) or their line
    (JSONL), and then how many more there are; with `--verbose` each of them is.

    An import can be interrupted and run again: rows that are stored already are skipped, also those that were deleted
    since. A row that has changed becomes a new listing.

    Example: `marketplace-admin listings import --create-owners cars.csv houses.csv`

    Exit codes: 0 all rows are in, 1 none, 2 usage, 5 some (the others are bad, or it was interrupted).
    """
    from marketplace_api.cli.listings import formats as listing_formats
    from marketplace_api.domain.catalog.listings.import_ import ImportCounts, ImportOptions

    formats = [listing_formats.format_of(path, format_) for path in files]
    with ExitStack() as stack:
        # All headers are checked before the first row goes in.
        sources = [stack.enter_context(listing_formats.opened(*source)) for source in zip(files, formats, strict=True)]
        databases = stack.enter_context(context.databases())
        with databases.session() as session:
            actor = context.actor(session)
        options = ImportOptions("", create_owners=create_owners, dry_run=dry_run, batch=batch)
        run = _Run(context, databases, actor, options, ImportCounts(), len(files) > 1, ErrorSummary(context.verbose))
        run.read_all(sources)
    run.summary.print_rest()
    run.print_outcome([str(path) for path in files])
    raise SystemExit(run.exit_code)


@dataclass(slots=True)
class _Run:
    """One import of several files: what was counted so far, and how it is told."""

    context: Context
    databases: Databases
    actor: Actor
    options: ImportOptions
    counts: ImportCounts
    has_many_files: bool
    summary: ErrorSummary
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    is_interrupted: bool = False

    @property
    def exit_code(self) -> int:
        if self.counts.bad == 0 and not self.is_interrupted:
            return DONE
        return PARTLY_DONE if self.counts.created or self.counts.skipped else FAILED

    def read_all(self, sources: Sequence[ListingFile]) -> None:
        """Import each file; Ctrl-C ends it between two batches as far as the database is concerned."""
        from marketplace_api.database.engines import is_outage

        with _bar(self.context, sum(source.size for source in sources)) as advance:
            finished = 0
            try:
                for source in sources:
                    self.read(source, lambda: advance(finished + source.position))  # noqa: B023  called at once
                    finished += source.size
            except KeyboardInterrupt:
                self.is_interrupted = True
            except Exception as error:
                if not is_outage(error):
                    raise
                self.is_interrupted = True
                say_line("Error: the database is away or too slow.")

    def read(self, source: ListingFile, progress: Callable[[], None]) -> None:
        from marketplace_api.cli.listings.formats import validator
        from marketplace_api.domain.catalog.listings import import_ as listing_import
        from marketplace_api.domain.identity.accounts.config import AccountRules

        def batch(counts: ImportCounts) -> None:
            self.counts += counts
            progress()

        def bad(number: int, name: str, reason: str) -> None:
            self.bad(source.path, number, name, reason)

        listing_import.import_listings(
            self.databases,
            AccountRules.from_settings(self.context.settings),
            self.actor,
            source.rows,
            validator(),
            options=replace(self.options, source=source.path.name),
            reports=listing_import.Reports(bad, batch),
        )

    def bad(self, path: Path, number: int, name: str, reason: str) -> None:
        where = f"row {number}, {name}" if name else f"row {number}"
        line = f"{path}: {where}: {reason}" if self.has_many_files else f"{where}: {reason}"
        self.summary.add(visible(line), visible(f"{name}: {reason}" if name else reason))
        if len(self.bad_rows) < BAD_ROWS_KEPT:
            self.bad_rows.append({"file": str(path), "row": number, "field": name, "reason": reason})

    def print_outcome(self, files: Sequence[str]) -> None:
        """The summary: one document, or sentences."""
        counts, is_rehearsal = self.counts, self.options.dry_run
        values = {
            "files": files,
            **asdict(counts),
            "dry_run": is_rehearsal,
            "interrupted": self.is_interrupted,
            "bad_reasons": dict(self.summary.counts.most_common()),
            "bad_rows": self.bad_rows,
        }
        said = f"{'Would import' if is_rehearsal else 'Imported'} {counted(counts.created, 'listing')}"
        said += f" of {counted(counts.read, 'row')}"
        if counts.owners_created:
            said += f", with {counted(counts.owners_created, 'new account')}"
        if counts.skipped:
            said += f"; {counts.skipped:,} {'was' if counts.skipped == 1 else 'were'} there already"
        if counts.bad:
            said += f"; {counted(counts.bad, 'bad row')} left out"
        said += "."
        if self.is_interrupted:
            said += " It was interrupted: run the same command again to add the rest."
        self.context.output.record(values, said)


@contextmanager
def _bar(context: Context, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of ``total`` bytes (0: nobody knows), on a terminal only; gives what moves it to a number of bytes."""
    console = Console(stderr=True)
    hidden = context.quiet or not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("Importing …", total=total or None)
        yield lambda done: progress.update(task, completed=done)
