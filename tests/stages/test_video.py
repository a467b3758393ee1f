"""Optical flow and the refinement by it, as commands."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data.video.estimate import load_opencv
from udaseg.data.video.flow_file import read_flow
from udaseg.data.video.warp import warp_labels
from udaseg.toytown.world import make_toytown

RECIPE = """\
base: tiny.yaml
name: video
data: data/video
toytown: {source: 2, train: 2, val: 1, frames: 3, size: [64, 128]}
target: {split: train-video}
"""
ON = "--recipe video.yaml"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    out = tmp_path_factory.mktemp("videos")
    make_toytown(out, source=2, target_train=2, target_val=1, frames=3, size=(64, 128))
    return out


@pytest.fixture
def place(workspace, videos):
    """Work where a recipe has videos as its target, and the tiny run has a model."""
    shutil.copytree(videos, "data/video")
    Path("video.yaml").write_text(RECIPE)
    return workspace


def labels(folder: str) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(Path(folder, "labels").glob("*.png"))}


def test_flow_is_computed_or_taken_from_the_dataset(place, udaseg, manifest):
    pytest.importorskip("cv2")
    outcome = udaseg(f"flow {ON}", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "flow: 4 of 6 images have a frame before them; the flow of" in outcome.err
    pairs = json.loads(Path("runs/video/flow/flow.json").read_text())
    assert (pairs["method"], pairs["step"]) == ("dis", 1)
    assert pairs["previous"]["aachen_000000_000019"] == "aachen_000000_000018"
    assert sorted(path.stem for path in Path("runs/video/flow/flows").iterdir()) == sorted(pairs["previous"])
    assert manifest("runs/video/flow")["metrics"]["frames"] == 4
    outcome = udaseg(f"flow {ON}", tiny=False)
    assert "flow: up to date" in outcome.err
    outcome = udaseg(f"flow --method files --out exact {ON}", tiny=False)
    assert outcome.code == 0, outcome.err
    for stem in pairs["previous"]:
        own = f"data/video/cityscapes/flow/train/{stem.partition('_')[0]}/{stem}_flow.png"
        for one, other in zip(read_flow(Path(own)), read_flow(Path(f"exact/flows/{stem}.png")), strict=True):
            np.testing.assert_array_equal(one, other)
    outcome = udaseg(f"flow --step 2 --out two {ON}", tiny=False)
    assert "2 of 6 images have a frame before them" in outcome.err
    outcome = udaseg(f"flow --estimate {ON}", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "flow: 4 images: about" in outcome.out


def test_files_of_flow_that_were_replaced_are_taken_again_and_lead_one_frame_back(place, udaseg):
    command = f"flow --method files {ON}"
    assert udaseg(command, tiny=False).code == 0
    assert "flow: up to date" in udaseg(command, tiny=False).err
    one, other, *_ = sorted(Path("data/video/cityscapes/flow/train").rglob("*.png"))
    shutil.copy(other, one)
    outcome = udaseg(command, tiny=False)
    assert "input flow files (data/video/cityscapes) has changed" in outcome.err
    written = Path("runs/video/flow/flows", f"{one.stem.removesuffix('_flow')}.png")
    for found, expected in zip(read_flow(written), read_flow(other), strict=True):
        np.testing.assert_array_equal(found, expected)
    outcome = udaseg(f"{command} --step 2", tiny=False)
    assert outcome.code == 1
    assert "flow.step=2, and files of a dataset (flow.method is files) lead to the frame before" in outcome.err


def test_the_command_that_renders_toytown_again_renders_what_the_recipe_wants(workspace, udaseg):
    Path("video.yaml").write_text(RECIPE.replace("data/video", "data/made"))
    assert udaseg("data make data/made --source 2 --train 2 --val 1 --size 64x96", tiny=False).code == 0
    outcome = udaseg(f"flow --method files {ON} --dry-run", tiny=False)
    command = "data make data/made --source 2 --train 2 --val 1 --frames 3 --size 64x128"
    assert f"(`udaseg {command}` renders it again)" in outcome.err
    assert udaseg(command, tiny=False).code == 0
    outcome = udaseg(f"flow --method files {ON} --dry-run", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "renders it again" not in outcome.err


def test_a_stopped_flow_goes_on_to_the_same_bytes(place, udaseg, killed):
    pytest.importorskip("cv2")
    command = "flow --set data=data/video --set target.split=train-video --run runs/stopped"
    killed(command, "*/flows/*.png", 2)
    assert len(list(Path("runs/stopped/flow.partial/flows").glob("[!.]*.png"))) == 2
    assert udaseg(command).code == 0
    assert udaseg(f"flow --out whole {ON}", tiny=False).code == 0
    for path in Path("whole/flows").iterdir():
        assert path.read_bytes() == Path("runs/stopped/flow/flows", path.name).read_bytes()
    assert Path("whole/flow.json").read_bytes() == Path("runs/stopped/flow/flow.json").read_bytes()


def test_labels_are_kept_and_carried_along_the_flow(place, udaseg, manifest):
    model = "--model runs/tiny/warmup/model.pt"
    for command in (f"predict {model}", "pseudolabel --p 0.4 --predictions predict", "flow --method files"):
        outcome = udaseg(f"{command} {ON}", tiny=False)
        assert outcome.code == 0, outcome.err
    before, flat = labels("runs/video/pseudolabel"), "--no-spatial-prior"
    outcome = udaseg(f"refine {flat} --temporal --set flow.method=files {ON} --out kept", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "flow: up to date" in outcome.err
    assert "flow" in manifest("kept")["inputs"]
    assert json.loads(Path("kept/refine.json").read_text())["order"] == ["temporal"]
    outcome = udaseg(f"refine {flat} --carry --flow flow {ON} --out carried", tiny=False)
    assert outcome.code == 0, outcome.err
    kept, carried, unlike = labels("kept"), labels("carried"), 0
    pairs = json.loads(Path("runs/video/flow/flow.json").read_text())["previous"]
    for stem, own in before.items():
        if stem not in pairs:  # the first frames stay
            np.testing.assert_array_equal(kept[stem], own)
            np.testing.assert_array_equal(carried[stem], own)
            continue
        flow = read_flow(Path(f"runs/video/flow/flows/{stem}.png"))
        assert ((kept[stem] == own) | (kept[stem] == 255)).all()
        assert (kept[stem] == own)[~flow[1]].all()  # without flow nothing speaks against a label
        unlike += (kept[stem] != own).sum()
        warped = warp_labels(before[pairs[stem]], *flow)
        assert (carried[stem] == own)[own != 255].all()
        assert np.isin(carried[stem][own == 255], 255).mean() < 1
        assert ((carried[stem] == warped) | (carried[stem] == 255))[own == 255].all()
    assert unlike > 0
    assert sum(manifest("carried")["metrics"][name] * sign for name, sign in (("after", 1), ("before", -1))) > 0


def test_retraining_reads_the_flow_where_it_labels_the_frame_before(place, udaseg, manifest):
    words = "--set retrain.labels=none --set retrain.steps=1 --model runs/tiny/warmup/model.pt"
    online = "--set retrain.online={scores:student,frame:previous,confidence:0.0}".replace(":", ": ")
    command = f"retrain {ON} --set flow.method=files {words}".split()
    outcome = udaseg("", *command, online.partition(" ")[0], online.partition(" ")[2], tiny=False)
    assert outcome.code == 0, outcome.err
    assert "flow: runs in runs/video/flow" in outcome.err
    assert "4 target images" in outcome.err
    assert {"flow", "model", "source", "target"} <= set(manifest("runs/video/retrain")["inputs"])
    rectify = online.replace("}", ", rectify: true}")
    outcome = udaseg("", *command, rectify.partition(" ")[0], rectify.partition(" ")[2], tiny=False)
    assert outcome.code == 1
    assert "set retrain.online.rectify=false, or retrain.online.frame=same" in outcome.err


def test_stages_without_video_neither_read_nor_need_flow(workspace, udaseg, manifest):
    assert udaseg("refine --out again").code == 0
    assert "flow" not in manifest("again")["inputs"]
    for name in ("temporal", "carry"):
        assert name not in manifest("again")["settings"]["refine"]
    assert Path("again/refine.json").read_bytes() == Path("runs/tiny/refine/refine.json").read_bytes()
    outcome = udaseg("refine --flow elsewhere --out again")
    assert outcome.code == 1
    assert "--flow: nothing would read it: no label follows the optical flow" in outcome.err
    outcome = udaseg("refine --set flow.step=2 --out again")
    assert "flow.step: nothing would read it" in outcome.err


def test_images_that_are_no_videos_have_no_flow(workspace, udaseg, monkeypatch):
    outcome = udaseg("flow")
    assert outcome.code == 1
    assert "none of 5 images in train has the frame 1 before it beside it" in outcome.err
    outcome = udaseg("flow --method files --set target.dataset=gta5")
    assert "gta5 has no folder for optical flow" in outcome.err
    outcome = udaseg("refine --temporal --prototypes --pixels all")
    assert "the prototypes would label all pixels again, whatever the frame before says" in outcome.err


def test_without_opencv_the_command_says_what_to_install(place, udaseg, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    load_opencv.cache_clear()
    outcome = udaseg(f"flow {ON}", tiny=False)
    load_opencv.cache_clear()
    assert outcome.code == 1
    assert "error: computing optical flow needs OpenCV, which is not installed" in outcome.err
    assert "hint: pip install 'udaseg[video]'" in outcome.err
    assert not Path("runs/video/flow.partial/flows").exists()
