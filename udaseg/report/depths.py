"""Show the depth of a run: how far away the mixtures say that a class is, and how well the models estimate depth."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from udaseg.metrics import DEPTH_ERRORS
from udaseg.report.mixtures import Mixtures
from udaseg.report.svg import element, line, svg, text

DECADES = {1: "1", 10: "10", 100: "100", 1000: "1k"}  # metres; the sky of SYNTHIA is 655 away
LABELS = dict(zip(DEPTH_ERRORS, ("Rel", "Rel²", "RMS, m", "LRMS", "δ1, %", "δ2, %", "δ3, %"), strict=True))


def distances(mixtures: Mixtures, c: int) -> Markup:
    """Draw how the pixels of class c spread over the distance: each Gaussian, and bolder their sum.

    The axis is logarithmic and the curves are densities over it, so that equal areas are equal shares of the pixels.
    """
    metres = np.logspace(0, 3, 241)
    raw = 100 * metres + 1
    inverse = 65536 / raw
    # A needle, such as the sky's, is drawn as wide as the pen: half a step of the curve.
    slope = inverse * 100 * metres / raw * math.log(10)  # of the inverse depth over the decimal logarithm
    parts = []
    for k in np.flatnonzero(mixtures.weights[c]):
        mean, deviation = mixtures.means[c, k, 2], math.sqrt(mixtures.variances[c, k, 2])
        deviation = max(deviation, float(np.interp(mean, inverse[::-1], slope[::-1])) * 3 / 480)
        bell = np.exp(-0.5 * ((inverse - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        parts.append(mixtures.weights[c, k] * bell * slope)
    total = np.sum(parts, axis=0)
    high = float(total.max()) or 1.0
    left, top, width, height = 3, 2, 94, 34
    at = [left + width * math.log10(decade) / 3 for decade in DECADES]
    shapes = [line(x, top, x, top + height, "grid") for x in at]
    shapes.append(line(left, top + height, left + width, top + height, "axis-line"))
    anchors = ("start", "middle", "middle", "end")
    named = zip(at, DECADES.values(), anchors, strict=True)
    shapes += [text(x, top + height + 10, name, how, "axis") for x, name, how in named]
    across = left + width * np.log10(metres) / 3
    for values, style in (*((part, "curve s1") for part in parts), (total, "curve s0")):
        up = top + height * (1 - values / high)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
        shapes.append(element("polyline", points=points, class_=style))
    return svg(100, top + height + 13, f"how far away {mixtures.classes[c]} is, in metres", *shapes)


def depth_errors(evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Lay out the depth errors of the models that were scored on depth, by role; None where none was."""
    scored = {role: result["depth"] for role, result in evaluations.items() if result.get("depth")}
    if not scored:
        return None
    rows = [(label, [_shown(name, depth[name]) for depth in scored.values()]) for name, label in LABELS.items()]
    return {"roles": list(scored), "rows": rows, "convention": next(iter(scored.values()))["convention"]}


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name.startswith("delta") else f"{value:.2f}"
