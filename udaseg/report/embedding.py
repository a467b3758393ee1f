"""Features in two dimensions, by PCA and t-SNE, and measures of how classes and domains lie in the feature space."""

from dataclasses import dataclass

import numpy as np

SEED = 0  # of t-SNE, which starts from the principal components: the maps of a run do not depend on its seed
PERPLEXITY = 30.0  # the default of scikit-learn; a third of the points where these are few
STEPS = 500  # half of scikit-learn's: enough for the few hundred points of a page
COMPONENTS = 50  # principal components that t-SNE reads, as in its paper: faster, and without much of the noise


@dataclass(frozen=True)
class Map:
    """Features in two dimensions: pixels float64 [N, 2], prototypes [2, C, 2], NaN for one that is not there."""

    points: np.ndarray
    prototypes: np.ndarray


@dataclass(frozen=True)
class Measures:
    """Measures in the space of all features, none of which depends on a map; None where they cannot be taken.

    `silhouette` is that of the classes among the pixels of source and of target (Rousseeuw 1987): 1 where classes are
    compact and apart, 0 where they overlap. `distance` is the mean distance between the two prototypes of a class,
    in mean distances between those of two classes of one domain. `nearest` is the share of the target's pixels whose
    nearest prototype of the source is that of their class.
    """

    silhouette: tuple[float | None, float | None]
    distance: float | None
    nearest: float | None


def principal_components(features_ND: np.ndarray, prototypes_2CD: np.ndarray) -> tuple[Map, float]:
    """Return the features on their first two principal components, and the share of the variance in these.

    The components are those of the pixels; the prototypes are projected on them. Few pixels may have fewer components:
    the others are 0.
    """
    from sklearn.decomposition import PCA

    known_2C, prototypes_2C2 = _known(prototypes_2CD)
    if _are_equal(features_ND):
        return _one_place(len(features_ND), known_2C), 1.0
    with _one_thread():
        pca = PCA(min(2, *features_ND.shape), svd_solver="full").fit(features_ND)
        points_N2 = _two_columns(pca.transform(features_ND))
        if known_2C.any():
            prototypes_2C2[known_2C] = _two_columns(pca.transform(prototypes_2CD[known_2C]))
    return Map(points_N2, prototypes_2C2), float(pca.explained_variance_ratio_.sum())


def neighbour_embedding(features_ND: np.ndarray, prototypes_2CD: np.ndarray) -> Map:
    """Return the features in a t-SNE map (van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008).

    t-SNE has no map for a new point, so the prototypes take part as points. It runs on one thread: sums over several
    come in any order, and its steps enlarge their last bits.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    known_2C, prototypes_2C2 = _known(prototypes_2CD)
    rows_MD = np.concatenate([features_ND, prototypes_2CD[known_2C]]).astype(np.float64)
    if _are_equal(rows_MD):
        return _one_place(len(features_ND), known_2C)
    with _one_thread():
        reduced = PCA(min(COMPONENTS, *rows_MD.shape), svd_solver="full").fit_transform(rows_MD)
        perplexity = min(PERPLEXITY, (len(rows_MD) - 1) / 3)
        start = np.ascontiguousarray(_two_columns(reduced), np.float32)
        start /= np.std(start[:, 0]) / 1e-4  # the scale that scikit-learn starts from
        mapped = TSNE(perplexity=perplexity, init=start, max_iter=STEPS, random_state=SEED).fit_transform(reduced)
    prototypes_2C2[known_2C] = mapped[len(features_ND) :]
    return Map(mapped[: len(features_ND)].astype(np.float64), prototypes_2C2)


def measure(features_ND: np.ndarray, is_target: np.ndarray, label: np.ndarray, prototypes_2CD: np.ndarray) -> Measures:
    """Measure the feature space of both domains.

    `features_ND` has the features of N pixels, `is_target`, bool [N], and `label`, int [N], say of which domain and
    class each is. `prototypes_2CD` has the mean feature of each class in the source and in the target, NaN where there
    is none.
    """
    with _one_thread():
        silhouettes = [_silhouette(features_ND[rows], label[rows]) for rows in (~is_target, is_target)]
    known_2C, _ = _known(prototypes_2CD)
    both_C = known_2C.all(axis=0)
    between = [distance for d in range(2) for distance in _pairwise(prototypes_2CD[d, known_2C[d]])]
    gaps = np.linalg.norm(prototypes_2CD[0, both_C] - prototypes_2CD[1, both_C], axis=1)
    scale = float(np.mean(between)) if between else 0.0
    rows = is_target & known_2C[0][label]
    nearest = None
    if rows.any():
        classes = np.flatnonzero(known_2C[0])
        distances = np.linalg.norm(features_ND[rows, None] - prototypes_2CD[0, classes][None], axis=2)
        nearest = float((classes[distances.argmin(axis=1)] == label[rows]).mean())
    return Measures(tuple(silhouettes), float(gaps.mean()) / scale if len(gaps) and scale else None, nearest)


def _silhouette(features_ND: np.ndarray, label_N: np.ndarray) -> float | None:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(features_ND, label_N)) if 2 <= len(np.unique(label_N)) < len(label_N) else None


def _pairwise(rows_CD: np.ndarray) -> list[float]:
    first, second = np.triu_indices(len(rows_CD), 1)
    return np.linalg.norm(rows_CD[first] - rows_CD[second], axis=1).tolist()


def _known(prototypes_2CD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which prototypes there are, bool [2, C], and an empty map of all, [2, C, 2]."""
    known_2C = np.isfinite(prototypes_2CD).all(axis=2)
    return known_2C, np.full((*known_2C.shape, 2), np.nan)


def _are_equal(rows_ND: np.ndarray) -> bool:
    return bool((rows_ND == rows_ND[0]).all())


def _one_place(count: int, known_2C: np.ndarray) -> Map:
    """Return the map of features that are all equal."""
    return Map(np.zeros((count, 2)), np.where(known_2C[..., None], np.zeros(2), np.nan))


def _two_columns(values_ND: np.ndarray) -> np.ndarray:
    """Return the first two columns, the second 0 where there is one alone."""
    values_ND = values_ND[:, :2]
    return np.pad(values_ND, ((0, 0), (0, 2 - values_ND.shape[1])))


def _one_thread():
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
