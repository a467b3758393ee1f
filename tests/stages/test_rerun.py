"""What runs again, what does not, and what the user is told."""

import json
from pathlib import Path

import pytest

EVERYTHING = (
    "warmup", "stylize", "predict", "pseudolabel", "refine", "prototypes", "gmm", "retrain",
    "evaluate --model warmup", "evaluate", "report",
)  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Note each file by inode and time; the lock and the times of manifests are not content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, 0 if path.name == "manifest.json" else path.stat().st_mtime)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_a_second_run_is_up_to_date_and_rewrites_nothing(workspace, udaseg):
    before = snapshot(workspace / "runs" / "tiny")
    for command in EVERYTHING:
        outcome = udaseg(command)
        assert outcome.code == 0
        assert "up to date" in outcome.err
        assert ": runs in" not in outcome.err
    assert snapshot(workspace / "runs" / "tiny") == before


def test_a_changed_setting_runs_the_stage_and_what_follows_and_is_named(workspace, udaseg, manifest):
    change = ("--set", "pseudolabel.p=0.4")
    assert "warmup: up to date" in udaseg("warmup", *change).err
    assert "predict: up to date" in udaseg("predict", *change).err
    outcome = udaseg("pseudolabel", *change)
    assert "predict: up to date" in outcome.err
    assert "pseudolabel: runs in runs/tiny/pseudolabel: pseudolabel.p: 0.2 -> 0.4" in outcome.err
    assert manifest("runs/tiny/pseudolabel")["settings"]["pseudolabel"]["p"] == 0.4
    outcome = udaseg("refine", *change)
    assert "refine: runs in runs/tiny/refine: input labels (runs/tiny/pseudolabel/labels) has changed" in outcome.err
    # The labels that are left may be the same in so small a world; if they are, nothing that follows has changed.
    outcome = udaseg("prototypes", *change)
    assert "input labels (runs/tiny/refine/labels) has changed" in outcome.err
    assert "stylize: up to date" in udaseg("stylize", *change).err


def test_settings_that_only_save_memory_change_no_result_and_run_nothing_again(workspace, udaseg, manifest):
    assert "accumulate" not in manifest("runs/tiny/warmup")["settings"]["warmup"]  # as in results from before it
    for stage in ("warmup", "retrain"):
        assert "up to date" in udaseg(stage, "--set", f"{stage}.activation_checkpointing=true").err
        assert f"{stage}.accumulate: (not set) -> 2" in udaseg(f"{stage} --dry-run --set {stage}.accumulate=2").err


def test_windows_and_the_detail_are_no_settings_of_results_from_before_them(workspace, udaseg, manifest):
    for stage in ("predict", "evaluate"):
        assert not {"window", "window_stride"} & manifest(f"runs/tiny/{stage}")["settings"][stage].keys()
        change = f"{stage}.window: (not set) -> [32, 48]; {stage}.window_stride: (not set) -> [16, 24]"
        assert change in udaseg(f"{stage} --window 32x48 --window-stride 16x24 --dry-run").err
    for stage in ("warmup", "retrain"):
        assert "detail" not in manifest(f"runs/tiny/{stage}")["settings"]["model"]
    assert "model.detail: (not set) -> [32, 64]" in udaseg("warmup --dry-run --set model.detail=[32,64]").err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--window 48", "--window 48: expected HEIGHTxWIDTH"),
        ("--window 16x64", "predict.window: 16x64 is too small: the networks need 32x32 or more"),
        ("--window-stride 16x16", "predict.window_stride: it needs a window, and there is none; set window=[H,W]"),
        ("--window 32x32 --window-stride 16x40", "leave pixels out at a stride of 16x40; set window_stride to [32,32]"),
    ],
)
def test_windows_that_do_not_fit_are_one_error(workspace, udaseg, flags, message):
    outcome = udaseg(f"predict {flags}")
    assert outcome.code == 1
    assert message in outcome.err


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("warmup", "model.weights=own.pt"),
        ("retrain --set retrain.init=weights", "model.weights=own.pt"),
        ("distill --set distill.steps=1", "distill.weights=own.pt"),
    ],
)
def test_a_changed_file_of_weights_is_noticed(workspace, udaseg, command, change):
    own = Path("own.pt")
    first, other = (Path(f"runs/tiny/{stage}/model.pt").read_bytes() for stage in ("warmup", "retrain"))
    asked = (*command.split(), "--set", change, "--out", "made")
    stage = command.split()[0]
    outcome = udaseg(*asked)
    assert outcome.code == 1
    assert "error: there is no weights file own.pt" in outcome.err
    own.write_bytes(first)
    assert udaseg(*asked).code == 0
    assert f"{stage}: up to date" in udaseg(*asked).err
    own.write_bytes(other)
    assert f"{stage}: would run into made: input weights (own.pt) has changed" in udaseg(*asked, "--dry-run").err


