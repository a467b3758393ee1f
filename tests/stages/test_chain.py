"""The files that a finished run of the demo's chain consists of, as other programs read them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from udaseg.labels import class_space

CS19 = class_space("cs19")
TRAIN = [f"{city}_{number:06d}_000019" for city, number in
         (("aachen", 0), ("aachen", 1), ("bochum", 0), ("hamburg", 0), ("ulm", 0))]  # fmt: skip


@pytest.fixture
def run(finished) -> Path:
    return finished / "runs" / "tiny"


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def ids(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


STAGES = ("warmup", "stylize", "predict", "pseudolabel", "stats", "refine", "prototypes", "gmm", "retrain")


@pytest.mark.parametrize("stage", [*STAGES, "evaluate-warmup", "evaluate", "report"])
def test_every_stage_leaves_a_whole_manifest_and_nothing_half_done(run, stage):
    manifest = read(run / stage / "manifest.json")
    assert manifest["schema"] == 1
    assert manifest["stage"] == stage
    assert manifest["version"] == "0.1.0"
    assert manifest["command"].startswith("udaseg")
    assert manifest["environment"]["python"]
    assert manifest["environment"]["torch"]
    assert manifest["seconds"] >= 0
    assert isinstance(manifest["seed"], int)
    assert {"settings", "inputs", "metrics", "warnings"} <= manifest.keys()
    assert all({"path", "digest"} == given.keys() for given in manifest["inputs"].values())
    working = {"manifest.json", "outputs.json", "state.pt"}
    written = [name for name in files(run / stage) if name not in working and not Path(name).name.startswith(".")]
    assert manifest["outputs"]["count"] == len(written)
    assert manifest["outputs"]["bytes"] == sum((run / stage / name).stat().st_size for name in written)
    assert not [name for name in files(run / stage) if "partial" in name or "unfinished" in name]


def test_stages_that_compute_with_torch_name_the_device(run):
    for stage in ("warmup", "predict", "prototypes", "retrain", "evaluate"):
        environment = read(run / stage / "manifest.json")["environment"]
        assert environment["device"]
        assert environment["deterministic"] in (True, False)


def test_training_leaves_a_model_a_state_and_a_log(run):
    for stage, steps, terms in (("warmup", 4, {"source"}), ("retrain", 3, {"source", "target"})):
        assert {"model.pt", "state.pt", "log.jsonl"} <= set(files(run / stage))
        lines = [json.loads(line) for line in (run / stage / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, steps + 1))
        assert all({"loss", "lr"} | terms <= line.keys() for line in lines)


def test_stylize_writes_a_dataset_of_the_sources_layout(run, finished):
    stems = [f"{i:05d}" for i in range(1, 7)]
    names = [f"{part}/{stem}.png" for part in ("images", "labels") for stem in stems]
    assert files(run / "stylize") == sorted([*names, "manifest.json", "outputs.json", "pairs.jsonl"])
    pairs = [json.loads(line) for line in (run / "stylize" / "pairs.jsonl").read_text().splitlines()]
    assert [pair["source"] for pair in pairs] == stems
    assert {pair["target"] for pair in pairs} <= set(TRAIN)
    own = finished / "data" / "toytown" / "gta5" / "labels" / "00001.png"
    assert (run / "stylize" / "labels" / "00001.png").read_bytes() == own.read_bytes()
    assert ids(run / "stylize" / "images" / "00001.png").shape == (32, 64, 3)


def test_predictions_are_float16_at_the_networks_stride(run):
    with h5py.File(run / "predict" / "predictions.h5") as file:
        assert tuple(name.decode() for name in file.attrs["classes"]) == CS19.classes
        assert file.attrs["align_corners"] in (True, False)
        assert sorted(file["logits"]) == TRAIN
        for logits in file["logits"].values():
            assert logits.dtype == np.float16
            assert logits.ndim == 3
            assert logits.shape[0] == 19
            assert (logits.attrs["height"], logits.attrs["width"]) == (64, 128)
            assert np.isfinite(logits[()]).all()


@pytest.mark.parametrize("stage", ["pseudolabel", "refine"])
def test_pseudo_labels_are_palette_pngs_of_train_ids(run, stage):
    assert [path.stem for path in sorted((run / stage / "labels").iterdir())] == TRAIN
    for path in (run / stage / "labels").iterdir():
        with Image.open(path) as label:
            assert (label.mode, label.size) == ("P", (128, 64))
            assert tuple(label.getpalette()[: 3 * 19]) == tuple(np.ravel(CS19.palette))
            assert set(np.unique(np.asarray(label))) <= {*range(19), 255}


def counted(folder: Path) -> list[int]:
    labels = np.concatenate([ids(path).ravel() for path in sorted(folder.iterdir())])
    return np.bincount(labels, minlength=256)[:19].tolist()


def test_thresholds_json_counts_what_was_written(run):
    said = read(run / "pseudolabel" / "thresholds.json")
    assert (said["policy"], said["p"], said["classes"]) == ("cbst", 0.2, list(CS19.classes))
    assert sum(said["predicted"]) == len(TRAIN) * 64 * 128
    assert said["kept"] == counted(run / "pseudolabel" / "labels")
    assert 0 < sum(said["kept"]) < sum(said["predicted"])
    assert all(t == 1 for t, pixels in zip(said["threshold"], said["predicted"], strict=True) if pixels == 0)
    assert all(0 < t <= 1 for t in said["threshold"])


def test_refine_json_counts_what_was_there_and_what_is_left(run):
    said = read(run / "refine" / "refine.json")
    assert said["classes"] == list(CS19.classes)
    assert said["before"] == counted(run / "pseudolabel" / "labels")
    assert said["after"] == counted(run / "refine" / "labels")
    assert 0 < sum(said["after"]) < sum(said["before"])
    for path in (run / "refine" / "labels").iterdir():
        was, now = ids(run / "pseudolabel" / "labels" / path.name), ids(path)
        assert (now[now != 255] == was[now != 255]).all()


def test_stats_json_counts_the_classes_of_the_source(run, finished):
    said = read(run / "stats" / "stats.json")
    assert {"classes", "pixels", "images", "per_image"} <= said.keys()
    assert said["classes"] == list(CS19.classes)
    labels = sorted((finished / "data" / "toytown" / "gta5" / "labels").iterdir())
    road = [int((ids(path) == 7).sum()) for path in labels]  # 7: road, in Cityscapes' label ids
    assert (said["pixels"][0], said["images"][0]) == (sum(road), sum(count > 0 for count in road))


def test_metrics_follow_from_the_confusion_matrix(run):
    for stage in ("evaluate-warmup", "evaluate"):
        said = read(run / stage / "metrics.json")
        confusion = np.array(said["confusion"])
        assert said["classes"] == list(CS19.classes)
        assert confusion.shape == (19, 19)
        assert said["images"] == 3
        assert 0 < confusion.sum() <= 3 * 64 * 128
        union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
        for i, iou in enumerate(said["iou"]):
            assert iou is None or iou == pytest.approx(confusion[i, i] / union[i])
        assert said["pixel_accuracy"] == pytest.approx(confusion.trace() / confusion.sum())
        assert said["miou"] == pytest.approx(np.mean([iou for iou in said["iou"] if iou is not None]))
        assert {"miou16", "miou13", "convention"} <= said.keys()
        assert read(run / stage / "manifest.json")["metrics"]["miou"] == said["miou"]


def test_prototypes_hold_a_centroid_for_each_class(run):
    with h5py.File(run / "prototypes" / "prototypes.h5") as file:
        centroids, counts = file["centroids"][()], file["counts"][()]
    assert centroids.shape[0] == counts.shape[0] == 19
    assert centroids.ndim == 2
    assert counts.sum() > 0
    assert np.isfinite(centroids[counts > 0]).all()


def test_gmm_is_skipped_with_a_word_where_the_source_has_no_depth(run):
    assert read(run / "gmm" / "manifest.json")["metrics"] == {"skipped": "gta5 has no depth"}
    assert not (run / "gmm" / "gmm.h5").exists()


def test_gmm_of_synthia_holds_a_mixture_for_each_class(workspace, udaseg):
    flags = "--set source.dataset=synthia --set space=syn16 --set gmm.grid=[4,8]"
    outcome = udaseg(f"gmm --out mixtures --components 3 {flags}")
    assert outcome.code == 0, outcome.err
    with h5py.File("mixtures/gmm.h5") as file:
        classes = [name.decode() for name in file.attrs["classes"]]
        assert classes == list(class_space("syn16").classes)
        assert tuple(file.attrs["grid"]) == (4, 8)
        weights, means, variances = (file[name][()] for name in ("weights", "means", "variances"))
    assert weights.shape == (16, 3)
    assert means.shape == variances.shape == (16, 3, 3)
    road = classes.index("road")
    assert weights[road].sum() == pytest.approx(1)
    assert (variances[road] > 0).all()


def test_the_report_is_one_page_that_needs_nothing_else(run):
    page = (run / "report.html").read_text()
    assert page == (run / "report" / "report.html").read_text()
    assert "<html" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert 'src="/' not in page


def test_the_run_remembers_what_it_is_of(run, finished):
    assert read(run / "run.json")["recipe"] == str((finished / "tiny.yaml").resolve())


def test_rendered_datasets_pass_the_check(workspace, udaseg):
    for name in ("gta5", "synthia", "cityscapes"):
        outcome = udaseg(f"data check data/toytown/{name} --json", tiny=False)
        assert outcome.code == 0, outcome.out
        assert outcome.json["dataset"] == name
