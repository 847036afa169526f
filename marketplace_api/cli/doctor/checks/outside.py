"""What lies beyond this machine and its database: the mail server, Twilio, push services, the bucket, Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marketplace_api import serve
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, attempt, explained, ok, problem, warning
from marketplace_api.cli.doctor.checks.folders import in_the_way
from marketplace_api.config.parsing import LOOPBACK
from marketplace_api.config.settings import SettingsError
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.email import SmtpMailer
from marketplace_api.gateways.rate_limiter import SHARED_LIMITS_REMEDY, check_store, separate_limits
from marketplace_api.gateways.sms import hook_address
from marketplace_api.gateways.sms.twilio import TwilioSms
from marketplace_api.gateways.storage import make_storage

MAIL_SECONDS = 5
# What a storage says is in the way, by the word for it in its own protocol or in boto3's.
_BUCKET_REMEDIES = (
    (("InvalidAccessKeyId", "SignatureDoesNotMatch", "403"), "Mend S3_ACCESS_KEY and S3_SECRET_KEY."),
    (("NoCredentialsError",), "Set S3_ACCESS_KEY and S3_SECRET_KEY, or give this machine a role."),
    (("AccessDenied",), "Mend S3_ACCESS_KEY and S3_SECRET_KEY, or let that account put and delete in the bucket."),
    (("NoSuchBucket", "404"), "Make the bucket, or mend S3_BUCKET and S3_REGION."),
    (("PermanentRedirect", "AuthorizationHeaderMalformed"), "Mend S3_REGION: the bucket is in another one."),
    (("EndpointConnectionError", "Timeout", "SSLError"), "Mend S3_ENDPOINT, start that server, or open the firewall."),
)


def mail(installation: Installation) -> Iterator[Finding]:
    """Whether mail can leave, found out by everything but sending some."""
    settings = installation.settings
    if settings.email_backend != "smtp":
        found = _written("mail", settings.data_dir / "mail")
        if settings.production and found.state == "ok":
            remedy = "Set EMAIL_BACKEND=smtp and SMTP_URL=smtp://user:password@host:587?starttls=1."
            yield warning("mail", "written to files, sent to nobody", remedy)
        else:
            yield found
        return
    mailer = SmtpMailer.from_url(settings.smtp_url, timeout=MAIL_SECONDS)
    yield attempt("mail", mailer.check, f"{mailer.host}:{mailer.port} lets us in")
    encrypts = mailer.implicit_tls or mailer.starttls
    if settings.production and not encrypts and mailer.host not in LOOPBACK:
        told = f"goes to {mailer.host} in clear text, and it holds links that open accounts"
        yield warning("mail encryption", told, "Add ?starttls=1 to SMTP_URL, or use smtps://.")


def text_messages(installation: Installation) -> Iterator[Finding]:
    """Whether text messages can leave, and what became of them can come back; none is sent."""
    settings = installation.settings
    if settings.sms_backend != "twilio":
        # To go without them is a choice, as it is with Redis.
        nobody = ", sent to nobody (SMS_BACKEND=twilio sends)" if settings.production else ""
        yield _written("text messages", settings.data_dir / "sms", nobody)
        return
    sender = TwilioSms.from_settings(settings)
    yield attempt("text messages", sender.check, f"Twilio lets us in; it reports to {hook_address(settings)}")
    if not sender.callback:
        told = "Twilio cannot tell whether messages arrive, for the public address is this machine's own"
        yield warning("text message reports", told, "Set PUBLIC_URL to the address that people type.")


def web_push(installation: Installation) -> Iterator[Finding]:
    """Whether browsers can be told something. Each has a push service of its own, so none is asked."""
    settings = installation.settings
    if settings.push_backend == "vapid":
        yield ok("web push", f"signed, and push services may write to {settings.push_contact}")
    else:
        nobody = ", sent to nobody (PUSH_BACKEND=vapid sends)" if settings.production else ""
        yield _written("web push", settings.data_dir / "push", nobody)


def _written(check: str, folder: Path, more: str = "") -> Finding:
    """What is sent to nobody is written to a folder, which must let us."""
    obstacle = in_the_way(folder)
    return problem(check, *obstacle) if obstacle else ok(check, f"written to {folder}{more}")


def bucket(installation: Installation) -> Iterator[Finding]:
    """Whether files can be kept in the bucket, if that is where they live."""
    settings = installation.settings
    if settings.storage_backend != "s3":
        return
    try:
        # A bucket tells only by being written to; what is put there is taken away at once.
        make_storage(settings).check()
    except SettingsError as error:
        yield explained("files", error)
    except Unavailable as error:
        told = str(error.detail)
        remedy = next(
            (remedy for signs, remedy in _BUCKET_REMEDIES if any(sign in told for sign in signs)),
            "Check S3_ENDPOINT, S3_BUCKET and the keys.",
        )
        place = settings.storage_endpoint or "Amazon"
        yield problem("files", f"the bucket {settings.storage_bucket} at {place} cannot be used: {told}", remedy)
    else:
        yield ok("files", f"can be kept in the bucket {settings.storage_bucket}")


def redis(installation: Installation) -> Iterator[Finding]:
    """Whether the rate limits of all processes meet."""
    settings = installation.settings
    if settings.redis_url:
        yield attempt("redis", lambda: check_store(settings.redis_url), "answers")
    elif told := separate_limits(settings, serve.processes_of(installation.server)):
        yield warning("redis", told, SHARED_LIMITS_REMEDY)
    elif settings.production:
        limits = "one process counts the rate limits" if settings.rate_limits else "and no rate limits"
        yield ok("redis", f"none, {limits}")
