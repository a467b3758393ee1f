"""Compare the numbers of a split with those that were published of its dataset."""

from collections.abc import Iterable
from pathlib import Path

from udaseg.data.datasets import cityscapes, crosscity, synthia
from udaseg.data.datasets.registry import DATASETS
from udaseg.data.findings import Finding, Split

SHARES = {("cityscapes", "train"): cityscapes.SHARES, ("synthia", "train"): synthia.SHARES}
MAX_VARIATION = 0.1  # total variation between the class shares and the published ones; a larger one is a warning
MIN_IMAGES = 100  # class shares of fewer images are not compared


def expected_images(dataset: str, split: str, root: Path) -> int | None:
    """Return the published number of images of a split; None where there is none."""
    expected = DATASETS[dataset].IMAGE_COUNTS.get(split)
    if expected and dataset == "crosscity":
        expected *= max(1, len(crosscity.cities(root)))
    return expected


def compare_with_published(split: Split, stems: Iterable[str], dataset: str) -> list[Finding]:
    """Return warnings where the number of images or the class shares of a split differ from the published ones."""
    findings = []
    if split.expected and split.images != split.expected:
        gaps = _missing_numbers(stems, 2 * split.expected)
        message = f"{split.images} images of {split.expected}" + (f"; {len(gaps)} numbers are left out" if gaps else "")
        findings.append(Finding("warning", split.name, message, tuple(map(str, gaps))))
    published = SHARES.get((dataset, split.name))
    if published and split.classes and split.images >= MIN_IMAGES:
        total = sum(split.classes[name] for name in published) or 1.0
        distance = sum(abs(split.classes[name] / total - share) for name, share in published.items()) / 2
        if distance > MAX_VARIATION:
            message = f"class shares are {distance:.2f} (total variation) from the published ones"
            findings.append(Finding("warning", split.name, message))
    return findings


def _missing_numbers(stems: Iterable[str], most: int) -> list[int]:
    """Return the gaps in the numbers that are stems; none where they span more than `most`, as times do."""
    numbers = {int(stem) for stem in stems if stem.isdecimal()}
    if not numbers or max(numbers) - min(numbers) > most:
        return []
    return sorted(set(range(min(numbers), max(numbers))) - numbers)
