"""`marketplace-admin webhooks`: who is told of events, what they were told, and telling it again."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, counted, do_each, dry_run_option, ids_argument, named
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.exit_codes import FAILED
from marketplace_api.cli.param_types import SINCE, AsInApi

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases
    from marketplace_api.schemas.types import Text

COLUMNS = ("endpoint_id", "url", "event_types", "status", "disabled_reason", "failures", "description")
DELIVERY_COLUMNS = (
    "delivery_id",
    "event_id",
    "type",
    "kind",
    "status",
    "attempts",
    "response_status",
    "problem",
    "next_attempt_at",
    "date_created",
)
SECRET_COLUMNS = ("endpoint_id", "secret", "url")
STATUSES = ("waiting", "delivered", "failed")
MOST_RESENT = 10_000
LOOK_EVERY_SECONDS = 0.2
GONE = 410

_id_argument = click.argument("endpoint_id", metavar="ID", type=click.IntRange(1, LARGEST_ID), help="The webhook's id.")


def _url() -> Text:
    from marketplace_api.schemas.outbound.webhooks import URL

    return URL


def _description() -> Text:
    from marketplace_api.schemas.outbound.webhooks import DESCRIPTION

    return DESCRIPTION


@click.group()
def webhooks() -> None:
    """Addresses that are told of events."""


@webhooks.command("list")
@pass_context
def list_webhooks(context: Context) -> None:
    """Show all webhooks, the newest first.

    Example: `marketplace-admin webhooks list`
    """
    from marketplace_api.domain.kernel.paging import PageRequest
    from marketplace_api.domain.outbound.webhooks import endpoints, queries

    with context.databases() as databases, databases.session() as session:
        found = queries.list_page(session, PageRequest(limit=endpoints.MOST_ENDPOINTS)).items
    context.output.rows(COLUMNS, [_plain(row) for row in found])


@webhooks.command()
@_id_argument
@pass_context
def show(context: Context, endpoint_id: int) -> None:
    """Show one webhook.

    Example: `marketplace-admin webhooks show 1`
    """
    with context.databases() as databases, databases.session() as session:
        found = _plain(_found(session, endpoint_id))
    context.output.record(found)


@webhooks.command()
@click.argument("url", type=AsInApi(_url), help="Where events are sent to; https in production.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    default=("*",),
    show_default=True,
    help="A type of events, or all of a subject (`listing.*`), or `*`; may be repeated.",
)
@click.option("--description", type=AsInApi(_description), default="", help="For you.")
@pass_context
def create(context: Context, url: str, types: tuple[str, ...], description: str) -> None:
    """Make a webhook, told of what is recorded from now on, and print its secret, which is not shown again.

    Example: `marketplace-admin webhooks create https://shop.example/hook --type "listing.*"`
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    with context.acting() as (session, actor):
        made = endpoints.create(session, actor, context.settings, url=url, event_types=types, description=description)
    told = f"Made the webhook {made.row.endpoint_id}. Its secret, which is not shown again: {made.secret}"
    context.output.record({**_plain(made.row), "secret": made.secret}, told)


