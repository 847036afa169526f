"""Files in a bucket of Amazon S3 or of any server that speaks its protocol; needs the extra ``s3`` (boto3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.storage.base import CHUNK, KEY, StoredFile, content_type_of, new_key, parts_of

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # pragma: no cover - only where the extra is missing
    boto3 = None

# By one of these the server says that a key, as opposed to the bucket, is not there.
ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, slots=True)
class PostForm:
    """Where to send a form that puts a file into the bucket: ``fields`` first, then the file as ``file``."""

    url: str
    fields: dict[str, str]


class S3Storage:
    """One bucket, which must be there. Its client is shared by all threads."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def from_settings(cls, settings: Settings) -> S3Storage:
        """Raises :class:`SettingsError` where the extra is missing."""
        if boto3 is None:
            raise SettingsError("storage.backend is 's3': install the extra, pip install 'marketplace-api[s3]'.")
        config = Config(
            signature_version="s3v4",
            connect_timeout=3,
            read_timeout=15,
            retries={"total_max_attempts": 2, "mode": "standard"},
            # Servers that are not Amazon's seldom have a host name for each bucket, nor the newer checksums.
            s3={"addressing_style": "path" if settings.storage_endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=32,
        )
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.storage_endpoint or None,
            region_name=settings.storage_region,
            aws_access_key_id=settings.storage_access_key or None,
            aws_secret_access_key=settings.storage_secret_key or None,
            config=config,
        )
        return cls(client, settings.storage_bucket)

    def put(self, key: str, content: IO[bytes]) -> None:
        with _outages():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=content_type_of(key))

    def find(self, key: str) -> StoredFile | None:
        parts_of(key)
        with _outages():
            facts = _unless_absent(self._client.head_object, Bucket=self._bucket, Key=key)
            return None if facts is None else _described(key, facts["ContentLength"], facts)

    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes] | None:
        parts_of(key)
        wanted = {} if first == 0 and last is None else {"Range": f"bytes={first}-{'' if last is None else last}"}
        with _outages():
            try:
                answer = _unless_absent(self._client.get_object, Bucket=self._bucket, Key=key, **wanted)
            except ClientError as error:
                if _code(error) in ("416", "InvalidRange"):
                    return iter(())
                raise
            return None if answer is None else _chunks(answer["Body"])

    def delete(self, key: str) -> None:
        parts_of(key)
        with _outages():
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def walk(self, prefix: str) -> Iterator[StoredFile]:
        with _outages():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for facts in page.get("Contents", ()):
                    if KEY.fullmatch(facts["Key"]):
                        yield _described(facts["Key"], facts["Size"], facts)

    def signed_url(self, key: str, seconds: int) -> str:
        parts_of(key)
        asked = {"Bucket": self._bucket, "Key": key}
        return str(self._client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))

    def post_form(self, key: str, most_bytes: int, seconds: int) -> PostForm:
        """What somebody else needs to put this one file of at most ``most_bytes`` here, for so long and no longer."""
        content_type = content_type_of(key)
        signed = self._client.generate_presigned_post(
            self._bucket,
            key,
            Fields={"Content-Type": content_type},
            ExpiresIn=seconds,
            Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, most_bytes]],
        )
        return PostForm(signed["url"], signed["fields"])

    def tidy(self, before: datetime) -> int:
        """Nothing: a file is put by one request, of which the server keeps all or nothing."""
        return 0

    def check(self) -> None:
        # Not HEAD on the bucket, which some servers answer while they can store nothing.
        key = new_key("probe", "bin")
        with _outages():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"probe")
            self._client.delete_object(Bucket=self._bucket, Key=key)


def _described(key: str, size: int, facts: dict[str, Any]) -> StoredFile:
    return StoredFile(key, size, facts["ETag"].strip('"'), facts["LastModified"])


def _unless_absent(call: Any, **arguments: Any) -> Any | None:
    try:
        return call(**arguments)
    except ClientError as error:
        if _code(error) in ABSENT:
            return None
        raise


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _chunks(body: Any) -> Iterator[bytes]:
    try:
        with _outages():
            yield from body.iter_chunks(CHUNK)
    finally:
        body.close()


@contextmanager
def _outages() -> Iterator[Any]:
    """Away, too slow, full, or our credentials refused: somebody will mend it, and later it works."""
    try:
        yield
    except ClientError as error:
        raise _unavailable(_code(error) or "an error") from error
    except (BotoCoreError, OSError) as error:
        raise _unavailable(type(error).__name__) from error


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"The storage of files cannot be used now ({reason}); nothing was saved.", retry_after=30)
