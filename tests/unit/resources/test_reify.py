"""What a context works out is worked out once, and side by side with that of others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from marketplace_api import resources
from marketplace_api.resources.reify import reify


class Place:
    def __init__(self, together: Barrier) -> None:
        self.together = together
        self.asked = 0

    @reify
    def row(self) -> int:
        """The row."""
        self.together.wait(60)
        self.asked += 1
        return self.asked


def test_two_requests_never_wait_for_each_other() -> None:
    together = Barrier(2)
    places = [Place(together), Place(together)]
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda place: place.row, places)) == [1, 1]
    assert [place.row for place in places] == [1, 1], "it is not worked out again"
    places[0].row = 7
    assert places[0].row == 7


def test_no_context_uses_the_one_that_locks() -> None:
    folder = Path(str(resources.__file__)).parent
    found = [path.name for path in folder.rglob("*.py") if "import cached_property\n" in path.read_text()]
    assert found == []
