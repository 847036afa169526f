"""`marketplace-admin shell`: a Python prompt on the database."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api import lazy
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.exit_codes import FAILED
from marketplace_api.cli.terminal import say

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases

SCRIPT = "<stdin>"
BANNER = """\
{version} on {place}
    session    a unit of work; what you change is kept by session.commit() only
    databases  the connections that sessions are made from
    settings   the settings in force
    actor      who you are in the audit trail
    sa         SQLAlchemy
    {models}
Ctrl-D ends."""


@click.command()
@pass_context
def shell(context: Context) -> None:
    """Open a Python prompt with session, settings and models at hand, or run the script on standard input.

    Nothing is kept unless `session.commit()` says so.

    Example: `echo 'print(session.query(User).count())' | marketplace-admin shell`
    """
    with context.databases() as databases, databases.session() as session:
        names = _names(context, databases, session)
        if sys.stdin.isatty():
            _prompt(context, databases, names)
        else:
            _run(sys.stdin.read(), names)
        if session.new or session.dirty or session.deleted:
            context.output.remark("What was changed and not committed is dropped.")


def _run(script: str, names: dict[str, Any]) -> None:
    """What an operator wrote, with the operator's rights; a mistake in it is told by its own lines, not by ours."""
    import linecache

    linecache.cache[SCRIPT] = (len(script), None, script.splitlines(keepends=True), SCRIPT)
    try:
        exec(compile(script, SCRIPT, "exec"), names)  # noqa: S102
    except Exception as error:
        steps = [step for step in traceback.extract_tb(error.__traceback__) if step.filename == SCRIPT]
        say("".join([*traceback.format_list(steps), *traceback.format_exception_only(error)]), err=True, nl=False)
        raise SystemExit(FAILED) from None


def _names(context: Context, databases: Databases, session: Any) -> dict[str, Any]:
    return {
        "__name__": "__main__",
        "session": session,
        "databases": databases,
        "settings": context.settings,
        "actor": context.actor(session),
        # For whoever types: this file itself asks the database nothing.
        "sa": lazy.load("sqlalchemy"),
        **_models(),
    }


def _models() -> dict[str, Any]:
    import marketplace_api.models  # noqa: F401  the mappers know all once it is loaded
    from marketplace_api.database.base import Base

    return {mapper.class_.__name__: mapper.class_ for mapper in Base.registry.mappers}


def _prompt(context: Context, databases: Databases, names: dict[str, Any]) -> None:
    import code
    import readline
    import rlcompleter
    import textwrap

    from marketplace_api.version import VERSION

    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    models = textwrap.fill(", ".join(sorted(_models())), 100, subsequent_indent="    ")
    place = databases.write.url.render_as_string(hide_password=True)
    banner = BANNER.format(version=f"marketplace-api {VERSION}", place=place, models=models)
    code.interact(banner="" if context.quiet else banner, local=names, exitmsg="")
