"""Plots as SVG within a page: lines, bars, a heat map and points, of a few hundred marks each.

Each has a title and a description for who cannot see it; the numbers stand in a table behind it. Colours are classes of
`page.css`, so that a plot follows the dark and the paper. Coordinates are of the drawing, rounded to a tenth.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.job.report.html import Html, text

WIDTH, HEIGHT = 440, 284
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 26, 42
"""Above the plot there is room for the names of its lines."""
_EDGE = 12
_SERIES = 5
"""Colours there are."""
_LETTER = 6.3
"""Mean width of a letter of a legend."""
_NAME, _TICK = 7.2, 6.6
"""Widths that a letter of a name beside a bar, and of one beside a heat map, has in a wide font."""
_BESIDE_BAR, _BESIDE_HEAT = 21, 15
"""Letters of these names that are shown."""


@dataclass(frozen=True)
class Axis:
    """One direction of a plot, from `low` to `high` in the unit of the data."""

    name: str
    low: float
    high: float
    log: bool = False
    """Whether equal distances are equal factors; `low` is above 0 then."""

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value stands between two places of the drawing."""
        low, high, at = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return start + (at - low) / ((high - low) or 1.0) * (end - start)

    def x(self, value: float) -> float:
        """The value as a distance from the left."""
        return round(self.place(value, _LEFT, WIDTH - _RIGHT), 1)

    def y(self, value: float) -> float:
        """The value as a distance from the top."""
        return round(self.place(value, HEIGHT - _BOTTOM, _TOP), 1)

    @property
    def ticks(self) -> list[float]:
        """Three to seven round numbers on the way."""
        if self.log:
            return _powers(self.low, self.high)
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(round(self.low / step, 9))
        last = math.floor(round(self.high / step, 9))
        return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Series:
    """Values that belong together; a place that has none is None."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    marks: bool = False
    """Whether each value has a dot; a value without neighbours has one in any case."""


@dataclass(frozen=True)
class Bar:
    """One bar, with the ends of its interval where it has one."""

    name: str
    value: float
    interval: tuple[float, float] | None = None


def axis_over(name: str, values: Sequence[float], *, zero: bool = False, log: bool = False) -> Axis:
    """An axis with room for all values; `zero`: from 0 on. One for no values is from 0 to 1."""
    finite = [value for value in values if math.isfinite(value) and not (log and value <= 0)]
    if not finite:
        return Axis(name, 0.0, 1.0)
    low, high = min(finite), max(finite)
    if log and high > low:
        return Axis(name, low, high, log=True)
    low = min(low, 0.0) if zero else low
    if high == low:
        return Axis(name, low - abs(low) / 10 - (low == 0), high + abs(high) / 10 + (high == 0))
    margin = (high - low) * 0.04
    return Axis(name, low if zero and low == 0 else low - margin, high + margin)


def short(value: float) -> str:
    """A number as an axis says it: three or four digits, no more."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) >= 10_000 or abs(value) < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def lines(title: str, described: str, series: Sequence[Series], x: Axis, y: Axis, *, ideal: bool = False) -> Html:
    """Lines over an axis. `ideal`: a quiet line from corner to corner, on which a perfect model would lie."""
    parts = [_frame(x, y)]
    if ideal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(f'<path class="ideal" d="M{x.x(low)} {y.y(low)}L{x.x(high)} {y.y(high)}"/>')
    for number, one in enumerate(series[:_SERIES]):
        parts.append(_line(one, x, y, number))
    if len(series) > 1:
        parts.append(_legend([one.name for one in series[:_SERIES]]))
    return _svg(title, described, "".join(parts))


def bars(title: str, described: str, given: Sequence[Bar], y: Axis) -> Html:
    """Bars that lie, one below the other, with whiskers for their intervals. `y`: the axis of the values."""
    row, height = 22, _EDGE + _BOTTOM
    height += row * len(given)
    left = 14 + _NAME * min(_BESIDE_BAR, max((len(bar.name) for bar in given), default=0))

    def at(value: float) -> float:
        return round(y.place(value, left, WIDTH - _RIGHT), 1)

    bottom = height - _BOTTOM
    parts = [
        f'<path class="grid" d="M{at(tick)} {_EDGE}V{bottom}"/><text class="tick" x="{at(tick)}" y="{bottom + 16}" '
        f'text-anchor="middle">{short(tick)}</text>'
        for tick in y.ticks
    ]
    for number, bar in enumerate(given):
        top, start, end = _EDGE + number * row, at(max(0.0, y.low)), at(bar.value)
        middle = top + row / 2
        name = text(_cut(bar.name, _BESIDE_BAR))
        parts.append(f'<text x="{left - 6:g}" y="{middle + 4:g}" text-anchor="end">{name}</text>')
        parts.append(
            f'<rect class="f0 faint" x="{min(start, end)}" y="{top + 4}" width="{abs(end - start):.1f}" height="14"/>'
        )
        if bar.interval:
            low, high = map(at, bar.interval)
            parts.append(
                f'<path class="whisker" d="M{low} {middle:g}H{high}M{low} {middle - 4:g}v8M{high} {middle - 4:g}v8"/>'
            )
        parts.append(f'<circle class="f0" cx="{end}" cy="{middle:g}" r="3.5"/>')
    parts.append(_name_of_x(y.name, (left + WIDTH - _RIGHT) / 2, height))
    return _svg(title, described, "".join(parts), height=height)


