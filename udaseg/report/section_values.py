"""The values of the page's sections on what adaptation changed: by class, in the feature space, in calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from udaseg.io.documents.metrics import Metrics
from udaseg.pipeline.datasets import TARGET_TRUTH
from udaseg.pipeline.format import DASH, percent
from udaseg.report.calibration import BINS, Reliability
from udaseg.report.calibration_charts import reliability_diagram
from udaseg.report.class_changes import VISIBLE, change_bars, changed_classes, changed_mistakes
from udaseg.report.embedding import Measures
from udaseg.report.feature_charts import feature_maps, marks
from udaseg.report.feature_space import FeatureSpace
from udaseg.report.run_data import RunData
from udaseg.report.scores import class_scores

UNCOLOURED = "#808080"  # of classes without a colour, whose names cannot be a class space


def changes(metrics: dict[str, Metrics]) -> dict[str, Any] | None:
    """Return what changed by class from the source-only to the adapted model; None where one is not scored."""
    if not {"source", "adapted"} <= metrics.keys():
        return None
    classes = changed_classes(class_scores(metrics))
    if not classes:
        return None
    rarer, more_frequent = changed_mistakes(metrics["source"], metrics["adapted"])
    return {
        "classes": classes,
        "gained": [one for one in classes if one.delta >= VISIBLE],
        "lost": [one for one in classes if one.delta <= -VISIBLE],
        "chart": change_bars(classes, "change of the IoU of every class, the largest gain first"),
        "mistakes": [("rarer", rarer), ("more frequent", more_frequent)],
    }


def features(space: FeatureSpace | str, colours: Mapping[str, str]) -> dict[str, Any]:
    """Return the maps and measures of the feature space, or why there are none."""
    if isinstance(space, str):
        return {"missing": space}
    measures = [one.measures for one in space.networks]
    return {
        "missing": None,
        "names": [one.name for one in space.networks],
        "is_pair": len(space.networks) == 2,
        "pixels": (int((~space.is_target).sum()), int(space.is_target.sum())),
        "images": space.images,
        "split": space.split,
        "has_target_labels": space.has_target_labels,
        "maps": feature_maps(space, [colours.get(name, UNCOLOURED) for name in space.classes]),
        "marks": marks(),
        "measures": _measure_rows(measures, [one.reliability for one in space.networks]),
    }


def _measure_rows(
    measures: Sequence[Measures], reliabilities: Sequence[Reliability | None]
) -> list[tuple[str, list[str], str]]:
    """Return a row for each measure: its words, its value in each network, and which values are better."""

    def plain(value: float | None) -> str:
        return DASH if value is None else f"{value:.2f}".replace("-", "−")

    return [
        ("silhouette of the classes in the source", [plain(one.silhouette[0]) for one in measures], "higher"),
        ("silhouette of the classes in the target", [plain(one.silhouette[1]) for one in measures], "higher"),
        (
            "distance of a class’s prototypes in the two domains, in distances between classes",
            [plain(one.distance) for one in measures],
            "lower",
        ),
        (
            "target pixels whose nearest source prototype is of their class, %",
            [percent(one.nearest) for one in measures],
            "higher",
        ),
        (
            "expected calibration error on labelled target images, points",
            [percent(one.error if one else None) for one in reliabilities],
            "lower",
        ),
    ]


def calibration(run: RunData) -> dict[str, Any]:
    """Return the reliability diagrams of pseudo-labels and of predictions on labelled images, or why one is missing."""
    parts, missing = [], []
    if run.pseudo_reliability:
        words = "The pseudo-labels of the target’s training images, and all predictions that they are chosen from."
        names = ("all predictions", "pseudo-labels")
        parts.append(_part("pseudo-labels", words, zip(names, run.pseudo_reliability, strict=True)))
    elif run.last("pseudolabel") and TARGET_TRUTH in run.unread:
        missing.append(f"Pseudo-labels are not judged: {run.unread[TARGET_TRUTH]}.")
    elif run.last("pseudolabel"):
        missing.append(
            "Pseudo-labels are not judged: that needs the logits in their predictions.h5 (predict.store=logits), and "
            "true labels of the target’s training images, which no training reads."
        )
    space = run.features
    if isinstance(space, str):
        missing.append(f"Predictions on labelled target images are not judged: {space}.")
    elif not space.has_target_labels:
        why = run.unread.get("val", "there are no labelled images of the target")
        missing.append(f"Predictions are not judged: {why}.")
    else:
        words = f"Predictions for {space.images[1]} images of {space.split}, in one pass at the size of evaluation."
        series = [(f"{one.name}, {space.split}", one.reliability) for one in space.networks]
        parts.append(_part(f"predictions on {space.split}", words, series))
    return {"bins": BINS, "parts": parts, "missing": missing}


def _part(name: str, words: str, series: Any) -> dict[str, Any]:
    named = [(words, one) for words, one in series]
    styles = ("source", "adapted")[-len(named) :]
    drawn = [(style, label, one) for style, (label, one) in zip(styles, named, strict=True)]
    bins = [one.bins for _, one in named]
    return {
        "name": name,
        "words": words,
        "chart": reliability_diagram(drawn, f"reliability diagram of {name}"),
        "legend": [(style, f"{label}: ECE {percent(one.error)}") for style, label, one in drawn],
        "series": [_summary(label, one) for label, one in named],
        "rows": [(b / BINS, (b + 1) / BINS, [one[b] for one in bins]) for b in range(BINS)],
    }


def _summary(label: str, one: Reliability) -> dict[str, Any]:
    confidence = float(one.confidence.sum()) / one.pixels if one.pixels else None
    values = {"pixels": one.pixels, "confidence": confidence, "accuracy": one.accuracy, "error": one.error}
    return {"words": label, **values}
