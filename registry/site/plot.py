"""Two drawings of a model's history, as SVG within a page; the numbers stand in the tables beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.registry.site.html import Html, text

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 12, 34
_LETTER = 6.5
"""Mean width of a letter."""
_LEAST = 1e-300
"""Below it a part of the height is no number."""


@dataclass(frozen=True)
class Point:
    """One place of a line, with the ends of its interval where it has one."""

    name: str
    """What stands below it."""
    value: float
    interval: tuple[float, float] | None = None


def fits(points: Sequence[Point]) -> bool:
    """Whether the numbers lie near enough to each other, and to others, for a drawing."""
    low, high = _span(min(_ends(points)), max(_ends(points)), whole=False)
    return _LEAST < high - low < math.inf


def course(title: str, described: str, points: Sequence[Point], *, steps: bool = False) -> Html:
    """Values that fit, one after the other. `steps`: each holds until the next, and is a whole number."""
    low, high = _span(min(_ends(points)), max(_ends(points)), whole=steps)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    margin = max(12.0, _widest(points) / 2)
    room = _WIDTH - _LEFT - _RIGHT - 2 * margin

    def x(place: int) -> float:
        return round(_LEFT + margin + room * (place / (len(points) - 1) if len(points) > 1 else 0.5), 1)

    parts = [
        f'<path class="grid" d="M{_LEFT} {y(tick)}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _ticks(low, high, whole=steps)
    ]
    parts += [
        f'<path class="whisker" d="M{x(place)} {y(one.interval[0])}V{y(one.interval[1])}'
        f'M{x(place) - 4:.1f} {y(one.interval[0])}h8M{x(place) - 4:.1f} {y(one.interval[1])}h8"/>'
        for place, one in enumerate(points)
        if one.interval
    ]
    drawn = [f"{x(place)} {y(one.value)}" for place, one in enumerate(points)]
    if steps:
        drawn = [drawn[0], *(f"{x(at + 1)} {y(points[at].value)}L{drawn[at + 1]}" for at in range(len(points) - 1))]
    parts.append(f'<path class="line" d="M{"L".join(drawn)}"/>')
    parts += [f'<circle cx="{x(at)}" cy="{y(one.value)}" r="3.5"/>' for at, one in enumerate(points)]
    parts += [
        f'<text x="{x(at)}" y="{_HEIGHT - 14}" text-anchor="middle">{text(points[at].name)}</text>'
        for at in _named(points)
    ]
    label = f"{text(title)}. {text(described)}"
    content = "".join(parts)
    return Html(
        f'<figure><figcaption>{text(title)}</figcaption><svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{content}</svg></figure>'
    )


def _ends(points: Sequence[Point]) -> list[float]:
    return [end for one in points for end in (*(one.interval or ()), one.value)]


def _span(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    margin = 0.5 if whole else (high - low) * 0.08 or abs(high) * 0.08 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    """Round numbers on the way, six at most."""
    wanted = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _named(points: Sequence[Point]) -> list[int]:
    """The places whose names have room, the last among them."""
    every = max(1, math.ceil((_widest(points) + 10) * len(points) / (_WIDTH - _LEFT - _RIGHT)))
    return [at for at in range(len(points)) if (len(points) - 1 - at) % every == 0]


def _widest(points: Sequence[Point]) -> float:
    return max(len(one.name) for one in points) * _LETTER
