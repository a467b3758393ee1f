"""Loss curves and Gaussian mixtures as inline SVG."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from udaseg.pipeline.format import number
from udaseg.report.svg import WIDTH, element, line, svg, text

CONFIDENT = "confident"  # the share of confident labels among those made online
DISTANCE = "distance"  # of features, without the weight that makes it a loss
NOT_LOSSES = ("step", "lr", "seconds", CONFIDENT, DISTANCE)
ACCURACY = "discriminator_accuracy"  # the first part of the names of discriminators' accuracies in a log
POINTS = 200  # points a curve; longer logs are averaged over equal stretches


def terms(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the losses in a training log, the whole loss first.

    Where the loss has a single term, the term is left out: it equals the loss.
    """
    names = dict.fromkeys(key for record in log for key, value in record.items() if isinstance(value, int | float))
    losses = (name for name in names if name not in NOT_LOSSES and not name.startswith(ACCURACY))
    ordered = sorted(losses, key=lambda name: name != "loss")
    return ordered[:1] if len(ordered) == 2 and all(_are_equal(record, *ordered) for record in log) else ordered


def accuracies(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the discriminators' accuracies in a training log."""
    return list(dict.fromkeys(name for record in log for name in record if name.startswith(ACCURACY)))


def confident(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of the share of confident online labels, in a list; an empty list where the log has none."""
    return [CONFIDENT] if any(CONFIDENT in record for record in log) else []


def curves(log: Sequence[Mapping[str, Any]], names: Sequence[str], label: str, *, shares: bool = False) -> Markup:
    """Draw entries of a log over the steps; the vertical axis is logarithmic where values span a decade or more.

    With `shares` the axis goes from 0 to 1. Values that are not finite leave a gap in their curve.
    """
    paths = [_path(log, name) for name in names]
    values = np.concatenate([y[np.isfinite(y)] for _, y in paths])
    if not len(values):
        return Markup("")
    low, high = (0.0, 1.0) if shares else (float(values.min()), float(values.max()))
    logarithmic = low > 0 and high >= 10 * low
    ticks = _decades(low, high) if logarithmic else _nice(min(low, 0.0), high)
    low, high = (min(low, ticks[0]), max(high, ticks[-1])) if logarithmic else (ticks[0], ticks[-1])
    left, top, width, height = 44, 8, WIDTH - 54, 190
    last = max(1, *(int(record["step"]) for record in log))

    def across(step: float) -> float:
        return left + width * step / last

    def up(value: float) -> float:
        part = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return top + height * (1 - part)

    shapes = [line(left, up(tick), left + width, up(tick), "grid") for tick in ticks]
    shapes += [text(left - 5, up(tick) + 3.6, f"{tick:g}", "end", "axis") for tick in ticks]
    for tick in (tick for tick in _nice(0, last) if tick <= last and tick == int(tick)):
        shapes.append(text(across(tick), top + height + 14, number(int(tick)), "middle", "axis"))
    for i, (steps, y) in reversed(list(enumerate(paths))):
        stretches = np.split(np.arange(len(y)), np.flatnonzero(~np.isfinite(y)))
        for stretch in stretches:
            inside = [j for j in stretch if np.isfinite(y[j])]
            if len(inside) == 1:
                shapes.append(element("circle", cx=across(steps[inside[0]]), cy=up(y[inside[0]]), r=2, class_=f"s{i}"))
            elif inside:
                points = " ".join(f"{across(steps[j]):.1f},{up(y[j]):.1f}" for j in inside)
                shapes.append(element("polyline", points=points, class_=f"curve s{i}"))
    shapes.append(
        text(left + width, top + height + 27, "steps" + (", loss on a logarithmic axis" * logarithmic), "end", "axis")
    )
    return svg(WIDTH, top + height + 32, label, *shapes)


def _are_equal(record: Mapping[str, Any], one: str, other: str) -> bool:
    return record.get(one) == record.get(other)


def _path(log: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(record["step"], record.get(name)) for record in log if name in record]
    steps = np.array([step for step, _ in pairs], float)
    y = np.array([value if isinstance(value, int | float) else math.nan for _, value in pairs], float)
    if len(y) > POINTS:
        parts = np.array_split(np.arange(len(y)), POINTS)
        steps, y = (np.array([v[part].mean() for part in parts]) for v in (steps, y))
    return steps, y


def _nice(low: float, high: float) -> list[float]:
    rough = (high - low if high > low else 1.0) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    inside = [m * 10.0**e for e in range(first, last + 1) for m in (1, 3) if low <= m * 10.0**e <= high]
    return [float(f"{tick:g}") for tick in inside] or [low, high]
