"""Settings that are wrong, strange, or do not fit each other; nothing is asked of anybody."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from urllib.parse import urlsplit

from marketplace_api.cli.context import Context
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem, warning
from marketplace_api.config.parsing import LOOPBACK
from marketplace_api.config.settings import DEVELOPMENT_SECRET, Settings, SettingsError, strange_keys
from marketplace_api.config.validation import NEW_SECRET, weakness_of

LIKE = 0.86
"""How much the name of a variable must resemble a setting's to be taken for a slip of the pen."""

_ALSO_OURS = frozenset({"PORT", "MARKETPLACE_HOST", "MARKETPLACE_INI"})


def wrong_settings(error: SettingsError) -> Iterator[Finding]:
    """Each mistake is a finding of its own."""
    for mistake in error.mistakes:
        yield problem("settings", mistake.problem, mistake.remedy or "Mend what the sentence names.")


def configuration(context: Context) -> Iterator[Finding]:
    """Raises :class:`SettingsError` where the settings are wrong."""
    settings = context.settings
    yield ok("settings", f"{settings.environment}, from {context.ini_path}")
    for mistake in strange_keys(context.app_section):
        yield warning("settings", mistake.problem, mistake.remedy)
    yield from _strange_variables(os.environ)
    if settings.secret == DEVELOPMENT_SECRET:
        # Production would not have come this far with a missing or weak one.
        yield ok("secrets", "the public development secret; never use it on the internet")
    elif weakness := weakness_of(settings.secret):
        yield warning("secrets", f"MARKETPLACE_SECRET {weakness}; production would not start with it", NEW_SECRET)
    else:
        yield ok("secrets", "set")
    yield _proxies(Installation(settings, context.server_section, context.ini_path))
    yield _public_url(settings, context.server_section)


def _strange_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables of the environment whose names nearly are those of settings."""
    known = {field.metadata["env"] for field in fields(Settings)} | _ALSO_OURS
    for name in sorted(set(environ) - known):
        near = get_close_matches(name, known, 1, LIKE)
        if near:
            told = f"The environment names {name}, and there is no such setting."
            yield warning("settings", told, f"Did you mean {near[0]}?")


def _proxies(installation: Installation) -> Finding:
    settings = installation.settings
    count = settings.trusted_proxies
    if settings.production and count == 0:
        # We speak no TLS, and the address of production is https: somebody stands before us.
        return warning(
            "proxies",
            "none is trusted, so that all clients have the proxy's address and share one rate limit",
            "Set TRUSTED_PROXIES to the number of proxies that add to X-Forwarded-For, mostly 1.",
        )
    return ok("proxies", f"{count} trusted" if count else "none, clients connect directly")


def _public_url(settings: Settings, server: Mapping[str, str]) -> Finding:
    from marketplace_api.cli.up.commands import address

    url = urlsplit(settings.public_url)
    if settings.production and url.hostname in LOOPBACK:
        return warning(
            "public address",
            f"mails link to {settings.public_url}, which is everybody's own machine",
            "Set PUBLIC_URL to the address that people type, such as https://market.example.",
        )
    _, port = address(dict(server))
    if url.hostname in LOOPBACK and (url.port or 80) != port and not settings.production:
        return warning(
            "public address",
            f"mails link to {settings.public_url}, but the API listens on port {port}",
            f"Set PUBLIC_URL (marketplace.public_url) to http://{url.hostname}:{port}, or leave it out.",
        )
    return ok("public address", settings.public_url)
