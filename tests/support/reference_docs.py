"""Writes the reference part of the documentation from the code: ``make docs``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import click

from marketplace_api import app  # noqa: F401 - all operations are declared once the views are imported
from marketplace_api.cli import main
from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.events import DESCRIPTIONS, EventType
from marketplace_api.hal.problems import CODES
from marketplace_api.security.permissions import MEANINGS, Permission
from marketplace_api.views.docs import ROUTES
from marketplace_api.views.openapi import openapi
from marketplace_api.views.outbound.inbound_webhooks import ROUTES as HOOKS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
PROGRAM = "marketplace-admin"


def pages() -> dict[str, str]:
    """Every page of the reference by the name of its file."""
    return {
        "cli.md": _page("Commands", "What an operator can do.", _commands()),
        "errors.md": _page("Error codes", "What the `code` of a problem document can be, and what helps.", _errors()),
        "events.md": _page("Events", "What the event log records, in the change's own transaction.", _events()),
        "permissions.md": _page("Permissions", "What the access control lists of the resources grant.", _permissions()),
        "routes.md": _page("Routes", "Every address, its methods and the permission that they ask for.", _routes()),
        "settings.md": _page("Settings", "Ini keys and environment variables; the environment wins.", _settings()),
    }


def _page(title: str, opening: str, parts: Iterable[str]) -> str:
    note = "<!-- Made from the code by `make docs`; changes by hand are overwritten. -->"
    return "\n".join([f"# {title}", "", note, "", opening, "", *parts]).rstrip() + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ').strip() for cell in cells)} |"


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def _errors() -> Iterator[str]:
    rows = ((_code(entry.code), str(entry.status), entry.title, entry.advice) for entry in CODES.values())
    return _table(("Code", "Status", "Title", "What helps"), rows)


def _events() -> Iterator[str]:
    return _table(("Type", "When"), ((_code(kind.value), DESCRIPTIONS[kind]) for kind in EventType))


def _permissions() -> Iterator[str]:
    asked: dict[str, list[str]] = {}
    for _tag, method, path, operation in _operations():
        asked.setdefault(operation["x-permission"], []).append(f"{method} {path}")
    rows = (
        (_code(permission.value), MEANINGS[permission], ", ".join(map(_code, asked.get(permission, []))))
        for permission in Permission
    )
    return _table(("Permission", "Lets the caller", "Asked for by"), rows)


def _settings() -> Iterator[str]:
    rows = []
    for setting in fields(Settings):
        about = setting.metadata
        default = " ".join(setting.default) if isinstance(setting.default, tuple) else setting.default
        kind = str(setting.type).removeprefix("tuple[").removesuffix(", ...]")
        doc = about["doc"] + (" A secret: never logged." if about["secret"] else "")
        rows.append((_code(about["key"]), _code(about["env"]), kind, _code(default), doc))
    return _table(("Ini key", "Environment", "Type", "Default", "Meaning"), rows)


def _routes() -> Iterator[str]:
    sections: dict[str, list[Sequence[str]]] = {}
    for tag, method, path, operation in _operations():
        public = "everyone" if {} in operation["security"] else "known callers"
        cells = (method, _code(path), operation["summary"], _code(operation["x-permission"]), public)
        sections.setdefault(tag, []).append(cells)
    for tag in openapi()["tags"]:
        yield from (f"## {tag['name'].capitalize()}", "", tag["description"], "")
        yield from _table(("Method", "Path", "What it does", "Permission", "For"), sections[tag["name"]])
    yield from ("## Hooks", "", "Where providers tell us something, signed.", "")
    yield from _table(("Method", "Path", "What for"), (("POST", _code(path), what) for path, what in HOOKS.values()))
    yield from ("## Reference for people", "", "Pages outside the API.", "")
    rows = (("GET", _code(path), what) for path, what in ROUTES.values())
    yield from _table(("Method", "Path", "What it gives"), rows)


def _operations() -> Iterator[tuple[str, str, str, dict[str, list[object]]]]:
    """Tag, method, path and description of every operation."""
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield operation["tags"][0], method.upper(), path, operation


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of the command line by its full name, groups before what is in them."""
    return _walk(PROGRAM, main, click.Context(main, info_name=PROGRAM))


def _walk(name: str, command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None, f"{name} {child} is listed, but not there"
            yield from _walk(f"{name} {child}", found, click.Context(found, parent=context, info_name=child))


def _commands() -> Iterator[str]:
    for name, command in commands():
        context = click.Context(command, info_name=name)
        yield from (f"## {name}", "", f"`{' '.join([name, *command.collect_usage_pieces(context)])}`", "")
        yield from (*_help(command), "")
        rows = [_parameter(parameter, context) for parameter in shown_parameters(command)]
        if rows:
            yield from _table(("Argument or option", "Value", "Default", "Meaning"), rows)


def shown_parameters(command: click.Command) -> list[click.Parameter]:
    """Those that its help names: all but the common options, which the top group's help explains."""
    return [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]


def _parameter(parameter: click.Parameter, context: click.Context) -> Sequence[str]:
    if isinstance(parameter, click.Argument):
        needed = "" if parameter.required else "optional"
        return _code(parameter.make_metavar(context)), _value(parameter, context), needed, parameter.help or ""
    assert isinstance(parameter, click.Option)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return _code(names), "", "off", parameter.help or ""
    default = _code(parameter.default) if parameter.show_default else "required" if parameter.required else ""
    return _code(names), _value(parameter, context), default, parameter.help or ""


def _value(parameter: click.Parameter, context: click.Context) -> str:
    """What may be given: the words, the range, or what stands for it in the usage."""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return ", ".join(map(_code, kind.choices))
    if isinstance(kind, click.types.IntRange):
        reach = f" from {kind.min}" if kind.min is not None else ""
        return f"a whole number{reach}" + (f" to {kind.max}" if kind.max is not None and kind.max < 2**31 else "")
    if isinstance(kind, click.types.IntParamType):
        return "a whole number"
    return _code(parameter.make_metavar(context)) if isinstance(parameter, click.Option) else ""


def _help(command: click.Command) -> list[str]:
    return [line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines()]


def write() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
