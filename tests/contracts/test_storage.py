"""Both storages keep files alike; the S3 one against a real server that the test starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import time_machine

from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.storage import (
    KEY,
    LocalStorage,
    Storage,
    UrlSigner,
    content_type_of,
    make_storage,
    new_key,
    new_name,
)
from marketplace_api.gateways.storage.s3 import S3Storage
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed

BUCKET = "marketplace"
SIGNER = UrlSigner.from_secret("a secret of the tests that is long enough")


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed") / "data")
    server.start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


def s3_settings(server: Seaweed, **values: Any) -> Settings:
    return Settings(
        storage_backend="s3",
        storage_bucket=BUCKET,
        storage_endpoint=server.address,
        storage_access_key=ACCESS_KEY,
        storage_secret_key=values.pop("secret", SECRET_KEY),
        **values,
    )


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "files", SIGNER)
    return S3Storage.from_settings(s3_settings(request.getfixturevalue("seaweed")))


def put(storage: Storage, content: bytes, kind: str = "photo", ending: str = "webp", **options: str) -> str:
    key = new_key(kind, ending, **options)
    storage.put(key, BytesIO(content))
    return key


def whole(storage: Storage, key: str, first: int = 0, last: int | None = None) -> bytes | None:
    chunks = storage.read(key, first, last)
    return None if chunks is None else b"".join(chunks)


def test_what_is_put_is_there(storage: Storage) -> None:
    content = os.urandom(300_000)
    key = put(storage, content, ending="webp", variant="full")
    found = storage.find(key)
    assert found is not None
    assert (found.key, found.size, found.content_type) == (key, len(content), "image/webp")
    assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=1)
    assert whole(storage, key) == content
    assert found == storage.find(key)


def test_what_was_never_put_is_not_there(storage: Storage) -> None:
    key = new_key("photo", "webp")
    assert storage.find(key) is None
    assert storage.read(key) is None
    storage.delete(key)


def test_parts_can_be_read(storage: Storage) -> None:
    content = bytes(range(256)) * 1000
    key = put(storage, content)
    assert whole(storage, key, 0, 0) == content[:1]
    assert whole(storage, key, 100_000, 200_009) == content[100_000:200_010]
    assert whole(storage, key, 255_990) == content[255_990:]
    assert whole(storage, key, 255_990, 10**9) == content[255_990:]
    assert whole(storage, key, 256_000) == b""


def test_an_etag_names_the_content(storage: Storage) -> None:
    key = put(storage, b"one")
    before = storage.find(key)
    storage.put(key, BytesIO(b"another"))
    after = storage.find(key)
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert '"' not in after.etag
    assert whole(storage, key) == b"another"


def test_deleting_can_be_repeated(storage: Storage) -> None:
    key = put(storage, b"content")
    storage.delete(key)
    storage.delete(key)
    assert storage.find(key) is None


def test_files_are_found_by_the_beginning_of_their_keys(storage: Storage) -> None:
    names = [digit + new_name()[1:] for digit in "aab"]
    keys = [new_key("listed", "webp", "thumb", name) for name in names]
    other = new_key("listedtoo", "webp", "", names[0])
    for key in (*keys, other):
        storage.put(key, BytesIO(b"content"))
    assert {file.key for file in storage.walk("listed-")} == set(keys)
    assert {file.key for file in storage.walk("listed-a")} == set(keys[:2])
    assert [file.key for file in storage.walk(keys[2])] == keys[2:]
    assert [file.size for file in storage.walk("listed-b")] == [7]
    assert list(storage.walk("nothing-")) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "..",
        "../../etc/passwd",
        "photo-../x.webp",
        "/etc/passwd",
        "photo",
        "photo-123.webp",
        "photo-" + "a" * 32,
        "photo-" + "a" * 32 + ".exe",
        "photo-" + "A" * 32 + ".webp",
        "photo-" + "a" * 32 + ".webp\n",
        "photo-" + "a" * 32 + "-\x00.webp",
        "photo-" + "a" * 32 + "-full.webp/..",
    ],
)
def test_a_key_leads_nowhere_else(storage: Storage, key: str) -> None:
    for use in (
        lambda: storage.put(key, BytesIO(b"evil")),
        lambda: storage.find(key),
        lambda: storage.read(key),
        lambda: storage.delete(key),
        lambda: storage.signed_url(key, 60),
    ):
        with pytest.raises(ValueError, match="not a key"):
            use()


def test_keys_cannot_be_guessed() -> None:
    keys = {new_key("photo", "webp", "full") for _ in range(1000)}
    assert len(keys) == 1000
    assert all(KEY.fullmatch(key) for key in keys)
    assert content_type_of(new_key("document", "bin")) == "application/octet-stream"


def test_many_at_once_keep_whole_files(storage: Storage) -> None:
    """Readers of a file that is written again and again see one of its contents, never a mixture."""
    key = put(storage, b"0" * 200_000)
    seen: list[bytes] = []
    errors: list[Exception] = []

    def write(digit: bytes) -> None:
        for _ in range(5):
            storage.put(key, BytesIO(digit * 200_000))

    def read() -> None:
        try:
            seen.extend(whole(storage, key) or b"" for _ in range(10))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(digit,)) for digit in (b"1", b"2")]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(seen) == 30
    assert {(len(content), len(set(content))) for content in seen} == {(200_000, 1)}


def test_it_can_be_checked(storage: Storage) -> None:
    storage.check()
    assert [file for kind in ("probe-", "probe") for file in storage.walk(kind)] == []


def test_nothing_unfinished_stays(storage: Storage) -> None:
    assert storage.tidy(datetime.now(UTC) + timedelta(hours=1)) == 0


# What each does in its own way.


def test_an_address_of_ours_opens_one_file_for_a_while() -> None:
    key, other = new_key("document", "bin"), new_key("document", "bin")
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=False) as clock:
        url = urlsplit(LocalStorage(Path("unused"), SIGNER).signed_url(key, 300))
        asked = dict(parse_qsl(url.query))
        expires, signature = int(asked["expires"]), asked["signature"]
        assert url.path == f"/files/{key}"
        assert SIGNER.is_valid(key, expires, signature)
        assert not SIGNER.is_valid(other, expires, signature)
        assert not SIGNER.is_valid(key, expires + 1, signature)
        assert not SIGNER.is_valid(key, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1"))
        assert not SIGNER.is_valid(key, expires, "ä")
        assert not UrlSigner.from_secret("another secret").is_valid(key, expires, signature)
        clock.shift(299)
        assert SIGNER.is_valid(key, expires, signature)
        clock.shift(1)
        assert not SIGNER.is_valid(key, expires, signature)
    assert "key" not in repr(SIGNER)


def test_an_address_of_the_bucket_opens_one_file_for_a_while(seaweed: Seaweed) -> None:
    storage = S3Storage.from_settings(s3_settings(seaweed))
    key, other = put(storage, b"secret", "document", "bin"), put(storage, b"other", "document", "bin")
    url = storage.signed_url(key, 300)
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"secret")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    part = requests.get(url, headers={"Range": "bytes=2-3"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"cr")
    assert requests.get(url.replace(key, other), timeout=10).status_code == 403
    assert requests.get(url.partition("?")[0], timeout=10).status_code == 403
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=1)):
        expired = storage.signed_url(key, 300)
    assert requests.get(expired, timeout=10).status_code == 403


def test_somebody_else_can_send_one_file_of_bounded_size(seaweed: Seaweed) -> None:
    storage = S3Storage.from_settings(s3_settings(seaweed))
    key = new_key("photo", "webp")
    form = storage.post_form(key, 1000, 300)

    def send(content: bytes, **changes: str) -> int:
        return requests.post(form.url, data={**form.fields, **changes}, files={"file": content}, timeout=10).status_code

    assert send(b"x" * 1001) == 400
    assert send(b"x", key=new_key("photo", "webp")) == 403
    assert send(b"x", **{"Content-Type": "text/html"}) == 403
    assert storage.find(key) is None
    assert send(b"x" * 1000) == 204
    found = storage.find(key)
    assert found is not None
    assert found.size == 1000


# What goes wrong.


def test_wrong_credentials_and_a_missing_bucket_are_temporary(seaweed: Seaweed) -> None:
    settings = s3_settings(seaweed, secret="wrong-secret-key")
    for storage in (S3Storage.from_settings(settings), S3Storage(seaweed.client(), "nobucket")):
        with pytest.raises(Unavailable):
            storage.check()
        with pytest.raises(Unavailable):
            storage.put(new_key("photo", "webp"), BytesIO(b"content"))


def test_a_server_that_is_down_is_temporary_and_loses_nothing(tmp_path: Path) -> None:
    server = Seaweed(tmp_path / "own" / "data")
    server.start()
    try:
        server.client().create_bucket(Bucket=BUCKET)
        storage = S3Storage.from_settings(s3_settings(server))
        key = put(storage, b"content")
        server.stop()
        for use in (
            lambda: storage.put(new_key("photo", "webp"), BytesIO(b"x")),
            lambda: storage.find(key),
            lambda: storage.read(key),
            lambda: storage.delete(key),
            lambda: list(storage.walk("photo-")),
            storage.check,
        ):
            with pytest.raises(Unavailable):
                use()
        server.start()
        assert whole(storage, key) == b"content"
    finally:
        server.stop()


class Broken(BytesIO):
    """Ends in an error, as a disk does that is full, or a process that is killed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(b"x" * 100_000)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if not chunk:
            raise self.error
        return chunk


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, limited_files: Any) -> None:
    storage = LocalStorage(tmp_path / "files", SIGNER)
    kept = put(storage, b"before")
    key = new_key("photo", "webp")
    with limited_files(50_000), pytest.raises(Unavailable, match="nothing was saved"):
        storage.put(key, BytesIO(b"x" * 100_000))
    assert storage.find(key) is None
    assert [path.name for path in (tmp_path / "files").rglob("*") if path.is_file()] == [kept]
    storage.put(key, BytesIO(b"x" * 100_000))
    assert storage.find(key) is not None


