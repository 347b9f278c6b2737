import re

import pytest

from tunewright.job.report.svg import HEIGHT, WIDTH, Axis, Bar, Series, axis_over, bars, heat, lines, points, short

X, Y = Axis("epoch", 0, 10), Axis("loss", 0, 2)
"""On paper: 376 from left to right from 52 on, 216 from the bottom at 242 to the top at 26."""


def test_a_value_stands_where_the_axis_says():
    assert [X.x(value) for value in (0, 5, 10)] == [52, 240, 428]
    assert [Y.y(value) for value in (0, 0.5, 2)] == [242, 188, 26]
    assert (WIDTH, HEIGHT) == (440, 284)


def test_a_line_goes_through_its_values_and_ends_where_one_is_missing():
    drawn = lines("t", "d", [Series("a", [0, 5, 10], [2.0, None, 0.0]), Series("b", [0, 5, 10], [0, 0.5, 2])], X, Y)
    assert '<path class="line s0" d="M52.0 26.0M428.0 242.0"/>' in drawn
    assert '<circle class="f0" cx="52.0" cy="26.0" r="3"/><circle class="f0" cx="428.0" cy="242.0" r="3"/>' in drawn
    assert '<path class="line s1" d="M52.0 242.0L240.0 188.0L428.0 26.0"/>' in drawn
    assert '<path class="ideal"' not in drawn


def test_what_is_not_finite_is_not_drawn():
    drawn = lines("t", "d", [Series("a", [0, 5, 10], [float("nan"), 0.5, float("inf")])], X, Y)
    assert '<path class="line s0" d="M240.0 188.0"/>' in drawn
    assert not re.search("nan|inf", drawn)


def test_a_plot_has_a_title_and_a_description():
    drawn = lines("Loss", "It falls.", [Series("a", [0], [1])], X, Y)
    name = re.search('aria-labelledby="(p[0-9a-f]+)-t', drawn)[1]
    assert f'<title id="{name}-t">Loss</title><desc id="{name}-d">It falls.</desc>' in drawn
    assert 'role="img"' in drawn


def test_a_bar_ends_at_its_value_and_its_whiskers_at_the_interval():
    drawn = bars("t", "d", [Bar("one", 0.5, (0.25, 1.0))], Axis("F1", 0, 1))
    left = 14 + 7.2 * 3
    at = [round(left + share * (428 - left), 1) for share in (0.25, 0.5, 1)]
    assert f'<circle class="f0" cx="{at[1]}" cy="23" r="3.5"/>' in drawn
    assert f'd="M{at[0]} 23H{at[2]}M{at[0]} 19v8M{at[2]} 19v8"' in drawn
    assert f'x="{round(left, 1)}" y="16" width="{at[1] - left:.1f}"' in drawn


def test_a_heat_map_shades_a_count_by_its_share_of_what_is_true():
    drawn = heat("t", "d", ["a", "b"], [[3, 1], [0, 8]])
    assert re.findall('fill-opacity="([0-9.]+)"', drawn) == ["0.685", "0.255", "0.040", "0.900"]
    assert re.findall(">([0-9]+)</text>", drawn) == ["3", "1", "8"]


def test_long_names_have_room_beside_bars_and_heat_maps():
    long = "card_payment_wrong_exchange_rate"
    (name,) = re.findall(
        r'<text x="([0-9.]+)" y="[0-9.]+" text-anchor="end">card_payment_wrong_e…<', bars("t", "d", [Bar(long, 0.5)], X)
    )
    assert float(name) >= 21 * 7.2
    drawn = heat("t", "d", [long, "b"], [[3, 1], [0, 8]])
    # The name of a row ends right of the word "true"; that of the first column, which leans, begins within the drawing.
    (row,) = re.findall(r'x="([0-9.]+)" y="[0-9.]+" text-anchor="end">card_payment_w…<', drawn)
    assert float(row) - 15 * 6.6 >= 20
    (x, y) = map(float, re.findall(r"translate\(([0-9.]+) ([0-9.]+)\) rotate\(60\)", drawn)[0])
    assert min(x - 15 * 6.6 * 0.5, y - 15 * 6.6 * 0.867) >= 0


def test_points_stand_where_their_values_are():
    drawn = points("t", "d", [Series("a", [5], [0.5])], X, Y, ideal=True)
    assert '<circle cx="240.0" cy="188.0" r="2.6"/>' in drawn
    assert '<path class="ideal" d="M52.0 242.0L127.2 26.0"/>' in drawn


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis("", 0.83, 0.97), [0.85, 0.9, 0.95]),
        (Axis("", -3, 12), [0, 5, 10]),
        (Axis("", 1e-5, 1e-3, log=True), [1e-5, 1e-4, 1e-3]),
        (Axis("", 2, 30, log=True), [2, 5, 10, 20]),
    ],
)
def test_ticks_are_round_numbers(axis, ticks):
    assert axis.ticks == pytest.approx(ticks)


def test_an_axis_has_room_for_its_values():
    assert axis_over("a", [1.0, 2.0]) == Axis("a", 0.96, 2.04)
    assert axis_over("a", [1.0, 2.0], zero=True) == Axis("a", 0.0, 2.08)
    assert axis_over("a", [3.0]) == Axis("a", 2.7, 3.3)
    assert axis_over("a", []) == Axis("a", 0.0, 1.0)
    assert axis_over("a", [0.0, 1.0, 100.0], log=True) == Axis("a", 1.0, 100.0, log=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (1200, "1,200"), (20000, "2e4"), (0.00015, "1.5e-4"), (0.8571428, "0.8571")],
)
def test_a_number_of_an_axis_is_short(value, shown):
    assert short(value) == shown
