"""Places on the sphere that ``listings.position`` is measured on: points, boxes around them, cells of the map."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import asin, ceil, cos, degrees, floor, pi, radians, sin
from typing import NamedTuple

EARTH_RADIUS_KM = 6371.0088
"""The mean radius (IUGG)."""

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east where it crosses the antimeridian."""


class Strip(NamedTuple):
    """A range of ``listings.spot``; within it only last digits (hundredths of latitude) from ``low`` to ``high``."""

    first: int
    last: int
    low: int
    high: int


_COLUMNS = 36_001  # hundredths of a degree of longitude, both ends included
_CELL_SIZES = (1, 5, 30)
_MOST_CELLS = 72  # the whole Earth in the largest cells


def point(latitude: float, longitude: float) -> tuple[float, float, float]:
    """The place in km from the centre of the Earth."""
    vertical, around = radians(latitude), radians(longitude)
    return (
        EARTH_RADIUS_KM * cos(vertical) * cos(around),
        EARTH_RADIUS_KM * cos(vertical) * sin(around),
        EARTH_RADIUS_KM * sin(vertical),
    )


def cube(*corners: tuple[float, ...]) -> str:
    """The text form of a cube with these corners (one for a point)."""
    return ",".join(f"({','.join(repr(number) for number in corner)})" for corner in corners)


def chord(distance_km: float) -> float:
    """The straight line under a great-circle distance, both in km."""
    return 2 * EARTH_RADIUS_KM * sin(min(distance_km / (2 * EARTH_RADIUS_KM), pi / 2))


def cube_around(centre: tuple[float, float, float], straight_km: float) -> str:
    """A cube that holds every position within a straight line of ``straight_km``."""
    reach = straight_km + 0.001
    return cube(tuple(at - reach for at in centre), tuple(at + reach for at in centre))


def boxes_of(bbox: Box) -> list[Box]:
    """``bbox`` as boxes that do not cross the antimeridian."""
    west, south, east, north = bbox
    if west <= east:
        return [bbox]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def boxes_around(latitude: float, longitude: float, distance_km: float) -> list[Box]:
    """Boxes that hold every place within ``distance_km``, a little more than is needed."""
    angle = min(distance_km / EARTH_RADIUS_KM, pi)
    reach = degrees(angle) + 0.02
    south, north = max(-90.0, latitude - reach), min(90.0, latitude + reach)
    if latitude - reach <= -90 or latitude + reach >= 90:
        return [(-180.0, south, 180.0, north)]
    width = degrees(asin(min(1.0, sin(radians(reach)) / cos(radians(latitude))))) + 0.02
    west, east = longitude - width, longitude + width
    if width >= 180:
        return [(-180.0, south, 180.0, north)]
    if west < -180:
        return boxes_of((west + 360, south, east, north))
    if east > 180:
        return boxes_of((west, south, east - 360, north))
    return [(west, south, east, north)]


def cells(boxes: list[Box]) -> list[str]:
    """The marks of the map's cells that cover ``boxes``, in the finest grid that needs few of them."""
    for size in _CELL_SIZES:
        if sum(_count(box, size) for box in boxes) <= _MOST_CELLS or size == _CELL_SIZES[-1]:
            return list(dict.fromkeys(mark for box in boxes for mark in _cells(box, size)))
    return []


def _count(box: Box, size: int) -> float:
    west, south, east, north = box
    return ((east - west) / size + 1) * ((north - south) / size + 1)


def _cells(box: Box, size: int) -> Iterator[str]:
    west, south, east, north = (floor(edge / size) for edge in box)
    for row in range(south, north + 1):
        for column in range(west, east + 1):
            yield f"#g{size}={row}/{column}"


def strips(boxes: list[Box]) -> Iterator[Strip]:
    """The ranges of ``listings.spot`` that hold the rounded coordinates within ``boxes``, and no others."""
    for box in boxes:
        west, south, east, north = (Decimal(repr(edge)) * 100 for edge in box)
        left, right = ceil(west) + 18_000, floor(east) + 18_000
        bottom, top = ceil(south) + 9_000, floor(north) + 9_000
        if left > right or bottom > top:
            continue
        for row in range(bottom // 10, top // 10 + 1):
            first, last = row * _COLUMNS + left, row * _COLUMNS + right
            yield Strip(first * 10, last * 10 + 9, max(0, bottom - row * 10), min(9, top - row * 10))