def test_flags_go_over_set_and_set_over_the_recipe(rendered, udaseg, manifest):
    assert udaseg("gmm --components 2", "--set", "gmm.components=3", "--set", "gmm.iterations=7").code == 0
    settings = manifest("runs/tiny/gmm")["settings"]["gmm"]
    assert (settings["components"], settings["iterations"]) == (2, 7)


def test_a_copy_of_a_source_picture_is_no_change_and_another_picture_is(workspace, udaseg):
    image = workspace / "data" / "toytown" / "gta5" / "images" / "00003.png"
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content)
    assert "stylize: up to date" in udaseg("stylize").err
    image.write_bytes((image.parent / "00004.png").read_bytes())
    outcome = udaseg("stylize --dry-run")
    assert "stylize: would run into runs/tiny/stylize: input source (data/toytown/gta5) has changed" in outcome.err


def test_a_damaged_output_is_noticed_and_made_again(workspace, udaseg, manifest):
    before = manifest("runs/tiny/refine")["outputs"]["digest"]
    victim = next((workspace / "runs" / "tiny" / "refine" / "labels").iterdir())
    victim.unlink()
    outcome = udaseg("refine")
    assert "its outputs have changed: 6 files written, 5 found" in outcome.err
    assert manifest("runs/tiny/refine")["outputs"]["digest"] == before


def test_force_runs_what_is_up_to_date_to_the_same_bytes(workspace, udaseg, manifest):
    for command in ("stylize", "predict", "pseudolabel", "refine"):
        before = manifest(f"runs/tiny/{command}")["outputs"]["digest"]
        outcome = udaseg(f"{command} --force")
        assert f"{command}: runs in runs/tiny/{command}: --force was given" in outcome.err
        assert manifest(f"runs/tiny/{command}")["outputs"]["digest"] == before


def test_dry_run_plans_and_writes_nothing(workspace, udaseg):
    before = snapshot(workspace)
    times = {path: path.stat().st_mtime_ns for path in workspace.rglob("manifest.json")}
    outcome = udaseg("pseudolabel --dry-run --p 0.5")
    assert outcome.code == 0
    assert "predict: up to date" in outcome.err
    assert "pseudolabel: would run into runs/tiny/pseudolabel: pseudolabel.p: 0.2 -> 0.5" in outcome.err
    outcome = udaseg("warmup --dry-run --steps 9")
    assert "warmup.steps: 4 -> 9" in outcome.err
    assert udaseg("evaluate --dry-run --force").code == 0
    assert udaseg("report --dry-run --force").code == 0
    assert snapshot(workspace) == before
    assert times == {path: path.stat().st_mtime_ns for path in workspace.rglob("manifest.json")}


def test_dry_run_says_what_would_be_made_first(rendered, finished, udaseg):
    (rendered / "runs" / "tiny").mkdir(parents=True)
    Path("runs/tiny/warmup").symlink_to(finished / "runs" / "tiny" / "warmup")
    outcome = udaseg("pseudolabel --dry-run")
    assert outcome.code == 0, outcome.err
    assert "predict: would run into runs/tiny/predict: it has not been run" in outcome.err
    assert "pseudolabel: would run after that" in outcome.err
    assert [path.name for path in Path("runs/tiny").iterdir()] == ["warmup"]