def test_what_a_killed_process_left_is_tidied_up(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "files", SIGNER)
    key = new_key("photo", "webp")
    with pytest.raises(KeyboardInterrupt):
        storage.put(key, Broken(KeyboardInterrupt()))
    assert storage.find(key) is None
    assert list(storage.walk("photo-")) == []
    assert storage.tidy(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert storage.tidy(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


def test_a_folder_that_is_none_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    storage = LocalStorage(tmp_path / "files", SIGNER)
    key = new_key("photo", "webp")
    for use in (lambda: storage.put(key, BytesIO(b"x")), lambda: storage.find(key), storage.check):
        with pytest.raises(Unavailable):
            use()


def test_local_files_are_private_to_the_service(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "files", SIGNER)
    put(storage, b"content")
    for path in (tmp_path / "files").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_the_setting_chooses(tmp_path: Path, seaweed: Seaweed) -> None:
    settings = Settings(data_dir=tmp_path)
    assert isinstance(make_storage(settings), LocalStorage)
    assert make_storage(settings) is make_storage(replace(settings))
    assert isinstance(make_storage(s3_settings(seaweed)), S3Storage)
    with pytest.raises(SettingsError, match="S3_BUCKET"):
        Settings.load({"storage.backend": "s3"}, {})
    with pytest.raises(SettingsError, match="must be 'local'"):
        Settings.load({"storage.backend": "ftp"}, {})
