"""A tiny labelled dataset as a folder, and the same pictures as shards."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = "names: [road, car, sky]\n"


def write_folder(root: Path, split: str = "train", count: int = 6, seed: int = 0) -> Path:
    """Write images and labels of 12x16 pixels as a `folder` dataset."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (root / split / kind).mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(CLASSES)
    for i in range(count):
        pixels = rng.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / split / "images" / f"{i:03}.jpg", quality=95)
        Image.fromarray(rng.integers(0, 3, (12, 16), np.uint8)).save(root / split / "labels" / f"{i:03}.png")
    return root


def samples(folder: Path, split: str = "train") -> list[tuple[str, bytes, bytes]]:
    """Return the key, the image and the label of each sample of a folder."""
    images = sorted((folder / split / "images").iterdir())
    return [(p.stem, p.read_bytes(), (folder / split / "labels" / f"{p.stem}.png").read_bytes()) for p in images]


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """Write a tar with these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_tars(root: Path, folder: Path, split: str = "train", each: int = 2, label: str = "png") -> Path:
    """Write the samples of a folder as WebDataset tars, so many in each."""
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(CLASSES)
    rows = samples(folder, split)
    for start in range(0, len(rows), each):
        members = []
        for key, image, mask in rows[start : start + each]:
            members += [(f"{key}.jpg", image), (f"{key}.json", b"{}"), (f"{key}.{label}", mask)]
        write_tar(root / split / f"{start // each:06}.tar", members)
    return root


def write_parquet(root: Path, folder: Path, split: str = "train", each: int = 4, group: int = 2) -> Path:
    """Write the samples of a folder as Parquet files, as Hugging Face stores images."""
    import pyarrow
    from pyarrow import parquet

    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(CLASSES)
    rows = samples(folder, split)
    for start in range(0, len(rows), each):
        part = rows[start : start + each]
        images = [{"bytes": image, "path": f"{key}.jpg"} for key, image, _ in part]
        labels = [{"bytes": mask, "path": f"{key}.png"} for key, _, mask in part]
        table = pyarrow.table({"image": images, "label": labels, "weather": ["sun"] * len(part)})
        parquet.write_table(table, root / "data" / f"{split}-{start // each:05}-of-00002.parquet", row_group_size=group)
    return root