@webhooks.command()
@_id_argument
@click.option("--wait", is_flag=True, help="Wait for the first attempt, and tell what the endpoint answered.")
@click.option("--timeout", type=click.IntRange(1, 600), default=30, show_default=True, help="Seconds to wait at most.")
@pass_context
def test(context: Context, endpoint_id: int, wait: bool, timeout: int) -> None:
    """Send an event of the type `webhook.tested` to this webhook alone; a worker delivers it.

    Example: `marketplace-admin webhooks test 1 --wait`

    Exit codes: 3 or 4 where it is not there or is disabled; with --wait 1 where the endpoint did not take the event, or
    nobody has delivered it in time.
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    with context.acting() as (session, actor):
        delivery_id = endpoints.test(session, actor, endpoint_id)
    if wait:
        _tell_answer(context, endpoint_id, delivery_id, timeout)
        return
    values = {"endpoint_id": endpoint_id, "delivery_id": delivery_id}
    context.output.record(values, f"The delivery {delivery_id} waits; look at `webhooks deliveries {endpoint_id}`.")


def _tell_answer(context: Context, endpoint_id: int, delivery_id: int, seconds: int) -> None:
    """What the endpoint answered to the first attempt; exits with 1 unless it took the event."""
    with context.databases() as databases, context.output.working("Waiting for a worker and the answer …"):
        row = _first_attempt(databases, endpoint_id, delivery_id, time.monotonic() + seconds)
        with databases.session() as session:
            status = _found(session, endpoint_id).status
            why = "" if _is_tried(row) else _why_not_tried(session, row)
    names = ("endpoint_id", "delivery_id", "status", "attempts", "response_status", "response_body", "problem")
    if row.status == "delivered":
        said = f"It took the event and answered {row.response_status}."
    elif why:
        said = f"No answer after {counted(seconds, 'second')}, and the delivery {delivery_id} still waits: {why}"
    else:
        answered = f"It answered {row.response_status}." if row.response_status else "It gave no answer."
        again = " It is tried again." if row.status == "waiting" else ""
        said = f"{answered} {row.problem or ''}".rstrip() + again
    if status == "disabled":
        said += (
            f" The webhook {endpoint_id} is switched off{' by that' if row.response_status == GONE else ''}; once the "
            f"receiver is back: marketplace-admin webhooks enable {endpoint_id}"
        )
    context.output.record({**{name: getattr(row, name) for name in names}, "endpoint_status": status}, said)
    if row.status != "delivered":
        raise SystemExit(FAILED)


def _first_attempt(databases: Databases, endpoint_id: int, delivery_id: int, end: float) -> Any:
    """The delivery once it was tried, or as it is at the ``end``. Raises NotFound where it was deleted with its webhook."""
    from marketplace_api.domain.outbound.webhooks import queries
    from marketplace_api.errors import NotFound

    while True:
        with databases.session() as session:
            row = queries.find_delivery(session, endpoint_id, delivery_id)
        if row is None:
            raise NotFound(f"The webhook {endpoint_id} was deleted meanwhile.")
        if _is_tried(row) or time.monotonic() > end:
            return row
        time.sleep(LOOK_EVERY_SECONDS)


def _why_not_tried(session: Any, row: Any) -> str:
    """What a delivery waits for that was not answered yet, as a sentence."""
    from marketplace_api.jobs import admin

    if not admin.has_worker(session):
        return "no worker is there. Start one: marketplace-admin jobs run"
    if row.attempts:
        return "the endpoint was called, and has not answered yet."
    if admin.is_held(session, f"webhooks:{row.endpoint_id}"):
        return "a worker is there, but the endpoint still has to answer to earlier deliveries."
    return "a worker is there, but has not come to it yet; what it has to do: marketplace-admin jobs list --status todo"


def _is_tried(row: Any) -> bool:
    return row.status != "waiting" or row.response_status is not None or row.problem is not None


@webhooks.command()
@_id_argument
@click.option("--status", type=click.Choice(STATUSES), help="Only in this state.")
@click.option("--type", "type_", metavar="TYPE", help="Only events of this type.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Deliveries at most.")
@pass_context
def deliveries(context: Context, *, endpoint_id: int, status: str | None, type_: str | None, limit: int) -> None:
    """Show what a webhook was told in the last 30 days, the newest first.

    Example: `marketplace-admin webhooks deliveries 1 --status failed`
    """
    from marketplace_api.domain.kernel.paging import PageRequest
    from marketplace_api.domain.outbound.webhooks import queries

    with context.databases() as databases, databases.session() as session:
        _found(session, endpoint_id)
        page = queries.deliveries(session, endpoint_id, queries.Criteria(status, type_), PageRequest(limit=limit))
    context.output.rows(DELIVERY_COLUMNS, [_plain(row) for row in page.items])


@webhooks.command()
@_id_argument
@click.argument(
    "delivery_ids", metavar="DELIVERY...", nargs=-1, help="Deliveries, as `webhooks deliveries` shows them."
)
@click.option("--failed", is_flag=True, help="All that failed and were not sent again since, 10,000 at most.")
@click.option("--since", type=SINCE, help="With --failed: only made since then, an age such as 2d, or a date (UTC).")
@dry_run_option
@pass_context
def resend(
    context: Context,
    *,
    endpoint_id: int,
    delivery_ids: tuple[str, ...],
    failed: bool,
    since: datetime | None,
    dry_run: bool,
) -> None:
    """Send events once more, each as a delivery of its own with another id.

    Example: `marketplace-admin webhooks resend 1 --failed --since 2d`

    Exit codes: 3 or 4 where a single delivery is not there or the webhook is disabled, 5 where some were refused.
    """
    from marketplace_api.domain.outbound.webhooks import endpoints, queries

    if bool(delivery_ids) == failed:
        raise click.UsageError("Name deliveries by their ids, or all that failed with --failed.")
    if failed:
        with context.databases() as databases, databases.session() as session:
            _found(session, endpoint_id)
            delivery_ids = tuple(map(str, queries.failed(session, endpoint_id, since, MOST_RESENT)))

    def act(session: Any, actor: Any, number: int) -> object:
        return endpoints.resend(session, actor, endpoint_id, number)

    do_each(context, delivery_ids, Work("resend", "delivery", act), reason=None, dry_run=dry_run)


@webhooks.command()
@ids_argument
@dry_run_option
@pass_context
def enable(context: Context, ids: tuple[str, ...], dry_run: bool) -> None:
    """Tell webhooks of events again: of what is recorded from now on, and of what was waiting.

    Example: `marketplace-admin webhooks enable 1`

    Exit codes: 3 or 4 where a single one is not there or enabled already, 5 where some of several were refused.
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    do_each(context, ids, Work("enable", "webhook", endpoints.enable), reason=None, dry_run=dry_run)


