"""The processes that decode: what they may use, what becomes of them, and what a caller is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from marketplace_api.errors import Invalid, Unavailable
from marketplace_api.gateways import documents, images, video
from marketplace_api.gateways.decoding import pool as pools
from marketplace_api.gateways.decoding.pool import Order, Pool, patiently
from tests.factories.images import make_image
from tests.factories.videos import make_video
from tests.support.polling import eventually

ROOT = Path(__file__).resolve().parents[3]
ORDER = {"sizes_of": {"full": 1600}, "square": False, **images.bounds()}
SMALL = make_image("PNG")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the system holds these limits on Linux alone")


def huge(kind: str = "PNG", mode: str = "1", side: int = 7000) -> bytes:
    """49 megapixels in a few kilobytes."""
    out = BytesIO()
    Image.new(mode, (side, side)).save(out, kind)
    return out.getvalue()


HUGE = huge()


def photo(content: bytes = SMALL, **bounds: Any) -> Order:
    return Order("variants", ORDER, content, **bounds)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool of its own behind all functions that decode pictures."""
    made = Pool("test", 2)
    monkeypatch.setattr(images, "PICTURES", made)
    monkeypatch.setattr(documents, "PICTURES", made)
    yield made
    made.close()


def code_of(error: Invalid) -> str:
    assert error.code == "invalid_file"
    return error.errors[0].code


class Stopped:
    """An order in hand of a child that stands still, until the block ends."""

    def __init__(self, pool: Pool, order: Order) -> None:
        self.pool, self.order = pool, order
        self.outcome: Any = None

    def __enter__(self) -> Stopped:
        self.pool.run(photo())  # so that a child waits, which can be stopped before the order comes
        self.pid = self.pool.pids()[0]
        os.kill(self.pid, signal.SIGSTOP)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        eventually(lambda: self.pool._working == 1)
        return self

    def _run(self) -> None:
        try:
            self.outcome = self.pool.run(self.order)
        except Exception as error:
            self.outcome = error

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_a_child_is_used_again_and_replaced_in_time(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "USES", 3)
    seen = []
    for _ in range(6):
        images.photo_variants(BytesIO(SMALL))
        seen.append(pool.pids())
    assert seen[0] == seen[1]
    assert seen[2] == [], "after its last file it is ended"
    assert seen[3] == seen[4] != seen[0]


