"""The flags that name inputs, and stages on files that no run has made."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from udaseg.labels import CODINGS, SPACES, lookup_table, train_ids


def predictions(path: Path, names: list[str], images: dict[str, np.ndarray], size: tuple[int, int]) -> Path:
    """Write a predictions.h5 with plain h5py, as another program would."""
    with h5py.File(path, "w") as file:
        file.attrs["classes"] = names
        file.attrs["align_corners"] = True
        for stem, logits_CHW in images.items():
            dataset = file.create_dataset(f"logits/{stem}", data=logits_CHW.astype(np.float16))
            dataset.attrs["height"], dataset.attrs["width"] = size
    return path


def blocks(classes: int, stems: tuple[str, ...] = ("a", "b")) -> dict[str, np.ndarray]:
    """Give logits that are sure of one class in each column block, and the surer the further down."""
    images = {}
    for i, stem in enumerate(stems):
        logits_CHW = np.zeros((classes, 6, 40), np.float32)
        for column in range(40):
            logits_CHW[(column * classes // 40 + i) % classes, :, column] = np.linspace(4, 9, 6)
        images[stem] = logits_CHW
    return images


def ids(path: Path) -> np.ndarray:
    with Image.open(path) as label:
        assert label.mode == "P"
        return np.asarray(label)


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("policy", ["st", "cbst"])
def test_pseudo_labels_and_refinement_of_predictions_without_a_run(tmp_path, monkeypatch, udaseg, classes, policy):
    monkeypatch.chdir(tmp_path)
    names = [f"thing {i}" for i in range(classes)]
    predictions(tmp_path / "scores.h5", names, blocks(classes), (6, 40))
    flags = f"--policy {policy} --p 0.5 --predictions scores.h5 --out made"
    outcome = udaseg(f"pseudolabel {flags}", tiny=False)
    assert outcome.code == 0, outcome.err
    said = json.loads(Path("made/thresholds.json").read_text())
    assert (said["classes"], said["policy"]) == (names, policy)
    assert said["predicted"] == [2 * 6 * (40 // classes) + extra for extra in extras(classes)]
    labels = {stem: ids(tmp_path / "made" / "labels" / f"{stem}.png") for stem in "ab"}
    assert {label.shape for label in labels.values()} == {(6, 40)}
    # The lower half of each block is the surer one.
    for stem, logits_CHW in blocks(classes).items():
        label, best = labels[stem], logits_CHW.argmax(0)
        assert (label[3:] == best[3:]).all()
        assert (label[:3] == 255).all()
    assert list(tmp_path.glob("runs/*")) == []

    counts = {"classes": names, "pixels": [1] * classes, "images": [1] * classes, "per_image": {}}
    Path("stats.json").write_text(json.dumps(counts))
    flags = "--labels made/labels --predictions scores.h5 --class-counts stats.json --confidence 0 --base0 0 --base1 0"
    flags += " --no-scale-with-area"
    outcome = udaseg(f"refine --spatial-prior {flags} --out refined", tiny=False)
    assert outcome.code == 0, outcome.err
    for stem in "ab":
        assert (ids(tmp_path / "refined" / "labels" / f"{stem}.png") == labels[stem]).all()
    outcome = udaseg(f"refine --spatial-prior {flags} --out refined --base0 10000", tiny=False)
    assert "refine.base0: 0 -> 10000" in outcome.err
    assert sum(json.loads(Path("refined/refine.json").read_text())["after"]) == 0
    assert list(tmp_path.glob("runs/*")) == []


def extras(classes: int) -> list[int]:
    """Give how many pixels more than 2 * 6 * (40 // classes) each class has."""
    owner = [column * classes // 40 for column in range(40)]
    share = [6 * (owner.count(c) + owner.count((c - 1) % classes)) for c in range(classes)]
    return [pixels - 2 * 6 * (40 // classes) for pixels in share]


def test_model_takes_a_file_a_directory_or_a_stage(workspace, udaseg, manifest):
    before = manifest("runs/tiny/predict")["outputs"]["digest"]
    for model in ("warmup", "runs/tiny/warmup", "runs/tiny/warmup/model.pt", str(workspace / "runs/tiny/warmup")):
        assert "predict: up to date" in udaseg("predict", "--model", model).err
    outcome = udaseg("predict --model retrain --out other")
    assert outcome.code == 0, outcome.err
    assert manifest("other")["inputs"]["model"]["path"] == "runs/tiny/retrain/model.pt"
    assert manifest("other")["outputs"]["digest"] != before
    assert "evaluate: up to date" in udaseg("evaluate", "--model", str(workspace / "runs/tiny/retrain/model.pt")).err
    assert "evaluate-warmup: up to date" in udaseg("evaluate --model warmup").err


def test_every_flag_takes_a_file_a_directory_or_a_stage(workspace, udaseg, manifest):
    run = "runs/tiny"
    files = {
        "pseudolabel --predictions": ("predict", "predictions.h5"),
        "pseudolabel --before": ("pseudolabel", "thresholds.json"),
        "refine --class-counts": ("stats", "stats.json"),
        "evaluate --predictions": ("predict", "predictions.h5"),
    }
    for command, (stage, name) in files.items():
        told = {udaseg(f"{command} {way} --dry-run --out x").err for way in (stage, f"{run}/{stage}/{name}")}
        told |= {udaseg(f"{command} {run}/{stage} --dry-run --out x").err}
        assert len(told) == 1, told
        assert "would run into x" in told.pop()
    for way in ("pseudolabel", f"{run}/pseudolabel", f"{run}/pseudolabel/labels"):
        outcome = udaseg(f"retrain --labels {way} --steps 1 --out more")
        assert outcome.code == 0, outcome.err
    assert "retrain: up to date (more)" in outcome.err
    assert manifest("more")["inputs"]["labels"]["path"] == f"{run}/pseudolabel/labels"
    for command in ("retrain --labels nope", "pseudolabel --predictions nope", "evaluate --predictions nope"):
        outcome = udaseg(command)
        assert outcome.code == 1
        assert f"--{command.split('--')[1]}: nope does not exist" in outcome.err
    outcome = udaseg("retrain --labels distill")
    assert "run first: udaseg distill" in outcome.err


def test_evaluate_without_a_retrained_model_scores_the_warmup(workspace, udaseg):
    for path in ("retrain", "evaluate"):
        (workspace / "runs" / "tiny" / path / "manifest.json").unlink()
    assert "evaluate-warmup: up to date (runs/tiny/evaluate-warmup)" in udaseg("evaluate").err


def test_retrain_takes_labels_and_a_model_from_anywhere(workspace, udaseg, manifest):
    outcome = udaseg("retrain --labels runs/tiny/pseudolabel/labels --model retrain --steps 1 --out more")
    assert outcome.code == 0, outcome.err
    inputs = manifest("more")["inputs"]
    assert inputs["labels"]["path"] == "runs/tiny/pseudolabel/labels"
    assert inputs["model"]["path"] == "runs/tiny/retrain/model.pt"


def test_prototypes_of_either_domain(workspace, udaseg):
    pixels = {}
    for domain in ("source", "target", "both"):
        labels = "" if domain == "source" else "--labels runs/tiny/pseudolabel/labels"
        outcome = udaseg(f"prototypes --domain {domain} {labels} --out {domain}")
        assert outcome.code == 0, outcome.err
        with h5py.File(f"{domain}/prototypes.h5") as file:
            pixels[domain] = file["counts"][()]
    assert (pixels["source"] + pixels["target"] == pixels["both"]).all()


def test_pseudo_labels_of_a_part_of_the_images(workspace, udaseg, manifest):
    """Of another tool: what has a label is trained on, and the others are counted."""
    shutil.copytree("runs/tiny/refine/labels", "labels")
    victim = sorted(Path("labels").iterdir())[0]
    victim.unlink()
    told = "warning: 1 of 5 images have no pseudo-label in labels and are left out"
    outcome = udaseg("retrain --labels labels --steps 1 --out more")
    assert outcome.code == 0, outcome.err
    assert told in outcome.err
    assert "1 steps on 4 target images" in outcome.err
    assert manifest("more")["metrics"]["images"] == 4
    outcome = udaseg("prototypes --domain target --labels labels --out centroids")
    assert told in outcome.err, outcome.err
    outcome = udaseg("refine --labels labels --out refined")
    assert told in outcome.err, outcome.err
    assert len(list(Path("refined/labels").iterdir())) == 4
    for path in Path("labels").iterdir():
        path.unlink()
    outcome = udaseg("retrain --labels labels --out none")
    assert outcome.code == 1
    assert f"labels holds no pseudo-label for 5 of 5 images, the first is {victim.stem}" in outcome.err
    assert f"name a folder that holds {victim.stem}.png and so on with --labels" in outcome.err


def test_labels_of_another_tool_with_other_names(workspace, udaseg, manifest):
    """In sub-folders, with a suffix, beside renderings: the hint names the flag, and the flag is enough."""
    for path in sorted(Path("runs/tiny/refine/labels").iterdir()):
        for ending in ("_pred", "_color"):
            copied = Path("preds", path.stem.split("_")[0], f"{path.stem}{ending}.png")
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied)
    outcome = udaseg("retrain --labels preds --steps 1 --out more")
    assert outcome.code == 1
    assert (
        "hint: name what the label names add to the image names: --label-suffix=_color (others add _pred)"
        in outcome.err
    )
    outcome = udaseg("retrain --labels preds --steps 1 --label-suffix=_pred --out more")
    assert outcome.code == 0, outcome.err
    assert "1 steps on 5 target images" in outcome.err
    assert "labels: the names in preds add _pred to those of the images" in outcome.err
    assert manifest("more")["settings"]["labels"] == {"suffix": "_pred"}
    assert "up to date" in udaseg("retrain --labels preds --steps 1 --label-suffix=_pred --out more").err
    outcome = udaseg("retrain --label-suffix=_pred --out other")
    assert outcome.code == 1
    assert "--label-suffix: nothing would read it: the pseudo-labels are those of the run" in outcome.err


def test_predictions_of_another_tool_are_scored(workspace, udaseg):
    truth = sorted(Path("data").rglob("gtFine/val/**/*_labelIds.png"))
    table = lookup_table(train_ids(CODINGS["cityscapes"], SPACES["cs19"]))
    Path("preds").mkdir()
    for path in truth[1:]:
        name = path.name.replace("_gtFine_labelIds", "_leftImg8bit")
        Image.fromarray(table[np.array(Image.open(path))]).save(Path("preds", name))
    outcome = udaseg("evaluate --predictions preds --json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["images"] == len(truth) - 1
    assert outcome.json["miou"] == 1
    assert f"warning: 1 of {len(truth)} labelled images have no prediction" in outcome.err
    assert Path("runs/tiny/evaluate-preds/metrics.json").is_file()
    assert "no label of val" not in outcome.err
    shown = {i for path in Path("preds").iterdir() for i in np.unique(np.array(Image.open(path))).tolist()}
    unseen, ids = min(set(range(19)) - shown), np.array(Image.open(path := next(Path("preds").iterdir())))
    ids[tuple(np.argwhere(ids != 255)[0])] = unseen
    Image.fromarray(ids).save(path)
    outcome = udaseg("evaluate --predictions preds")
    assert f"warning: no label of val shows {SPACES['cs19'].classes[unseen]}, but predictions do" in outcome.err
    for flags, message in (
        ("--average probs", "--average: nothing would read it: labels are not averaged"),
        ("--label-suffix=_x", "preds holds no prediction for any of the 3 labelled images"),
        ("--flip", "--flip: nothing would read it: predictions have been made already"),
    ):
        outcome = udaseg(f"evaluate --predictions preds {flags} --out more")
        assert outcome.code == 1
        assert message in outcome.err
    outcome = udaseg("evaluate --label-suffix=_x")
    assert outcome.code == 1
    assert "--label-suffix: nothing would read it: label files alone have a suffix" in outcome.err


def test_a_lost_pseudo_label_of_the_run_itself_is_no_subset(workspace, udaseg):
    victim = sorted(Path("runs/tiny/refine/labels").iterdir())[1]
    victim.unlink()
    outcome = udaseg("retrain --steps 1")
    assert outcome.code == 1
    assert f"holds no pseudo-label for 1 of 5 images, the first is {victim.stem}" in outcome.err


def test_predictions_of_a_part_of_the_labelled_images(workspace, udaseg):
    outcome = udaseg("predict --set target.split=val --out predict-val")
    assert outcome.code == 0, outcome.err
    with h5py.File("predict-val/predictions.h5") as whole, h5py.File("part.h5", "w") as part:
        part.attrs.update(whole.attrs)
        for stem in sorted(whole["logits"])[1:]:
            whole.copy(f"logits/{stem}", part.require_group("logits"))
    outcome = udaseg("evaluate --predictions part.h5 --out scores --json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["images"] == 2
    assert "warning: 1 of 3 labelled images have no prediction in part.h5 and are left out" in outcome.err
    outcome = udaseg("evaluate --predictions predict --out scores2")
    assert outcome.code == 1
    assert "udaseg predict --set target.split=val --out predict-val --recipe tiny.yaml" in outcome.err


def test_class_counts_of_other_classes(workspace, udaseg):
    Path("stats.json").write_text(json.dumps({"classes": ["road"], "pixels": [3]}))
    outcome = udaseg("refine --class-counts stats.json --out more")
    assert outcome.code == 1
    assert "stats.json: expected the pixel counts of road, sidewalk" in outcome.err
    assert "hint: " in outcome.err
