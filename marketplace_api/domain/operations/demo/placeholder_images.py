"""Drawings instead of photos: a simple picture of the thing before a quiet background, another for every title.

What things look like stands in ``demo_data/glyphs.txt``; here is how that becomes a picture. Edges are drawn at twice the
size and averaged, because Pillow draws them without smoothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from marketplace_api.domain.operations.demo import fixtures

WIDTH, HEIGHT = 960, 720
PORTRAIT = 480
FINE = 2
GROUND = 88
"""Where things stand, on the field of 100 that they are drawn in."""

PALETTES: tuple[Mapping[str, str], ...] = tuple(
    dict(zip(("sky", "haze", "ground", "main", "soft", "accent", "light", "ink"), colours.split(), strict=True))
    for colours in (
        "#f6d6b8 #fdf1e3 #e3b48f #c8553d #e58b6b #f2b544 #fff8ee #3a2e39",
        "#bfdbe0 #eef6f3 #93b8a8 #2f6f73 #5fa09a #f08a5d #fbfdf9 #1f3a44",
        "#d9d4ee #f5f1fb #b3a7cf #5b4b8a #8b7bbd #f2a65a #fdfbff #2c2442",
        "#f9e2a9 #fff7df #d9b25f #2a6f97 #61a5c2 #e76f51 #fffdf5 #14344a",
        "#cfe3c0 #f3f8ea #9dbb86 #3f7d47 #74a866 #e9c46a #fcfff8 #22402a",
        "#f3c9cf #fdeff0 #d99aa6 #8f3b5a #c26a85 #f4a259 #fff7f8 #3d1f33",
        "#c9d6e8 #f0f4fa #9aaec9 #274c77 #6096ba #ffb703 #fafcff #16263d",
        "#e8dccb #f8f3ea #c4ae8f #7f5539 #b08968 #588157 #fffaf2 #3b2a1e",
        "#c4e6e4 #effaf8 #86bfba #e4572e #f28f6b #29335c #fbffff #232b4a",
        "#e2e2dc #f6f6f2 #bcbcae #44504f #7d8b88 #e63946 #fefefc #252b2b",
    )
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the field of 100 by 100 lies in the picture, in pixels of the picture."""

    left: float
    top: float
    unit: float
    mirrored: bool


def photo(title: str, category: str, view: int) -> Image.Image:
    """The view of that number: the thing itself, then closer, then several of it."""
    dice = fixtures.seeded("drawing", title)
    palette, mirrored = dice.choice(PALETTES), dice.random() < 0.5
    horizon = dice.uniform(0.66, 0.76)
    glyph = _glyph(title, category)
    if view % 3 == 1:
        palette = dice.choice(PALETTES)
        places = [_Place(dice.uniform(0.03, 0.18) * WIDTH, -0.07 * HEIGHT, 0.008 * WIDTH, mirrored)]
    elif view % 3 == 2:
        unit = 0.0027 * WIDTH
        top = 0.79 * HEIGHT - GROUND * unit
        places = [_Place((0.075 + number * 0.29) * WIDTH, top, unit, number == 1) for number in range(3)]
    else:
        unit = dice.uniform(0.0053, 0.0062) * WIDTH
        left = (WIDTH - 100 * unit) / 2 + dice.uniform(-0.06, 0.06) * WIDTH
        places = [_Place(left, HEIGHT * (horizon + 0.1) - GROUND * unit, unit, mirrored)]
    picture = _background(palette, horizon, dice.uniform(0.2, 0.8), dice.uniform(0.16, 0.3))
    for place in places:
        _put(picture, glyph, palette, place)
    return picture


def portrait(name: str) -> Image.Image:
    """A square with the first letters of a name before two soft rings."""
    dice = fixtures.seeded("portrait", name)
    palette, side = dice.choice(PALETTES), PORTRAIT * FINE
    picture = _gradient(side, side, palette["soft"], palette["main"])
    draw = ImageDraw.Draw(picture)
    x, y = side * dice.uniform(0.25, 0.75), side * dice.uniform(0.2, 0.8)
    for part, shade in ((0.62, 0.08), (0.4, 0.16)):
        radius = part * side
        ring = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(ring, fill=_between(palette["main"], palette["light"], shade))
    middle = (side / 2, side / 2)
    draw.text(middle, name[:2].title(), palette["light"], ImageFont.load_default(side * 0.42), anchor="mm")
    return picture.reduce(FINE)


def _background(palette: Mapping[str, str], horizon: float, sun: float, radius: float) -> Image.Image:
    picture = _gradient(WIDTH, HEIGHT, palette["sky"], palette["haze"])
    draw = ImageDraw.Draw(picture)
    x, y, r = sun * WIDTH, HEIGHT * 0.36, radius * WIDTH
    draw.ellipse((x - r, y - r, x + r, y + r), fill=_between(palette["sky"], palette["light"], 0.75))
    line = round(horizon * HEIGHT)
    draw.rectangle((0, line, WIDTH, HEIGHT), fill=palette["ground"])
    draw.rectangle((0, line, WIDTH, line + HEIGHT * 0.008), fill=_between(palette["ground"], palette["light"], 0.35))
    return picture


