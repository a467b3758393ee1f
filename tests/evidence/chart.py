"""A table as a chart, a file that stands alone: scores between the bounds, and differences seed by seed."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from udaseg.pipeline.format import points
from udaseg.report.comparison_table import spread as text_of
from udaseg.report.page import style_sheet
from udaseg.report.svg import LETTER, element, line, text

from .figures import BySeed, Figures, Line, spread

PITCH, TOP = 24.0, 34.0  # units from row to row, and above the first
PANELS = 300.0, 190.0  # widths of the panels of scores and of differences
GAP = 92.0  # behind a panel, for the numbers
STEPS = (0.5, 1, 2, 5, 10, 20)  # points from one tick to the next


def as_svg(found: Figures) -> str:
    """Return the chart: for each row the mean over seeds, a stroke of one standard deviation to each side, the seeds.

    On the left scores, with a line at each bound; on the right differences to the row that a row is compared with.
    """
    lines = found.lines
    left = 14 + LETTER * max(len(one.row.name) for one in lines)
    bottom = TOP + PITCH * len(lines)
    width, height = left + PANELS[0] + GAP + PANELS[1] + GAP, bottom + 22
    shapes = [text(left - 8, _middle(r) + 3.6, one.row.name, "end") for r, one in enumerate(lines)]
    scores = [{seed: score.miou for seed, score in one.scores.items()} for one in lines]
    title = "mIoU in %, mean ± standard deviation, and each seed"
    shapes += _panel(title, left, PANELS[0], scores, text_of, _bounds(found))
    differences = [one.difference for one in lines]
    if any(differences):
        start = left + PANELS[0] + GAP
        title = "difference in points, seed by seed"
        shapes += _panel(title, start, PANELS[1], differences, lambda one: text_of(one, points), [(0.0, "axis-line")])
    return alone(width, height, f"{found.table.title}: scores and differences of each row", shapes)


def alone(width: float, height: float, label: str, shapes: Sequence[Markup]) -> str:
    """Return a drawing as a file that stands alone, with the colours of the report; `label` describes it."""
    paper = element("rect", width=width, height=height, fill="var(--paper)")
    style = element("style", Markup(style_sheet("colours") + style_sheet("charts")))
    drawing = element(
        "svg", style, paper, *shapes,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:g} {height:g}", width=width, height=height,
        role="img", aria_label=label,
    )  # fmt: skip
    return f"{drawing}\n"


def _middle(row: int) -> float:
    return TOP + PITCH * (row + 0.5)


def _bounds(found: Figures) -> list[tuple[float, str]]:
    """Return the mean of each bound with the style of its line."""
    both: Sequence[tuple[Line | None, str]] = ((found.lower, "link"), (found.upper, "oracle tick"))
    return [(bound.miou.mean, style) for bound, style in both if bound is not None and bound.miou is not None]


def _panel(
    title: str,
    left: float,
    width: float,
    rows: Sequence[BySeed],
    number: Callable[[Any], str],
    marks: Sequence[tuple[float, str]],
) -> list[Markup]:
    """Draw the values of each row on one axis; `marks` are upright lines with their styles."""
    ends = [value for value, _ in marks]
    for values in rows:
        if values:
            mean, deviation = spread(values)
            ends += [*values.values(), mean - (deviation or 0.0), mean + (deviation or 0.0)]
    ticks = ticks_between(100 * min(ends), 100 * max(ends))
    low, high, bottom = ticks[0] / 100, ticks[-1] / 100, TOP + PITCH * len(rows)

    def at(value: float) -> float:
        return left + width * (value - low) / (high - low)

    shapes = [text(left, TOP - 16, title, "start", "axis")]
    for tick in ticks:
        shapes.append(line(at(tick / 100), TOP, at(tick / 100), bottom, "grid"))
        shapes.append(text(at(tick / 100), bottom + 14, f"{tick:g}".replace("-", "−"), "middle", "axis"))
    shapes += [line(at(value), TOP, at(value), bottom, style) for value, style in marks]
    for row, values in enumerate(rows):
        if values:
            shapes += _row(values, _middle(row), at)
            shapes.append(text(left + width + 10, _middle(row) + 3.6, number(spread(values))))
    return shapes


def _row(values: BySeed, y: float, at: Callable[[float], float]) -> list[Markup]:
    """Draw the mean of a row, its deviation to each side, and the value of each seed."""
    mean, deviation = spread(values)
    shapes = [] if deviation is None else [line(at(mean - deviation), y, at(mean + deviation), y, "whisker s1")]
    for seed, value in sorted(values.items()):
        title = element("title", f"seed {seed}: {points(value) if value < 0 else f'{100 * value:.1f}'}")
        shapes.append(element("circle", title, cx=at(value), cy=y, r=2.0, class_="kept"))
    return [*shapes, element("circle", cx=at(mean), cy=y, r=3.4, class_="mark s1")]


def ticks_between(low: float, high: float, most: int = 7) -> list[float]:
    """Return round numbers, one step apart, of which the first is at most `low` and the last at least `high`."""
    for step in STEPS:
        first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
        if last - first < most:
            break
    return [step * number for number in range(first, last + 1)]
