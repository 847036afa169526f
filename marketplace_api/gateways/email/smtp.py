"""E-mails through an SMTP server."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage

from marketplace_api.config.parsing import mail_server
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError

TIMEOUT_SECONDS = 15


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Sends through one SMTP server, a connection per message; certificates are always verified."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    implicit_tls: bool = False
    starttls: bool = False
    timeout: float = TIMEOUT_SECONDS

    @classmethod
    def from_url(cls, url: str, timeout: float = TIMEOUT_SECONDS) -> SmtpMailer:
        """From ``smtp://user:password@host:587?starttls=1`` or ``smtps://…``; raises :class:`SettingsError`."""
        return cls(**mail_server(url)._asdict(), timeout=timeout)

    def send(self, message: EmailMessage) -> None:
        # Every `from None` is there because smtplib's errors hold the recipients, and tracebacks are logged.
        try:
            with self._connection() as server:
                refused = server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal([code for code, _ in error.recipients.values()]) from None
        except smtplib.SMTPAuthenticationError as error:
            raise Unavailable(f"The mail server refused our user name or password ({error.smtp_code}).") from None
        except smtplib.SMTPResponseException as error:
            raise _refusal([error.smtp_code]) from None
        except smtplib.SMTPNotSupportedError:
            raise PermanentDeliveryError("The mail server cannot take this address or our encryption.") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"The mail server does not answer ({type(error).__name__}).") from None
        if refused:
            raise _refusal([code for code, _ in refused.values()]) from None

    def check(self) -> None:
        """Connect, encrypt and log in as for a message, but send none.

        Raises :class:`marketplace_api.errors.Unavailable`: what is in the way, a colon, what to set.
        """
        try:
            with self._connection() as server:
                server.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"{self.host}:{self.port} {_obstacle(error)}.") from None

    def _connection(self) -> smtplib.SMTP:
        if self.implicit_tls:
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        try:
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if self.username:
                server.login(self.username, self.password)
        except BaseException:
            server.close()
            raise
        return server


def _obstacle(error: Exception) -> str:
    """What stands between us and the mail server, a colon, and what to set."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return (
                "refuses our user name or password: mend them in SMTP_URL (percent-encode what has a meaning in URLs, "
                "such as %40 for @)"
            )
        case smtplib.SMTPNotSupportedError():
            return (
                "does not do what SMTP_URL asks for (STARTTLS or log-in): take starttls=1 out, or use smtps:// if the "
                "server encrypts from the first byte"
            )
        case ssl.SSLCertVerificationError():
            return "has a certificate that cannot be trusted: use the name in SMTP_URL that the certificate is made for"
        case ssl.SSLError() | smtplib.SMTPServerDisconnected():
            return (
                "does not speak the encryption that SMTP_URL asks for: use smtps:// for port 465, and "
                "smtp://…?starttls=1 for port 587"
            )
        case socket.gaierror():
            return "cannot be found: mend the host name in SMTP_URL"
        case ConnectionRefusedError():
            return "is not listening: mend host and port in SMTP_URL, or start the mail server"
        case OSError():
            return "does not answer: mend host and port in SMTP_URL, or let the firewall pass"
    return f"does not let us in ({type(error).__name__}): check SMTP_URL"


def _refusal(codes: list[int]) -> Exception:
    """RFC 5321 §4.2.1: a code of 5xx is final, one of 4xx asks to try again."""
    told = ", ".join(str(code) for code in sorted(set(codes)))
    if any(400 <= code < 500 for code in codes):
        return Unavailable(f"The mail server put the message off ({told}).")
    return PermanentDeliveryError(f"The mail server refused the message ({told}).")