def test_what_was_a_large_picture_is_given_back(pool: Pool) -> None:
    """What one of 49 megapixels took stays neither here nor in a child."""
    images.photo_variants(BytesIO(SMALL))
    before = psutil.Process().memory_info().rss
    threads = [threading.Thread(target=_patient, args=(HUGE,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert psutil.Process().memory_info().rss - before < 100_000_000
    assert sum(psutil.Process(pid).memory_info().rss for pid in pool.pids()) < 2 * 200 * 1024 * 1024
    assert len(pool.pids()) <= 2


def _patient(content: bytes) -> None:
    with patiently():
        images.photo_variants(BytesIO(content))


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "I;16"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_every_kind_of_the_largest_has_room(kind: str, mode: str, pool: Pool) -> None:
    found = images.picture_variants(BytesIO(huge(kind, mode)))
    assert (found["card"].width, found["card"].height) == (480, 480)


def test_a_child_knows_nothing_of_its_parent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_SECRET", "very-secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@host/name")
    ours, its = os.pipe()
    os.set_inheritable(its, True)
    try:
        images.photo_variants(BytesIO(SMALL))
        child = psutil.Process(pool.pids()[0])
        environment = child.environ()
        assert not [name for name in environment if "SECRET" in name or "URL" in name or "KEY" in name]
        assert "secret" not in " ".join((*child.cmdline(), *environment.values()))
        if sys.platform == "linux":
            targets = [str(entry.readlink()) for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
            assert sorted({target.partition(":")[0] for target in targets}) == ["/dev/null", "socket"]
            assert len({target for target in targets if target.startswith("socket")}) == 1
    finally:
        os.close(ours)
        os.close(its)


@needs_linux
def test_the_system_holds_its_limits(pool: Pool) -> None:
    images.photo_variants(BytesIO(SMALL))
    told = Path(f"/proc/{pool.pids()[0]}/limits").read_text()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in told.splitlines()}
    assert limits["Max address space"] == [str(pool.memory)] * 2
    assert limits["Max core file size"] == ["0", "0"], "no document lands on a disk by a crash"
    assert limits["Max file size"][0] == "0", "nor by a library that would write one"


@needs_linux
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_takes_too_much_memory_is_refused(kind: str, pool: Pool) -> None:
    pool.memory = 160 * 1024 * 1024
    with pytest.raises(Invalid) as caught:
        images.photo_variants(BytesIO(huge(kind, "RGB")))
    assert code_of(caught.value) in ("too_costly", "broken_file")
    assert images.photo_variants(BytesIO(SMALL)), "the next one is as welcome as ever"


@needs_linux
def test_what_takes_too_much_computing_is_refused(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Invalid) as caught:
        pool.run(photo(huge(mode="RGBA"), processor=0.01))
    assert code_of(caught.value) == "too_costly"
    assert "decoder at its limit" in caplog.text
    assert images.photo_variants(BytesIO(SMALL))


def test_what_takes_too_long_is_ended(pool: Pool) -> None:
    """A child that stands still hears no signal but SIGKILL; that may be the machine's fault, so it is no refusal."""
    with Stopped(pool, photo(seconds=0.3)) as stopped:
        stopped.thread.join(60)
        assert isinstance(stopped.outcome, Unavailable)
        assert stopped.outcome.retry_after
        assert not psutil.pid_exists(stopped.pid)
    assert images.photo_variants(BytesIO(SMALL))


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGKILL, Unavailable), (signal.SIGSEGV, Invalid)])
def test_one_that_ends_in_the_middle(number: int, expected: type[Exception], pool: Pool) -> None:
    with Stopped(pool, photo()) as stopped:
        os.kill(stopped.pid, number)
        os.kill(stopped.pid, signal.SIGCONT)
        stopped.thread.join(60)
        assert isinstance(stopped.outcome, expected), stopped.outcome
    assert images.photo_variants(BytesIO(SMALL))


def test_one_that_ended_while_it_waited_is_replaced(pool: Pool) -> None:
    images.photo_variants(BytesIO(SMALL))
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert images.photo_variants(BytesIO(SMALL))
    assert pool.pids() != [pid]
    assert not psutil.pid_exists(pid), "no zombie is left"


def test_while_all_are_busy_others_are_told_to_come_back(pool: Pool) -> None:
    pool.most, pool.patience = 1, 0.2
    with Stopped(pool, photo()) as stopped:
        with pytest.raises(Unavailable) as caught:
            images.photo_variants(BytesIO(SMALL))
        assert caught.value.retry_after
        with pytest.raises(Unavailable):
            documents.media_type_of(SMALL)
        assert stopped.outcome is None
    assert not isinstance(stopped.outcome, Exception)
    assert images.photo_variants(BytesIO(SMALL))


def test_only_so_many_wait(pool: Pool) -> None:
    """Who would be one too many is told at once, however long the others may wait."""
    pool.most, pool.patience, pool.queue = 1, 60, 1
    results: list[object] = []
    with Stopped(pool, photo()):
        waiting = threading.Thread(target=lambda: results.append(pool.run(photo())))
        waiting.start()
        eventually(lambda: pool._waiting == 1)
        with pytest.raises(Unavailable):
            pool.run(photo())
        assert waiting.is_alive()
    waiting.join(60)
    assert len(results) == 1, "who waited got a place"