@pytest.mark.parametrize("command", ["warmup", "stylize", "gmm", "data stats"])
def test_dry_run_in_an_empty_directory_plans_toytown_first(tmp_path, monkeypatch, udaseg, command):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(f"{command} --dry-run", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "data: would run into data/toytown: it has not been run" in outcome.err
    assert "would run after that" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_json_is_all_that_is_on_stdout(workspace, udaseg):
    assert udaseg("evaluate --json").json == json.loads(Path("runs/tiny/evaluate/metrics.json").read_text())
    assert udaseg("report --json").json["miou"] is not None
    status = udaseg("status --json").json
    assert [row["state"] for row in status["stages"]] == ["up to date"] * len(EVERYTHING)
    for command in ("warmup", "predict", "pseudolabel --p 0.3", "pseudolabel --p 0.3", "data stats"):
        outcome = udaseg(f"{command} --json")
        assert outcome.json["stage"] == command.split()[0].replace("data", "stats")
        assert outcome.json["outputs"]["count"] >= 1
        assert outcome.err


def test_without_json_results_are_tables_and_the_rest_is_on_stderr(workspace, udaseg):
    outcome = udaseg("evaluate")
    assert "source-only" in outcome.out
    assert "traffic light" in outcome.out
    assert "mean of 16" in outcome.out
    assert "mIoU" in outcome.err
    assert udaseg("predict").out == ""


def test_out_writes_elsewhere_and_leaves_the_run_alone(workspace, udaseg, manifest):
    before = snapshot(workspace / "runs")
    outcome = udaseg("pseudolabel --p 0.5 --out elsewhere/labels")
    assert outcome.code == 0, outcome.err
    assert manifest("elsewhere/labels")["settings"]["pseudolabel"]["p"] == 0.5
    assert snapshot(workspace / "runs") == before
    outcome = udaseg("refine --labels elsewhere/labels/labels --out elsewhere/refined")
    assert outcome.code == 0, outcome.err
    assert manifest("elsewhere/refined")["inputs"]["labels"]["path"] == "elsewhere/labels/labels"
    assert udaseg("evaluate --out elsewhere/scores --json").json["images"] == 3
    assert Path("elsewhere/scores/metrics.json").is_file()
    assert snapshot(workspace / "runs") == before


def test_a_run_named_alone_knows_its_recipe(workspace, udaseg, monkeypatch):
    outcome = udaseg("status --run runs/tiny --json", tiny=False)
    assert {row["state"] for row in outcome.json["stages"]} == {"up to date"}
    monkeypatch.setenv("UDASEG_RUN", "runs/tiny")
    assert "retrain: up to date (runs/tiny/retrain)" in udaseg("retrain", tiny=False).err


def test_status_of_a_run_by_its_place(workspace, udaseg):
    named = udaseg("status runs/tiny --json", tiny=False)
    assert named.json == udaseg("status --run runs/tiny --json", tiny=False).json
    missing = udaseg("status runs/other", tiny=False)
    assert (missing.code, missing.out) == (1, "")
    assert "runs/other is no run" in missing.err
    twice = udaseg("status runs/tiny --run runs/other", tiny=False)
    assert twice.code == 1
    assert "name the run once" in twice.err


def test_status_says_which_stages_a_setting_makes_stale(workspace, udaseg):
    outcome = udaseg("status --json", "--set", "stylize.beta=0.05")
    state = {row["stage"]: (row["state"], row["why"]) for row in outcome.json["stages"]}
    assert state["stylize"] == ("to run", ["stylize.beta: 0.01 -> 0.05"])
    assert state["warmup"] == state["gmm"] == ("up to date", [])
    told = udaseg("status", "--set", "stylize.beta=0.05").out
    assert "stylize to run: stylize.beta: 0.01 -> 0.05" in told
    assert max(map(len, told.splitlines())) <= 80


def test_another_world_than_the_recipes_is_used_and_said(workspace, udaseg):
    outcome = udaseg("stylize --dry-run", "--set", "toytown.train=99")
    assert "data: data/toytown is used as it is: it has train 5, not 99" in outcome.err
    assert "stylize: up to date" in outcome.err
    assert "train" not in udaseg("stylize --dry-run").err
    outcome = udaseg("stylize --dry-run", "--set", "toytown.frames=3")
    command = "udaseg data make data/toytown --source 6 --train 5 --val 3 --frames 3 --size 64x128"
    assert f"(`{command}` renders it again)" in outcome.err


def test_ids_with_another_meaning_make_a_stage_run_again(workspace, udaseg):
    root = workspace / "mine"
    for part in ("images", "labels"):
        (root / "train").mkdir(parents=True, exist_ok=True)
        (workspace / "data" / "toytown" / "gta5" / part).rename(root / "train" / part)
    ids = "{" + ", ".join(f"{i}: other" for i in range(34) if i not in (7, 23)) + ", 7: road, 23: sky}"
    (root / "classes.yaml").write_text(f"names: {ids}\n")
    mine = ("--set", "source={dataset: folder, root: ../../mine}", "--set", "space=[road, sky]")
    assert udaseg("data stats", *mine).code == 0
    assert "up to date" in udaseg("data stats", *mine).err
    (root / "classes.yaml").write_text(f"names: {ids.replace('7: road', '7: rails').replace('8: other', '8: road')}\n")
    assert "input source (data/toytown/../../mine) has changed" in udaseg("data stats", *mine).err
