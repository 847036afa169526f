"""The options that stand before the group or after the command, wherever the hand puts them."""

from __future__ import annotations

from typing import Any

import rich_click as click

FORMATS = ("table", "json", "jsonl", "csv", "ids")


def add_to(command: click.Command) -> None:
    """Let a command and all below it take the common options that they have no option of the same name for."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_to(child)
        return
    taken = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    command.params.extend(option for option in _options() if not taken.intersection(option.opts))


def _options() -> list[click.Option]:
    return [
        _option("--json", "output_format", flag_value="json"),
        _option("--ids", "output_format", flag_value="ids"),
        _option("--output", "output_format", type=click.Choice(FORMATS)),
        _option("--yes", "yes", is_flag=True),
        _option("--quiet", "quiet", is_flag=True),
        _option("--ini", "ini", metavar="FILE"),
        _option("--as", "actor_reference", metavar="USER"),
    ]


def _option(flag: str, attribute: str, **kind: Any) -> click.Option:
    """An option that goes into the run's context; hidden, as the top group's help shows it."""

    def take(ctx: click.Context, _option: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.obj, attribute, value)

    return click.Option(
        [flag, f"everywhere_{flag.lstrip('-')}"], hidden=True, expose_value=False, callback=take, **kind
    )
