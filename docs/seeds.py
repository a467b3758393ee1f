"""Write the tables of published experiments and of what differs into seeds.md: `python docs/seeds.py`."""

import re
from pathlib import Path

from udaseg.config import Recipe
from udaseg.config.load import load_recipe
from udaseg.report.published import Published, PublishedRow, published

DOCUMENT = Path(__file__).with_suffix(".md")
MARKS = "<!-- {}: written by docs/seeds.py, run `make docs` -->\n", "<!-- end of {} -->\n"

# The published tables of each document, and the target that runs all their rows, where there is one.
DOCUMENTS: dict[str, dict[str, str | None]] = {
    "G2L": {"gta2city": None, "g2l-synthia2city": None},
    "depth distribution": {
        "synthia2city": None, "synthia2city-7-small": None, "synthia2city-7": None, "synthia2mapillary-small": None,
        "synthia2mapillary": None, "synthia2city-ablation": "depth-table",
        "synthia2city-features": "ablation RECIPE=synthia2city-m2",
    },
    "CBST": {
        f"cbst-{name}": f"cbst-table-{name}"
        for name in ("gta2city", "synthia2city", "gta2bdd", "city2rome", "city2rio", "city2tokyo", "city2taipei")
    },
    "VisDA-2017": {"adaptseg-gta2city": None},
    "real time": {"realtime-gta2city": "realtime-table", "realtime-augmentation": "augmentation-table"},
}  # fmt: skip
COMMANDS = {"fda-gta2city": "multi-band"}  # of recipes that are a part of their row alone
# What differs from the published system, by how the names of recipes begin; the longest beginning that fits counts.
DIFFERENCES = {
    "fada": "The models before the student are scored at 1024x2048; the authors scored them at 512x1024.",
    "cag": "The loss between the means of the classes and their anchors is left out. The network is DeepLab-v2 with "
    "features of 256 channels; theirs is DeepLab-v3+. A label of the anchor replaces that of the model; there both "
    "count half.",
    "fda": "`make multi-band` runs the row: three networks and their average. Restyled images are clipped to 0..255.",
    "iast": "The learning rate decays by a power; theirs as a cosine. `alpha` is 0.2 in all rounds; theirs grows to "
    "0.3.",
    "dacs": "The weights are ImageNet's; theirs have seen COCO too. The teacher normalises by average statistics. The "
    "share of sure labels is that of an image; in their code that of its batch.",
    "proda": "The students of stages 2 and 3 start from ImageNet; theirs from SimCLR. The strong view has colours and "
    "a blur; theirs RandAugment and holes. Losses are at full size; theirs at a quarter.",
    "gta2city": "The slides give no settings. They come from FDA, FADA, CBST, AdaptSegNet and ProDA, or are our own: "
    "the recipe says which.",
    "g2l": "The settings are those of `gta2city`: the slides give none.",
    "adaptseg-synthia2city": "The settings are those of AdaptSegNet's code, with torchvision's weights of ImageNet; "
    "theirs are Caffe's.",
    "advent": "The weights are torchvision's; theirs are Caffe's.",
    "synthia2": "The paper refines labels of 760x1280; here labels have the size of the images, and component sizes "
    "are scaled by the area. The paper does not say what the adversary of M1 sees: here it is entropy times depth, as "
    "in DADA.",
    "cbst-resnet38": "The code's loss counts one pixel of each cell of 8x8; here all count. Scale and shift of batch "
    "norm are frozen too. Biases learn as all other parameters. Settings of other targets than Cityscapes are not "
    "published: they are those of GTA5 to Cityscapes. The weights are a file that is not fetched, as "
    "[models.md](models.md) describes.",
    "cbst-vgg16": "Neither code nor settings are published: the settings are those of ResNet-38.",
    "cbst": "`cbst-gta2city` and all others without a network in their names train the DeepLab-v2 of CRST, on "
    "ResNet-101: another network than the row.",
    "source-adaptseg": "As `adaptseg-gta2city`.",
    "adaptseg-multi": "As `adaptseg-gta2city`.",
    "adaptseg-gta2city": "The slides give the network and ImageNet. All else is from the code of AdaptSegNet. The "
    "weights are torchvision's; theirs are Caffe's.",
    "realtime": "It is not known which 500 images of each domain were used: here they are the first by name. The "
    "learning rate decays at every step; in the published code at every epoch.",
    "source-realtime": "As `realtime-gta2city`.",
    "oracle-realtime": "As `realtime-gta2city`. The published accuracy may count ignored pixels as wrong; here they do "
    "not count.",
}


def difference(recipe: str) -> str:
    """Return the beginning of a recipe's name under which its differences stand. Raises ValueError without any."""
    return max((start for start in DIFFERENCES if recipe.startswith(start)), key=len)


def variant(row: PublishedRow, recipe: Recipe) -> str | None:
    """Return the entry of the recipe's ablation that makes a published row; None for the recipe as it is.

    Raises ValueError where neither makes it.
    """
    if row.evaluation is None and all(_value(recipe, key) == value for key, value in row.settings.items()):
        return None
    for name, changes in recipe.ablation.items():
        if row.evaluation is not None and row.evaluation in changes.get("chain", ()):
            return name
        if row.evaluation is None and changes == row.settings:
            return name
    raise ValueError(f"no variant of {recipe.name} makes {row.method}")


def _value(recipe: Recipe, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(recipe, section), name)


def block(document: str) -> str:
    """Return the table of a document's experiments, and the list of what differs."""
    lines = ["| table | row | mIoU | labels | recipe | command |", "|---|---|---|---|---|---|"]
    notes: dict[str, None] = {}
    for name, target in DOCUMENTS[document].items():
        table = published(name)
        quoted = [row for row in table.rows if not row.recipes]
        for row in (row for row in table.rows if row.recipes):
            lines.append(_line(table, row, target))
            notes |= dict.fromkeys(map(difference, row.recipes))
        if quoted:
            rows = "; ".join(row.method for row in quoted)
            lines.append(f"| `{name}` | {rows} | | | none | `udaseg compare --published {name}` |")
    lines += ["", "What differs:", ""]
    return "\n".join([*lines, *(f"* **`{start}`**: {DIFFERENCES[start]}" for start in notes)]) + "\n"


def _line(table: Published, row: PublishedRow, target: str | None) -> str:
    means = [f"{100 * row.miou:.1f}" if row.miou is not None else "–"]
    means += [f"{100 * row.miou13:.1f} of 13"] if row.miou13 is not None else []
    size = "own size" if table.gt_size is None else f"{table.gt_size[0]}x{table.gt_size[1]}"
    of, *_ = [variant(row, load_recipe(name)) for name in row.recipes]  # the other recipes have it too
    recipe = f"`{row.recipe}`" + (f", variant `{of}`" if of else "")
    is_in_target = target is not None and not row.recipe.startswith("adaptseg")
    command = f"make {target if is_in_target else COMMANDS.get(row.recipe, row.recipe)}"
    if is_in_target and row.recipe.startswith("cbst-vgg16"):
        command += " NETWORK=vgg16"
    return f"| `{table.name}` | {row.method} | {', '.join(means)} | {size} | {recipe} | `{command}` |"


def replace_blocks(text: str) -> str:
    """Return the document with the current tables between its marks."""
    for document in DOCUMENTS:
        start, end = (mark.format(document) for mark in MARKS)
        pattern = re.escape(start) + ".*?" + re.escape(end)
        found = re.search(pattern, text, re.DOTALL)
        if found is None:
            raise ValueError(f"seeds.md has no marks of {document}")
        text = text[: found.start()] + start + block(document) + end + text[found.end() :]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
