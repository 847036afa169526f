"""What settings must be like, told all at once; and keys of an ini that look like ours and are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from marketplace_api.config.parsing import (
    NEW_DOCUMENT_KEY,
    NEW_KEY,
    NEW_PUSH_KEY,
    SMTP_FORM,
    Mistake,
    SettingsError,
    document_keys,
    mail_server,
    push_key,
    signing_seeds,
)

DEVELOPMENT_SECRET = "development-only-secret-do-not-deploy"
MINIMUM_SECRET_LENGTH = 32
FEWEST_CHARACTERS = 8  # different ones; fewer are no random secret
FEWEST_EVENT_MONTHS = 12  # the database keeps these in any case
TWILIO_CONSOLE = "It is shown in the console at twilio.com."
NEW_SECRET = "Make one: export MARKETPLACE_SECRET=$(openssl rand -hex 32)"

_CHOICES = {
    "database_pooler": ("auto", "none", "session", "transaction"),
    "environment": ("development", "production"),
    "email_backend": ("local", "smtp"),
    "storage_backend": ("local", "s3"),
    "sms_backend": ("local", "twilio"),
    "push_backend": ("local", "vapid"),
}
_LEAST = {
    "database_pool_size": 1,
    "database_timeout": 1,
    "access_minutes": 1,
    "session_days": 1,
    "erase_days": 0,
    "backoff_free_attempts": 0,
    "email_undo_days": 1,
    "reviews_account_days": 0,
    "rate_multiplier": 1,
    "trusted_proxies": 0,
    "body_limit": 1,
    "header_timeout": 1,
    "body_timeout": 1,
    "body_minimum_rate": 1,
    "drain_seconds": 0,
    "photo_limit": 1,
    "decoders": 1,
    "decoder_memory": 256,
    "document_limit": 1,
    "document_keep_days": 0,
    "notifications_keep_days": 1,
    "video_limit": 1,
    "video_seconds": 1,
    "realtime_port": 1,
    "realtime_replay": 1,
}
_REDIS = re.compile(r"(redis|rediss|redis\+unix|valkey|valkeys|valkey\+unix)://.+")
_CONTACT = re.compile(r"mailto:[^\s@]+@[\w-]+(\.[\w-]+)+|https://[\w-]+\.[\w.-]+")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Words before a key's dot that are ours alone; the other ones we share with libraries, whose keys are their business.
_OURS = frozenset(
    {
        "marketplace",
        "auth",
        "email",
        "limits",
        "http",
        "files",
        "storage",
        "metrics",
        "documents",
        "notifications",
        "events",
        "outbound",
        "sms",
        "push",
        "realtime",
        "reviews",
    }
)
# What the ini's [DEFAULT] gives to all sections.
_PLACEHOLDERS = ("http_port", "data_dir")
_CLOSE, _SIBLING = 0.8, 0.66
_TYPO = 2  # characters more or less

Named = Callable[[str], str]
"""A field's name -> how people know the setting."""


def mistakes(settings: Any, named: Named) -> Iterator[Mistake]:
    """Everything that is wrong with the values of ``settings``."""
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            yield Mistake(f"{named(name)} must be {' or '.join(map(repr, choices))}.")
    for name, least in _LEAST.items():
        if getattr(settings, name) < least:
            yield Mistake(f"{named(name)} must be {least} or more.")
    if 0 != settings.events_keep_months < FEWEST_EVENT_MONTHS:
        yield Mistake(
            f"{named('events_keep_months')} must be {FEWEST_EVENT_MONTHS} or more, or 0 to keep them for ever."
        )
    if not 4 <= settings.bcrypt_cost <= 20:
        yield Mistake(f"{named('bcrypt_cost')} must be between 4 and 20.")
    if settings.log_level.upper() not in _LEVELS:
        yield Mistake(f"{named('log_level')} must be one of {', '.join(_LEVELS)}.")
    yield from _addresses(settings, named)
    yield from _mail(settings, named)
    yield from _keys(settings, named)
    yield from _messages(settings, named)
    if settings.storage_backend == "s3" and not settings.storage_bucket:
        yield Mistake(f"{named('storage_bucket')} is missing, and files shall live in S3.", "Set it to the bucket.")
    if settings.environment == "production":
        yield from _production(settings, named)


def _addresses(settings: Any, named: Named) -> Iterator[Mistake]:
    others = ("database_read_url", "database_direct_url", "database_owner_url")
    for name, special in (("database_url", "embedded"), *((name, "") for name in others)):
        url = getattr(settings, name)
        if url != special and not _is_url(url, ("postgres", "postgresql", "postgresql+psycopg"), host=False):
            form = "It must look like postgresql://user:password@host:5432/database."
            yield Mistake(f"{named(name)} is not a PostgreSQL URL.", form)
    for name in ("public_url", "files_url", "realtime_url", "storage_endpoint", "sentry_dsn", "sms_base_url"):
        url = getattr(settings, name)
        if url and not _is_url(url, ("http", "https")):
            yield Mistake(f"{named(name)} must be an address that starts with https:// (or http://) and names a host.")
    if settings.redis_url and not _REDIS.fullmatch(settings.redis_url):
        yield Mistake(f"{named('redis_url')} must look like redis://host:6379/0, rediss:// or valkey://.")
    for origin in settings.cors_origins:
        if not _is_url(origin, ("http", "https")) or origin.count("/") != 2:
            told = f"{named('cors_origins')} names {origin!r}, which is no origin."
            yield Mistake(told, "An origin is scheme and host, such as https://app.example, without a path.")


