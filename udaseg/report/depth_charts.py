"""The depth of a run: the distance of each class by its Gaussian mixture."""

import math

import numpy as np
from markupsafe import Markup

from udaseg.report.svg import element, line, svg, text
from udaseg.statistics.gmm import Gmm

DECADES = {1: "1", 10: "10", 100: "100", 1000: "1k"}  # metres; the sky of SYNTHIA is 655 away


def has_mixture(gmm: Gmm, c: int) -> bool:
    """Tell whether class c has a mixture; an absent class has weights of 0."""
    return bool(gmm.weights[c].sum() > 0)


def mean_distance(gmm: Gmm, c: int) -> float:
    """Return the distance in metres at the mean inverse depth of class c, 65536 / (cm + 1)."""
    inverse = float((gmm.weights[c] * gmm.means[c, :, 2]).sum() / gmm.weights[c].sum())
    return (65536 / max(inverse, 1.0) - 1) / 100


def distances(gmm: Gmm, c: int) -> Markup:
    """Draw the distribution of the pixels of class c over the distance: each Gaussian, and their sum in bold.

    The axis is logarithmic and the curves are densities over it, so that equal areas are equal shares of the pixels.
    """
    metres = np.logspace(0, 3, 241)
    raw = 100 * metres + 1
    inverse = 65536 / raw
    # A Gaussian narrower than the pen, such as the sky's, is drawn as wide as the pen: half a step of the curve.
    slope = inverse * 100 * metres / raw * math.log(10)  # of the inverse depth over the decimal logarithm
    parts = []
    for k in np.flatnonzero(gmm.weights[c]):
        mean, deviation = gmm.means[c, k, 2], math.sqrt(gmm.variances[c, k, 2])
        deviation = max(deviation, float(np.interp(mean, inverse[::-1], slope[::-1])) * 3 / 480)
        bell = np.exp(-0.5 * ((inverse - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        parts.append(gmm.weights[c, k] * bell * slope)
    total = np.sum(parts, axis=0)
    high = float(total.max()) or 1.0
    left, top, width, height = 3, 2, 94, 34
    at = [left + width * math.log10(decade) / 3 for decade in DECADES]
    shapes = [line(x, top, x, top + height, "grid") for x in at]
    shapes.append(line(left, top + height, left + width, top + height, "axis-line"))
    anchors = ("start", "middle", "middle", "end")
    ticks = zip(at, DECADES.values(), anchors, strict=True)
    shapes += [text(x, top + height + 10, name, anchor, "axis") for x, name, anchor in ticks]
    across = left + width * np.log10(metres) / 3
    for values, style in (*((part, "curve s1") for part in parts), (total, "curve s0")):
        up = top + height * (1 - values / high)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
        shapes.append(element("polyline", points=points, class_=style))
    return svg(100, top + height + 13, f"how far away {gmm.classes[c]} is, in metres", *shapes)


def ellipses(gmm: Gmm, c: int) -> Markup:
    """Draw the Gaussians of class c in the image plane at one standard deviation; more weight is a stronger colour."""
    height, width = gmm.grid
    scale = 100 / max(width, 1)
    shapes = []
    for k in np.argsort(gmm.weights[c]):
        weight = float(gmm.weights[c, k])
        x, y = (float(v) * scale for v in gmm.means[c, k, :2])
        rx, ry = (max(0.6, math.sqrt(max(float(v), 0.0)) * scale) for v in gmm.variances[c, k, :2])
        title = element("title", f"weight {weight:.2f}")
        opacity = round(0.1 + 0.75 * min(weight, 1.0), 3)
        shapes.append(element("ellipse", title, cx=x, cy=y, rx=rx, ry=ry, fill_opacity=opacity, class_="gauss"))
    frame = element("rect", x=0.5, y=0.5, width=99, height=height * scale - 1, class_="frame")
    return svg(100, height * scale, f"where {gmm.classes[c]} lies in the image", *shapes, frame)
