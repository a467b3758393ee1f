"""Check a dataset on disk: open every file, and report every problem as a finding."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udaseg.data.datasets import folder_layout
from udaseg.data.datasets.label_names import suffix_hint
from udaseg.data.datasets.layout import AbsentError, Files, Labels, count_folders, describe
from udaseg.data.datasets.names import choose_stems, mark_alike
from udaseg.data.datasets.registry import DATASETS, list_labels, match_labels, require_detected, require_known
from udaseg.data.findings import SCORED, UNLABELLED, Finding, Report, Severity, Split, Use, for_use
from udaseg.data.image_sets import have_same_aspect
from udaseg.data.images.read import read_image, read_label_ids
from udaseg.data.locate import detect_with_images_alone
from udaseg.data.meaning import doubt_ids, suggest_names
from udaseg.data.places.indexed_path import IndexedPath, as_root
from udaseg.data.published import compare_with_published, expected_images
from udaseg.errors import UdasegError
from udaseg.labels import OWN_CODINGS, SPACES, Coding, class_space, train_ids
from udaseg.metrics import count_ids
from udaseg.parallel.threads import Progress, map_in_order

# Datasets that are useless without labels.
SOURCES = ("gta5", "synthia", "urbansyn", "synscapes", "virtualkitti2", "carla", "idda")
SUFFIX_OPTION = "--label-suffix"  # of `udaseg data check`


class _SplitFiles(NamedTuple):
    images: Mapping[str, Path]
    labels: Labels | None
    findings: list[Finding]


class _Problem(NamedTuple):
    severity: Severity
    kind: str
    file: str
    hint: str | None = None


class _ImageCheck(NamedTuple):
    size: tuple[int, int] | None
    ids: np.ndarray | None  # pixels of each id, int64 [256]
    problems: list[_Problem]


def check(
    root: str | Path | IndexedPath,
    dataset: str | None = None,
    *,
    coding: str | None = None,
    label_suffix: str | None = None,
    use: Use | None = None,
    progress: Progress | None = None,
) -> Report:
    """Open every file in all splits of a dataset, on all cores, and report numbers and problems.

    Without a name, the layout determines the dataset. `coding` names the label coding of a `folder` dataset without
    classes.yaml, `label_suffix` what its label names add to image names. `use` says what the dataset is for; without
    it, errors are those of any use. `progress` is called with (done, total) images. Raises UdasegError for a missing
    directory, an unknown dataset or layout, and a dataset without splits.
    """
    root = as_root(root)
    dataset = dataset or detect_with_images_alone(root)
    files_of_splits = _list_splits(dataset, root, coding, label_suffix)
    total, done, pixels = sum(len(split.images) for split in files_of_splits.values()), 0, 0
    splits, findings = [], []
    for name, split in files_of_splits.items():
        sizes, ids, images_with = Counter(), np.zeros(256, np.int64), np.zeros(256, np.int64)
        problems, hints = defaultdict(list), {}
        for result in map_in_order(lambda stem, split=split: _check_image(stem, split, root), split.images):
            sizes[result.size] += result.size is not None
            if result.ids is not None:
                ids += result.ids
                images_with += _count_classes(split.labels.coding, result.ids) > 0
            for problem in result.problems:
                problems[problem.severity, problem.kind].append(problem.file)
                hints.setdefault(problem.kind, problem.hint)
            done += 1
            if progress:
                progress(done, total)
        if split.labels:
            coding = split.labels.coding
            hints[f"ids unknown to {coding.name}"] = suggest_names(coding, np.flatnonzero(ids).tolist())
        of_images = [
            Finding(
                severity,
                name,
                kind,
                tuple(files),
                _hint(kind, dataset, name, root, hints[kind]) if severity == "error" else None,
                "labels" if kind.startswith(("labels", "ids", "depth")) else "images",
            )
            for (severity, kind), files in problems.items()
        ]
        if not split.images and not any(finding.severity == "error" for finding in split.findings):
            of_images.append(Finding("error", name, "no images", hint=DATASETS[dataset].DOWNLOAD_HINT))
        splits.append(_summarise(name, expected_images(dataset, name, root), split, +sizes, ids, images_with))
        findings += split.findings + of_images + compare_with_published(splits[-1], split.images, dataset)
        findings += doubt_ids(splits[-1], split.labels.coding) if split.labels else []
        pixels += sum(size[0] * size[1] * count for size, count in (+sizes).items())
    free = shutil.disk_usage(root.source.data if isinstance(root, IndexedPath) else root).free
    needed = pixels // 64 * 2 * 19  # stride-8 logits of 19 classes in float16
    if free < needed:
        message = f"{free / 1e9:.1f} GB are free; predictions for all images take about {needed / 1e9:.1f} GB"
        findings.append(Finding("warning", "", message))
    labelled = [split.name for split in splits if split.labels]
    weighed = tuple(for_use(finding, use, labelled) for finding in findings)
    return Report(dataset, str(root), tuple(splits), weighed, free)


def _list_splits(dataset: str, root: Path, coding: str | None, suffix: str | None) -> dict[str, _SplitFiles]:
    require_known(dataset)
    require_detected(dataset, coding, suffix)
    reader = DATASETS[dataset]
    names = folder_layout.splits(root) if dataset == "folder" else list(reader.IMAGE_COUNTS)
    splits, absent = {}, None
    for split in names:
        try:
            images = reader.images(root, split)
            stems = choose_stems(images)
        except AbsentError as error:
            absent = absent or error
        except UdasegError as error:
            splits[split] = _SplitFiles({}, None, [Finding("error", split, error.message, hint=error.hint)])
        else:
            labels, findings = _list_labels(dataset, root, split, coding, suffix, images, stems)
            findings += _describe_images(dataset, split, images, stems)
            splits[split] = _SplitFiles({stems[name]: path for name, path in images.items()}, labels, findings)
    if not splits:
        raise absent or UdasegError(f"{root}: expected a split, found none", reader.DOWNLOAD_HINT)
    return splits


def _describe_images(dataset: str, split: str, images: Files, stems: Mapping[str, str]) -> list[Finding]:
    """Report the images of sub-folders, those whose stem has their folder, and the files that are left out."""
    findings = []
    if dataset == "folder" and (folders := count_folders(images)):
        files = tuple(f"{name}/ ({count})" for name, count in folders.items())
        findings.append(Finding("note", split, f"{sum(folders.values())} images in sub-folders", files))
    if longer := tuple(stem for name, stem in stems.items() if stem == name.replace("/", "_") != name):
        message = f"{len(longer)} images share a file name, and are named after their folder too"
        findings.append(Finding("note", split, message, longer))
    if images.left_out:
        message = f"{len(images.left_out)} files beside the images are left out"
        findings.append(Finding("warning", split, message, images.left_out))
    return findings


def _list_labels(
    dataset: str,
    root: Path,
    split: str,
    coding: str | None,
    suffix: str | None,
    images: Files,
    stems: Mapping[str, str],
) -> tuple[Labels | None, list[Finding]]:
    try:
        found = list_labels(dataset, root, split, coding, suffix, SUFFIX_OPTION)
    except AbsentError as error:
        severity = "error" if dataset in SOURCES else "note"
        return None, [Finding(severity, split, f"no labels: {error.message}", part="labels")]
    except UdasegError as error:
        return None, [Finding("error", split, error.message, (), error.hint, "labels")]
    labels, surplus = match_labels(stems, found)
    findings = [Finding("note", split, note) for note in labels.notes]
    partners = {"label": labels.files} | ({"depth map": labels.depth} if found.depth else {})
    for kind, files in partners.items():
        if missing := [describe(name, path) for name, path in images.items() if stems[name] not in files]:
            message = UNLABELLED if kind == "label" else "images without a depth map"
            hint = suffix_hint(images, found.files, SUFFIX_OPTION) if dataset == "folder" and suffix is None else None
            marked = tuple(mark_alike(missing, surplus[kind]))
            hint = hint or _hint(message, dataset, split, root)
            findings.append(Finding("error", split, message, marked, hint, "labels"))
        if others := tuple(surplus[kind]):
            severity = "error" if dataset == "folder" and kind == "label" else "warning"
            hint = "add them as images, or move these labels elsewhere" if severity == "error" else None
            findings.append(Finding(severity, split, f"{kind}s without an image", others, hint, "labels"))
    return labels, findings


def _hint(problem: str, dataset: str, split: str, root: Path, known: str | None = None) -> str:
    """Return the hint for a problem of some files of a split; `known` is what these files themselves suggest."""
    if dataset != "folder":
        solution = f"download these files again: {DATASETS[dataset].DOWNLOAD_HINT}"
    elif problem == UNLABELLED:
        labels = folder_layout.first_folder(root, folder_layout.label_folders(root, split))
        solution = f"add their labels to {labels.relative_to(root)}, under the names of the images"
    elif problem.startswith("ids unknown"):
        solution = "list these ids in classes.yaml, those without a class under `ignore`, or name another --coding"
        solution = f"{known}; or {solution}" if known else solution
    else:
        solution = known or "copy these files again, or export them again"
    if split in SCORED and problem == UNLABELLED:  # none has one, or those without one would be left out
        return solution
    if split in SCORED:  # which no `list` of a recipe shortens
        return f"{solution}; or move the labels of these images elsewhere: evaluate scores the images with a label"
    return f"{solution}; or exclude the images: `list` in the recipe names a text file of the images to use"


def _check_image(stem: str, split: _SplitFiles, root: Path) -> _ImageCheck:
    """Open the files of one image, and collect their problems."""
    problems: list[_Problem] = []
    size, ids, is_flat = None, None, False
    image = split.images[stem]
    label, depth = (split.labels.files.get(stem), split.labels.depth.get(stem)) if split.labels else (None, None)
    for path in (image, label, depth):
        if path is not None and path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            problems.append(
                _Problem("warning", "links that lead out of the dataset", f"{path.name} -> {path.resolve()}")
            )
    try:
        pixels_HWC = read_image(image)
        size = pixels_HWC.shape[:2]
        step = max(1, min(size) // 64)  # a sample is enough to detect a single colour
        is_flat = bool(pixels_HWC[::step, ::step].std(axis=(0, 1)).max() < 2)
    except UdasegError as error:
        problems.append(_Problem("error", "images that cannot be read", error.message, error.hint))
    if label is not None:
        try:
            values = read_label_ids(label, split.labels.coding.name, split.labels.container)
            ids = count_ids(values)
            problems += _compare_sizes("labels", label, values.shape, size, split.labels.resize)
            if unknown := sorted(set(np.flatnonzero(ids).tolist()) - split.labels.coding.ids):
                problems.append(
                    _Problem("error", f"ids unknown to {split.labels.coding.name}", f"{label.name}: {unknown}")
                )
            if not _count_classes(split.labels.coding, ids).any():
                problems.append(_Problem("warning", "labels in which every pixel is ignored", label.name))
            is_flat = is_flat and bool(ids.max() > 0.99 * ids.sum())
        except UdasegError as error:
            problems.append(_Problem("error", "labels that cannot be read", error.message, error.hint))
    if is_flat:
        problems.append(_Problem("warning", "single-colour images", image.name))
    if depth is not None:
        try:
            problems += _compare_sizes(
                "depth maps", depth, split.labels.read_depth(depth).shape, size, split.labels.resize
            )
        except UdasegError as error:
            problems.append(_Problem("error", "depth maps that cannot be read", error.message, error.hint))
    return _ImageCheck(size, ids, problems)


def _compare_sizes(
    kind: str, path: Path, shape: tuple[int, ...], size: tuple[int, ...] | None, may_differ: bool
) -> list[_Problem]:
    """Return the problem of a file of another size than its image: an error where their aspects differ."""
    if size is None or shape == size:
        return []
    sizes = f"{path.name}: {shape[0]}x{shape[1]}, its image {size[0]}x{size[1]}"
    if may_differ or have_same_aspect(shape, size):
        return [_Problem("note", f"{kind} of another size than their image, resized to it for training", sizes)]
    hint = "turn these files as viewers show their images, whose stored orientation is applied"
    is_turned = shape == size[::-1]
    return [_Problem("error", f"{kind} of another aspect than their image", sizes, hint if is_turned else None)]


def _count_classes(coding: Coding, ids: np.ndarray) -> np.ndarray:
    """Count the pixels of each class from the pixels of each id: int64 [256], the classes of the space first."""
    pairs = train_ids(coding, _space(coding))
    return np.bincount(list(pairs.values()), ids[list(pairs)], 256).astype(np.int64)


def _space(coding: Coding):
    """Return the classes of a user's own files, else those of Cityscapes."""
    return class_space(tuple(dict.fromkeys(coding.classes.values()))) if coding.name in OWN_CODINGS else SPACES["cs19"]


def _summarise(
    name: str, expected: int | None, split: _SplitFiles, sizes: Counter, ids: np.ndarray, images_with: np.ndarray
) -> Split:
    labels, classes, ignored, with_class = split.labels, {}, None, {}
    if labels and ids.any():
        counts, names = _count_classes(labels.coding, ids), _space(labels.coding).classes
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