@webhooks.command()
@ids_argument
@dry_run_option
@pass_context
def disable(context: Context, ids: tuple[str, ...], dry_run: bool) -> None:
    """Tell webhooks of nothing until they are enabled; of what is recorded meanwhile they are never told.

    Example: `marketplace-admin webhooks disable 1`

    Exit codes: 3 or 4 where a single one is not there or disabled already, 5 where some of several were refused.
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    do_each(context, ids, Work("disable", "webhook", endpoints.disable), reason=None, dry_run=dry_run)


@webhooks.command("rotate-secret")
@ids_argument
@pass_context
def rotate_secret(context: Context, ids: tuple[str, ...]) -> None:
    """Give webhooks new secrets, all or none, and print these: they are not shown again. For 24 hours the old ones sign as well.

    Example: `marketplace-admin webhooks rotate-secret 1`
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    wanted = named(ids)
    if len(wanted) > 1:
        context.output.confirm(f"Give {counted(len(wanted), 'webhook')} new secrets?")
    with context.acting() as (session, actor):
        made = [endpoints.rotate_secret(session, actor, context.settings, number) for number in wanted]
    context.output.rows(SECRET_COLUMNS, [{**_plain(each.row), "secret": each.secret} for each in made])


@webhooks.command()
@ids_argument
@dry_run_option
@pass_context
def delete(context: Context, ids: tuple[str, ...], dry_run: bool) -> None:
    """Delete webhooks with what waits for them and what is known of their deliveries.

    Example: `marketplace-admin webhooks delete 1`

    Exit codes: 3 where a single one is not there, 5 where some of several were refused.
    """
    from marketplace_api.domain.outbound.webhooks import endpoints

    do_each(context, ids, Work("delete", "webhook", endpoints.delete, asks=True), reason=None, dry_run=dry_run)


def _found(session: Any, endpoint_id: int) -> Any:
    from marketplace_api.domain.outbound.webhooks import queries
    from marketplace_api.errors import NotFound

    row = queries.find(session, endpoint_id)
    if row is None:
        raise NotFound(f"There is no webhook {endpoint_id}.")
    return row


def _plain(row: Any) -> dict[str, Any]:
    """The columns of its table: what is read as a part of a list has the total of that list beside them."""
    return {name: value for name, value in row._asdict().items() if name != "total"}
