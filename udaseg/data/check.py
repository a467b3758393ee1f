"""Check a dataset as it lies on disk: every file is opened, every difference from what is known is a finding."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udaseg.data.datasets import cityscapes, crosscity, folder, synthia
from udaseg.data.datasets.layout import AbsentError, Labels
from udaseg.data.datasets.registry import DATASETS, detect
from udaseg.data.findings import Finding, Report, Severity, Split
from udaseg.data.images.read import read_depth, read_image, read_label_ids
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, Coding, class_space, count_ids, train_ids
from udaseg.parallel.threads import Progress, map_in_order

PUBLISHED = {("cityscapes", "train"): cityscapes.SHARES, ("synthia", "train"): synthia.SHARES}
SOURCES = ("gta5", "synthia")  # useless without labels
FAR = 0.1  # total variation between the class shares found and the published ones that is worth a warning
ENOUGH = 100  # images that make class shares comparable


class _Listed(NamedTuple):
    images: Mapping[str, Path]
    labels: Labels | None
    findings: list[Finding]


class _Seen(NamedTuple):
    size: tuple[int, int] | None
    ids: np.ndarray | None  # pixels of each id, int64 [256]
    problems: list[tuple[Severity, str, str]]  # severity, what it is, the file


def check(
    root: str | Path, dataset: str | None = None, *, coding: str | None = None, progress: Progress | None = None
) -> Report:
    """Open every file of a dataset, in all its splits and on all cores, and report what is there and what is wrong.

    The dataset is told by its layout where it is not named; `coding` as in `open_labelled`. `progress` gets (done,
    total) in images. Raises UdasegError only where there is nothing to check: no such directory, an unknown
    dataset or layout, no split at all.
    """
    root = Path(root)
    dataset = dataset or detect(root)
    if coding is not None and dataset != "folder":
        raise UdasegError(f"{dataset} detects the coding of its labels", "leave out the coding; it is for `folder`")
    listed = _list_splits(dataset, root, coding)
    total, done, pixels = sum(len(split.images) for split in listed.values()), 0, 0
    splits, findings = [], []
    for name, split in listed.items():
        sizes, ids, images_with = Counter(), np.zeros(256, np.int64), np.zeros(256, np.int64)
        problems = defaultdict(list)
        for seen in map_in_order(lambda stem, split=split: _look(stem, split, root), split.images):
            sizes[seen.size] += seen.size is not None
            if seen.ids is not None:
                ids += seen.ids
                images_with += _classes(split.labels.coding, seen.ids) > 0
            for severity, what, file in seen.problems:
                problems[severity, what].append(file)
            done += 1
            if progress:
                progress(done, total)
        found = [
            Finding(severity, name, what, tuple(files), _hint(what, dataset) if severity == "error" else None)
            for (severity, what), files in problems.items()
        ]
        expected = DATASETS[dataset].IMAGE_COUNTS.get(name)
        if expected and dataset == "crosscity":
            expected *= max(1, len(crosscity.cities(root)))
        splits.append(_sum_up(name, expected, split, +sizes, ids, images_with))
        findings += split.findings + found + _compare(splits[-1], split, dataset)
        pixels += sum(size[0] * size[1] * count for size, count in (+sizes).items())
    free = shutil.disk_usage(root).free
    needed = pixels // 64 * 2 * 19  # stride-8 logits of 19 classes in float16
    if free < needed:
        found = f"{free / 1e9:.1f} GB are free; predictions for all images take about {needed / 1e9:.1f} GB"
        findings.append(Finding("warning", "", found))
    return Report(dataset, str(root), tuple(splits), tuple(findings), free)


def _list_splits(dataset: str, root: Path, coding: str | None) -> dict[str, _Listed]:
    if dataset not in DATASETS:
        raise UdasegError(f"there is no dataset {dataset!r}", f"known: {', '.join(DATASETS)}")
    reader = DATASETS[dataset]
    names = folder.splits(root) if dataset == "folder" else list(reader.IMAGE_COUNTS)
    listed, absent = {}, None
    for split in names:
        try:
            images = reader.images(root, split)
        except AbsentError as error:
            absent = absent or error
        except UdasegError as error:
            listed[split] = _Listed({}, None, [Finding("error", split, error.message, hint=error.hint)])
        else:
            listed[split] = _list_labels(dataset, root, split, coding, images)
    if not listed:
        raise absent or UdasegError(f"{root}: expected a split, found none", reader.DOWNLOAD_HINT)
    return listed


def _list_labels(dataset: str, root: Path, split: str, coding: str | None, images: Mapping[str, Path]) -> _Listed:
    try:
        more = (coding,) if dataset == "folder" else ()
        labels = DATASETS[dataset].labels(root, split, *more)
    except AbsentError as error:
        severity = "error" if dataset in SOURCES else "note"
        return _Listed(images, None, [Finding(severity, split, f"no labels: {error.message}")])
    except UdasegError as error:
        return _Listed(images, None, [Finding("error", split, error.message, hint=error.hint)])
    findings = [Finding("note", split, note) for note in labels.notes]
    partners = {"label": labels.files} | ({"depth map": labels.depth} if labels.depth else {})
    for what, files in partners.items():
        if missing := [path.name for stem, path in images.items() if stem not in files]:
            finding = f"images without a {what}"
            findings.append(Finding("error", split, finding, tuple(missing), _hint(finding, dataset)))
        if spare := [path.name for stem, path in files.items() if stem not in images]:
            severity = "error" if dataset == "folder" and what == "label" else "warning"
            hint = "add them as png or jpg, or move these labels elsewhere" if severity == "error" else None
            findings.append(Finding(severity, split, f"{what}s without an image", tuple(spare), hint))
    return _Listed(images, labels, findings)


def _hint(what: str, dataset: str) -> str:
    """Say how to mend what is an error about some files of a split."""
    if dataset != "folder":
        mended = f"get these files again: {DATASETS[dataset].DOWNLOAD_HINT}"
    elif what.startswith("ids unknown"):
        mended = "list these ids in classes.yaml, under `ignore` those without a class, or name the right --coding"
    else:
        mended = "add these files, or export them again"
    return f"{mended}; or leave the images out: `list` in the recipe names a text file of those to take"


def _look(stem: str, split: _Listed, root: Path) -> _Seen:
    """Open the files of one image; everything wrong with them becomes a problem, not an error."""
    seen, size, ids, flat = [], None, None, False
    image = split.images[stem]
    label, depth = (split.labels.files.get(stem), split.labels.depth.get(stem)) if split.labels else (None, None)
    for path in (image, label, depth):
        if path is not None and path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            seen.append(("warning", "links that lead out of the dataset", f"{path.name} -> {path.resolve()}"))
    try:
        pixels_HWC = read_image(image)
        size = pixels_HWC.shape[:2]
        step = max(1, min(size) // 64)  # enough to tell a single colour
        flat = bool(pixels_HWC[::step, ::step].std(axis=(0, 1)).max() < 2)
    except UdasegError as error:
        seen.append(("error", "images that cannot be read", error.message))
    if label is not None:
        try:
            values = read_label_ids(label, split.labels.coding.name)
            ids = count_ids(values)
            if size is not None and values.shape != size:
                severity = "note" if split.labels.resize else "error"
                found = f"{label.name}: {values.shape[0]}x{values.shape[1]}, its image {size[0]}x{size[1]}"
                seen.append((severity, "labels of another size than their image", found))
            if unknown := sorted(set(np.flatnonzero(ids).tolist()) - split.labels.coding.ids):
                seen.append(("error", f"ids unknown to {split.labels.coding.name}", f"{label.name}: {unknown}"))
            if not _classes(split.labels.coding, ids).any():
                seen.append(("warning", "labels in which every pixel is ignored", label.name))
            flat = flat and bool(ids.max() > 0.99 * ids.sum())
        except UdasegError as error:
            seen.append(("error", "labels that cannot be read", error.message))
    if flat:
        seen.append(("warning", "single-colour images", image.name))
    if depth is not None:
        try:
            shape = read_depth(depth).shape
            if size is not None and shape != size:
                found = f"{depth.name}: {shape[0]}x{shape[1]}, its image {size[0]}x{size[1]}"
                seen.append(("error", "depth maps of another size than their image", found))
        except UdasegError as error:
            seen.append(("error", "depth maps that cannot be read", error.message))
    return _Seen(size, ids, seen)


def _classes(coding: Coding, ids: np.ndarray) -> np.ndarray:
    """Add up the pixels of ids of one class: int64 [256], the first ones for the classes in their order."""
    pairs = train_ids(coding, _space(coding))
    return np.bincount(list(pairs.values()), ids[list(pairs)], 256).astype(np.int64)


def _space(coding: Coding):
    return (
        SPACES["cs19"] if coding.name != "classes.yaml" else class_space(tuple(dict.fromkeys(coding.classes.values())))
    )


def _sum_up(
    name: str, expected: int | None, split: _Listed, sizes: Counter, ids: np.ndarray, images_with: np.ndarray
) -> Split:
    labels, classes, ignored, with_class = split.labels, {}, None, {}
    if labels and ids.any():
        counts, names = _classes(labels.coding, ids), _space(labels.coding).classes
        total = max(int(counts.sum()), 1)
        classes = {c: int(n) / total for c, n in zip(names, counts, strict=False)}
        with_class = {c: int(n) for c, n in zip(names, images_with, strict=False)}
        ignored = 1 - int(counts.sum()) / int(ids.sum())
    return Split(
        name=name,
        images=len(split.images),
        labels=len(labels.files) if labels else 0,
        depth=len(labels.depth) if labels else 0,
        expected=expected,
        coding=labels.coding.name if labels else None,
        sizes={f"{h}x{w}": n for (h, w), n in sizes.most_common()},
        ids={int(i): int(ids[i]) for i in np.flatnonzero(ids)},
        classes=classes,
        images_with=with_class,
        ignored=ignored,
    )


def _compare(split: Split, listed: _Listed, dataset: str) -> list[Finding]:
    found = []
    if not split.images and not any(finding.severity == "error" for finding in listed.findings):
        found.append(Finding("error", split.name, "no images"))
    if split.expected and split.images != split.expected:
        numbers = [int(stem) for stem in listed.images if stem.isdecimal()]
        gaps = sorted(set(range(min(numbers), max(numbers))) - set(numbers)) if numbers else []
        found.append(
            Finding(
                "warning",
                split.name,
                f"{split.images} images of {split.expected}" + (f"; {len(gaps)} numbers are left out" if gaps else ""),
                tuple(map(str, gaps)),
            )
        )
    published = PUBLISHED.get((dataset, split.name))
    if published and split.classes and split.images >= ENOUGH:
        total = sum(split.classes[name] for name in published) or 1.0
        distance = sum(abs(split.classes[name] / total - share) for name, share in published.items()) / 2
        if distance > FAR:
            what = f"class shares are {distance:.2f} (total variation) from the published ones"
            found.append(Finding("warning", split.name, what))
    return found
