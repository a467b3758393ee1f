"""Write a split of a `folder` dataset as tar files in WebDataset's form."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from udaseg.data.datasets import folder
from udaseg.data.datasets.layout import IMAGES, is_folder, list_files
from udaseg.data.datasets.names import choose_stems, pair
from udaseg.errors import UdasegError, join_names
from udaseg.io.files import atomic
from udaseg.parallel.threads import Progress


class _Sample(NamedTuple):
    key: str
    image: Path
    label: Path | None


class Shards(NamedTuple):
    """What was written: samples, those of them with a label, and tars."""

    samples: int
    labels: int
    tars: int


def write_shards(root: Path, out: Path, split: str, megabytes: int, progress: Progress | None = None) -> Shards:
    """Write the images of a split and their labels into <out>/<split>/000000.tar and so on; classes.yaml beside it.

    A tar takes samples in the order of their names until it has so many megabytes. The same folder gives the same
    bytes. Raises UdasegError where there are tars of the split already, for a name with a dot, at which the key of a
    sample would end, and for two images of one name.
    """
    place = out if split == "." else out / split
    if any(place.glob("*.tar")):
        raise UdasegError(f"{place} holds tars already", "remove them, or name another directory")
    samples = _list(root, split)
    done = tars = 0
    for part in _parts(samples, megabytes * 1_000_000):
        path = place / f"{tars:06}.tar"
        with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
            for sample in part:
                _add(tar, f"{sample.key}{sample.image.suffix}", sample.image)
                if sample.label is not None:
                    _add(tar, f"{sample.key}.label{sample.label.suffix}", sample.label)
        tars += 1
        done += len(part)
        if progress is not None:
            progress(done, len(samples))
    classes = folder.classes_file(root, split)
    if classes.is_file():
        with atomic(out / classes.name) as temporary:
            temporary.write_bytes(classes.read_bytes())
    return Shards(len(samples), sum(one.label is not None for one in samples), tars)


def _list(root: Path, split: str) -> list[_Sample]:
    images = list_files(folder.images_folder(root, split), IMAGES, deep=True)
    labels: Mapping[str, Path] = {}
    if any(is_folder(root / name) for name in folder.label_folders(root, split)):
        labels = pair(choose_stems(images), folder.list_label_files(root, split)[0])
    if dotted := [name for name in images if "." in name.rpartition("/")[2]]:
        raise UdasegError(
            f"{root}: expected names without dots before their suffix, found {join_names(dotted)}",
            "rename these images and their labels: the key of a sample ends at the first dot of its name",
        )
    if not images:
        raise UdasegError(f"{root}: the {split} split holds no images", folder.DOWNLOAD_HINT)
    return [_Sample(name, path, labels.get(name)) for name, path in sorted(images.items())]


def _parts(samples: list[_Sample], limit: int) -> Iterator[list[_Sample]]:
    part, size = [], 0
    for sample in samples:
        part.append(sample)
        size += sum(path.stat().st_size for path in (sample.image, sample.label) if path is not None)
        if size >= limit:
            yield part
            part, size = [], 0
    if part:
        yield part


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    data = path.read_bytes()
    member = tarfile.TarInfo(name)  # without times and owners: the same bytes from the same files
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))
