"""Boxes and arrows as SVG: the same picture on a code host and in the site, in light and dark, with nothing to load."""

import itertools
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _GAP, _EDGE = 150, 54, 34, 6
_FILLS = {"registry": "#d7ead9", "serving": "#d8e5f5", "job": "#f8e6cc"}
_STYLE = (
    "text{font-family:sans-serif;text-anchor:middle;fill:#222}.name{font-size:14px;font-weight:600}"
    ".place{font-size:11px}path{stroke:#888;stroke-width:2;fill:none;marker-end:url(#tip)}"
)
_TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" style="fill:#888;stroke:none;marker-end:none"/></marker>'
)


def chain(boxes: Sequence[tuple[str, str]], *, title: str, columns: int = 5) -> str:
    """Boxes of a name and a place (`job/data`, which gives the colour), one after another, row below row."""
    rows = -(-len(boxes) // columns)
    width = min(len(boxes), columns) * (_WIDTH + _GAP) - _GAP + 2 * _EDGE
    height = rows * (_HEIGHT + _GAP) - _GAP + 2 * _EDGE
    places = [_corner(number, columns) for number in range(len(boxes))]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style><defs>{_TIP}</defs>",
        *(_arrow(*pair) for pair in itertools.pairwise(places)),
        *(_box(*corner, *box) for corner, box in zip(places, boxes, strict=True)),
    ]
    return "\n".join([*lines, "</svg>\n"])


def _corner(number: int, columns: int) -> tuple[int, int]:
    """Every second row runs from right to left, so that arrows stay short."""
    row, column = divmod(number, columns)
    column = columns - 1 - column if row % 2 else column
    return _EDGE + column * (_WIDTH + _GAP), _EDGE + row * (_HEIGHT + _GAP)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = start, end
    if y != to_y:
        return f'<path d="M{x + _WIDTH // 2} {y + _HEIGHT} V{to_y}"/>'
    middle = y + _HEIGHT // 2
    return f'<path d="M{x + _WIDTH if to_x > x else x} {middle} H{to_x if to_x > x else to_x + _WIDTH}"/>'


def _box(x: int, y: int, name: str, place: str) -> str:
    fill = _FILLS.get(place.partition("/")[0], "#eee")
    middle = x + _WIDTH // 2
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" stroke="#888"/>'
        f'<text class="name" x="{middle}" y="{y + 23}">{escape(name)}</text>'
        f'<text class="place" x="{middle}" y="{y + 41}">{escape(place)}</text>'
    )
