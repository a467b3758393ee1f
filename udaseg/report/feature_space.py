"""The feature space of both domains, before and after adaptation: a fixed sample of pixels in two networks of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udaseg.config import Evaluate
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.parallel.threads import Progress
from udaseg.report.calibration import Reliability
from udaseg.report.embedding import Map, Measures, measure, neighbour_embedding, principal_components
from udaseg.report.feature_pass import Domain, DomainFeatures, SampledImage, balance, see_domain

PIXELS = 400  # of each domain
SEED = 0  # of the drawing: the sample of a run does not depend on the run's seed
MAPS = 2  # of each network


@dataclass(frozen=True)
class NetworkFeatures:
    """The sample in one network: its maps, the measures, and the reliability on labelled target images."""

    name: str  # the stage that trained the network
    pca: Map
    variance: float  # the share of the variance on the first two principal components
    tsne: Map
    measures: Measures
    reliability: Reliability | None


@dataclass(frozen=True)
class FeatureSpace:
    """A sample of pixels in the networks of a run: the first trained one and the final one, or the only one.

    `is_target` bool [N] and `label` int64 [N] are the domain and the class of each pixel. `split` is that of the
    target's images. Without `has_target_labels` the class of the target's pixels is what the final network predicts.
    """

    classes: tuple[str, ...]
    networks: tuple[NetworkFeatures, ...]
    is_target: np.ndarray
    label: np.ndarray
    images: tuple[int, int]  # of source and target
    split: str
    has_target_labels: bool


def feature_space(
    models: Sequence[tuple[str, Path]],
    source: Domain,
    target: Domain,
    classes: Sequence[str],
    settings: Evaluate,
    progress: Progress | None = None,
) -> FeatureSpace:
    """Run the networks of a run over sampled images, and map the features of sampled pixels.

    `models` are pairs of a name and a model.pt, in the order of their training. A pixel is a cell of the feature map,
    the same one in all networks. A prototype is the mean feature of a class over all cells of the images (ProDA).
    `progress` gets (done, total) in passes over an image and in maps. Raises UdasegError for models of other classes,
    for images that cannot be read, and where none of the images of a domain has a label.
    """
    domains, samples = (source, target), ([], [])
    rng = np.random.default_rng(SEED)
    done, total = 0, len(models) * (source.images + target.images + MAPS)

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    seen = {}
    for name, path in reversed(models):  # the final network first: it may have to label the target
        runner = Runner(path, classes, settings.precision)
        pairs = zip(domains, samples, strict=True)
        seen[name] = [see_domain(runner, domain, sample, settings, rng, step) for domain, sample in pairs]
    kept = [_choose(domain, sample, rng) for domain, sample in zip(domains, samples, strict=True)]
    is_target = np.repeat([False, True], [len(rows) for rows, _ in kept])
    label = np.concatenate([classes_of_kept for _, classes_of_kept in kept]).astype(np.int64)
    networks = []
    for name, _ in models:
        features_ND = np.concatenate([one.features[rows] for one, (rows, _) in zip(seen[name], kept, strict=True)])
        networks.append(_describe(name, features_ND, seen[name], is_target, label, target.is_labelled))
        step(MAPS)
    images, split = (source.images, target.images), target.views[0].images.split
    return FeatureSpace(tuple(classes), tuple(networks), is_target, label, images, split, target.is_labelled)


def _choose(domain: Domain, sample: Sequence[SampledImage], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of a domain that are mapped, as indices of all sampled ones, and their classes."""
    classes = np.concatenate([one.classes for one in sample])
    rows = balance(classes, PIXELS, rng)
    if not len(rows):
        root = domain.views[0].images.root
        raise UdasegError(
            f"none of the {domain.images} images of {root} that were sampled has a label of the classes",
            "sample more: udaseg report --images 100",
        )
    return rows, classes[rows]


def _describe(
    name: str,
    features_ND: np.ndarray,
    seen: Sequence[DomainFeatures],
    is_target: np.ndarray,
    label: np.ndarray,
    has_target_labels: bool,
) -> NetworkFeatures:
    prototypes_2CD = np.stack([one.centroids.centroids() for one in seen])
    pca, variance = principal_components(features_ND, prototypes_2CD)
    tsne = neighbour_embedding(features_ND, prototypes_2CD)
    measures = measure(features_ND, is_target, label, prototypes_2CD)
    return NetworkFeatures(name, pca, variance, tsne, measures, seen[1].reliability if has_target_labels else None)