def heat(title: str, described: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """Counts of what is true (rows) and what is said (columns), darker where they are larger within their row."""
    size = len(names)
    longest = _TICK * min(_BESIDE_HEAT, max(map(len, names)))
    left = 28 + longest
    side = min(48.0, (WIDTH - left - _RIGHT) / size)
    # Names of columns lean to the left, where there is room, as steeply as lets two lie beside each other.
    top = 12 + (8 + 0.87 * longest if size > 1 else 20)
    parts = []
    for row, name in enumerate(names):
        total = sum(counts[row]) or 1
        y = top + row * side
        label = text(_cut(name, _BESIDE_HEAT))
        parts.append(f'<text class="tick" x="{left - 5:g}" y="{y + side / 2 + 4:.1f}" text-anchor="end">{label}</text>')
        place = f"translate({left + (row + 0.5) * side - 3:.1f} {top - 5:.1f}) rotate(60)"
        parts.append(f'<text class="tick" transform="{place}" text-anchor="end">{label}</text>')
        for column, count in enumerate(counts[row]):
            place = f'x="{left + column * side:.1f}" y="{y:.1f}"'
            opacity = 0.04 + 0.86 * count / total
            parts.append(
                f'<rect class="cell" {place} width="{side:.1f}" height="{side:.1f}" fill-opacity="{opacity:.3f}"/>'
            )
            if count and side >= 20 and len(f"{count}") * 7 <= side:
                shade = "on" if opacity > 0.5 else "in"
                middle = f'x="{left + (column + 0.5) * side:.1f}" y="{y + side / 2 + 4:.1f}"'
                parts.append(f'<text class="{shade}" {middle} text-anchor="middle">{count}</text>')
    height = top + size * side + 28
    parts.append(_name_of_x("answered", left + size * side / 2, height))
    parts.append(_name_of_y("true", top + size * side / 2))
    return _svg(title, described, "".join(parts), height=round(height))


def points(
    title: str, described: str, groups: Sequence[Series], x: Axis, y: Axis, *, ideal: bool = False, level: bool = False
) -> Html:
    """A dot for each value. `ideal`: the line from corner to corner; `level`: the line at 0."""
    parts = [_frame(x, y)]
    if ideal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(f'<path class="ideal" d="M{x.x(low)} {y.y(low)}L{x.x(high)} {y.y(high)}"/>')
    if level:
        parts.append(f'<path class="ideal" d="M{x.x(x.low)} {y.y(0)}H{x.x(x.high)}"/>')
    for number, one in enumerate(groups[:_SERIES]):
        dots = "".join(
            f'<circle cx="{x.x(a)}" cy="{y.y(b)}" r="2.6"/>'
            for a, b in zip(one.xs, one.ys, strict=True)
            if b is not None
        )
        parts.append(f'<g class="f{number} faint">{dots}</g>')
    if len(groups) > 1:
        parts.append(_legend([one.name for one in groups[:_SERIES]]))
    return _svg(title, described, "".join(parts))


def _line(one: Series, x: Axis, y: Axis, number: int) -> str:
    known = [value is not None and math.isfinite(value) for value in one.ys]
    steps, dots = [], []
    for place, (a, b) in enumerate(zip(one.xs, one.ys, strict=True)):
        if b is None or not known[place]:
            continue
        before = place > 0 and known[place - 1]
        steps.append(f"{'L' if before else 'M'}{x.x(a)} {y.y(b)}")
        if one.marks or not (before or (place + 1 < len(known) and known[place + 1])):
            dots.append(f'<circle class="f{number}" cx="{x.x(a)}" cy="{y.y(b)}" r="3"/>')
    return f'<path class="line s{number}" d="{"".join(steps)}"/>' + "".join(dots)


def _frame(x: Axis, y: Axis) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [
        f'<path class="grid" d="M{_LEFT} {y.y(tick)}H{right}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y.y(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        for tick in y.ticks
    ]
    parts += [
        f'<path class="grid" d="M{x.x(tick)} {bottom}v4"/><text class="tick" x="{x.x(tick)}" y="{bottom + 16}" '
        f'text-anchor="middle">{short(tick)}</text>'
        for tick in x.ticks
    ]
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
    parts.append(_name_of_x(x.name, (_LEFT + right) / 2, HEIGHT))
    parts.append(_name_of_y(y.name, (_TOP + bottom) / 2))
    return "".join(parts)


def _name_of_x(name: str, middle: float, height: float) -> str:
    return f'<text x="{middle:.1f}" y="{height - 8:g}" text-anchor="middle">{text(name)}</text>'


def _name_of_y(name: str, middle: float) -> str:
    return f'<text transform="translate(11 {middle:.1f}) rotate(-90)" text-anchor="middle">{text(name)}</text>'


def _legend(names: Sequence[str]) -> str:
    """Which line is which: in a row above the plot."""
    parts, x = [], _LEFT + 8.0
    for number, name in enumerate(names):
        shown = _cut(name, 22)
        parts.append(f'<path class="line s{number}" d="M{x:.1f} {_EDGE - 2}h18"/>')
        parts.append(f'<text class="halo" x="{x + 22:.1f}" y="{_EDGE + 2}">{text(shown)}</text>')
        x += 34 + _LETTER * len(shown)
    return "".join(parts)


def _svg(title: str, described: str, content: str, *, height: float = HEIGHT) -> Html:
    told, more = text(title), text(described)
    name = "p" + hashlib.sha256("\0".join((told, more, content)).encode()).hexdigest()[:10]
    return Html(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{told}</title><desc id="{name}-d">{more}</desc>{content}</svg>'
    )


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"


def _round_step(wanted: float) -> float:
    """1, 2 or 5 times a power of ten, the least that is not below `wanted`."""
    power = 10.0 ** math.floor(math.log10(wanted)) if wanted > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten on the way; where there is under two of them, what lies between as well."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [10.0**one for one in exponents if low <= 10.0**one <= high]
    if len(found) > 1:
        return found[:: max(1, len(found) // 5)]
    return [factor * 10.0**one for one in exponents for factor in (1, 2, 5) if low <= factor * 10.0**one <= high]
