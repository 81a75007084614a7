"""Charts are well-formed, escape what they are given, and put each value where its number says."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from bluerec.evaluation.charts import (
    LINE_CHART_WIDTH,
    MAX_POINTS,
    Interval,
    Line,
    choose_ticks,
    format_tick,
    interval_chart,
    line_chart,
    spread,
)
from bluerec.evaluation.safe_text import MAX_CHARACTERS, clean_text

HOSTILE = '<script>alert("1")</script> & \u202egnp.exe \x00\x1b[31m \ud800 "quoted"'
numbers = st.floats(-1e6, 1e6, allow_nan=False)


def parse(chart: Markup) -> ElementTree.Element:
    """The chart as XML, which also shows that it is well-formed."""
    return ElementTree.fromstring(str(chart))


def find(chart: Markup, tag: str, css_class: str) -> list[ElementTree.Element]:
    return [element for element in parse(chart).iter(tag) if css_class in element.get("class", "").split()]


def points(path: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = (pair.split() for pair in path.get("d", "").lstrip("M").rstrip("Z").split("L"))
    return [(float(x), float(y)) for x, y in pairs]


def test_a_straight_line_is_drawn_straight() -> None:
    chart = line_chart([Line([0, 10, 20], [0.0, 1.0, 2.0], "up")], description="a", x_label="step", y_label="nats")
    (path,) = find(chart, "path", "curve")
    (x0, y0), (x1, y1), (x2, y2) = points(path)
    assert (x1, y1) == (pytest.approx((x0 + x2) / 2, abs=0.1), pytest.approx((y0 + y2) / 2, abs=0.1))
    assert x0 < x2 <= LINE_CHART_WIDTH
    assert y0 > y2  # upwards is towards the top
    texts = [element.text for element in parse(chart).iter("text")]
    assert {"up", "step", "nats", "0", "20", "0.0", "2.0"} <= set(texts)


def test_a_band_lies_around_its_curve() -> None:
    line = Line([1, 2], [1.0, 2.0], low=[0.5, 1.5], high=[1.5, 2.5])
    chart = line_chart([line], description="a", x_label="step")
    (band,), (curve,) = find(chart, "path", "band"), find(chart, "path", "curve")
    upper, lower = points(band)[:2], points(band)[:1:-1]
    for (_, top), (_, middle), (_, bottom) in zip(upper, points(curve), lower, strict=True):
        assert top < middle < bottom


def test_colours_are_variables_of_the_page() -> None:
    for chart in (
        line_chart([Line([1, 2], [1, 2])], description="a", x_label="b"),
        interval_chart([Interval("a", 1, 0, 2)], description="a", x_label="b"),
    ):
        assert "#" not in chart
        assert "rgb" not in chart
        assert "href" not in chart


@pytest.mark.parametrize("n_points", [1, 2, MAX_POINTS, MAX_POINTS + 1, 5000])
def test_long_curves_are_thinned_and_keep_their_ends(n_points: int) -> None:
    line = Line(list(range(n_points)), [float(step % 7) for step in range(n_points)], "end")
    chart = line_chart([line], description="a", x_label="step")
    drawn = points(find(chart, "path", "curve")[0])
    assert min(n_points, MAX_POINTS // 2) <= len(drawn) <= MAX_POINTS + 1
    (end,) = find(chart, "circle", "end")
    assert drawn[-1] == (float(end.get("cx", "")), float(end.get("cy", "")))


def test_nothing_to_draw_is_said() -> None:
    assert "No values yet." in line_chart([], description="a", x_label="b")
    assert "No values yet." in line_chart([Line([], [])], description="a", x_label="b")
    assert "No values yet." in interval_chart([], description="a", x_label="b")


def test_intervals_are_placed_by_their_numbers() -> None:
    chart = interval_chart(
        [Interval("first", 0.5, 0.25, 0.75), Interval("second", 1.0, 1.0, 1.0, is_highlighted=True)],
        description="two",
        x_label="NDCG@10",
    )
    first, second = find(chart, "line", "whisker")
    dots = [float(dot.get("cx", "").rstrip("%")) for dot in find(chart, "circle", "dot")]
    low, high = (float(first.get(key, "").rstrip("%")) for key in ("x1", "x2"))
    assert low < dots[0] < high
    assert dots[0] == pytest.approx((low + high) / 2, abs=0.02)
    assert dots[1] - dots[0] == pytest.approx(high - low, abs=0.02)
    assert second.get("x1") == second.get("x2")
    assert [element.text for element in find(chart, "text", "row-value")] == ["0.5000", "1.0000"]
    assert len(find(chart, "text", "highlighted")) == 2


def test_differences_show_their_sign_and_zero() -> None:
    chart = interval_chart(
        [Interval("a", -0.02, -0.03, 0.01)], description="d", x_label="difference", is_difference=True
    )
    assert find(chart, "text", "row-value")[0].text == "−0.0200"
    assert len(find(chart, "line", "zero")) == 1


def test_hostile_texts_are_text() -> None:
    for chart in (
        line_chart([Line([1], [1], HOSTILE)], description=HOSTILE, x_label=HOSTILE, y_label=HOSTILE),
        interval_chart([Interval(HOSTILE, 1, 0, 2)], description=HOSTILE, x_label=HOSTILE),
    ):
        assert "<script" not in chart
        assert not {"\u202e", "\x00", "\x1b", "\ud800"} & set(chart)
        assert {element.tag for element in parse(chart).iter()} <= {"svg", "text", "line", "path", "circle"}
        chart.encode()
    assert len(interval_chart([Interval("x" * 1_000_000, 1, 0, 2)], description="d", x_label="b")) < 3000


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_ticks_cover_the_values_evenly(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = choose_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= low + step * 1e-6
    assert ticks[-1] >= high - step * 1e-6
    assert len({format_tick(tick, ticks) for tick in ticks}) == len(ticks)


def test_ticks_read_well() -> None:
    assert [format_tick(tick, choose_ticks(0, 0.04)) for tick in choose_ticks(0, 0.04)] == [
        "0.00", "0.01", "0.02", "0.03", "0.04",
    ]  # fmt: skip
    assert [format_tick(tick, choose_ticks(-1, 1)) for tick in choose_ticks(-1, 1)] == [
        "−1.0", "−0.5", "0.0", "0.5", "1.0",
    ]  # fmt: skip
    assert [format_tick(tick, [0, 5000]) for tick in (0, 5000, 20000)] == ["0", "5k", "20k"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 100), max_size=7))
def test_labels_are_moved_apart_within_the_limit(positions: list[float]) -> None:
    placed = spread(sorted(positions), gap=13, limit=100)
    assert all(place <= 100 + 1e-9 for place in placed)
    assert all(later - earlier >= 13 - 1e-9 for earlier, later in pairwise(placed))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.integers(1, 50))
def test_clean_text_prints(text: str, max_characters: int) -> None:
    cleaned = clean_text(text, max_characters)
    assert len(cleaned) <= max_characters
    assert all(character.isprintable() or character in "\n\u200c\u200d" for character in cleaned)
    cleaned.encode()


def test_clean_text_keeps_what_languages_need() -> None:
    for text in ("日本の RPG", "می\u200cخواهم", "👩\u200d🔧", "naïve café", "two\nlines"):
        assert clean_text(text) == text
    assert len(clean_text("x" * 1_000_000)) == MAX_CHARACTERS
