"""Addresses that others chose: what is never called, and that no answer takes more than it may. Real servers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways import safe_http, ssrf
from marketplace_api.gateways.safe_http import Limits
from marketplace_api.gateways.ssrf import OutboundRefused

OPEN = Settings(outbound_allow_private=True)
STRICT = Settings()
HASTE = Limits(connect=0.5, read=0.3, total=0.8, most_bytes=1000)
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def served(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a port of 127.0.0.1; ``answer`` is called for each connection once the request's head came."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            try:
                with tls.wrap_socket(connection, server_side=True) if tls else connection as open_:
                    open_.settimeout(5)
                    open_.recv(65536)
                    answer(open_)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    stopping.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def send(*parts: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: [connection.sendall(part) for part in parts] and None


def endless(head: bytes, part: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Until the caller hangs up."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while not threading.Event().wait(pause):
            connection.sendall(part)

    return answer


def test_only_addresses_of_the_public_internet_are_public() -> None:
    refused = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "nonsense",
    ]
    assert [address for address in refused if ssrf.is_public(address)] == []
    public = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::8a"]
    assert all(map(ssrf.is_public, public))


def test_no_spelling_of_a_private_address_is_called_whatever_else_the_name_answers() -> None:
    hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
    ]
    reached: list[bool] = []
    with served(lambda _connection: reached.append(True)) as port:
        for host in hosts:
            with pytest.raises(OutboundRefused):
                safe_http.session(STRICT).get(f"http://{host}:{port}/")
        for answers in (["8.8.8.8", "127.0.0.1"], ["::1"], []):
            with pytest.raises(OutboundRefused):
                safe_http.session(STRICT, resolve=lambda *_, a=answers: a).get(f"http://receiver.example:{port}/")
    assert reached == []


def test_other_addresses_are_refused_by_their_form() -> None:
    production = Settings(environment="production")
    for url in (
        "http://receiver.example/",
        "ftp://receiver.example/",
        "https://user:pass@receiver.example/",
        "file:///etc/passwd",
        "https://",
        "receiver.example",
        "https://10.0.0.1/",
        "https://[::1",
        "https://x:99999/",
        "https://localhost./",
    ):
        with pytest.raises(OutboundRefused):
            safe_http.session(production).get(url)
    # By their form alone, as when a webhook is made: what the resolver takes for an address without asking anybody.
    for host in ("2130706433", "0x7f.1", "0177.0.0.01", "127.0.0.1.", "１２７.1", "10.1", "0xa9fea9fe"):
        with pytest.raises(OutboundRefused, match="public Internet"):
            ssrf.check_url(production, f"https://{host}/")
    for host in ("8.8.8.8", "134744072", "1e9.example", "0x7f.example"):
        ssrf.check_url(production, f"https://{host}/")


def test_what_is_wrong_is_told_as_it_is() -> None:
    for settings, told in (
        (STRICT, "https:// or http:// and"),
        (Settings(environment="production"), "with https:// and"),
    ):
        with pytest.raises(OutboundRefused, match=told):
            ssrf.check_url(settings, "ftp://receiver.example/")

    def nobody(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Unavailable, match="No address was found for the name"):
        safe_http.session(STRICT, resolve=nobody).get("https://receiver.example/")


def test_the_name_is_resolved_once_and_the_connection_goes_there_as_that_name(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path, "receiver.example")
    names: list[str] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) % 2 else ["192.0.2.1"]

    with served(send(FINE), context) as port:
        caller = safe_http.session(OPEN, HASTE, rebinding)
        assert caller.get(f"https://receiver.example:{port}/", verify=str(authority)).text == "ok"
        assert (asked, names) == (["receiver.example"], ["receiver.example"])
        asked.clear()
        with pytest.raises(Unavailable):  # the certificate is not that of this name
            caller.get(f"https://other.example:{port}/", verify=str(authority))


def test_a_redirect_is_an_answer_and_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with served(send(moved)) as port:
        caller = safe_http.session(OPEN, HASTE)
        answer = caller.post(f"http://127.0.0.1:{port}/", data=b"{}")
    assert (answer.status_code, answer.history, len(caller.cookies)) == (302, [], 0)


def test_a_long_answer_is_cut_and_a_packed_one_is_not_unpacked() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    with served(endless(head, b"x" * 4096)) as port:
        assert safe_http.session(OPEN, HASTE).get(f"http://127.0.0.1:{port}/").content == b"x" * 1000


def test_slow_answers_end_when_the_time_is_up() -> None:
    silent = lambda connection: connection.recv(1)  # noqa: E731
    slow_body = endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.1)
    slow_head = endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0.1)
    for answer in (silent, slow_body, slow_head):
        with served(answer) as port, pytest.raises(Unavailable):
            safe_http.session(OPEN, HASTE).get(f"http://127.0.0.1:{port}/")
    # Neither does a handshake, byte by byte, nor a name server that never answers, take longer.
    with served(endless(b"\x16", b"\x03", 0.1)) as port, pytest.raises(Unavailable):
        safe_http.session(OPEN, HASTE).get(f"https://127.0.0.1:{port}/")
    never = threading.Event()
    with pytest.raises(Unavailable):
        safe_http.session(OPEN, HASTE, lambda *_: never.wait(5) and []).get("http://receiver.example/")
    never.set()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context and the file of whom to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "receiver.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    authority = folder / "authority.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    file.write_bytes(private + authority.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, authority
