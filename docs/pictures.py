"""Draw what each stage reads and writes, on toytown: `python docs/pictures.py RUN DEPTH PRIOR`, or `make pictures`.

RUN is a finished run of gta2city, DEPTH one with the stage gmm, PRIOR one with the stage prior, all at toy scale.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from udaseg.data.depth import inverse_depth
from udaseg.data.images.read import read_depth
from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.predictions import Predictions
from udaseg.labels import SPACES, flat_palette
from udaseg.report.denoising import KINDS
from udaseg.statistics import gmm, prototypes, spatial_prior
from udaseg.statistics.depth_density import density, density_map

OUT = Path(__file__).parent / "pictures"
DATA = Path("data/toytown")
SIZE = 256, 128  # of a tile: width and height
MARGIN, CAPTION, ARROW = 8, 20, 36
SHOWN = 7  # the number of the target image
SPACE = SPACES["cs19"]


class Tile(NamedTuple):
    """An image with its caption."""

    caption: str
    image: Image.Image


def draw(stage: str, reads: Sequence[Tile], writes: Sequence[Tile]) -> None:
    """Write the picture of a stage: what it reads, an arrow, what it writes."""
    width, height = SIZE
    columns = len(reads) + len(writes)
    total = columns * (width + MARGIN) + MARGIN + ARROW
    page = Image.new("RGB", (total, height + CAPTION + 2 * MARGIN), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    left = MARGIN
    for number, tile in enumerate([*reads, *writes]):
        if number == len(reads):
            middle = MARGIN + CAPTION + height // 2
            pen.line((left, middle, left + ARROW - 14, middle), fill="black", width=3)
            pen.polygon(
                [(left + ARROW - 16, middle - 8), (left + ARROW - 16, middle + 8), (left + ARROW - 4, middle)], 0
            )
            left += ARROW
        pen.text((left, MARGIN - 2), tile.caption, fill="black", font=font)
        page.paste(tile.image.convert("RGB").resize(SIZE, Image.Resampling.NEAREST), (left, MARGIN + CAPTION))
        left += width + MARGIN
    OUT.mkdir(exist_ok=True)
    page.quantize(192, dither=Image.Dither.NONE).save(OUT / f"{stage}.png", optimize=True)


def labels(label_HW: np.ndarray) -> Image.Image:
    """Draw train ids in the colours of their classes; ignored pixels are black."""
    image = Image.fromarray(label_HW.astype(np.uint8))
    image.putpalette(flat_palette(SPACE))
    return image


def grey(values_HW: np.ndarray) -> Image.Image:
    """Draw values from 0, black, to 1, white."""
    return Image.fromarray((values_HW.clip(0, 1) * 255).astype(np.uint8))


def pictures(run: Path, depth: Path, prior: Path) -> None:
    """Draw the picture of every stage."""
    last = sorted(run.glob("round*")) or [run]
    first = last[0]
    with Predictions(first / "predict" / "predictions.h5") as predictions:
        stem = predictions.stems[SHOWN]
        logits_Chw, size = predictions.logits(stem).astype(np.float32), predictions.size(stem)
        label_HW, confidence_HW = label_and_confidence(logits_Chw, *size, predictions.align_corners)
    pair = json.loads((run / "stylize" / "pairs.jsonl").read_text().splitlines()[SHOWN])
    source = Tile("source image", Image.open(DATA / "gta5" / "images" / f"{pair['source']}.png"))
    truth = Tile("its label", Image.open(run / "stylize" / "labels" / f"{pair['source']}.png"))
    alone = truth._replace(caption="label of a source image")
    style = Tile("target image", target_image(pair["target"]))
    image, predicted = Tile("target image", target_image(stem)), Tile("most likely classes", labels(label_HW))
    confidence = Tile("their confidence", grey(confidence_HW))
    kept, refined = (Image.open(first / name / "labels" / f"{stem}.png") for name in ("pseudolabel", "refine"))
    draw("stylize", [source, style], [Tile("source image in its style", open_styled(run, pair["source"]))])
    draw("predict", [image], [predicted, confidence])
    draw("pseudolabel", [predicted, confidence], [Tile("the labels that are kept", kept)])
    changes = Tile("what was removed", changed(np.asarray(kept), np.asarray(refined)))
    draw("refine", [Tile("pseudo-labels", kept)], [Tile("refined labels", refined), changes])
    draw("stats", [alone], [Tile("pixels of each class, log scale", bars(run))])
    distances = Tile("how far apart they are", spread(prototypes.read(first / "prototypes" / "prototypes.h5")))
    draw("prototypes", [image, Tile("its labels", kept)], [distances])
    scored = sorted((run / "evaluate" / "panels").glob("*-image.png"))[SHOWN].name.removesuffix("-image.png")
    before, after = (panel(run, folder, scored) for folder in ("evaluate-pretrain", "evaluate"))
    seen = Tile("another target image", Image.open(run / "evaluate" / "panels" / f"{scored}-image.png"))
    draw("warmup", [source, truth], [seen, Tile("what the network sees in it", before)])
    draw(
        "retrain",
        [source, truth, image, Tile("refined labels", refined)],
        [seen, Tile("seen before", before), Tile("seen now", after)],
    )
    draw(
        "distill",
        [image, Tile("what the network sees", labels(label_HW))],
        [seen, Tile("what its student sees", after)],
    )
    draw_depth(depth)
    draw_prior(prior, alone)


def target_image(stem: str) -> Image.Image:
    """Open a target image of the training split."""
    return Image.open(DATA / "cityscapes" / "leftImg8bit" / "train" / stem.split("_")[0] / f"{stem}_leftImg8bit.png")


def open_styled(run: Path, stem: str) -> Image.Image:
    """Open a source image that stylize has written."""
    return Image.open(next((run / "stylize" / "images").glob(f"{stem}.*")))


def panel(run: Path, evaluation: str, stem: str) -> Image.Image:
    """Open the prediction that an evaluation has kept."""
    return Image.open(run / evaluation / "panels" / f"{stem}-prediction.png")


def changed(before_HW: np.ndarray, after_HW: np.ndarray) -> Image.Image:
    """Draw the pixels that lost their label."""
    colours = np.array([KINDS["unlabelled"], KINDS["kept"], (226, 110, 40)], np.uint8)
    return Image.fromarray(colours[(before_HW != 255).astype(int) + (before_HW != after_HW)])


def bars(run: Path) -> Image.Image:
    """Draw the share of each class in the source, on a logarithmic scale, in the colours of the classes."""
    pixels = np.array(json.loads((run / "stats" / "stats.json").read_text())["pixels"])
    shares = pixels / pixels.sum()
    heights = (np.log10(np.maximum(shares, 1e-4)) + 4) / 4
    chart = Image.new("RGB", SIZE, "white")
    pen, step = ImageDraw.Draw(chart), SIZE[0] / len(SPACE)
    for c, height in enumerate(heights):
        pen.rectangle((c * step + 1, SIZE[1] * (1 - height), (c + 1) * step - 2, SIZE[1]), fill=SPACE.palette[c])
    return chart


def spread(found: prototypes.Prototypes) -> Image.Image:
    """Draw the distance of every two prototypes: black is none, white the largest."""
    points_CD = np.nan_to_num(found.centroids)
    distances_CC = np.linalg.norm(points_CD[:, None] - points_CD[None], axis=-1)
    return grey(distances_CC / distances_CC.max())


def draw_depth(run: Path) -> None:
    """Draw the picture of gmm: depth and label of a source image, and the density of three classes."""
    mixture = gmm.read(run / "gmm" / "gmm.h5")
    name = sorted(path.name for path in (DATA / "synthia" / "Depth").rglob("*.png"))[SHOWN]
    near_HW = inverse_depth(read_depth(next((DATA / "synthia" / "Depth").rglob(name))))
    height, width = mixture.grid
    rows, columns = ((np.arange(n) * near_HW.shape[i] / n).astype(int) for i, n in enumerate((height, width)))
    maps_Chw = density_map(density(mixture, near_HW[np.ix_(rows, columns)]))
    shown = [
        Tile(f"density of {c}", grey(maps_Chw[mixture.classes.index(c)] / 255)) for c in ("road", "car", "vegetation")
    ]
    photo = Tile("source image", Image.open(DATA / "synthia" / "RGB" / name))
    draw("gmm", [photo, Tile("its depth: near is bright", grey(np.log2(near_HW) / 8))], shown)


def draw_prior(run: Path, truth: Tile) -> None:
    """Draw the picture of prior: a label, and where three classes are."""
    prior = spatial_prior.read(run / "prior" / "prior.h5")
    maps = {c: prior.maps[prior.classes.index(c)] for c in ("road", "sky", "car")}
    draw("prior", [truth], [Tile(f"where {c} is", grey(map_HW / map_HW.max())) for c, map_HW in maps.items()])


if __name__ == "__main__":
    pictures(*map(Path, sys.argv[1:]))
