"""`marketplace-admin doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import rich_click as click

from marketplace_api.cli.context import Context, pass_context

if TYPE_CHECKING:
    from marketplace_api.cli.doctor.checks.findings import Finding, Installation


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings as well.")
@pass_context
def doctor(context: Context, strict: bool) -> None:
    """Check settings, secrets, folders, port, database, replica, migrations, jobs, files, keys, clock, mail, SMS and Redis.

    Starts and changes nothing: an embedded server that does not run is only told. Exits with 1 if there is a problem.

    Example: `marketplace-admin --ini production.ini doctor`
    """
    findings = _findings(context)
    context.output.rows(
        ("check", "state", "detail", "remedy"),
        [{"check": f.check, "state": f.state, "detail": f.detail, "remedy": f.remedy} for f in findings],
    )
    counts = {state: sum(finding.state == state for finding in findings) for state in ("problem", "warning")}
    context.output.remark(
        " and ".join(f"{count} {state}{'s' * (count != 1)}" for state, count in counts.items()) + " found."
    )
    if counts["problem"] or (strict and counts["warning"]):
        raise SystemExit(1)


def _findings(context: Context) -> list[Finding]:
    """The settings first, because all else follows from them; then everything that has to be waited for, at once."""
    from marketplace_api.cli.doctor.checks import configuration, database, machine, outside
    from marketplace_api.cli.doctor.checks.findings import Installation
    from marketplace_api.config.settings import SettingsError

    try:
        told = list(configuration.configuration(context))
        installation = Installation(context.settings, context.server_section, context.ini_path)
    except SettingsError as error:
        return list(configuration.wrong_settings(error))
    checks: tuple[Callable[[Installation], Iterable[Finding]], ...] = (
        machine.folders,
        outside.bucket,
        machine.port,
        machine.realtime,
        machine.public_address,
        database.database,
        outside.mail,
        outside.text_messages,
        outside.web_push,
        outside.redis,
    )
    with ThreadPoolExecutor(len(checks)) as pool:
        for found in pool.map(lambda check: _looked(check, installation), checks):
            told += found
    return told


def _looked(check: Callable[[Installation], Iterable[Finding]], installation: Installation) -> list[Finding]:
    """What a check finds; that it could not look is a finding as well, and ends none of the others."""
    from marketplace_api.cli.doctor.checks.findings import problem

    found: list[Finding] = []
    try:
        found.extend(check(installation))
    except Exception as error:
        detail = f"could not be looked at ({type(error).__name__}: {error})"
        found.append(problem(check.__name__.replace("_", " "), detail, "Mend what the sentence names, and look again."))
    return found
