"""File names as people have them go through every stage: sequences, other bytes, long names, masks of other names."""

import os
import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

RECIPE = """\
base: demo
data: .
space: [road, car]
source: {dataset: folder, root: synthetic, size: [32, 48]}
target: {dataset: folder, root: real, size: [32, 48]}
model: {name: fpn, backbone: resnet18, weights: none, bn: train}
warmup: {steps: 2, batch: 2}
predict: {batch: 2}
retrain: {steps: 2, batch: 2}
"""
LONG = "街" * 80
NAMES = ["0", "seq1/0", "seq2/0", os.fsdecode(b"stra\xdfe"), f"1{LONG}"]


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("synthetic/train", "real/train", "real/val"):
        for name in NAMES:
            label = rng.integers(0, 2, (4, 6), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            for part, values in (("images", label * 100), ("labels", label)):
                path = Path(folder, part, f"{name}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(path)
        Path(folder).parent.joinpath("classes.yaml").write_text("names: [road, car]\n")
    Path("mine.yaml").write_text(RECIPE)


def test_every_image_goes_through_every_stage_whatever_its_name(own_data, udaseg):
    for command in ("warmup", "stylize", "predict", "pseudolabel --p 0.5", "refine", "retrain", "evaluate", "report"):
        outcome = udaseg(f"{command} --recipe mine.yaml", tiny=False)
        assert outcome.code == 0, outcome.err
    with h5py.File("runs/mine/predict/predictions.h5") as file:
        stems = sorted(file["logits"])
    assert [stem for stem in stems if not stem.startswith("1街")] == ["0", "seq1_0", "seq2_0", "stra%DFe"]
    assert sorted(path.stem for path in Path("runs/mine/refine/labels").iterdir()) == stems
    Path("real/val/images/notes.txt").write_text("")
    outcome = udaseg("apply runs/mine/retrain real/val/images --out out", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "apply: 2 of 5 images are in sub-folders: seq1/ (1), seq2/ (1)\n" in outcome.err
    assert "apply: leaves out 1 files that are no images: notes.txt\n" in outcome.err
    for folder in ("labels", "overlays"):
        assert sorted(path.stem for path in Path("out", folder).iterdir()) == stems


def test_a_stage_tells_first_which_files_it_leaves_out(own_data, udaseg):
    Path("real/train/images/seq1/a.heic").write_bytes(b"")
    outcome = udaseg("warmup --recipe mine.yaml --set adversary.align=output --dry-run", tiny=False)
    assert outcome.err.splitlines()[0] == "data: real, train: 1 files are left out: seq1/a.heic"


@pytest.mark.parametrize("section", ["source", "target"])
def test_the_hint_of_labels_with_other_names_works_when_pasted(own_data, udaseg, section):
    folder = Path("synthetic/train/labels" if section == "source" else "real/val/labels")
    for path in list(folder.rglob("*.png")):
        if path.stem == "0":
            Image.new("RGB", (48, 32)).save(path.with_name(f"{path.stem}_color.png"))
            path.rename(path.with_name(f"{path.stem}_labelIds.png"))
    for path in (*folder.parents[1].rglob("1*"), *folder.parents[1].rglob("stra*")):
        path.unlink()
    command = "warmup" if section == "source" else "evaluate --model runs/mine/warmup"
    assert section == "source" or udaseg("warmup --recipe mine.yaml", tiny=False).code == 0
    outcome = udaseg(f"{command} --recipe mine.yaml", tiny=False)
    assert outcome.code == 1
    assert "found none for 3: 0.png, seq1/0.png, seq2/0.png\n" in outcome.err
    option = re.search(r"--set \S+", outcome.err)[0]
    assert option == f"--set {section}.labels.suffix=_labelIds"
    outcome = udaseg(f"{command} --recipe mine.yaml", *shlex.split(option), tiny=False)
    assert outcome.code == 0, outcome.err
    root, split = folder.parts[:2]
    outcome = udaseg(f"data check {root}", tiny=False)
    assert f"error: {split}: images without a label: 0.png, seq1/0.png, seq2/0.png" in outcome.out
    option = re.search(r"--label-suffix=\S+", outcome.out)[0]
    outcome = udaseg(f"data check {root}", option, tiny=False)
    assert f"error: {split}" not in outcome.out
