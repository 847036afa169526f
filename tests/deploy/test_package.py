"""What is built from the tree has the revisions in it, and finds them wherever it is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from marketplace_api.database import migrations
from tests.deploy.world import DEPLOY, ROOT, copy_release

INSIDE = "marketplace_api/database/alembic"
# The build back end's own entry, as pip calls it.
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def _build(kind: str, tree: Path, folder: Path) -> Path:
    """A ``wheel`` or an ``sdist`` of the tree."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_release(tmp_path_factory.mktemp("release") / "tree")


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After a build of another branch, whose revision is still in the folder ``build``."""
    stale = tree / "alembic" / "versions" / "9999_of_another_branch.py"
    stale.write_text("revision = '9999'\n")
    _build("wheel", tree, tmp_path_factory.mktemp("stale"))
    stale.unlink()
    return _build("wheel", tree, tmp_path_factory.mktemp("wheel"))


def _revisions(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(f"{INSIDE}/")]
        return {name.removeprefix(f"{INSIDE}/"): archive.read(name) for name in names}


def test_a_wheel_has_the_revisions_of_the_tree_and_no_other(wheel: Path) -> None:
    source = ROOT / "alembic"
    files = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert _revisions(wheel) == {str(path.relative_to(source)): path.read_bytes() for path in files}


def test_a_source_distribution_builds_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    packed = _build("sdist", tree, tmp_path)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = [path for path in tmp_path.iterdir() if path.is_dir()]
    for needed in ("production.ini", "deploy/constraints.txt", "deploy/database-roles.sh", "docs/operations.md"):
        assert (unpacked / needed).read_bytes() == (ROOT / needed).read_bytes()
    again = _build("wheel", unpacked, tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
    assert _revisions(again) == _revisions(wheel)


def test_an_installed_package_finds_its_revisions_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    """Beside the library ``alembic``, which has the name of their folder in a checkout."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "alembic").symlink_to(Path(pytest.importorskip("alembic").__file__).parent)
    script = "from marketplace_api.database import migrations as found; print(found.FOLDER, found.head())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd="/",
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / INSIDE), migrations.head()]


def test_a_checkout_uses_the_revisions_where_they_are() -> None:
    assert migrations.FOLDER == ROOT / "alembic"
    assert not (ROOT / INSIDE).exists()


def test_the_image_s_versions_are_those_that_the_build_allows() -> None:
    """In the image they bind the build as well, so another version of setuptools would stop it."""
    pins = dict(line.split("==") for line in (DEPLOY / "constraints.txt").read_text().splitlines() if "==" in line)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for needed in map(Requirement, wanted):
        assert needed.specifier.contains(Version(pins[needed.name])), f"{needed} is not {pins[needed.name]}"
