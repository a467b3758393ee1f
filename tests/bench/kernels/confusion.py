"""Time the confusion matrix of an image."""

import io
from collections.abc import Iterator

import numpy as np
import scene
from measure import Call, Row, largest

from udaseg.metrics import confusion

C = scene.CLASSES


def by_bincount(truth: np.ndarray, prediction: np.ndarray) -> Call:
    def call() -> np.ndarray:
        valid = truth < C
        return np.bincount(C * truth[valid].astype(np.int64) + prediction[valid], minlength=C * C).reshape(C, C)

    return call


def by_torchmetrics(truth: np.ndarray, prediction: np.ndarray) -> Call:
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    one, other = torch.from_numpy(prediction), torch.from_numpy(truth)
    return lambda: multiclass_confusion_matrix(one, other, C, ignore_index=255, validate_args=False).numpy()


def by_sklearn(truth: np.ndarray, prediction: np.ndarray) -> Call:
    from sklearn.metrics import confusion_matrix

    def call() -> np.ndarray:
        valid = truth != 255
        return confusion_matrix(truth[valid], prediction[valid], labels=np.arange(C))

    return call


def by_cityscapesscripts(truth: np.ndarray, prediction: np.ndarray) -> Call:
    """Use the official scripts, with uncompressed files in memory: they read files only."""
    import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official  # noqa: N813

    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])
    table = np.zeros(256, np.uint8)  # the ignored id is that of "unlabeled"
    table[:C] = ids
    args = official.args
    args.evalInstLevelScore = args.evalPixelAccuracy = False

    def file(label: np.ndarray) -> io.BytesIO:
        return io.BytesIO(b"P5 %d %d 255\n" % label.shape[::-1] + table[label].tobytes())

    files = file(prediction), file(truth)

    def call() -> np.ndarray:
        matrix = official.generateMatrix(args)
        official.evaluatePair(*files, matrix, {}, {}, args)
        return matrix[np.ix_(ids, ids)].astype(np.int64)

    return call


def rows(size: tuple[int, int]) -> Iterator[Row]:
    truth = scene.labelled(size)[0].copy()
    rng = np.random.default_rng(2)
    # Patches of the truth are ignored, and the network is wrong in others; it decides everywhere.
    ignored, wrong = (rng.random((size[0] // 32, size[1] // 32)).repeat(32, 0).repeat(32, 1) < 0.1 for _ in range(2))
    prediction = np.where(wrong, np.roll(truth, 64, 1), truth)
    truth[ignored] = 255
    yield Row(
        "confusion matrix",
        lambda: confusion(truth, prediction, C),
        {
            "NumPy bincount": lambda: by_bincount(truth, prediction),
            "torchmetrics": lambda: by_torchmetrics(truth, prediction),
            "scikit-learn": lambda: by_sklearn(truth, prediction),
            "cityscapesScripts": lambda: by_cityscapesscripts(truth, prediction),
        },
        truth.nbytes + prediction.nbytes,
        largest("pixels"),
        {"NumPy bincount": 8},
    )