def test_what_nobody_waits_for_has_patience(pool: Pool) -> None:
    pool.most, pool.patience, pool.queue = 1, 0, 0
    threads = [threading.Thread(target=_patient, args=(SMALL,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert pool._working == pool._waiting == 0


PARENT = """
import os, time
from io import BytesIO
from marketplace_api.gateways import images
from marketplace_api.gateways.decoding.pool import PICTURES
from tests.factories.images import make_image
images.photo_variants(BytesIO(make_image("PNG")))
print(PICTURES.pids()[0], flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(600)", "pass"])
def test_children_end_with_their_parent(then: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", PARENT.format(then=then)]
    with subprocess.Popen(program, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if then != "pass":
            assert psutil.pid_exists(pid)
            parent.kill()
        parent.wait(60)
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_child_at_work_ends_with_its_parent(tmp_path: Path) -> None:
    """Also where the parent is killed while it decodes: nobody waits for the answer any more."""
    (tmp_path / "huge.png").write_bytes(huge(mode="RGBA"))
    then = f"images.photo_variants(open({str(tmp_path / 'huge.png')!r}, 'rb'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", PARENT.format(then=then)]
    with subprocess.Popen(program, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child = psutil.Process(pid)
        idle = child.memory_info().rss
        eventually(lambda: child.memory_info().rss > idle + 20_000_000)
        parent.kill()
        parent.wait(60)
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_an_answer_that_is_none_is_not_believed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may be in the hands of a file: what it says is bounded, and is never run."""
    monkeypatch.setattr(pools, "MOST_ANSWER", 10)
    with pytest.raises(Unavailable):
        images.photo_variants(BytesIO(make_image("PNG", (400, 300), noise=True)))
    assert pool.pids() == []


def test_broken_metadata_breaks_no_picture(pool: Pool) -> None:
    """What a camera or a program wrote badly beside the pixels goes anyway; the orientation still counts."""
    content = bytearray(make_image("JPEG", (80, 40), exif=_exif_with_text_as_resolution()))
    found = images.photo_variants(BytesIO(bytes(content)))["full"]
    assert (found.width, found.height) == (40, 80)


def _exif_with_text_as_resolution() -> bytes:
    """Orientation 6 (SHORT), and XResolution (282), a number, as the text "72": EXIF as some programs write it."""

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return b"".join(number.to_bytes(size, "big") for number, size in ((tag, 2), (kind, 2), (count, 4))) + value

    entries = entry(0x0112, 3, 1, b"\x00\x06\x00\x00") + entry(0x011A, 2, 3, b"72\x00\x00")
    return b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x02" + entries + bytes(4)


def test_a_failure_of_the_decoder_is_told_without_content(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    broken = {**ORDER, "sizes_of": {"full": "SecretSize"}}
    with pytest.raises(Invalid) as caught:
        pool.run(Order("variants", broken, SMALL))
    assert code_of(caught.value) == "broken_file"
    (record,) = [record for record in caplog.records if record.message == "decoder failed"]
    assert "image_work.py" in record.__dict__["error"]
    assert "SecretSize" not in str(record.__dict__)


def test_megapixels_are_told_by_the_header(pool: Pool) -> None:
    assert images.megapixels(BytesIO(SMALL)) == 1
    assert images.megapixels(BytesIO(HUGE)) == 49
    assert images.megapixels(BytesIO(make_image("JPEG", (4000, 3000)))) == 12
    assert images.megapixels(BytesIO(make_image("WEBP", (1001, 1000)))) == 2
    assert images.megapixels(BytesIO(b"no picture")) == 1
    assert documents.megapixels(BytesIO(b"%PDF-1.7\n")) == 1
    assert video.megapixels(BytesIO(b"")) == 60


@needs_linux
def test_a_video_writes_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_ROOM", -2 * len(VIDEO) + 1000)
    with pytest.raises(OSError, match="too large"):
        video.prepare(BytesIO(VIDEO), str(tmp_path / "packed"))
    assert (tmp_path / "packed").stat().st_size <= 1000


VIDEO = make_video()


def test_a_video_comes_as_a_file_as_well(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(VIDEO)
    with (tmp_path / "sent").open("rb") as stream:
        stream.read(100)
        found = video.prepare(stream, str(tmp_path / "packed"))
    assert (found.ending, found.width, found.height) == ("mp4", 160, 90)
    assert (tmp_path / "packed").stat().st_size > 1000


FORKED = """
pid = os.fork()
if pid == 0:
    images.photo_variants(BytesIO(make_image("PNG")))
    print(*PICTURES.pids(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
images.photo_variants(BytesIO(make_image("PNG")))
print(*PICTURES.pids(), flush=True)
"""


def test_a_fork_has_children_of_its_own() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-W", "error", "-c", PARENT.format(then=FORKED)]
    ended = subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    ours, forked, ours_again = ended.stdout.split()
    assert ours == ours_again != forked
    assert ended.stderr == ""
