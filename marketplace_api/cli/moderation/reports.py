"""`marketplace-admin moderation`: reports, from the queue to the decision."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, counted, do_each, dry_run_option, ids_argument, named
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import REASON, SINCE, require_span

STATES = ("open", "assigned", "resolved", "dismissed")
SUBJECTS = ("listing", "user", "message", "review")
REASONS = (
    "spam",
    "fraud",
    "prohibited",
    "counterfeit",
    "offensive",
    "harassment",
    "wrong_category",
    "personal_data",
    "other",
)
ACTIONS = ("suspend", "ban", "delete")
COLUMNS = (
    "report_id",
    "state",
    "subject_type",
    "subject_id",
    "subject_title",
    "reason",
    "of_subject",
    "reported_username",
    "assignee_username",
    "date_created",
)
SHOWN = (
    "report_id",
    "state",
    "subject_type",
    "subject_id",
    "subject_title",
    "subject_status",
    "reason",
    "comment",
    "reporter_id",
    "reporter_username",
    "reported_id",
    "reported_username",
    "assignee_id",
    "assignee_username",
    "decision_reason",
    "date_created",
    "date_updated",
    "date_decided",
)

_ID = click.argument(
    "report_id", metavar="ID", type=click.IntRange(1, LARGEST_ID), help="The report's id, as `reports` shows it."
)
_ALL = click.option("--all-of-same", is_flag=True, help="Decide the other undecided reports of the same subject too.")


@click.command()
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only in this state, may be repeated; without it, what is not decided yet.",
)
@click.option("--subject", type=click.Choice(SUBJECTS), help="Only reports of these.")
@click.option("--subject-id", type=click.IntRange(1), metavar="ID", help="With --subject: of this one only.")
@click.option("--reason", type=click.Choice(REASONS), help="Only reports for this reason.")
@click.option("--since", type=SINCE, help="Made since then: an age such as 7d, or a date.")
@click.option("--until", type=SINCE, help="Made before then: an age such as 24h, or a date.")
@click.option("--assignee", metavar="USER", help="Somebody works on it: an id, a user name, an e-mail; or `nobody`.")
@click.option(
    "--sort",
    type=click.Choice(("oldest", "most-reported")),
    default="oldest",
    show_default=True,
    help="What comes first.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Reports at most.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="ID", help="Begin behind this id.")
@pass_context
def reports(
    context: Context,
    *,
    states: tuple[str, ...],
    subject: str | None,
    subject_id: int | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    assignee: str | None,
    sort: str,
    limit: int,
    after: int,
) -> None:
    """Show reports: what was reported, why, how often, and who works on it.

    `of_subject` is how many of the reports that match are about the same thing.

    Example: `marketplace-admin moderation reports --subject listing --reason fraud --until 24h --assignee nobody`
    """
    from marketplace_api.domain.trust.reports import admin_search

    if subject_id is not None and subject is None:
        raise click.UsageError("--subject-id needs --subject as well.")
    require_span(since, until)
    with context.databases() as databases, databases.session() as session:
        sought = admin_search.Criteria(
            states=states or STATES[:2],
            subject_type=subject,
            subject_id=subject_id,
            reason=reason,
            since=since,
            until=until,
            assignee_id=_assignee(session, assignee),
            by_number=sort == "most-reported",
        )
        viewer = context.actor(session).user_id
        found = admin_search.list_page(session, viewer, sought, limit=limit, after=after)
    context.output.rows(COLUMNS, [_row(row) | {"of_subject": row.of_subject} for row in found])


@click.command()
@_ID
@pass_context
def report(context: Context, report_id: int) -> None:
    """Show one report, with how many there are of the same subject.

    What a message says is shown by `messages show`.

    Example: `marketplace-admin moderation report 12`
    """
    from marketplace_api.domain.trust.reports import admin_search, queries

    with context.databases() as databases, databases.session() as session:
        row = admin_search.find(session, report_id, context.actor(session).user_id)
        count = queries.counts(session, [row])[row.subject_type, row.subject_id]
    context.output.record(_row(row) | {"of_subject": count})


@click.command()
@ids_argument
@click.option("--to", "user", metavar="USER", help="Who works on it: an id, a user name or an e-mail; else --as.")
@click.option("--reason", type=REASON, help="Why; goes into the audit trail.")
@dry_run_option
@pass_context
def assign(context: Context, ids: tuple[str, ...], user: str | None, reason: str | None, dry_run: bool) -> None:
    """Give reports that are not decided to a moderator, who can read the messages among them from then on.

    Example: `marketplace-admin moderation assign 12 13 --to ada`

    Exit codes: 0 done, 3 not found, 4 decided already; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.reports import workflow

    if user is None and context.actor_reference is None:
        raise click.UsageError("Say who works on it: --to USER, or --as USER before the command.")

    def act(session: Any, actor: Any, number: int) -> Any:
        return workflow.assign(session, actor, number, _account(session, user))

    do_each(context, ids, Work("assign", "report", act), reason=reason, dry_run=dry_run)


