"""One's own data, of any number of classes, through every stage, with no code."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

RECIPE = """\
name: mine
space: {space}
chain: [warmup, predict, pseudolabel, refine, retrain, evaluate, report]
data: .
source: {{dataset: folder, root: synthetic, size: [32, 48]}}
target: {{dataset: folder, root: real, size: [32, 48]}}
model: {{name: fpn, backbone: resnet18, weights: none, bn: train}}
warmup: {{steps: 2, batch: 2, optimizer: adamw, lr: 0.001}}
predict: {{batch: 2}}
refine: {{aggregate: true, confidence: 0.0, base0: 0, base1: 0}}
retrain: {{steps: 2, batch: 2, optimizer: adamw, lr: 0.001}}
"""


def write_split(folder: Path, stems: list[str], ids: list[int], size: tuple[int, int], rng, suffix: str) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for stem in stems:
        label = rng.choice(ids, (size[0] // 8, size[1] // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        image = rng.integers(0, 256, (256, 3), dtype=np.uint8)[label]
        Image.fromarray(image).save(folder / "images" / f"{stem}{suffix}")
        Image.fromarray(label).save(folder / "labels" / f"{stem}.png")


@pytest.fixture
def own_data(request, tmp_path, monkeypatch):
    """Write a recipe, a synthetic and a real dataset of so many classes: ids with gaps, other ids on either side."""
    classes = request.param
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(classes)
    names = [f"class {i}" for i in range(classes)]
    for name, first, size in (("synthetic", 0, (40, 56)), ("real", 3, (48, 64))):
        meaning = {first + 2 * i: names[i] for i in range(classes)}
        ids = [*meaning, 255, 200]
        write_split(tmp_path / name / "train", ["a", "b", "ä ö"], ids, size, rng, ".png")
        if name == "real":
            write_split(tmp_path / name / "val", ["c", "d"], ids, size, rng, ".jpg")
        said = {"names": meaning, "ignore": [200, 255]}
        (tmp_path / name / "classes.yaml").write_text(yaml.safe_dump(said))
    (tmp_path / "mine.yaml").write_text(RECIPE.format(space=names))
    return names


@pytest.mark.parametrize("own_data", [2, 3, 7, 13, 40], indirect=True)
def test_own_data_through_every_stage(own_data, udaseg, manifest):
    for command in ("warmup", "pseudolabel --p 0.5", "refine", "retrain", "report"):
        outcome = udaseg(f"{command} --recipe mine.yaml", tiny=False)
        assert outcome.code == 0, outcome.err
    outcome = udaseg("evaluate --recipe mine.yaml --json", tiny=False)
    assert outcome.code == 0, outcome.err
    scores, classes = outcome.json, len(own_data)
    assert scores["classes"] == own_data
    assert (len(scores["iou"]), np.shape(scores["confusion"])) == (classes, (classes, classes))
    assert np.sum(scores["confusion"]) <= 2 * 48 * 64
    assert (scores["miou16"], scores["miou13"]) == (None, None)
    with h5py.File("runs/mine/predict/predictions.h5") as file:
        assert [name.decode() for name in file.attrs["classes"]] == own_data
        assert sorted(file["logits"]) == ["a", "b", "ä ö"]
    for stage in ("pseudolabel", "refine"):
        with Image.open(f"runs/mine/{stage}/labels/ä ö.png") as label:
            assert (label.mode, label.size) == ("P", (64, 48))
            assert set(np.unique(np.asarray(label))) <= {*range(classes), 255}
    assert manifest("runs/mine/pseudolabel")["metrics"]["images"] == 3
    page = Path("runs/mine/report.html").read_text()
    assert own_data[-1] in page


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_pictures_of_several_aspects_keep_theirs(own_data, udaseg):
    """A portrait, a landscape: padded for the batches of training, labelled whole at their own sizes."""
    Path("list.txt").write_text("a\nb.png\n")
    with Image.open("real/train/images/a.png") as image:
        upright = image.transpose(Image.Transpose.ROTATE_90)
    upright.save("real/train/images/a.png")
    padded = "--set target.pad=true --set target.size=[32,64] --set source.size=[32,64] --set source.pad=true"
    flags = f"--recipe mine.yaml --target-list list.txt {padded}"
    adversary = "--set adversary.align=output --set warmup.entropy_weight=0.01"
    for command in (f"warmup {adversary}", "pseudolabel --p 0.5", "refine", "retrain", "evaluate"):
        outcome = udaseg(f"{command} {flags}", tiny=False)
        assert outcome.code == 0, outcome.err
    assert sorted(path.stem for path in Path("runs/mine/pseudolabel/labels").iterdir()) == ["a", "b"]
    for stem, size in (("a", (48, 64)), ("b", (64, 48))):
        with Image.open(f"runs/mine/pseudolabel/labels/{stem}.png") as label:
            assert label.size == size
    outcome = udaseg(f"predict --dry-run {flags} --set target.pad=false", tiny=False)
    assert "target.pad" in outcome.err
    outcome = udaseg("warmup --recipe mine.yaml --set target.pad=true --set target.size=null", tiny=False)
    assert outcome.code == 1
    assert "there is no size" in outcome.err


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_images_of_half_the_size_are_scored_at_the_size_of_their_labels(own_data, udaseg):
    for path in [*Path("real").rglob("*.jpg"), *Path("synthetic").glob("train/images/*")]:
        with Image.open(path) as image:
            half = image.resize((image.width // 2, image.height // 2))
        half.save(path)
    assert udaseg("data check real", tiny=False).code == 0
    for command in ("warmup", "evaluate --model warmup --json"):
        outcome = udaseg(f"{command} --recipe mine.yaml", tiny=False)
        assert outcome.code == 0, outcome.err
    scored = 0
    for path in Path("real/val/labels").iterdir():
        with Image.open(path) as label:
            scored += int(np.isin(np.asarray(label), [3, 5, 7]).sum())
    assert np.sum(outcome.json["confusion"]) == scored
    with Image.open("real/val/images/c.jpg") as image:
        image.crop((0, 0, 32, 20)).save("real/val/images/c.jpg")
    outcome = udaseg("evaluate --model warmup --recipe mine.yaml", tiny=False)
    assert outcome.code == 1
    assert "c.png: expected the aspect of its image, 20x32, found 48x64" in outcome.err


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_labels_in_colours_train_and_score_as_ids_do_and_are_stated_once(own_data, udaseg):
    def run() -> tuple[str, dict, bytes]:
        first = udaseg("warmup --recipe mine.yaml --force", tiny=False)
        second = udaseg("evaluate --model warmup --recipe mine.yaml --json --force", tiny=False)
        assert (first.code, second.code) == (0, 0), first.err + second.err
        return first.err, second.json, Path("runs/mine/warmup/model.pt").read_bytes()

    _, scores, model = run()
    colours = np.random.default_rng(0).permutation(256)[:, None] * [1, 0, 0] + [0, 20, 70]
    for path in [*Path("synthetic").glob("*/labels/*"), *Path("real").glob("*/labels/*")]:
        with Image.open(path) as label:
            coloured = Image.fromarray(colours[np.asarray(label)].astype(np.uint8))
        coloured.save(path)
    for root in (Path("real"), Path("synthetic")):
        said = yaml.safe_load((root / "classes.yaml").read_text())
        said["palette"] = [colours[i].tolist() for i in said["names"]]
        said["ignore"] = [255, *(colours[i].tolist() for i in (200, 255))]
        (root / "classes.yaml").write_text(yaml.safe_dump(said))
    lines, scores_in_colours, model_in_colours = run()
    assert scores_in_colours == scores
    assert model_in_colours == model
    assert lines.count("source: label files: one colour for each class") == 1
    said["palette"][0] = [1, 2, 3]
    (root / "classes.yaml").write_text(yaml.safe_dump(said))
    outcome = udaseg("warmup --recipe mine.yaml", tiny=False)
    assert outcome.code == 1
    assert "colours that no class has" in outcome.err


@pytest.mark.parametrize("own_data", [2], indirect=True)
def test_domains_of_different_sizes_cannot_share_a_batch(own_data, udaseg):
    for command in ("warmup", "pseudolabel --p 0.5", "refine"):
        assert udaseg(f"{command} --recipe mine.yaml --set target.size=null", tiny=False).code == 0
    outcome = udaseg("retrain --recipe mine.yaml --set target.size=null", tiny=False)
    assert outcome.code == 1
    assert "those of the source 32x48, those of the target 48x64" in outcome.err
    assert "set source.size=[256,512] and target.size=[256,512]" in outcome.err


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_a_class_that_no_label_can_have_is_told_wherever_it_matters(own_data, udaseg, manifest):
    name = own_data[-1]
    for domain, last in (("synthetic", 4), ("real", 7)):
        path = Path(domain, "classes.yaml")
        path.write_text(path.read_text().replace(f"{last}: {name}\n", f"{last}: something else\n"))
    told = f"no label of synthetic can be {name}: synthetic/classes.yaml has no such class"
    outcome = udaseg("recipe check mine.yaml", tiny=False)
    assert outcome.code == 0, outcome.err
    assert f"warning: {told}" in outcome.out
    assert "note: source: labels of no class, ignored: something else" in outcome.out
    for command, stage in (("warmup", "warmup"), ("evaluate --model warmup", "evaluate-warmup")):
        outcome = udaseg(f"{command} --recipe mine.yaml", tiny=False)
        assert f"{stage}: warning: {told}" in outcome.err
        assert told in manifest(f"runs/mine/{stage}")["warnings"]
    assert f"no label of real can be {name}" in outcome.err
    assert f"evaluate-warmup: warning: {told}" in udaseg("evaluate --model warmup --recipe mine.yaml", tiny=False).err


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_a_class_that_no_label_of_a_small_source_shows_is_told(own_data, udaseg):
    for path in Path("synthetic/train/labels").iterdir():
        with Image.open(path) as label:
            ids = np.asarray(label).copy()
        ids[ids == 4] = 255
        Image.fromarray(ids).save(path)
    told = f"no label of the source shows {own_data[-1]}"
    assert f"warning: {told}" in udaseg("recipe check mine.yaml", tiny=False).out
    assert f"warmup: warning: {told}" in udaseg("warmup --recipe mine.yaml", tiny=False).err


@pytest.mark.parametrize("own_data", [2], indirect=True)
def test_a_class_in_another_case_is_refused_before_anything_is_trained(own_data, udaseg):
    recipe = Path("mine.yaml")
    recipe.write_text(recipe.read_text().replace("class 1", "Class_1"))
    for command in ("recipe check mine.yaml", "warmup --recipe mine.yaml", "evaluate --recipe mine.yaml"):
        outcome = udaseg(command, tiny=False)
        assert outcome.code == 1
    outcome = udaseg("warmup --recipe mine.yaml", tiny=False)
    assert "synthetic/classes.yaml has no class 'Class_1' of the recipe's space; it has 'class 1'" in outcome.err
    assert "did you mean 'class 1'?" in outcome.err


@pytest.mark.parametrize("own_data", [2], indirect=True)
def test_a_partly_annotated_val_is_scored_where_it_is_and_a_stray_label_is_nothing(own_data, udaseg, manifest):
    Path("real/val/labels/c.png").unlink()
    for stem in ("b", "ä ö"):
        Path(f"real/train/labels/{stem}.png").unlink()
    assert "warning: 1 of 2 images in val of real have no label" in udaseg("recipe check mine.yaml", tiny=False).out
    outcome = udaseg("evaluate --recipe mine.yaml --json", tiny=False)
    assert outcome.code == 1  # there is no model
    assert udaseg("warmup --recipe mine.yaml", tiny=False).code == 0
    outcome = udaseg("evaluate --recipe mine.yaml --json", tiny=False)
    assert outcome.code == 0, outcome.err
    assert outcome.json["images"] == 1
    assert "evaluate-warmup: warning: 1 of 2 images in val of real have no label and are left out" in outcome.err
    assert udaseg("predict --recipe mine.yaml", tiny=False).code == 0
    assert manifest("runs/mine/predict")["metrics"]["images"] == 3
    outcome = udaseg("data check real", tiny=False)
    assert outcome.code == 1
    assert "not usable as a source; usable as a target" in outcome.out
    assert "udaseg data check real --as target" in outcome.out
    outcome = udaseg("data check real --as target", tiny=False)
    assert outcome.code == 0
    assert "error" not in outcome.out


@pytest.mark.parametrize("own_data", [3], indirect=True)
def test_own_data_that_lacks_something(own_data, udaseg):
    Path("real/classes.yaml").unlink()
    outcome = udaseg("status --recipe mine.yaml", tiny=False)
    assert outcome.code == 1
    assert "expected a classes.yaml, found none" in outcome.err
    assert "names: [road, car, person]" in outcome.err
    Path("synthetic/train/labels/b.png").unlink()
    outcome = udaseg("warmup --recipe mine.yaml", tiny=False)
    assert outcome.code == 1
    assert "b.png" in outcome.err
    outcome = udaseg("data check synthetic --json", tiny=False)
    assert outcome.code == 1
    assert "b" in outcome.out


def test_polygons_become_a_dataset_by_a_command(udaseg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Image.new("RGB", (8, 6)).save("in/a.png")
    shape = {"label": "car", "points": [[0, 0], [4, 0], [4, 3], [0, 3]]}
    line = {"label": "car", "shape_type": "line", "points": [[0, 0], [4, 0]]}
    content = {"shapes": [shape, line], "imagePath": "a.png", "imageHeight": 6, "imageWidth": 8}
    Path("in/a.json").write_text(json.dumps(content))
    outcome = udaseg("data convert in out --split val", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "1 images in out/val; 2 classes: background, car" in outcome.out
    assert "left out: 1 points and lines" in outcome.out
    assert udaseg("data check out", tiny=False).code == 0
    assert udaseg("data convert in out --split val", tiny=False).code == 1
