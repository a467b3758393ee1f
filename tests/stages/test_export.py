"""The command line of export: what it says, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

MODEL = "runs/tiny/retrain"


def test_a_model_is_exported_at_the_size_of_its_training_and_compared(workspace, udaseg):
    (workspace / "photos").mkdir()
    Image.new("RGB", (50, 20), "grey").save("photos/a.png")
    planned = udaseg(f"export {MODEL} --format torch --out m.pt2 --dry-run", tiny=False)
    assert planned.err == f"export: would write torch of {MODEL}/model.pt at 32x64 to m.pt2\n"
    assert (planned.code, planned.out, Path("m.pt2").exists()) == (0, "", False)
    outcome = udaseg(f"export {MODEL} --format torch --out m.pt2 --images photos", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "5 images: the logits differ by 0 at most" in outcome.out
    assert "100.000 % of the pixels get the same class" in outcome.out
    assert "at 32x64 in m.pt2" in outcome.err
    again = udaseg(f"export {MODEL} --format torch --out m.pt2", tiny=False)
    assert (again.code, "m.pt2 exists already" in again.err) == (1, True)
    forced = udaseg(f"export {MODEL} --format torch --out m.pt2 --size 64x64 --force --json", tiny=False)
    assert forced.json["size"] == [64, 64]
    assert forced.json["bytes"] == Path("m.pt2").stat().st_size
    assert forced.json["parity"]["agreeing"] == 1.0


def test_windows_are_a_part_of_what_is_exported(workspace, udaseg):
    pytest.importorskip("safetensors")
    windows = "--format safetensors --window 32x32 --window-stride 32x16"
    outcome = udaseg(f"export {MODEL} --out m.safetensors {windows}", tiny=False)
    assert "100.000 % of the pixels get the same class" in outcome.out
    assert "at 32x64 in windows of 32x32 in m.safetensors" in outcome.err
    refused = udaseg(f"export {MODEL} --format torch --out m.pt2 --window-stride 16x16", tiny=False)
    assert (refused.code, "--window-stride: it needs a window" in refused.err) == (1, True)


def test_a_folder_of_windows_and_of_another_size_says_so(workspace, udaseg, monkeypatch):
    pytest.importorskip("safetensors")
    windows = "--window 32x32 --window-stride 32x16"
    outcome = udaseg(f"export {MODEL} --format safetensors --out shared --size 64x64 {windows}", tiny=False)
    assert outcome.code == 0, outcome.err
    card = Path("shared/README.md").read_text()
    assert "Images of 64x64 (height, width); those of its training had 32x64." in card
    assert f"udaseg apply . ../photos --out ../labelled {windows}\n" in card
    assert "The network sees windows of 32x32, 32x16 apart" in card
    Image.effect_noise((80, 40), 60).convert("RGB").save("shared/street.png")
    applied = udaseg(f"apply shared shared/street.png --out labelled {windows}", tiny=False)
    assert "sees the images at 64x64, the size of its export" in applied.err
    run_blocks(card, monkeypatch)
    assert "labelled images of toytown (in the layout of gta5)" in card
    Path("data/toytown/toytown.json").unlink()  # real data in a directory of that name
    assert udaseg(f"export {MODEL} --format safetensors --out shared --force", tiny=False).code == 0
    assert "labelled images of gta5, adapted to" in Path("shared/README.md").read_text()


def test_without_a_word_about_its_training_a_model_needs_a_size(workspace, udaseg):
    Path(MODEL, "manifest.json").unlink()
    outcome = udaseg(f"export {MODEL} --format torch --out m.pt2", tiny=False)
    assert outcome.code == 1
    assert "--size 512x1024" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nothing --format torch --out m.pt2", "there is no model nothing"),
        (f"{MODEL} --format tflite --out m.pt2", "known: safetensors, onnx, torch"),
        (f"{MODEL} --format torch --out m.onnx", "files of the format torch end in .pt2"),
        (f"{MODEL} --format torch --out runs", "for example --out runs/model.pt2"),
        (f"{MODEL} --format torch --out m.pt2 --size 8x8", "the networks need 32x32 or more"),
        (f"{MODEL} --format torch --out m.pt2 --images nothing", "there is no image or directory nothing"),
    ],
)
def test_what_cannot_be_done_is_said(workspace, udaseg, arguments, words):
    outcome = udaseg(f"export {arguments}", tiny=False)
    assert outcome.code == 1
    assert words in outcome.err
    assert not Path("m.pt2").exists()


def test_a_folder_has_a_card_and_is_a_model_for_apply(workspace, udaseg, monkeypatch):
    pytest.importorskip("safetensors")
    outcome = udaseg(f"export {MODEL} --format safetensors --out shared", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "none of its decoders computes what fpn computes; udaseg can" in outcome.err
    assert sorted(path.name for path in Path("shared").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = Path("shared/README.md").read_text()
    _, front, text = card.split("---\n", 2)
    front = yaml.safe_load(front)
    miou = json.loads(Path("runs/tiny/evaluate/metrics.json").read_text())["miou"]
    (result,) = front["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(miou, abs=1e-4)
    assert (front["library_name"], front["license"], front["license_name"]) == ("udaseg", "other", "not-chosen")
    for words in (
        f"| **this model** | toytown, val | 3 | {100 * miou:.1f} |",
        "trained on the source alone (lower bound)",
        "Images of 32x64 (height, width), as in training.",
        "images of toytown (in the layout of gta5), adapted to unlabelled images of toytown (in the layout of citys",
        "Recipe: `tiny` at toy scale, seed 0.",
        "Weights at the start: random weights.",
        "no upper bound",
        "18. bicycle",
    ):
        assert words in text
    assert len(re.search(r"settings of these stages, without seeds and paths: `([0-9a-f]+)`", text)[1]) == 12
    Path("photos").mkdir()
    Image.effect_noise((80, 40), 60).convert("RGB").save("photos/a.png")
    for model, out in ((MODEL, "one"), ("shared", "two")):
        assert udaseg(f"apply {model} photos --out {out}", tiny=False).code == 0
    assert Path("one/labels/a.png").read_bytes() == Path("two/labels/a.png").read_bytes()
    shutil.copy("photos/a.png", "shared/street.png")
    run_blocks(card, monkeypatch)
    again = udaseg(f"export {MODEL} --format safetensors --out shared", tiny=False)
    assert (again.code, "model.safetensors exists already" in again.err) == (1, True)


def test_an_encoder_is_exported_with_a_card_whose_code_runs(workspace, udaseg, monkeypatch):
    pytest.importorskip("safetensors")
    outcome = udaseg(f"export {MODEL} --encoder --format safetensors --out shared --json", tiny=False)
    assert outcome.json["library"] == "timm"
    card = Path("shared/README.md").read_text()
    assert "model-index" not in card  # the scores are those of the whole network
    Image.effect_noise((80, 40), 60).convert("RGB").save("shared/street.png")
    run_blocks(card, monkeypatch)
    for words in (f"{MODEL} --encoder --format torch --out a.pt2", f"{MODEL} --encoder --format safetensors --out a.b"):
        refused = udaseg(f"export {words}", tiny=False)
        assert (refused.code, "an encoder is exported as a folder" in refused.err) == (1, True)


def run_blocks(card: str, monkeypatch) -> None:
    """Run the Python of a card in its folder, as its reader would."""
    blocks = re.findall(r"^```py\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    assert blocks
    with monkeypatch.context() as changed:
        changed.chdir("shared")
        for block in blocks:
            exec(block, {})