@click.command()
@ids_argument
@click.option(
    "--reason", type=REASON, required=True, help="What was done; the reporter reads it, and whom the action concerns."
)
@click.option("--action", type=click.Choice(ACTIONS), help="Do this to what was reported, too; both or neither.")
@_ALL
@dry_run_option
@pass_context
def resolve(
    context: Context, ids: tuple[str, ...], reason: str, action: str | None, all_of_same: bool, dry_run: bool
) -> None:
    """Find reports to be right; with --action, do something about their subjects in the same step.

    Asks before it suspends or bans a person.

    \b
    listing  suspend, delete
    user     suspend, ban
    message  delete
    review   delete

    Example: `marketplace-admin moderation resolve 12 --action suspend --reason "Advertising."`

    Exit codes: 0 done, 3 not found, 4 decided already; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.reports import enforcement, workflow

    def act(session: Any, actor: Any, number: int) -> Any:
        if action is None:
            return workflow.decide(session, actor, number, "resolve", reason=reason, also_same_subject=all_of_same)
        return enforcement.resolve(session, actor, number, action, reason=reason, also_same_subject=all_of_same)

    if all_of_same:
        ids = _confirmed(context, ids, dry_run)
    asks = False
    if action in ("suspend", "ban") and not dry_run:
        ids = tuple(map(str, named(ids)))
        asks = len(ids) == 1 and _of_person(context, int(ids[0]))
    work = Work("resolve", "report", act, asks=asks, also=action or "", more={"subject_action": action})
    do_each(context, ids, work, reason=reason, dry_run=dry_run)


@click.command()
@ids_argument
@click.option("--reason", type=REASON, required=True, help="Why nothing is to be done; the reporter reads it.")
@_ALL
@dry_run_option
@pass_context
def dismiss(context: Context, ids: tuple[str, ...], reason: str, all_of_same: bool, dry_run: bool) -> None:
    """Find that nothing is to be done about reports.

    Example: `marketplace-admin --json moderation reports --reason other | jq .[].report_id | marketplace-admin --yes
    moderation dismiss - --reason "Not against the rules."`

    Exit codes: 0 done, 3 not found, 4 decided already; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.reports import workflow

    def act(session: Any, actor: Any, number: int) -> Any:
        return workflow.decide(session, actor, number, "dismiss", reason=reason, also_same_subject=all_of_same)

    if all_of_same:
        ids = _confirmed(context, ids, dry_run)
    do_each(context, ids, Work("dismiss", "report", act), reason=reason, dry_run=dry_run)


COMMANDS = (reports, report, assign, resolve, dismiss)


def _confirmed(context: Context, ids: tuple[str, ...], dry_run: bool) -> tuple[str, ...]:
    """The ids, once somebody has said yes to all that will be decided with them."""
    from marketplace_api.domain.trust.reports import admin_search

    numbers = named(ids)
    with context.databases() as databases, databases.session() as session:
        others = admin_search.undecided_of_same(session, context.actor(session).user_id, numbers)
    told = counted(others, "other undecided report")
    context.output.remark(f"{told} {'is' if others == 1 else 'are'} about the same." if others else f"{told}.")
    if others and not dry_run:
        context.output.confirm(f"Decide {told} too?")
    return tuple(map(str, numbers))


def _of_person(context: Context, report_id: int) -> bool:
    """Whether the report is about a person: to judge one is asked about, as by `users ban`."""
    from marketplace_api.domain.trust.reports import admin_search

    with context.databases() as databases, databases.session() as session:
        return bool(admin_search.find(session, report_id, context.actor(session).user_id).subject_type == "user")


def _assignee(session: Any, user: str | None) -> int | None:
    return 0 if user == "nobody" else _account(session, user)


def _account(session: Any, user: str | None) -> int | None:
    from marketplace_api.domain.identity.accounts import lifecycle

    return None if user is None else lifecycle.find(session, user).user_id


def _row(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SHOWN}
