"""What adaptation changed class by class: the IoU before and after, and the mistakes that became rarer or not."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from udaseg.io.documents.metrics import Metrics
from udaseg.pipeline.format import percent, points
from udaseg.report.scores import Score, confusion_shares
from udaseg.report.svg import WIDTH, clip, element, line, margin, svg, text

MISTAKES = 4  # that became rarer, and as many that became more frequent
VISIBLE = 0.0005  # a smaller change of the IoU is printed as 0.0, and is neither a gain nor a loss
SMALLEST = 0.005  # a change of the share below half a point is not listed
PITCH, THICK = 17.0, 9.0


class Mistake(NamedTuple):
    """A class that is taken for another, as a share of its pixels before and after."""

    truth: str
    taken: str
    before: float
    after: float


def changed_classes(scores: Sequence[Score]) -> list[Score]:
    """Return the classes that have an IoU before and after, the largest gain first."""
    return sorted((one for one in scores if one.delta is not None), key=lambda one: (-one.delta, one.name))


def changed_mistakes(before: Metrics, after: Metrics) -> tuple[list[Mistake], list[Mistake]]:
    """Return the mistakes that became rarer and those that became more frequent, the largest changes first."""
    names = after.classes
    rows = zip(confusion_shares(before), confusion_shares(after), strict=True)
    mistakes = [
        Mistake(names[t], names[p], *pair)
        for t, shares in enumerate(rows)
        for p, pair in enumerate(zip(*shares, strict=True))
        if p != t and None not in pair
    ]
    mistakes.sort(key=lambda one: one.after - one.before)
    rarer = [one for one in mistakes[:MISTAKES] if one.before - one.after >= SMALLEST]
    return rarer, [one for one in mistakes[: -MISTAKES - 1 : -1] if one.after - one.before >= SMALLEST]


def change_bars(classes: Sequence[Score], label: str) -> Markup:
    """Draw the change of each class's IoU as a bar from zero, with its scores before and after as text."""
    left = margin([one.name for one in classes])
    right = 84  # for "100.0 → 100.0"
    reach = max(0.01, *(abs(one.delta) for one in classes))
    losers = {one.name for one in classes if one.delta <= -VISIBLE}
    room = 34  # of the number beside a bar
    width = WIDTH - left - right - room * (1 + bool(losers))
    zero = left + (room + width / 2 if losers else 0)
    scale, bottom = (width / 2 if losers else width) / reach, 4 + PITCH * len(classes)
    shapes = [line(zero, 2, zero, bottom, "axis-line")]
    for r, one in enumerate(classes):
        y = 4 + PITCH * (r + 0.5)
        length = abs(one.delta) * scale
        title = element("title", f"{one.name}: {percent(one.source)} before, {percent(one.adapted)} after")
        falls = one.name in losers
        bar = {"x": zero - length if falls else zero, "y": y - THICK / 2, "height": THICK}
        shapes.append(text(left - 6, y + 3.6, clip(one.name), "end"))
        shapes.append(element("rect", title, width=max(length, 0.5), class_="fall" if falls else "rise", **bar))
        beside = (zero - length - 4, "end") if falls else (zero + length + 4, "start")
        shapes.append(text(beside[0], y + 3.6, points(one.delta), beside[1]))
        shapes.append(text(WIDTH, y + 3.6, f"{percent(one.source)} → {percent(one.adapted)}", "end", "axis"))
    return svg(WIDTH, bottom + 4, label, *shapes)