def _put(picture: Image.Image, glyph: tuple[str, ...], palette: Mapping[str, str], place: _Place) -> None:
    """Draw the thing with its shadow, on the part of the picture that it covers."""
    box = (
        max(0, int(place.left)),
        max(0, int(place.top)),
        min(WIDTH, int(place.left + 100 * place.unit)),
        min(HEIGHT, int(place.top + 96 * place.unit)),
    )
    part = picture.crop(box)
    fine = part.resize((part.width * FINE, part.height * FINE), Image.Resampling.NEAREST)
    pen = _Pen(ImageDraw.Draw(fine), palette, place, box[:2])
    pen.draw("oval", _between(palette["ground"], palette["ink"], 0.22), [10, 83, 92, 93])
    for line in glyph:
        shape, colour, *numbers = line.split()
        pen.draw(shape, palette[colour], [float(number) for number in numbers])
    picture.paste(fine.reduce(FINE), box[:2])


class _Pen:
    """Draws shapes of the field of 100 by 100 at their place."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, palette: Mapping[str, str], place: _Place, origin: tuple[int, int]
    ) -> None:
        self._draw = draw
        self._place = place
        self._origin = origin
        self._shapes: Mapping[str, Callable[[str, list[float]], None]] = {
            "box": self._box,
            "oval": self._oval,
            "disc": self._disc,
            "ring": self._ring,
            "poly": self._poly,
            "line": self._line,
            "arc": self._arc,
        }

    def draw(self, shape: str, colour: str, numbers: list[float]) -> None:
        self._shapes[shape](colour, numbers)

    def _box(self, colour: str, numbers: list[float]) -> None:
        radius = numbers[4] if len(numbers) > 4 else 0
        self._draw.rounded_rectangle(self._corners(*numbers[:4]), self._long(radius), fill=colour)

    def _oval(self, colour: str, numbers: list[float]) -> None:
        self._draw.ellipse(self._corners(*numbers), fill=colour)

    def _disc(self, colour: str, numbers: list[float]) -> None:
        x, y, radius = numbers
        self._oval(colour, [x - radius, y - radius, x + radius, y + radius])

    def _ring(self, colour: str, numbers: list[float]) -> None:
        width, x, y, radius = numbers
        corners = self._corners(x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(corners, outline=colour, width=round(self._long(width)))

    def _poly(self, colour: str, numbers: list[float]) -> None:
        self._draw.polygon(self._points(numbers), fill=colour)

    def _line(self, colour: str, numbers: list[float]) -> None:
        width, points = self._long(numbers[0]), self._points(numbers[1:])
        self._draw.line(points, fill=colour, width=round(width), joint="curve")
        for x, y in (points[0], points[-1]):
            self._draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)

    def _arc(self, colour: str, numbers: list[float]) -> None:
        width, x, y, radius, start, end = numbers
        if self._place.mirrored:
            start, end = 180 - end, 180 - start
        corners = self._corners(x - radius, y - radius, x + radius, y + radius)
        self._draw.arc(corners, start, end, fill=colour, width=round(self._long(width)))

    def _long(self, units: float) -> float:
        return units * self._place.unit * FINE

    def _point(self, x: float, y: float) -> tuple[float, float]:
        place, (left, top) = self._place, self._origin
        across = 100 - x if place.mirrored else x
        return (place.left + across * place.unit - left) * FINE, (place.top + y * place.unit - top) * FINE

    def _points(self, numbers: list[float]) -> list[tuple[float, float]]:
        return [self._point(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]

    def _corners(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        (left, top), (right, bottom) = self._point(x0, y0), self._point(x1, y1)
        return min(left, right), top, max(left, right), bottom


def _gradient(width: int, height: int, above: str, below: str) -> Image.Image:
    column = Image.linear_gradient("L").resize((1, height))
    bands = [
        column.point([round(a + (b - a) * level / 255) for level in range(256)])
        for a, b in zip(_rgb(above), _rgb(below), strict=True)
    ]
    return Image.merge("RGB", bands).resize((width, height), Image.Resampling.NEAREST)


def _between(one: str, other: str, part: float) -> str:
    mixed = (round(a + (b - a) * part) for a, b in zip(_rgb(one), _rgb(other), strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _glyph(title: str, category: str) -> tuple[str, ...]:
    """The shapes of what the title names, else of what its category does; none for a category without a drawing."""
    named = set(re.findall(r"[\w'-]+", title.lower()))
    plain: tuple[str, ...] = ()
    for categories, words, shapes in _glyphs():
        if category in categories and not named.isdisjoint(words):
            return shapes
        if category in categories and not words:
            plain = shapes
    return plain


@lru_cache(maxsize=1)
def _glyphs() -> tuple[tuple[frozenset[str], frozenset[str], tuple[str, ...]], ...]:
    """Categories, words and shapes of everything in ``glyphs.txt``."""
    found = []
    for block in fixtures.text("glyphs.txt").split("\n[")[1:]:
        head, *shapes = block.strip().splitlines()
        categories, _, words = head.removesuffix("]").partition(" / ")
        found.append((_names(categories), _names(words), tuple(shapes)))
    return tuple(found)


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(", ") if name)
