"""Puts the revisions into the package: all else that is installed stands in setup.cfg.

They live in ``alembic/`` at the top level, outside of any package. A wheel carries them as
``marketplace_api/database/alembic``, where ``marketplace_api.database.migrations`` looks first; an editable
installation, like a checkout, uses them where they are.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCE = Path("alembic")
TARGET = Path("marketplace_api", "database", "alembic")


class BuildWithRevisions(build_py):
    """Copies the modules as ever, and the revisions beside them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        # What an earlier build left there: a revision of another branch would be a second head.
        shutil.rmtree(Path(self.build_lib) / TARGET, ignore_errors=True)
        for source, target in self._revisions().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._revisions()]

    def get_output_mapping(self) -> dict[str, str]:
        mapping = {target: source for source, target in self._revisions().items()}
        return {**super().get_output_mapping(), **mapping}

    def get_source_files(self) -> list[str]:
        """What a source distribution needs of them, too."""
        return [*super().get_source_files(), *self._revisions()]

    def _revisions(self) -> dict[str, str]:
        """Where each file of Alembic's is, and where it goes."""
        found = [*SOURCE.glob("*.py"), *SOURCE.glob("*.mako"), *SOURCE.glob("versions/*.py")]
        folder = Path(self.build_lib) / TARGET
        return {str(path): str(folder / path.relative_to(SOURCE)) for path in sorted(found)}


setup(cmdclass={"build_py": BuildWithRevisions})
