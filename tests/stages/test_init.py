"""udaseg init: from two folders to a recipe that runs, in many layouts, and one clear message for each odd input."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from udaseg.config.load import load_recipe
from udaseg.errors import UdasegError
from udaseg.io.files import write_json
from udaseg.labels import SPACES
from udaseg.pipeline import estimate
from udaseg.pipeline.draft import draft as drafting
from udaseg.pipeline.draft import machine as machines
from udaseg.pipeline.draft.machine import ON_CPU, Fit, Machine

from ..data.corpora import photo, save, street

SIZE = (48, 96)
TRAIN_IDS, IDS, OWN = (10, 2, 0, 13), (23, 11, 7, 26), (3, 2, 1, 0)
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[[10, 2, 0, 13]] = [SPACES["cs19"].palette[i] for i in (10, 2, 0, 13)]
TINY = [
    word
    for change in (
        "model.encoder=test_efficientnet", "model.decoder=fpn", "model.width=16", "model.weights=none",
        "retrain.steps=2", "retrain.batch=2", "retrain.feature_distance=null", "retrain.save_every=1",
    )
    for word in ("--set", change)
]  # fmt: skip


def pairs(root, ids=TRAIN_IDS, images="images", labels="labels", convert=lambda label: label, count=3):
    for i in range(count):
        photo(root / images / f"{i}.png", SIZE, seed=i)
        save(root / labels / f"{i}.png", convert(street(*ids, SIZE)))
    return root


def photos(root, count=3, size=SIZE):
    for i in range(count):
        photo(root / f"{i}.jpg", size, seed=i)
    return root


def in_red(label):
    return np.stack([label, 0 * label, 0 * label], -1)


def suffixed(root):
    for path in list((pairs(root) / "labels").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def own_classes(root):
    (pairs(root, OWN) / "classes.yaml").write_text("names: [car, road, building, sky]\n")


def cityscapes(root):
    for i in range(3):
        name = f"leftImg8bit/train/bonn/bonn_{i:06d}_000019"
        photo(root / f"{name}_leftImg8bit.png", SIZE, seed=i)
        save(root / f"gtFine/train/bonn/bonn_{i:06d}_000019_gtFine_labelIds.png", street(*IDS, SIZE))


def synthia(root):
    pairs(root, (1, 2, 3, 8), "RGB", "GT/LABELS")


SOURCES = {
    "a split": ("folder", "train", "trainids", lambda root: pairs(root / "train")),
    "the whole folder": ("folder", ".", "synthia", lambda root: pairs(root, (1, 2, 3, 8))),
    "masks": ("folder", ".", "trainids", lambda root: pairs(root, labels="masks")),
    "outer folders": (
        "folder", "train", "trainids", lambda root: pairs(root, TRAIN_IDS, "images/train", "labels/train"),
    ),
    "colours": ("folder", "train", "trainids", lambda root: pairs(root / "train", convert=PALETTE.__getitem__)),
    "a suffix": ("folder", ".", "trainids", suffixed),
    "classes.yaml": ("folder", ".", None, own_classes),
    "gta5": ("gta5", "train", None, lambda root: pairs(root, IDS)),
    "carla": ("carla", "train", None, lambda root: pairs(root / "Town01/a", (11, 3, 1, 14), "rgb", "seg", in_red)),
    "idda": ("idda", "train", None, lambda root: pairs(root / "T1", (20, 1, 6, 10), "RGB", "Semantic", in_red)),
    "synthia": ("synthia", "train", None, synthia),
    "cityscapes": ("cityscapes", "train", None, cityscapes),
    "mapillary": ("mapillary", "train", None, lambda root: pairs(root / "training", (27, 17, 13, 55))),
    "acdc": (
        "acdc", "train", None,
        lambda root: [
            (photo(root / f"rgb_anon/fog/train/A/{i}_rgb_anon.png", SIZE),
             save(root / f"gt/fog/train/A/{i}_gt_labelIds.png", street(*IDS, SIZE)))
            for i in range(3)
        ],
    ),
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Work in an empty directory, on a machine with two cores, without counting a network's memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machines, "this_machine", lambda: Machine("cpu", 16 * 10**9, "2 cores with 16 GB, no GPU"))
    monkeypatch.setattr(drafting, "choose_plan", lambda machine, classes: Fit(ON_CPU, 1, 2 * 10**9, 10**6, None))
    return tmp_path


@pytest.fixture
def init(udaseg):
    return lambda *words: udaseg("init", *map(str, words), "--no-estimate", tiny=False)


@pytest.mark.parametrize("layout", SOURCES)
def test_a_source_in_any_layout_gives_a_recipe_that_can_be_run(place, init, udaseg, layout):
    dataset, split, coding, write = SOURCES[layout]
    write(place / "source")
    outcome = init("source", photos(place / "target"), *TINY)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "run it:  udaseg run mine.yaml"
    recipe = load_recipe("mine.yaml")
    assert (recipe.source.dataset, recipe.source.split, recipe.source.coding) == (dataset, split, coding)
    assert recipe.space == ("road", "building", "sky", "car")
    assert (recipe.source.size, recipe.target.size) == (SIZE, SIZE)
    assert recipe.chain == ("retrain", "report")
    for command in ("recipe check", "run --dry-run"):
        assert udaseg(f"{command} mine.yaml", tiny=False).code == 0


def sequences(root):
    photos(root / "day" / "a", 2)
    photos(root / "day" / "b", 2)


def test_the_recipe_runs_to_its_scores_and_its_page(place, init, udaseg):
    """Labelled images lie in another directory, in another coding; the target is sequences of images."""
    sequences(place / "target")
    pairs(place / "scored" / "val", IDS)
    outcome = init(pairs(place / "source"), place / "target", "--val", place / "scored", "--out", "a.yaml", *TINY)
    assert outcome.code == 0, outcome.err
    text = Path("a.yaml").read_text()
    recipe = load_recipe("a.yaml")
    assert (recipe.target.split, recipe.target.val, recipe.target.coding) == ("target", "scored/val", "cityscapes")
    assert "# given by --set" in text
    assert "road is below and sky is above" in text
    assert sum("#" in line for line in text.splitlines()) > 20
    outcome = udaseg("run a.yaml", tiny=False)
    assert outcome.code == 0, outcome.err
    assert Path("runs/a/evaluate/metrics.json").is_file()
    assert Path("runs/a/report.html").is_file()


def test_without_labels_it_runs_to_its_page(place, init, udaseg):
    assert init(pairs(place / "source"), photos(place / "target"), *TINY).code == 0
    outcome = udaseg("run mine.yaml", tiny=False)
    assert outcome.code == 0, outcome.err
    assert Path("runs/mine/report.html").is_file()
    assert not Path("runs/mine/evaluate").exists()


def test_the_steps_are_measured(place, udaseg):
    outcome = udaseg(f"init {pairs(place / 'source')} {photos(place / 'target')}", *TINY, tiny=False)
    assert outcome.code == 0, outcome.err
    assert "takes:   retrain: 3 images, 2 steps: about " in outcome.out or "2 steps, 3 images" in outcome.out
    assert "told from" in outcome.out
    assert not Path("runs").exists()


def test_a_target_has_splits_of_its_own_to_score_on(place, init):
    for split in ("train", "val"):
        pairs(place / "target" / split)
    outcome = init(pairs(place / "source"), place / "target", *TINY)
    assert outcome.code == 0, outcome.err
    recipe = load_recipe("mine.yaml")
    assert (recipe.target.split, recipe.target.val, recipe.target.coding) == ("train", "val", "trainids")
    assert f"scored:  3 labelled images in {place / 'target/val'}" in outcome.out


def test_a_recipe_that_is_there_stays(place, init):
    Path("mine.yaml").write_text("mine")
    source, target = pairs(place / "source"), photos(place / "target")
    outcome = init(source, target)
    assert outcome.code == 1
    assert "mine.yaml exists already" in outcome.err
    assert Path("mine.yaml").read_text() == "mine"
    assert init(source, target, "--overwrite", *TINY).code == 0
    assert "base: mic-gta2city" in Path("mine.yaml").read_text()
    assert "expected a .yaml file" in init(source, target, "--out", "mine.txt").err
    assert "there is no such directory" in init(source, target, "--out", "no/mine.yaml").err


def test_a_recipe_for_other_data_does_not_go_on_with_the_run_of_the_first(place, init):
    for name in "ab":
        pairs(place / name / "syn")
        photos(place / name / "real")
    assert init("a/syn", "a/real", *TINY).code == 0
    written = Path("mine.yaml").read_text()
    remembered = {"recipe": str(place / "mine.yaml"), "scale": "full", "data": str(place / "a"), "seed": 0}
    Path("runs/mine").mkdir(parents=True)
    write_json(Path("runs/mine/run.json"), remembered)
    outcome = init("b/syn", "b/real", "--overwrite", *TINY)
    assert outcome.code == 1
    assert "runs/mine is a run of an earlier mine.yaml, and goes on with the data of that" in outcome.err
    assert "rm -r runs/mine" in outcome.err
    assert Path("mine.yaml").read_text() == written
    assert init("a/syn", "a/real", "--overwrite", *TINY).code == 0
    assert init("b/syn", "b/real", "--out", "other.yaml", *TINY).code == 0


def test_a_coding_that_is_not_found_can_be_named(place, init):
    source, target = pairs(place / "source", (8, 2, 0, 13)), photos(place / "target")
    assert "the meaning of the label ids is not known" in init(source, target).err
    assert init(source, target, "--set", "source.coding=trainids", *TINY).code == 0
    assert load_recipe("mine.yaml").space == ("road", "building", "vegetation", "car")
    outcome = init(source, target, "--out", "b.yaml", "--set", "source.coding=trainids", "--set", "retrain.stepz=3")
    assert "recipe b.yaml: unknown setting 'retrain.stepz'" in outcome.err
    assert not Path("b.yaml").exists()


def broken(path):
    path.write_bytes(b"nonsense")


def mixed(root):
    photos(root, 2)
    save(root / "0.png", street(*TRAIN_IDS, SIZE))


def as_jpeg(root):
    for path in list((pairs(root) / "labels").iterdir()):
        path.rename(path.with_suffix(".jpg"))


def wild(root):
    photo(photos(root) / "panorama.jpg", (400, 4000))


def with_classes(root, text):
    (pairs(root, OWN) / "classes.yaml").write_text(text)


# What is done to the sound source, target and labels to score on, and a part of the error.
ODD = {
    "no directory": (lambda s, t, v: shutil.rmtree(t), "target: expected a directory of images, and there is none"),
    "a file": (lambda s, t, v: (shutil.rmtree(t), t.write_text("")), "and that is a file"),
    "an empty target": (lambda s, t, v: [path.unlink() for path in t.iterdir()], "target: expected images, found none"),
    "a video": (lambda s, t, v: (shutil.rmtree(t), t.mkdir(), (t / "a.mp4").touch()), "ffmpeg -i"),
    "no labels": (lambda s, t, v: shutil.rmtree(s / "labels"), "expected labels of its images, found none"),
    "labels of other names": (
        lambda s, t, v: ((s / "labels").rename(s / "gt"), (s / "images").rename(s / "rgb_cam")), "ln -s",
    ),
    "both in one folder": (lambda s, t, v: (shutil.rmtree(s), mixed(s)), "in two folders, found both in one"),
    "labels as JPEG": (lambda s, t, v: (shutil.rmtree(s), as_jpeg(s)), "expected labels as PNG, TIFF or BMP"),
    "a label is missing": (lambda s, t, v: (s / "labels/1.png").unlink(), "expected a label for each of 3 images"),
    "a broken image": (lambda s, t, v: broken(s / "images/1.png"), "1.png: expected an image"),
    "a broken target": (lambda s, t, v: broken(t / "1.jpg"), "of 3 images that were looked at, 1 cannot be read"),
    "a broken label": (lambda s, t, v: broken(s / "labels/1.png"), "1.png: expected a PNG file"),
    "ids of one's own": (lambda s, t, v: pairs(s, OWN), "the meaning of the label ids is not known"),
    "unknown colours": (lambda s, t, v: pairs(s, (0, 1, 2, 3), convert=lambda x: np.stack([x + 9, x, x], -1)),
                        "in 4 colours, whose meaning is not known"),
    "a target with labels": (lambda s, t, v: (photos(t / "cam"), pairs(t, images="img", labels="gt")), "look like"),
    "wild sizes": (lambda s, t, v: wild(t), "the sizes of images differ wildly, from 48x96 to 400x4000"),
    "tiny images": (lambda s, t, v: (shutil.rmtree(t), photos(t, size=(8, 9))), "expected images of 32x32 pixels"),
    "no class in common": (lambda s, t, v: with_classes(v, "names: [a, b, c, d]"), "no class in common"),
    "two spellings": (lambda s, t, v: with_classes(v, "names: [Car, Road, b, sky]"), "those to score on 'Road', 'Car'"),
    "a wrong classes.yaml": (lambda s, t, v: with_classes(s, "names: 3"), "expected `names` as a list or a mapping"),
    "nothing to score": (lambda s, t, v: (shutil.rmtree(v), photos(v)), "scored: expected labels of its images"),
    "several datasets": (lambda s, t, v: (shutil.rmtree(s), cityscapes(s / "x")), "is not a dataset; it holds x"),
    "several splits": (
        lambda s, t, v: (shutil.rmtree(s), pairs(s / "a"), pairs(s / "b")), "expected a split train, found a, b",
    ),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_input_ends_in_one_clear_message(place, init, odd):
    source, target, scored = pairs(place / "source"), photos(place / "target"), pairs(place / "scored")
    change, message = ODD[odd]
    change(source, target, scored)
    outcome = init(source, target, "--val", scored, *TINY)
    assert outcome.code == 1
    assert message in outcome.err
    assert outcome.err.count("error: ") == 1
    assert outcome.out == ""
    assert not Path("mine.yaml").exists()


def test_source_and_target_are_two(place, init):
    source = pairs(place / "source")
    assert "are the same directory" in init(source, source).err
    assert "3 images are in both" in init(source, source / "images").err
    cityscapes(place / "real")
    assert "has the layout of cityscapes" in init(source, "real", "--val", pairs(place / "scored")).err
    assert "no split val or test with labels" in init(source, "real", "--val", "real").err
    photos(place / "target")
    outcome = init(source, "target", "--set", "target.pad=true", *TINY)
    assert outcome.code == 0, outcome.err


def test_a_name_that_is_no_utf8_is_an_error(place, init):
    target = photos(place / os.fsdecode(b"t\xffarget"))
    outcome = init(pairs(place / "source"), target, *TINY)
    assert outcome.code == 1
    assert "a name that is no UTF-8" in outcome.err


def test_a_measurement_that_fails_leaves_the_recipe(place, udaseg, monkeypatch):
    def fail(*_arguments):
        raise UdasegError("no step", "take another")

    monkeypatch.setattr(estimate, "estimate", fail)
    outcome = udaseg(f"init {pairs(place / 'source')} {photos(place / 'target')}", *TINY, tiny=False)
    assert outcome.code == 0
    assert "not measured, as a step failed: no step (take another)" in outcome.out
    assert Path("mine.yaml").is_file()


def test_a_training_that_reads_another_stage_is_not_measured(place, udaseg):
    words = ("--set", "retrain.source=stylize", *TINY)
    outcome = udaseg(f"init {pairs(place / 'source')} {photos(place / 'target')}", *words, tiny=False)
    assert outcome.code == 0, outcome.err
    assert "takes:   not measured, as the training reads what another stage makes first" in outcome.out
    assert "run it:  udaseg run mine.yaml" in outcome.out
