"""A finished model adapts to a stream of images: what the command reads, writes, refuses and says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from udaseg.toytown.stream import make_stream
from udaseg.train.adapt import stream as streams

MODEL = "runs/tiny/warmup"


@pytest.fixture
def drive(workspace) -> Path:
    """Make a stream of the labelled split, and train ids for all frames but the last."""
    folder = workspace / "drive"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures = sorted((workspace / "data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"))
    for i, path in enumerate(pictures):
        shutil.copy(path, folder / "images" / f"{i}.png")
        if i < len(pictures) - 1:
            Image.fromarray(rng.integers(0, 19, (64, 128), np.uint8)).save(folder / "labels" / f"{i}.png")
    return folder


def adapted(udaseg, *more: str, out: str = "out"):
    return udaseg(f"adapt {MODEL} drive/images --out {out}", *more, tiny=False)


def document(out: str = "out") -> dict:
    return json.loads(Path(out, "adapt.json").read_text())


def test_a_stream_is_labelled_scored_and_said_in_the_manifest(drive, udaseg, manifest):
    outcome = adapted(udaseg, "--labels", "drive/labels", "--source", "drive/images", "--source-labels", "drive/labels")
    assert outcome.code == 0, outcome.err
    assert "sees the images at 32x64, as the model did in training" in outcome.err
    assert "drive/labels: 2 of 3 images have a label" in outcome.err
    assert "frames a second; 3 updates; mIoU " in outcome.err
    written = manifest("out")
    assert (written["stage"], written["seed"]) == ("adapt", 0)
    settings = written["settings"]["adapt"]
    assert (settings["order"], settings["method"], settings["momentum"]) == ("path", "statistics", 0.1)
    assert "lr" not in settings
    assert set(written["inputs"]) == {"model", "stream", "labels", "source", "source labels"}
    assert written["metrics"]["frames_per_second"] > 0
    found = document()
    assert list(found["frames"]) == ["0", "1", "2"]
    assert found["stream"]["frames"] == 2
    assert found["frames"]["2"]["miou"] is None
    assert found["source"]["images"] == 2
    assert written["metrics"]["source"] == found["source"]
    again = ("--labels", "drive/labels", "--source", "drive/images", "--source-labels", "drive/labels")
    assert "adapt: up to date (out)" in adapted(udaseg, *again).err
    Path("drive/classes.yaml").write_text(f"names: [{', '.join(reversed(found['classes']))}]\n")
    outcome = adapted(udaseg, *again)
    assert outcome.code == 1
    assert "input classes of labels: added; input classes of source labels: added" in outcome.err


def test_the_adapted_model_is_used_as_any_other(drive, udaseg):
    assert adapted(udaseg, "--method", "tent").code == 0
    outcome = udaseg("apply out drive/images --out again", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "sees the images at 32x64, as the model did in training" in outcome.err
    assert udaseg("evaluate --model out --out scores").code == 0
    before, after = (torch.load(f"{folder}/model.pt", weights_only=True)["model"] for folder in (MODEL, "out"))
    assert before.keys() == after.keys()


def test_a_stopped_command_goes_on_to_the_same_bytes(drive, udaseg, monkeypatch):
    class Killed:
        def __init__(self, progress):
            self.progress = progress

        def __call__(self, done, total):
            if done == 2:
                raise KeyboardInterrupt
            self.progress(done, total)

    flags = ("--method", "tent", "--save-every", "1", "--labels", "drive/labels")
    assert adapted(udaseg, *flags, out="whole").code == 0
    adapt = streams.adapt

    def stopped(*arguments, show, **more):
        return adapt(*arguments, show=lambda *title: Killed(show(*title)), **more)

    with monkeypatch.context() as patched:
        patched.setattr(streams, "adapt", stopped)
        assert adapted(udaseg, *flags, out="parts").code == 130
    assert not Path("parts").exists()
    outcome = adapted(udaseg, *flags, out="parts")
    assert "adapt: continues in parts" in outcome.err
    names = sorted(path.relative_to("whole") for path in Path("whole").rglob("*.*"))
    for name in (name for name in names if name.name not in ("manifest.json", "state.pt")):
        assert Path("whole", name).read_bytes() == Path("parts", name).read_bytes(), name


def test_other_settings_do_not_write_over_it(drive, udaseg):
    assert adapted(udaseg).code == 0
    outcome = adapted(udaseg, "--momentum", "0.05")
    assert outcome.code == 1
    assert "adapt.momentum: 0.1 -> 0.05" in outcome.err
    assert "seed: 0 -> 4" in adapted(udaseg, "--method", "cotta", "--seed", "4").err
    assert "adapt: up to date" in adapted(udaseg, "--save-every", "7").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "tend"], "--method: Input should be 'frozen', 'statistics', 'tent' or 'cotta'"),
        (["--method", "frozen", "--momentum", "0.1"], "--momentum: nothing would read it: the method is frozen"),
        (["--lr", "0.1"], "--lr: nothing would read it: the method is statistics"),
        (["--method", "tent", "--views", "3"], "--views: nothing would read it: the method is tent"),
        (["--every", "0"], "--every: Input should be greater than or equal to 1"),
        (["--coding", "trainids"], "--coding: nothing would read it: there are no labels"),
        (["--source-labels", "drive/labels"], "--source-labels: nothing would read it: there is no source"),
        (["--source", "drive/images"], "is scored, and has no labels"),
        (["--labels", "drive/nothing"], "--labels: there is nothing at drive/nothing"),
        (["--labels", "data/toytown/gta5/labels"], "holds no label for any of the 3 images"),
        (["--labels", "drive/labels", "--coding", "mine"], "there is no label coding 'mine'"),
        (["--seed", "4"], "--seed: nothing would read it: the method is statistics, which draws nothing"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(drive, udaseg, arguments, words):
    outcome = adapted(udaseg, *arguments)
    assert outcome.code == 1
    assert words in outcome.err
    assert not Path("out").exists()


def test_frames_of_an_animation_have_labels_and_are_a_source(drive, udaseg):
    first, *more = (Image.open(path) for path in sorted((drive / "images").iterdir()))
    first.save("drive.gif", save_all=True, append_images=more)
    for i in (0, 1):
        (drive / "labels" / f"{i}.png").rename(drive / "labels" / f"{i + 1:06d}.png")
    source = ("--source", "drive.gif", "--source-labels", "drive/labels")
    outcome = udaseg("adapt", MODEL, "drive.gif", "--out", "out", "--labels", "drive/labels", *source, tiny=False)
    assert outcome.code == 0, outcome.err
    found = document()
    assert (found["stream"]["frames"], found["source"]["images"]) == (2, 2)


@pytest.mark.parametrize("flags", [("--labels", "truth"), ("--source", "drive/images", "--source-labels", "truth")])
def test_a_bad_label_of_the_last_frame_is_told_before_the_stream(drive, udaseg, flags):
    shutil.copytree("drive/labels", "truth")
    Image.fromarray(np.full((64, 128), 77, np.uint8)).save("truth/2.png")
    outcome = adapted(udaseg, *flags)
    assert outcome.code == 1
    assert "truth/2.png: expected ids of the coding 'trainids', found [77]" in outcome.err
    option = "--coding" if flags[0] == "--labels" else "--source-coding"
    assert f"hint: name the coding of the labels with {option}, or replace the file if it is damaged" in outcome.err
    assert not Path("out.partial").exists()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save("truth/2.png")
    outcome = adapted(udaseg, *flags)
    assert "truth/2.png: expected the aspect of its image, 64x128, found 64x64" in outcome.err
    assert "data check" not in outcome.err


@pytest.mark.parametrize("folder", ["drive/images", "drive/labels", "seen", "truth"])
def test_results_do_not_lie_among_what_is_read(drive, udaseg, folder):
    for name, part in (("seen", "images"), ("truth", "labels")):
        shutil.copytree(drive / part, name)
    flags = ("--labels", "drive/labels", "--source", "seen", "--source-labels", "truth")
    outcome = adapted(udaseg, *flags, out=f"{folder}/out")
    assert outcome.code == 1
    assert f"--out {folder}/out lies in {folder}, whose files are read" in outcome.err
    assert not Path(folder, "out").exists()


def test_a_stream_of_toytown_has_its_weathers_in_order(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg("data stream stream --frames 1 --size 32x64", tiny=False)
    assert outcome.code == 0, outcome.err
    images, labels = (sorted(Path("stream/val", part).iterdir()) for part in ("images", "labels"))
    weathers = ["0-clouds_0000.png", "1-sun_0000.png", "2-fog_0000.png", "3-dusk_0000.png"]
    assert [path.name for path in images] == [path.name for path in labels] == weathers
    pixels = [np.asarray(Image.open(path), float) for path in images]
    assert pixels[3].mean() < 0.6 * pixels[2].mean()  # dusk is dark
    assert set(np.unique(np.asarray(Image.open(labels[0])))) <= {*range(19), 255}
    before, files = images[0].read_bytes(), [images[0], labels[0]]
    for path in files:
        path.write_bytes(b"another frame")
    make_stream(Path("stream"), frames=1, size=(32, 64))  # as one that was stopped
    assert [path.read_bytes() for path in files] == [b"another frame"] * 2
    assert udaseg("data stream stream --frames 2 --size 32x64", tiny=False).code == 0
    assert Path("stream/val/images/0-clouds_0000.png").read_bytes() == before  # rendered again
    assert len(list(Path("stream/val/images").iterdir())) == 8
    assert "usable" in udaseg("data check stream", tiny=False).out
