"""Images of no dataset are labelled as evaluate labels them; what is there is neither done again nor written over."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from udaseg.inference import apply
from udaseg.labels import class_space

MODEL = "runs/tiny/retrain"


@pytest.fixture
def photos(workspace) -> Path:
    """Copy the images of the labelled split, without anything that says where they come from."""
    (workspace / "photos").mkdir()
    for path in (workspace / "data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"):
        shutil.copy(path, workspace / "photos" / path.name.replace("_leftImg8bit", ""))
    shutil.rmtree(workspace / "data")
    return workspace / "photos"


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def labelled(udaseg, *more: str, out: str = "out"):
    return udaseg(f"apply {MODEL} photos --out {out}", *more, tiny=False)


def test_the_labels_are_those_that_evaluate_scored(photos, udaseg):
    outcome = labelled(udaseg)
    assert outcome.code == 0, outcome.err
    assert "sees the images at 32x64, as the model did in training" in outcome.err
    colours = np.array(class_space("cs19").palette, np.uint8)
    for image in photos.iterdir():
        scored = read(f"runs/tiny/evaluate/panels/{image.stem}-prediction.png")
        with Image.open(f"out/labels/{image.name}") as label:
            assert label.mode == "P"
            assert np.array_equal(colours[np.asarray(label)], scored)
            assert np.array_equal(np.asarray(label.convert("RGB")), scored)
        overlay = read(f"out/overlays/{image.stem}.jpg").astype(float)
        mixed = 0.45 * read(image) + 0.55 * scored
        assert np.abs(overlay - mixed).mean() < 12  # JPEG
        assert np.abs(overlay - mixed).mean() < np.abs(overlay - read(image)).mean()


def test_windows_label_alike_and_are_a_setting_of_the_labels(photos, udaseg):
    """At a window as large as the images nothing differs; smaller ones are other labels, never written over."""
    assert labelled(udaseg).code == 0
    assert labelled(udaseg, "--window", "32x64", out="whole").code == 0
    for path in Path("out/labels").iterdir():
        assert np.array_equal(read(path), read(f"whole/labels/{path.name}"))
    outcome = labelled(udaseg, "--window", "32x32", out="whole")
    assert (outcome.code, "apply.window: [32, 64] -> [32, 32]" in outcome.err) == (1, True)


def test_the_legend_names_every_class_in_its_colour(photos, udaseg):
    assert labelled(udaseg).code == 0
    space = class_space("cs19")
    said = yaml.safe_load(Path("out/classes.yaml").read_text())
    assert said == {"names": list(space.classes), "palette": [list(colour) for colour in space.palette]}
    with Image.open("out/legend.png") as legend:
        shown = {colour for _, colour in legend.convert("RGB").getcolors(1 << 16)}
    assert set(space.palette) <= shown


def test_pictures_of_any_size_keep_it(photos, udaseg):
    sizes = {"portrait": (40, 90), "tiny": (9, 7), "wide": (200, 50)}
    for name, size in sizes.items():
        Image.new("RGB", size, "grey").save(photos / f"{name}.jpg")
    for number, more in enumerate((["--size", "own"], ["--pad"], ["--scales", "0.5,1.0", "--flip", "--batch", "4"])):
        outcome = labelled(udaseg, *more, out=f"out{number}")
        assert outcome.code == 0, outcome.err
        assert ("3 of 6 images are stretched a lot to 32x64; --pad" in outcome.err) == (number == 2)
        for name, (width, height) in sizes.items():
            assert read(f"out{number}/labels/{name}.png").shape == (height, width)


def test_it_continues_where_it_was_stopped_and_then_has_nothing_to_do(photos, udaseg, monkeypatch):
    written = []

    def stop(path, *values):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *values)

    write = apply.write_label
    monkeypatch.setattr(apply, "write_label", stop)
    assert labelled(udaseg, "--size", "own").code == 130
    assert not Path("out/manifest.json").exists()
    monkeypatch.setattr(apply, "write_label", write)
    (first,) = written
    before = first.stat().st_mtime_ns
    first = Path("out/labels", first.name)
    assert "apply: continues in out" in labelled(udaseg, "--size", "own").err
    assert first.stat().st_mtime_ns == before
    assert len(list(Path("out/labels").iterdir())) == 3
    assert "apply: up to date (out)" in labelled(udaseg, "--size", "own").err


def test_nothing_is_written_over_without_force(photos, udaseg):
    assert labelled(udaseg).code == 0
    next(Path("out/labels").iterdir()).unlink()
    files = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.*")}
    outcome = labelled(udaseg)
    assert outcome.code == 1
    assert "8 files written, 7 found" in outcome.err
    assert "--force" in outcome.err
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.*")} == files
    assert labelled(udaseg, "--force").code == 0
    assert labelled(udaseg).code == 0


def times(folder: str = "out/labels") -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).iterdir()}


def test_images_added_mended_and_removed_change_themselves_alone(photos, udaseg, manifest):
    first, second, third = sorted(photos.iterdir())
    assert labelled(udaseg).code == 0
    before = times()
    Image.new("RGB", (128, 64), "red").save(photos / "added.png")
    Image.new("RGB", (128, 64), "blue").save(second)
    third.unlink()
    outcome = labelled(udaseg)
    assert outcome.code == 0, outcome.err
    assert "2 of 3 images are new or changed, and the others stay" in outcome.err
    after = times()
    assert sorted(after) == sorted(["added.png", first.name, second.name])
    assert after[first.name] == before[first.name]
    assert after[second.name] != before[second.name]
    assert {path.stem for path in Path("out/overlays").iterdir()} == {Path(name).stem for name in after}
    assert labelled(udaseg, out="anew").code == 0
    for name in after:
        assert Path("out/labels", name).read_bytes() == Path("anew/labels", name).read_bytes()
    assert manifest("out")["metrics"]["images"] == 3
    assert {path.name for path in Path("out").iterdir()} == {path.name for path in Path("anew").iterdir()}
    assert "apply: up to date (out)" in labelled(udaseg).err


def test_a_mended_image_is_labelled_and_the_others_stay(photos, udaseg):
    """One truncated image late: the same command goes on when it is mended, and leaves the rest."""
    victim = sorted(photos.iterdir())[-1]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    assert labelled(udaseg, "--batch", "1").code == 1
    partial = times("out.partial/labels")
    assert victim.name not in partial
    assert len(partial) == 2
    victim.write_bytes(whole)
    outcome = labelled(udaseg, "--batch", "1")
    assert outcome.code == 0, outcome.err
    assert "apply: continues in out" in outcome.err
    assert {name: time for name, time in times().items() if name != victim.name} == partial


def test_a_broken_image_is_left_out_where_that_is_asked_for(photos, udaseg, manifest):
    victim, *others = sorted(photos.iterdir())
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    assert labelled(udaseg).code == 1
    outcome = labelled(udaseg, "--skip-broken")
    assert outcome.code == 0, outcome.err
    told = f"apply: warning: 1 of 3 images cannot be read and are left out: {victim.name}"
    assert told in outcome.err
    assert sorted(times()) == [path.name for path in others]
    assert manifest("out")["metrics"]["images"] == 2
    assert told in labelled(udaseg, "--skip-broken").err  # up to date
    before = times()
    victim.write_bytes(whole)
    outcome = labelled(udaseg)
    assert outcome.code == 0, outcome.err
    assert "warning" not in outcome.err
    assert {name: time for name, time in times().items() if name != victim.name} == before
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    outcome = labelled(udaseg, "--skip-broken", out="none")
    assert outcome.code == 1
    assert "no image can be read" in outcome.err


def test_work_of_other_settings_that_was_stopped_is_not_cleared(photos, udaseg, monkeypatch):
    def stop(*values):
        raise KeyboardInterrupt

    monkeypatch.setattr(apply, "write_label", stop)
    assert labelled(udaseg).code == 130
    outcome = labelled(udaseg, "--size", "own")
    assert outcome.code == 1
    assert "apply.size: [32, 64] -> null" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing", "photos", "--out", "out"], "there is no model nothing"),
        (["runs/tiny/predict", "photos", "--out", "out"], "runs/tiny/predict holds no model.pt"),
        ([MODEL, "photos", "--out", "photos/labels"], "lies in photos"),
        ([MODEL, "photos", "--out", "out", "--scales", "0"], "--scales: Input should be greater"),
        ([MODEL, "photos", "--out", "out", "--window", "8x24"], "--window: 8x24 is too small: the networks need 32x32"),
        ([MODEL, "photos", "--out", "out", "--precision", "half"], "--precision: Input should be 'auto', 'fp32'"),
        ([MODEL, "photos", "--out", "out", "--size", "12"], "--size 12: expected HEIGHTxWIDTH"),
        ([MODEL, "photos", "--out", "runs"], "holds files that no stage has written"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(photos, udaseg, arguments, words):
    outcome = udaseg("apply", *arguments, tiny=False)
    assert outcome.code == 1
    assert words in outcome.err
    assert not Path("out").exists()


def test_a_damaged_picture_is_named_and_the_rest_waits_for_it(photos, udaseg):
    victim = sorted(photos.iterdir())[-1]
    victim.write_bytes(victim.read_bytes()[:200])
    outcome = labelled(udaseg, "--pad")
    assert outcome.code == 1
    assert victim.name in outcome.err
    assert not Path("out/manifest.json").exists()


def test_where_no_label_was_written_nothing_would_be_overwritten(photos, udaseg):
    for image in photos.iterdir():
        whole = image.read_bytes()
        image.write_bytes(whole[: len(whole) // 2])
    assert labelled(udaseg, "--pad").code == 1
    for victim in sorted(photos.iterdir())[1:]:
        victim.unlink()
    next(photos.iterdir()).write_bytes(whole)
    assert labelled(udaseg, "--pad").code == 0
