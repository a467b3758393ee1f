"""The effect of refinement on the pseudo-labels: which pixels changed, and how many changes are right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE
from udaseg.metrics import count_ids
from udaseg.report.image_panels import LONGEST, open_image, open_label, sample_evenly, uri

MAX_COUNTED = 100  # images, at even distances
MAX_PANELS = 4
# The change of a pixel and its colour: blue is right and orange is wrong, as on the whole page. Flipped labels are
# strong, new ones lighter, and removed ones pale. Without the true labels all are green.
KINDS = {
    "unlabelled": (0, 0, 0),
    "kept": (110, 112, 115),
    "flipped, right now": (47, 127, 209),
    "flipped, wrong now": (226, 110, 40),
    "new, right": (110, 168, 225),
    "new, wrong": (238, 160, 105),
    "removed, was wrong": (178, 210, 240),
    "removed, was right": (250, 205, 170),
    "flipped": (60, 170, 120),
    "new": (120, 200, 160),
    "removed": (185, 228, 205),
}
_NAMES = list(KINDS)

Truth = Callable[[str], np.ndarray | None]  # from a stem to train ids [H, W]; 255 is no label


@dataclass(frozen=True)
class PseudoPanel:
    """A target training image: data URIs of the image, its true labels, the confidence and the pseudo-labels."""

    stem: str
    image: str | None
    truth: str | None
    confidence: str | None  # black is 0, white is 1
    pseudo: str | None
    refined: str | None
    changes: str | None
    labelled: tuple[float | None, float | None]  # share of pixels with a label, before and after refinement
    changed: float | None  # share of the pixels that refinement changed


@dataclass(frozen=True)
class Denoising:
    """Counts of pixels over a sample of images: their changes, and the right labels where the truth is known.

    `kinds` counts the changes by the names of KINDS. `labels` and `right` are int64 [2, C], before and after
    refinement; they count pixels with a known truth.
    """

    images: int
    total: int
    kinds: dict[str, int]
    labels: np.ndarray
    right: np.ndarray

    @property
    def has_truth(self) -> bool:
        return bool(self.labels.any())


def denoising(pseudo: Path | None, refined: Path | None, classes: int, truth: Truth | None) -> Denoising | None:
    """Count the changes by refinement on a sample of images; None without both a refinement and true labels."""
    folders = [folder for folder in (pseudo, refined) if folder is not None]
    if not folders or (len(folders) < 2 and truth is None):
        return None
    stems = list_stems(folders)
    kinds, labels, right = np.zeros(len(KINDS), np.int64), *np.zeros((2, 2, classes), np.int64)
    sample = sample_evenly(stems, MAX_COUNTED)
    for stem in sample:
        pair = [read_ids(folder / f"{stem}.png") for folder in folders]
        true_HW = read_truth(truth, stem, pair[0])
        for i, label_HW in enumerate(pair):
            if true_HW is not None and label_HW is not None:
                known_HW = true_HW != IGNORE
                labels[i] += count_ids(label_HW[known_HW])[:classes]
                right[i] += count_ids(label_HW[known_HW & (label_HW == true_HW)])[:classes]
        if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
            kinds += np.bincount(_kinds(*pair, true_HW).ravel(), minlength=len(KINDS))
    return Denoising(len(sample), len(stems), dict(zip(KINDS, kinds.tolist(), strict=True)), labels, right)


def pseudo_panels(
    pseudo: Path | None,
    refined: Path | None,
    images: Mapping[str, Path],
    truth: Truth | None = None,
    predictions: Path | None = None,
) -> tuple[PseudoPanel, ...]:
    """Return the pseudo-labels that refinement changed most, of a sample; without refinement, some at even distances.

    `predictions` is the predictions.h5 of the labels; without it there is no map of confidence.
    """
    folders = [folder for folder in (pseudo, refined) if folder]
    stems = list_stems(folders)
    selection = sample_evenly(stems, MAX_PANELS)
    if len(folders) == 2:
        changed = {stem: _changed(pseudo, refined, stem) for stem in sample_evenly(stems, MAX_COUNTED)}
        selection = sorted(changed, key=lambda stem: (-(changed[stem] or 0.0), stem))[:MAX_PANELS]
    panels = []
    for stem in selection:
        pair = [open_label(folder / f"{stem}.png") if folder else None for folder in (pseudo, refined)]
        ids = [np.asarray(label) if label else None for label in pair]
        image = open_image(images[stem]) if stem in images else None
        labelled = tuple(float((label_HW != IGNORE).mean()) if label_HW is not None else None for label_HW in ids)
        true_HW = read_truth(truth, stem, next(label_HW for label_HW in ids if label_HW is not None))
        changes, part = None, None
        if ids[0] is not None and ids[1] is not None:
            changes = uri(_painted(_kinds(*ids, true_HW)))
            part = float((ids[0] != ids[1]).mean())
        panels.append(
            PseudoPanel(
                stem,
                uri(image, photo=True),
                uri(_as(pair[0] or pair[1], true_HW)),
                uri(_confidence(predictions, stem), photo=True),
                uri(pair[0]),
                uri(pair[1]),
                changes,
                labelled,
                part,
            )
        )
    return tuple(panels)


def legend(done: Denoising | None) -> dict[str, tuple[int, int, int]]:
    """Return the colour of each change that occurs."""
    return {name: colour for name, colour in KINDS.items() if done and done.kinds[name]}


def summary(done: Denoising, names: Sequence[str]) -> dict[str, Any]:
    """Return the shares of changed labels, and the shares of right labels before and after, over all and by class.

    `changes` are (action, its share of the labels, words for a right one, the share of right ones or None).
    """
    kinds = done.kinds
    parts = {
        "gave another class to": ("flipped", "to the true one", "flipped, right now", "flipped, wrong now"),
        "added new labels, as many as": ("new", "the true one", "new, right", "new, wrong"),
        "took the label from": ("removed", "rightly", "removed, was wrong", "removed, was right"),
    }
    before = sum(count for name, count in kinds.items() if name != "unlabelled" and not name.startswith("new"))
    changes = []
    for action, (unknown, rightly, right, wrong) in parts.items():
        known = kinds[right] + kinds[wrong]
        if unknown == "new" and not known + kinds[unknown]:
            continue  # few refinements label unlabelled pixels
        changes.append((action, _part(known + kinds[unknown], before), rightly, _part(kinds[right], known)))
    rights, totals = (counts.sum(1).tolist() for counts in (done.right, done.labels))
    rows = []
    for c, name in enumerate(names if done.has_truth else ()):
        right = [_part(*pair) for pair in zip(done.right[:, c].tolist(), done.labels[:, c].tolist(), strict=True)]
        share = [_part(*pair) for pair in zip(done.labels[:, c].tolist(), totals, strict=True)]
        delta = None if None in right else right[1] - right[0]
        rows.append({"name": name, "right": right, "share": share, "delta": delta})
    return {
        "images": done.images,
        "total": done.total,
        "refined": before > 0,
        "changes": changes if before else [],
        "right": [_part(*pair) for pair in zip(rights, totals, strict=True)],
        "rows": rows,
    }


def _part(part: int, total: int) -> float | None:
    return part / total if total else None


def list_stems(folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.png")})


def read_ids(path: Path) -> np.ndarray | None:
    label = open_label(path)
    return None if label is None else np.asarray(label)


def read_truth(truth: Truth | None, stem: str, label_HW: np.ndarray | None) -> np.ndarray | None:
    """Read the true labels of an image; None where there are none of the size of its pseudo-label."""
    if truth is None or label_HW is None:
        return None
    true_HW = truth(stem)
    return true_HW if true_HW is not None and true_HW.shape == label_HW.shape else None


def _changed(pseudo: Path, refined: Path, stem: str) -> float | None:
    pair = [read_ids(folder / f"{stem}.png") for folder in (pseudo, refined)]
    if pair[0] is None or pair[1] is None:
        return None
    if pair[0].shape != pair[1].shape:
        raise UdasegError(
            f"{refined / stem}.png has the size {pair[1].shape}, {pseudo / stem}.png has {pair[0].shape}",
            "refine these pseudo-labels again: udaseg refine --force",
        )
    return float((pair[0] != pair[1]).mean())


def _kinds(before_HW: np.ndarray, after_HW: np.ndarray, true_HW: np.ndarray | None) -> np.ndarray:
    """Return the change of every pixel as its index in KINDS: uint8 [H, W]."""
    out, bare = after_HW == IGNORE, before_HW == IGNORE
    kept = (before_HW == after_HW) & ~out
    cases = [(out & bare, "unlabelled"), (kept, "kept")]
    if true_HW is not None:
        known = true_HW != IGNORE
        was, now = known & (before_HW == true_HW), known & (after_HW == true_HW)
        cases += [(out & was, "removed, was right"), (out & known, "removed, was wrong")]
        cases += [(bare & now, "new, right"), (bare & known, "new, wrong")]
        cases += [(now, "flipped, right now"), (known, "flipped, wrong now")]
    cases += [(out, "removed"), (bare, "new")]
    return np.select(
        [mask_HW for mask_HW, _ in cases], [_NAMES.index(name) for _, name in cases], _NAMES.index("flipped")
    ).astype(np.uint8)


def _painted(kinds_HW: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array(list(KINDS.values()), np.uint8)[kinds_HW])


def _as(label: Image.Image, ids_HW: np.ndarray | None) -> Image.Image | None:
    """Draw train ids in the colours of a label image."""
    if ids_HW is None:
        return None
    drawn = Image.fromarray(np.ascontiguousarray(ids_HW))
    if label.getpalette():
        drawn.putpalette(label.getpalette())
    return drawn


def _confidence(predictions: Path | None, stem: str) -> Image.Image | None:
    """Draw the network's confidence in each pixel, at the size of the report."""
    if predictions is None or not predictions.is_file():
        return None
    from udaseg.inference.predictions import Predictions

    with Predictions(predictions) as stored:
        if stem not in stored.stems:
            return None
        size = stored.size(stem)
        scale = min(1.0, LONGEST / max(size))
        height, width = (max(1, round(side * scale)) for side in size)
        _, confidence_HW = stored.label_and_confidence(stem, (height, width))
    return Image.fromarray(np.rint(255 * confidence_HW).astype(np.uint8))
