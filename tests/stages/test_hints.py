"""What a hint tells a user to type mends what it is for: pasted as it is, on the same run.

The fixture `udaseg` has every hint of every test of commands understood; `tests/test_hints.py` those of the code.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..hints import commands

RUN = Path("runs/tiny")


def cut(path: Path) -> None:
    """Cut a file off that may be shared with the finished run."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def own_data(*endings: str) -> None:
    """Write a dataset in a directory with a space, with a label of each ending for each image."""
    for stem in ("a", "a_1"):
        for folder, name in [("images", f"{stem}.png"), *(("labels", f"{stem}{ending}.png") for ending in endings)]:
            path = Path("own data/train", folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = Image.fromarray(np.eye(8, dtype=np.uint8))
            (grey.convert("RGB") if name.endswith("rgb.png") else grey).save(path)
    Path("own data/classes.yaml").write_text("names: [road, car]\n")


def polygons() -> None:
    own_data("")
    for path in Path("own data/train/labels").iterdir():
        path.unlink()
        shapes = '[{"label": "car", "points": [[0, 0], [8, 0], [8, 8]]}]'
        content = f'{{"shapes": {shapes}, "imagePath": "{path.name}", "imageHeight": 8, "imageWidth": 8}}'
        path.with_suffix(".json").write_text(content)


# What is broken, the command that fails, and one that works after the first command of the hint was pasted.
PASTED = {
    "a stage is gone": (
        lambda: shutil.rmtree(RUN / "pseudolabel"),
        "retrain --set retrain.labels=pseudolabel --dry-run",
        "retrain --set retrain.labels=pseudolabel --dry-run",
    ),
    "predictions are cut off": (
        lambda: cut(RUN / "predict/predictions.h5"),
        "refine --spatial-prior --force --out made",
        "refine --spatial-prior --force --out made",
    ),
    "predictions are of another split": (None, "evaluate --predictions predict", "evaluate --predictions predict-val"),
    "a pseudo-label is missing": (
        lambda: next((RUN / "pseudolabel/labels").iterdir()).unlink(),
        "retrain --set retrain.labels=pseudolabel",
        "retrain --set retrain.labels=pseudolabel --dry-run",
    ),
    "a directory holds datasets": (None, "data check data/toytown", None),
    "there is no pretraining": (None, "warmup --pretrain", "warmup --dry-run"),
    "nothing is compared": (None, "compare", None),
    "a directory is no run": (None, "status data", None),
    "labels are polygons": (polygons, "data check 'own data'", "data check 'own data-drawn'"),
    "there are no data": (None, "warmup --recipe gta2city --data nowhere --dry-run", None),
}
# What is broken, and the command that works with the first flag or setting of the hint.
ADDED = {
    "label names add something": (lambda: own_data("_ids", "_rgb"), "data check 'own data'"),
    "nothing is refined": (None, "refine --out made --set refine.aggregate=false"),
    "a value is none": (None, "warmup --dry-run --set warmup.steps=many"),
    "no setting reads another": (None, "pseudolabel --dry-run --set pseudolabel.iast.alpha=0.3"),
    "images are seen once": (None, "predict --dry-run --average probs"),
}


def run(udaseg, command: str, *more: str):
    has_recipe = "--recipe" in [*shlex.split(command), *more]
    takes_none = command.startswith(("data", "compare", "status", "recipe"))
    return udaseg("", *shlex.split(command), *more, tiny=not (has_recipe or takes_none))


@pytest.mark.parametrize("case", PASTED)
def test_the_command_of_a_hint_mends_it(workspace, udaseg, case):
    broken, command, again = PASTED[case]
    if broken is not None:
        broken()
    outcome = run(udaseg, command)
    assert outcome.code == 1, outcome
    pasted = commands(re.split("hint: ", outcome.out + outcome.err)[1])[0]
    has_dry_run = "--dry-run" in command and pasted[0] == "warmup"  # which would train for long
    mended = udaseg("", *pasted, *(["--dry-run"] if has_dry_run else []), tiny=False)
    assert mended.code == 0, (pasted, mended)
    if again is not None:
        mended = run(udaseg, again)
        assert mended.code == 0, mended


@pytest.mark.parametrize("case", ADDED)
def test_the_flag_of_a_hint_mends_it(workspace, udaseg, case):
    broken, command = ADDED[case]
    if broken is not None:
        broken()
    outcome = run(udaseg, command)
    assert outcome.code == 1, outcome
    hint = re.split("hint: ", outcome.out + outcome.err)[1].splitlines()[0]
    added = re.search(r"--set \S+|--[a-z-]+(?:[ =][\w.,]+)?(?=,| or|$| \()|[a-z]+(?:\.[a-z_]+)*=[\w.]+", hint)
    assert added, hint
    words = shlex.split(added[0])
    mended = run(udaseg, command, *(words if words[0].startswith("-") else ["--set", *words]))
    assert mended.code == 0, (words, mended)


@pytest.mark.parametrize(
    "arguments",
    [
        "warmup --recipe gta2city --data nowhere", "predict --run runs/other", "retrain --labels nothing",
        "retrain --labels empty --set retrain.mine=0", "retrain --labels distill", "warmup --set space=[road,CAR]",
        "status --recipe nope", "retrain --predictions x", "ensemble --predictions predict", "warmup --recipe own.yaml",
    ],
)  # fmt: skip
def test_errors_print_neither_addresses_nor_numbers_of_the_system(workspace, udaseg, arguments):
    Path("empty").mkdir()
    Path("own.yaml").write_text("base: tiny.yaml\ndata: data\n")
    outcome = run(udaseg, arguments)
    assert outcome.code in (1, 2), outcome
    assert not re.search(r"0x[0-9a-f]{6}| object at |\[Errno", outcome.err + outcome.out)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_a_file_that_is_no_image_is_told_in_plain_words(workspace, udaseg, content):
    for path in sorted(Path("data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"))[:1]:
        path.unlink()
        path.write_bytes(content)
    outcomes = [udaseg("data check data/toytown/cityscapes", tiny=False), udaseg("evaluate --model warmup")]
    outcomes.append(udaseg("data check data/toytown/cityscapes --json", tiny=False))
    for outcome in outcomes:
        assert outcome.code == 1, outcome
        assert not re.search(r"0x[0-9a-f]{6}| object at |\[Errno|BytesIO", outcome.err + outcome.out)