def _mail(settings: Any, named: Named) -> Iterator[Mistake]:
    if settings.email_backend == "smtp" and not settings.smtp_url:
        yield Mistake(f"{named('smtp_url')} is missing, and mail shall be sent by SMTP.", SMTP_FORM)
    elif settings.email_backend == "smtp":
        yield from _parsed(mail_server, settings.smtp_url)
    if settings.email_appeals and "@" not in parseaddr(settings.email_appeals)[1]:
        yield Mistake(f"{named('email_appeals')} must hold an address, such as moderators@market.example, or nothing.")
    if "@" not in parseaddr(settings.email_from)[1]:
        yield Mistake(f"{named('email_from')} must hold an address, such as Marketplace <no-reply@market.example>.")
    for name in ("reset_link", "confirm_link"):
        if "{token}" not in getattr(settings, name):
            yield Mistake(f"{named(name)} must hold {{token}} where the token goes.")
    if "{path}" not in settings.notification_link:
        yield Mistake(f"{named('notification_link')} must hold {{path}} where the path goes.")


def _keys(settings: Any, named: Named) -> Iterator[Mistake]:
    if settings.jwt_keys:
        yield from _parsed(signing_seeds, settings.jwt_keys)
    elif settings.environment == "production":
        yield Mistake(f"{named('jwt_keys')} is missing: production needs at least one kid:seed pair.", NEW_KEY)
    if settings.document_keys:
        yield from _parsed(document_keys, settings.document_keys)
    elif settings.environment == "production":
        told = f"{named('document_keys')} is missing: production needs at least one kid:key pair."
        yield Mistake(told, NEW_DOCUMENT_KEY)


def _messages(settings: Any, named: Named) -> Iterator[Mistake]:
    """Text messages and web push."""
    if settings.sms_backend == "twilio":
        for name in ("sms_account_sid", "sms_auth_token", "sms_from"):
            if not getattr(settings, name):
                yield Mistake(f"{named(name)} is missing, and text messages shall go through Twilio.", TWILIO_CONSOLE)
    if settings.push_vapid_key:
        yield from _parsed(push_key, settings.push_vapid_key)
    elif settings.push_backend == "vapid" and settings.environment == "production":
        yield Mistake(f"{named('push_vapid_key')} is missing, and web push shall be sent.", NEW_PUSH_KEY)
    if settings.push_backend == "vapid" and not _CONTACT.fullmatch(settings.push_contact):
        told = f"{named('push_contact')} must say whom push services may write to."
        yield Mistake(told, "Set it like mailto:ops@market.example or https://market.example.")


def _production(settings: Any, named: Named) -> Iterator[Mistake]:
    secret, name = settings.secret, named("secret")
    if secret == DEVELOPMENT_SECRET:
        yield Mistake(f"{name} is missing; the default is public.", NEW_SECRET)
    elif weakness := weakness_of(secret):
        yield Mistake(f"{name} {weakness}.", NEW_SECRET)
    if settings.database_url == "embedded":
        remedy = "Set it to a PostgreSQL server: postgresql://user:password@host:5432/database."
        yield Mistake(f"{named('database_url')} is missing; the embedded server is for development.", remedy)
    if settings.outbound_allow_private:
        remedy = "Leave it out: others choose these addresses, and they would reach what only we shall."
        yield Mistake(f"{named('outbound_allow_private')} must be false in production.", remedy)
    if settings.public_url.startswith("http://"):
        yield Mistake(f"{named('public_url')} must start with https:// in production.", "It is what mails link to.")


def weakness_of(secret: str) -> str:
    """What is wrong with a secret that somebody made, in words that follow its name; empty if nothing is."""
    if len(secret) < MINIMUM_SECRET_LENGTH:
        told = f"it has {len(secret)} characters and needs at least {MINIMUM_SECRET_LENGTH} random ones"
        return f"is too short: {told}"
    if len(set(secret)) < FEWEST_CHARACTERS:
        return "is no random secret: it repeats the same few characters"
    return ""


def _parsed(parse: Callable[[str], object], value: str) -> Iterator[Mistake]:
    try:
        parse(value)
    except SettingsError as error:
        yield from error.mistakes


def _is_url(text: str, schemes: Collection[str], *, host: bool = True) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # ValueError where it is no number
    except ValueError:
        return False
    return parts.scheme in schemes and "://" in text and bool(parts.hostname or not host) and " " not in text


def strangers(given: Collection[str], known: Collection[str]) -> list[Mistake]:
    """The keys among ``given`` that look like ours and are none, each with the nearest name.

    A word without a dot fills a ``%(word)s`` of the ini and may be anybody's, so it only counts where it nearly is one
    of ours; so does a key before whose dot stands a word that libraries use too.
    """
    found = []
    for key in sorted(set(given) - {*known, *_PLACEHOLDERS}):
        near = _nearest(key, known)
        if near or (key.partition(".")[0] in _OURS and "." in key):
            hint = f"Did you mean {near}?" if near else "See docs/reference/settings.md for those that there are."
            found.append(Mistake(f"The ini or --set names {key}, and there is no such setting.", hint))
    return found


def _nearest(key: str, known: Collection[str]) -> str:
    prefix, dot, name = key.rpartition(".")
    if not dot:
        return next(iter(get_close_matches(key, _PLACEHOLDERS, 1, _CLOSE)), "")
    siblings = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == prefix}
    if not siblings:
        return next(iter(get_close_matches(key, known, 1, _CLOSE)), "")
    # The common word before the dot would make all of a library's keys look like ours.
    near = get_close_matches(name, siblings, 1, _SIBLING)
    if not near or (prefix not in _OURS and abs(len(near[0]) - len(name)) > _TYPO):
        return ""
    return siblings[near[0]]
