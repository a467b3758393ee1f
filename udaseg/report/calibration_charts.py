"""Reliability diagrams as inline SVG: accuracy over confidence, and below it the share of the pixels in each bin."""

from collections.abc import Sequence

from markupsafe import Markup

from udaseg.pipeline.format import count, percent, share
from udaseg.report.calibration import BINS, Reliability
from udaseg.report.svg import WIDTH, element, line, svg, text

LEFT, TOP, HEIGHT = 34, 22, 190
GAP, LOWER = 42, 64  # the height between the two parts, and that of the lower one


def reliability_diagram(series: Sequence[tuple[str, str, Reliability]], label: str) -> Markup:
    """Draw series of (style class, name, reliability). On the diagonal, accuracy equals confidence."""
    width, bottom = WIDTH - LEFT - 10, TOP + HEIGHT
    ground = bottom + GAP + LOWER

    def across(value: float) -> float:
        return LEFT + width * value

    def up(value: float) -> float:
        return bottom - HEIGHT * value

    quarters = [i / 4 for i in range(5)]
    shapes = [line(LEFT, up(q), LEFT + width, up(q), "grid") for q in quarters]
    shapes += [text(LEFT - 5, up(q) + 3.6, f"{100 * q:.0f}", "end", "axis") for q in quarters]
    shapes += [text(across(q), bottom + 14, f"{100 * q:.0f}", "middle", "axis") for q in quarters]
    shapes.append(line(across(0), up(0), across(1), up(1), "ideal"))
    for style, name, one in reversed(series):
        bins = [(n, confidence, right) for n, confidence, right in one.bins if n]
        points = " ".join(f"{across(confidence):.1f},{up(right):.1f}" for _, confidence, right in bins)
        shapes.append(element("polyline", points=points, class_=f"curve {style}"))
        for n, confidence, right in bins:
            title = element(
                "title",
                f"{name}: confidence {percent(confidence)}, right {percent(right)}, {count(n)} pixels",
            )
            shapes.append(element("circle", title, cx=across(confidence), cy=up(right), r=3, class_=style))
    largest = max(int(one.counts.max()) / max(1, one.pixels) for _, _, one in series)
    shapes.append(line(LEFT, ground, LEFT + width, ground, "axis-line"))
    shapes.append(text(LEFT - 5, ground - LOWER + 3.6, f"{100 * largest:.0f}", "end", "axis"))
    shapes.append(text(LEFT - 5, ground + 3.6, "0", "end", "axis"))
    thick = width / BINS / len(series)
    for s, (style, name, one) in enumerate(series):
        for b, n in enumerate(one.counts.tolist()):
            if n:
                part = n / one.pixels
                low, high = 100 * b / BINS, 100 * (b + 1) / BINS
                title = element("title", f"{name}: {share(part)} % of the pixels from {low:.1f} to {high:.1f}")
                bar = {"x": across(b / BINS) + s * thick + 0.5, "width": thick - 1}
                bar |= {"y": ground - max(LOWER * part / largest, 0.5), "height": max(LOWER * part / largest, 0.5)}
                shapes.append(element("rect", title, class_=style, **bar))
    shapes.append(text(LEFT, ground - LOWER - 6, "pixels in the bin, %", "start", "axis"))
    shapes.append(text(LEFT + width, ground + 14, "confidence, %", "end", "axis"))
    shapes.append(text(LEFT, TOP - 11, "right pixels, %", "start", "axis"))
    return svg(WIDTH, ground + 20, label, *shapes)
