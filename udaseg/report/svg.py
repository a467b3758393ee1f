"""Charts as inline SVG. Colours and fonts are those of the page's style sheet, for light and dark mode."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from udaseg.pipeline.format import percent, share

WIDTH = 440  # user units: legible on a phone and not too large on paper
RADII = {"ring": 5.2, "kept": 3.8, "refined": 2.2}  # so that dots of equal shares are visible inside each other
LETTER = 5.6  # width of a letter at the font size of the charts, an upper estimate


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element. Attribute names lose a trailing underscore (`class_`); other underscores become hyphens."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    attributes_text = "".join(f' {key}="{escape(_short(value))}"' for key, value in named.items())
    return (
        Markup(f"<{tag}{attributes_text}>") + Markup("").join(escape(child) for child in children) + Markup(f"</{tag}>")
    )


def svg(width: float, height: float, label: str, *children: Any, zoom: tuple[float, float] | None = None) -> Markup:
    """Return a drawing as an SVG element; `label` describes it for screen readers.

    `zoom` is the least and the largest number of pixels for a unit; without it the bounds of the page apply.
    """
    box = f"0 0 {_short(width)} {_short(height)}"
    bounds = zoom and f"min-width:{zoom[0] * width:.0f}px;max-width:{zoom[1] * width:.0f}px"
    return element("svg", *children, viewBox=box, role="img", aria_label=label, style=bounds)


def text(x: float, y: float, content: Any, anchor: str = "start", class_: str | None = None) -> Markup:
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def margin(names: Sequence[str]) -> float:
    """Return the width that the longest name needs beside a chart."""
    return 10 + LETTER * max(len(clip(name)) for name in names)


def clip(name: str) -> str:
    """Shorten a class name that is too long for a chart."""
    return name if len(name) <= 20 else name[:19] + "…"


def bars(
    rows: Sequence[tuple[str, Sequence[float | None]]], series: Sequence[str], tick: Sequence[float | None], label: str
) -> Markup:
    """Draw a group of horizontal bars for each row, from 0 to 1; the last bar of a group has its value as text.

    `series` are style classes, one for each bar of a group. `tick` has one more value a row (the oracle), drawn as a
    stroke.
    """
    left, thick, gap = margin([name for name, _ in rows]), 6.5, 7.0
    pitch = thick * len(series) + gap
    width, bottom = WIDTH - left - 30, 6 + pitch * len(rows)
    shapes = [line(left + width * i / 4, 2, left + width * i / 4, bottom, "grid") for i in range(5)]
    shapes += [text(left + width * i / 4, bottom + 13, f"{25 * i}", "middle", "axis") for i in range(5)]
    for r, (name, values) in enumerate(rows):
        top = 6 + r * pitch
        shapes.append(text(left - 6, top + thick * len(series) / 2 + 3.6, clip(name), "end"))
        for s, (value, style) in enumerate(zip(values, series, strict=True)):
            if value is not None:
                title = element("title", f"{name}: {percent(value)}")
                shape = {
                    "x": left,
                    "y": top + s * thick,
                    "width": max(width * min(value, 1.0), 0.5),
                    "height": thick - 0.8,
                }
                shapes.append(element("rect", title, class_=style, **shape))
        end = max([min(v, 1.0) for v in values if v is not None], default=0.0)
        if tick[r] is not None and end < tick[r] + 0.02 and tick[r] < end + 34 / width:
            end = max(end, tick[r])  # the text starts after the stroke, not under it
        shapes.append(text(left + width * end + 5, top + thick * len(series) / 2 + 3.6, percent(values[-1])))
        if tick[r] is not None:
            x = left + width * tick[r]
            shapes.append(line(x, top - 1.5, x, top + thick * len(series) + 0.7, "oracle tick"))
    return svg(WIDTH, bottom + 18, label, *shapes)


def interval(source: float, adapted: float, oracle: float | None) -> Markup:
    """Draw the scores of source-only, adapted and oracle on one axis from 0 to 100."""
    left, width, y = 8, WIDTH - 16, 34

    def at(value: float) -> float:
        return left + width * value

    shapes = [line(left, y, left + width, y, "axis-line")]
    shapes += [line(at(i / 10), y, at(i / 10), y + (6 if i % 5 == 0 else 4), "axis-line") for i in range(11)]
    shapes += [text(at(i / 2), y + 18, f"{50 * i}", "middle", "axis") for i in range(3)]
    if oracle is not None:
        shapes.append(line(at(source), y, at(oracle), y, "gap"))
        shapes.append(line(at(oracle), y - 9, at(oracle), y + 9, "oracle tick"))
    shapes.append(line(at(source), y, at(adapted), y, "gain"))
    shapes.append(element("circle", cx=at(source), cy=y, r=5, class_="source"))
    shapes.append(element("circle", cx=at(adapted), cy=y, r=5, class_="adapted"))
    # Labels are in two rows, the lower one on both sides, so that close values do not overlap.
    lower = max(at(min(source, adapted)) - 3, left + 26)
    upper = max(at(max(source, adapted)) + 3, lower + 6)
    rises = adapted >= source
    shapes.append(text(lower if rises else upper, y - 10, percent(source), "end" if rises else "start"))
    shapes.append(text(upper if rises else lower, y - 10, percent(adapted), "start" if rises else "end", "strong"))
    if oracle is not None:
        shapes.append(text(at(oracle), y - 22, f"oracle {percent(oracle)}", "middle" if oracle < 0.85 else "end"))
    return svg(WIDTH, 56, "mIoU of source-only, adapted and oracle on one axis", *shapes)


def heat(names: Sequence[str], rows: Sequence[Sequence[float | None]], label: str) -> Markup:
    """Draw a square matrix of shares in per cent: a row is a true class, a column a prediction."""
    left, cell = margin(names), 23.0
    top, span = left * 0.8, cell * len(names)
    shapes = [text(left - 5, top + cell * (r + 0.5) + 3.6, clip(name), "end") for r, name in enumerate(names)]
    for c, name in enumerate(names):
        x, y = left + cell * (c + 0.5) + 2, top - 5
        turn = f"rotate(-52 {_short(x)} {_short(y)})"
        shapes.append(element("text", clip(name), x=x, y=y, transform=turn))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            x, y = left + cell * c, top + cell * r
            if value is None:
                shapes.append(line(x + 8, y + cell / 2, x + cell - 8, y + cell / 2, "grid"))
            elif value >= 0.0005:
                title = element("title", f"{names[r]} taken for {names[c]}: {percent(value)} %")
                shape = {"x": x, "y": y, "width": cell - 1, "height": cell - 1}
                ink = "cell right" if r == c else "cell wrong"
                shapes.append(
                    element("rect", title, class_=ink, fill_opacity=round(0.04 + 0.9 * value**0.7, 3), **shape)
                )
                if value >= 0.005:
                    dark = "in strong-cell" if value > 0.55 else "in"
                    shapes.append(text(x + cell / 2 - 0.5, y + cell / 2 + 2.8, f"{100 * value:.0f}", "middle", dark))
    shapes.append(element("rect", x=left - 0.5, y=top - 0.5, width=span, height=span, class_="frame"))
    # Its numbers cannot be smaller, so on a phone the box scrolls.
    return svg(left + span + left * 0.55, top + span + 4, label, *shapes, zoom=(0.95, 1.2))


def dots(rows: Sequence[tuple[str, Sequence[float | None]]], series: Sequence[str], label: str) -> Markup:
    """Draw shares as dots on a logarithmic axis from 0.01 to 100 per cent; smaller shares are on the left edge."""
    left, pitch = margin([name for name, _ in rows]), 17.0
    width, bottom = WIDTH - left - 14, 4 + pitch * len(rows)

    def at(value: float) -> float:
        return left + width * min(1.0, max(0.0, 1 + math.log10(max(value, 1e-12)) / 4))

    decades = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    shapes = [line(at(d), 2, at(d), bottom, "grid") for d in decades]
    shapes += [text(at(d), bottom + 13, f"{100 * d:g}", "middle", "axis") for d in decades]
    for r, (name, values) in enumerate(rows):
        y = 4 + pitch * (r + 0.5)
        positions = [at(value) for value in values if value is not None]
        shapes.append(text(left - 6, y + 3.6, clip(name), "end"))
        if positions:
            shapes.append(line(min(positions), y, max(positions), y, "link"))
        for value, style in zip(values, series, strict=True):
            if value is not None:
                title = element("title", f"{name}: {share(value)} %")
                shapes.append(element("circle", title, cx=at(value), cy=y, r=RADII[style], class_=style))
    return svg(WIDTH, bottom + 18, label, *shapes)


def course(numbers: Sequence[int], series: Sequence[tuple[str, Sequence[float | None]]], label: str) -> Markup:
    """Draw fractions over the rounds as a small chart from 0 to 1; a value above 1 lies on its upper edge.

    `series` are pairs of a style class and one value a round, or None.
    """
    left, top, width, height = 3, 4, 94, 40
    across = [left + width * i / max(len(numbers) - 1, 1) for i in range(len(numbers))]
    shapes = [line(left, top + height * part, left + width, top + height * part, "grid") for part in (0, 0.5, 1)]
    shapes += [
        text(x, top + height + 11, number, anchor, "axis")
        for x, number, anchor in ((across[0], numbers[0], "start"), (across[-1], numbers[-1], "end"))
    ]
    for style, values in series:
        spots = [(x, top + height * (1 - min(y, 1.0))) for x, y in zip(across, values, strict=True) if y is not None]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        shapes.append(element("polyline", points=points, class_=f"curve {style}"))
        shapes += [element("circle", cx=x, cy=y, r=2, class_=f"spot {style}") for x, y in spots]
    return svg(100, top + height + 14, label, *shapes)


def spreads(
    rows: Sequence[tuple[str, Sequence[tuple[float, float] | None]]], series: Sequence[str], label: str
) -> Markup:
    """Draw means as dots on an axis from 0 to 1, with a stroke of one standard deviation to each side.

    A row has (mean, deviation) or None for each of the `series`, which are style classes, one below the other.
    """
    left, pitch, gap = margin([name for name, _ in rows]), 8.0, 7.0
    height = pitch * len(series) + gap
    width, bottom = WIDTH - left - 14, 4 + height * len(rows)

    def at(value: float) -> float:
        return left + width * min(1.0, max(0.0, value))

    shapes = [line(at(i / 4), 2, at(i / 4), bottom, "grid") for i in range(5)]
    shapes += [text(at(i / 4), bottom + 13, f"{25 * i}", "middle", "axis") for i in range(5)]
    for r, (name, values) in enumerate(rows):
        top = 4 + r * height + gap / 2
        shapes.append(text(left - 6, top + pitch * len(series) / 2 + 3.6, clip(name), "end"))
        for s, (value, style) in enumerate(zip(values, series, strict=True)):
            if value is None:
                continue
            mean, deviation, y = *value, top + pitch * (s + 0.5)
            title = element("title", f"{name}: {percent(mean)}" + (f" ± {percent(deviation)}" if deviation else ""))
            if deviation:
                shapes.append(line(at(mean - deviation), y, at(mean + deviation), y, f"whisker {style}"))
            shapes.append(element("circle", title, cx=at(mean), cy=y, r=3, class_=f"mark {style}"))
    return svg(WIDTH, bottom + 18, label, *shapes)


def _short(value: Any) -> Any:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
