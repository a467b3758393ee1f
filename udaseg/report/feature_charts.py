"""The maps of the feature space as inline SVG: pixels in the colours of their classes, and prototypes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from udaseg.report.embedding import Map
from udaseg.report.feature_space import FeatureSpace
from udaseg.report.svg import element, line, svg

SIDE, MARGIN = 300, 9  # of a map in user units
ARM = 1.9  # of a cross, from its centre
# The marks and their meaning, as the legend draws them.
MARKS = (
    ("pixel, source", "cross"), ("pixel, target", "dot"), ("prototype, source", "hollow"),
    ("prototype, target", "full"),
)  # fmt: skip


def feature_maps(space: FeatureSpace, colours: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for each kind of map, a chart of each network. `colours` are those of the classes."""
    kinds = {"PCA": [one.pca for one in space.networks], "t-SNE": [one.tsne for one in space.networks]}
    return [
        {
            "kind": kind,
            "charts": [
                {"network": one, "chart": scatter(mapped, space, colours, f"{kind} of the features in {one.name}")}
                for one, mapped in zip(space.networks, maps, strict=True)
            ],
        }
        for kind, maps in kinds.items()
    ]


def scatter(mapped: Map, space: FeatureSpace, colours: Sequence[str], label: str) -> Markup:
    """Draw a map: crosses for the source, dots for the target, a circle for each prototype, a class in its colour."""
    everything = np.concatenate([mapped.points, mapped.prototypes.reshape(-1, 2)])
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    scale = (SIDE - 2 * MARGIN) / (float((high - low).max()) or 1.0)  # of both axes: distances are those of the map
    points_N2 = SIDE / 2 + (mapped.points - (low + high) / 2) * scale * (1, -1)
    prototypes_2C2 = SIDE / 2 + (mapped.prototypes - (low + high) / 2) * scale * (1, -1)
    shapes = [element("rect", x=0.5, y=0.5, width=SIDE - 1, height=SIDE - 1, class_="frame")]
    for c in np.unique(space.label):
        own = space.label == c
        for rows, style in ((own & ~space.is_target, "cross"), (own & space.is_target, "dot")):
            if rows.any():
                path = "".join(_mark(x, y, style) for x, y in points_N2[rows].tolist())
                shapes.append(element("path", d=path, class_=style, stroke=colours[c]))
    for c, name in enumerate(space.classes):
        shapes += _prototypes(prototypes_2C2[:, c], name, colours[c])
    return svg(SIDE, SIDE, label, *shapes)


def _mark(x: float, y: float, style: str) -> str:
    """Return the path of a cross, or of a dot: a line without length, of which the round ends are drawn."""
    if style == "dot":
        return f"M{x:.1f} {y:.1f}h0"
    return f"M{x - ARM:.1f} {y:.1f}h{2 * ARM:.1f}m-{ARM:.1f}-{ARM:.1f}v{2 * ARM:.1f}"


def _prototypes(ends_22: np.ndarray, name: str, colour: str) -> list[Markup]:
    """Draw the prototypes of a class in source and target, and a line from one to the other."""
    ends = [None if np.isnan(end).any() else end.tolist() for end in ends_22]
    shapes = [line(*ends[0], *ends[1], "tie")] if None not in ends else []
    for end, domain, style in zip(ends, ("source", "target"), ("hollow", "full"), strict=True):
        if end is not None:
            title = element("title", f"prototype of {name}, {domain}")
            paint = {"stroke" if style == "hollow" else "fill": colour}
            shapes.append(element("circle", title, cx=end[0], cy=end[1], r=4.6, class_=f"prototype {style}", **paint))
    return shapes


def marks() -> list[tuple[Markup, str]]:
    """Return the marks of the maps and their meaning, for a legend."""
    drawn = []
    for words, style in MARKS:
        if style in ("cross", "dot"):
            shape = element("path", d=_mark(4, 4, style), class_=style, stroke="currentColor")
        else:
            paint = "currentColor" if style == "full" else None
            shape = element("circle", cx=4, cy=4, r=2.8, class_=f"prototype {style}", stroke="currentColor", fill=paint)
        drawn.append((element("svg", shape, viewBox="0 0 8 8", class_="symbol", aria_hidden="true"), words))
    return drawn
