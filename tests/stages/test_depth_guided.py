"""Depth in self-training from the command line: the recipe of CorDA on toytown, with and without the target's depth."""

import json
from pathlib import Path

from PIL import Image

RENDERING = "data make data/toytown --source 6 --train 5 --val 3 --size 64x128 --depth"
CHANGES = (
    "model.encoder=test_efficientnet", "model.weights=none", "source.size=[32,64]", "target.size=[32,64]",
    "retrain.augment.crop=null", "retrain.steps=2", "retrain.batch=2", "retrain.log_every=1",
)  # fmt: skip
WORDS = ("--recipe", "corda-synthia2city", "--scale", "toy", *(word for one in CHANGES for word in ("--set", one)))
RETRAIN = Path("runs/corda-synthia2city-toy/retrain")


def test_a_target_without_depth_is_named_and_can_do_without(rendered, udaseg, manifest):
    outcome = udaseg("retrain", *WORDS, tiny=False)
    assert outcome.code == 1
    assert "expected the depth of the train images (target.depth=disparity) in disparity/train/" in outcome.err
    assert "set target.depth=null; toytown has it with `udaseg data make data/toytown --depth`" in outcome.err
    assert "depth False, not True (`udaseg data make data/toytown --depth` renders it again)" in outcome.err
    assert not RETRAIN.exists()
    outcome = udaseg("retrain --set target.depth=null", *WORDS, tiny=False)
    assert outcome.code == 0, outcome.err
    line = json.loads((RETRAIN / "log.jsonl").read_text().splitlines()[0])
    assert {"depth", "depth_target", "agreement"} <= line.keys()
    assert "target_depth" not in {*manifest(RETRAIN)["inputs"], *manifest(RETRAIN)["settings"]}


def test_the_depth_of_the_target_is_an_input(rendered, udaseg, manifest):
    assert udaseg(RENDERING, tiny=False).code == 0
    outcome = udaseg("retrain", *WORDS, tiny=False)
    assert outcome.code == 0, outcome.err
    assert manifest(RETRAIN)["settings"]["target_depth"] == "disparity"
    assert "target_depth" in manifest(RETRAIN)["inputs"]
    assert "retrain: up to date" in udaseg("retrain", *WORDS, tiny=False).err
    camera = next(Path("data/toytown/cityscapes/camera/train").rglob("*.json"))
    content = json.loads(camera.read_text())
    camera.unlink()
    camera.write_text(json.dumps({**content, "extrinsic": {"baseline": 0.5}}))
    assert "target_depth" in udaseg("retrain --dry-run", *WORDS, tiny=False).err
    outcome = udaseg("retrain --set target.depth=relative", *WORDS, tiny=False)
    assert outcome.code == 0, outcome.err
    assert manifest(RETRAIN)["settings"]["target_depth"] == "relative"
    dull = next(Path("data/toytown/cityscapes/depth/train").rglob("*.png"))
    dull.unlink()
    Image.new("L", (128, 64), 9).save(dull)
    outcome = udaseg("retrain --set target.depth=relative", *WORDS, tiny=False)
    assert outcome.code == 1
    assert "1 of 5 depth maps of the target cannot be used" in outcome.err


def test_a_source_without_depth_teaches_the_student_none(rendered, udaseg):
    outcome = udaseg("retrain --set source.dataset=gta5 --set target.depth=null", *WORDS, tiny=False)
    assert outcome.code == 1
    assert "learn the depth of the source, and gta5 has no depth" in outcome.err
    assert "retrain.depth=null" in outcome.err
