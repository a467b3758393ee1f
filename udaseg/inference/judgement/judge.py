"""Judge a network without target labels: its passes over a sample of images, and the scores that come of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udaseg.config import HxW, Stylize, Views
from udaseg.data.image_sets import View
from udaseg.inference.judgement.accuracy import atc_accuracy, atc_threshold, expected_miou, fit_temperature
from udaseg.inference.judgement.agreement import agreement
from udaseg.inference.judgement.certainty import entropy, information, log_confidence, probabilities
from udaseg.inference.judgement.density import soft_neighbourhood_density
from udaseg.inference.judgement.distances import frechet_distance, share_distance
from udaseg.inference.judgement.sample import Sample, labels_at, values_at
from udaseg.inference.judgement.styled import StyledImages
from udaseg.inference.runner import Runner
from udaseg.labels import IGNORE
from udaseg.metrics import confusion, scores

SMALLER = 0.75  # the other scale at which the target is seen
NEIGHBOURS = 2048  # pixels of the density
FEATURES = 1024  # pixels of each domain whose features are compared


class Judged(NamedTuple):
    """The scores of a network but for `networks`, its classes at the sampled target pixels, and the device."""

    scores: dict[str, float | None]
    labels: np.ndarray  # uint8 [P]
    environment: dict[str, Any]


class Pixels(NamedTuple):
    """What a network says of the sampled pixels of a domain."""

    logits: np.ndarray  # float32 [P, C]
    features: np.ndarray  # float32 [Q, D], of some of them
    labels: np.ndarray  # uint8 [P], true ones: all 255 in the target
    views: tuple[np.ndarray, ...] = ()  # uint8 [P]: the classes in other views of the image

    @property
    def predicted(self) -> np.ndarray:
        """The classes that the network gives: uint8 [P]."""
        return self.logits.argmax(1).astype(np.uint8)


def passes(sample: Sample) -> int:
    """Return how many images go through a network that is judged."""
    return 3 * len(sample.target) + 2 * len(sample.source)


def judge(
    model: Path,
    target: View,
    sources: Sequence[View],
    sample: Sample,
    *,
    classes: Sequence[str],
    views: Views,
    style: Stylize,
    progress: Callable[[int], None] | None = None,
) -> Judged:
    """Judge a network by a sample of images; no label of the target is read.

    `target` and `sources` are views of the images of the sample alone (`target_view`, `source_views`). `views` says
    how the network sees an image; its scales and mirror image are not used. `progress` gets the images that went
    through the network since it was called last. Raises UdasegError for a network of other classes.
    """
    runner, views = Runner(model, classes, views.precision), views.model_copy(update={"scales": (1.0,), "flip": False})
    look = partial(_look, runner, views, progress or (lambda done: None))
    seen = look([target], sample.target_places, in_views=True)
    source = look(sources, sample.source_places)
    styled = look(_in_style(sources, target, sample, style), sample.source_places)
    values = dict(_of_target(seen)) | dict(_of_both(seen, source, styled, classes))
    return Judged(values, seen.predicted, runner.environment)


def _look(
    runner: Runner,
    settings: Views,
    progress: Callable[[int], None],
    parts: Sequence[View],
    places_NK2: np.ndarray,
    *,
    in_views: bool = False,
) -> Pixels:
    """Run a network over views of images; `in_views` looks at each mirrored and smaller too."""
    few = max(1, FEATURES // len(places_NK2))
    logits, features, labels, others, number = [], [], [], ([], []), 0

    def infer(images: Sequence[np.ndarray], size: HxW) -> list[Any]:
        maps = [*runner.infer_features(images, size, settings)]
        if in_views:
            mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
            smaller = max(1, round(SMALLER * size[0])), max(1, round(SMALLER * size[1]))
            maps.append(runner.infer_windows(mirrored, size, settings)[0].flip(-1))
            maps.append(runner.infer_windows(images, smaller, settings)[0])
        return maps

    for view in parts:
        read = getattr(view.images, "label", None)
        for batch in runner.run(
            view, range(len(view.images)), settings.batch, infer, scales=(1.0, SMALLER), label=read
        ):
            for n, (image, label_HW) in enumerate(zip(batch.images, batch.labels, strict=True)):
                places_K2, size = places_NK2[number], view.size_of(image.shape)
                at = partial(values_at, size=size, align_corners=runner.model.align_corners)
                maps = [map_NDhw[n] for map_NDhw in batch.output]
                logits.append(at(maps[0], places_K2))
                features.append(at(maps[1], places_K2[:few]))
                for labels_of_view, map_Chw in zip(others, maps[2:], strict=False):
                    labels_of_view.append(at(map_Chw, places_K2).argmax(1).astype(np.uint8))
                unknown_K = np.full(len(places_K2), IGNORE, np.uint8)
                labels.append(unknown_K if label_HW is None else labels_at(label_HW, places_K2))
                number += 1
            progress(len(batch.indices) * (3 if in_views else 1))
    found = tuple(np.concatenate(one) for one in others if one)
    return Pixels(np.concatenate(logits), np.concatenate(features), np.concatenate(labels), found)


def _in_style(sources: Sequence[View], target: View, sample: Sample, style: Stylize) -> Iterator[View]:
    start = 0
    for view in sources:
        partners = sample.partners[start : start + len(view.images)].tolist()
        yield replace(view, images=StyledImages(view, target.images, partners, style))
        start += len(view.images)


def _of_target(seen: Pixels) -> Iterator[tuple[str, float | None]]:
    """Compute the scores that the target alone gives."""
    probabilities_PC, few = probabilities(seen.logits), seen.logits[:: max(1, len(seen.logits) // NEIGHBOURS)]
    yield "confidence", float(probabilities_PC.max(1).mean(dtype=np.float64))
    yield "entropy", float(entropy(probabilities_PC).mean(dtype=np.float64))
    yield "information", information(probabilities_PC)
    yield "snd", soft_neighbourhood_density(probabilities(few[:NEIGHBOURS]))
    for name, labels_P in zip(("flip", "scale"), seen.views, strict=True):
        yield name, agreement(seen.predicted, labels_P)


def _of_both(
    seen: Pixels, source: Pixels, styled: Pixels, classes: Sequence[str]
) -> Iterator[tuple[str, float | None]]:
    """Compute the scores that need the source too; None where none of its sampled pixels has a label."""
    known_P, counts_C = source.labels != IGNORE, np.bincount(source.labels, minlength=IGNORE + 1)[: len(classes)]
    yield "features", frechet_distance(source.features, seen.features)
    names = ("atc", "expected", "shares", "source", "styled")
    if not known_P.any():
        yield from dict.fromkeys(names).items()
        return
    is_right_P = (source.predicted == source.labels)[known_P]
    threshold = atc_threshold(log_confidence(source.logits[known_P]), is_right_P)
    temperature = fit_temperature(source.logits, source.labels)
    predicted_C = np.bincount(seen.predicted, minlength=len(classes))
    yield "atc", atc_accuracy(log_confidence(seen.logits), threshold)
    yield "expected", expected_miou(seen.logits, temperature, counts_C > 0)
    yield "shares", share_distance(predicted_C, counts_C)
    for name, pixels in (("source", source), ("styled", styled)):
        yield name, scores(confusion(source.labels, pixels.predicted, len(classes)), classes).miou
