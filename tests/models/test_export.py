"""Exported files compute what the network computes, and say what a program needs that has nothing but the file."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from udaseg import models
from udaseg.config import Model, Views
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.models import checkpoint, export

CLASSES = ("road", "cár", "sky")
SIZE = (64, 96)


def saved(folder, **settings):
    settings = Model(**{"name": "fpn", "backbone": "resnet18", "weights": "none", **settings})
    torch.manual_seed(0)
    checkpoint.save(folder / "model.pt", models.construct(settings, len(CLASSES)), settings, CLASSES)
    return folder / "model.pt"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("model"), color="bgr-mean")


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def labels(logits: torch.Tensor, facts: dict) -> np.ndarray:
    """Bring logits to an image's size as a stranger would, from the facts alone."""
    full = interpolate(logits, size=facts["size"], mode="bilinear", align_corners=facts["align_corners"])
    return full.argmax(1)[0].numpy()


def check(facts: dict, logits: torch.Tensor, model, image) -> None:
    runner = Runner(model, None, "fp32")
    expected = runner.infer([image], None).logits
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)
    assert (labels(logits, facts) == runner.label([expected], 0, SIZE, "logits")).mean() > 0.999
    assert facts["classes"] == list(CLASSES)
    assert (facts["color"], facts["size"], facts["align_corners"]) == ("bgr-mean", list(SIZE), False)


def read(metadata: dict) -> dict:
    return {key: json.loads(value) for key, value in metadata.items()}


def test_an_onnx_file_labels_images_in_another_runtime(model, image, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    found = export.export(model, "onnx", SIZE, tmp_path / "model.onnx", [image])
    assert found.images == export.RANDOM_IMAGES + 1
    assert found.difference < 1e-3
    assert found.agreeing > 0.999
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
    facts = read(session.get_modelmeta().custom_metadata_map)
    assert facts["normalised"] == "inside"
    check(facts, torch.from_numpy(logits), model, image)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # the weights are inside


def test_safetensors_hold_the_weights_and_all_facts(model, image, tmp_path):
    pytest.importorskip("safetensors")
    from safetensors import safe_open

    found = export.export(model, "safetensors", SIZE, tmp_path / "model.safetensors")
    assert (found.difference, found.agreeing) == (0.0, 1.0)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        facts = read(file.metadata())
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    network = models.construct(Model(**facts["model"], weights="none"), len(facts["classes"])).eval()
    network.load_state_dict(state)
    assert facts["normalised"] == "outside"
    channels = (image[..., facts["order"]] - np.array(facts["mean"])) / np.array(facts["std"])
    with torch.inference_mode():
        logits = network(torch.from_numpy(channels.transpose(2, 0, 1)[None]).float()).logits
    check(facts, logits, model, image)


def test_a_torch_program_runs_without_udaseg(model, image, tmp_path):
    found = export.export(model, "torch", SIZE, tmp_path / "model.pt2")
    assert found.agreeing == 1.0
    files = {export.FACTS: ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=files)
    with torch.inference_mode():
        logits = program.module()(torch.from_numpy(image.transpose(2, 0, 1)[None]).float())
    check(json.loads(files[export.FACTS]), logits, model, image)


def test_windows_are_inside_a_graph_and_facts_of_weights(model, image, tmp_path):
    views = Views(window=(64, 64), window_stride=(64, 20))
    runner = Runner(model, None, "fp32")
    expected = runner.infer_views([image], None, views)[0]
    assert export.export(model, "torch", SIZE, tmp_path / "model.pt2", views=views).agreeing == 1.0
    files = {export.FACTS: ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=files)
    with torch.inference_mode():
        logits = program.module()(torch.from_numpy(image.transpose(2, 0, 1)[None]).float())
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)
    assert not torch.allclose(logits, runner.infer([image], None).logits, atol=1e-3)
    facts = json.loads(files[export.FACTS])
    assert (facts["window"], facts["window_stride"], facts["windows"]) == ([64, 64], [64, 20], "inside")


@pytest.mark.parametrize("settings", [{"name": "bisenet"}, {"name": "deeplab", "aspp": (6, 12)}])
def test_every_network_can_be_exported(settings, tmp_path):
    found = export.export(saved(tmp_path, **settings), "torch", (64, 64), tmp_path / "model.pt2")
    assert found.agreeing > 0.999


def test_an_export_with_other_results_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setitem(export._READERS, "torch", lambda path: lambda image: torch.rand(1, 3, 16, 24))
    (tmp_path / "model.pt2").write_bytes(b"before")
    with pytest.raises(UdasegError, match="computes other results than"):
        export.export(model, "torch", SIZE, tmp_path / "model.pt2")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_an_export_with_nan_logits_raises(model, tmp_path, monkeypatch):
    nothing = torch.full((1, 3, 16, 24), float("nan"))
    monkeypatch.setitem(export._READERS, "torch", lambda path: lambda image: nothing)
    with pytest.raises(UdasegError, match="computes other results than"):
        export.export(model, "torch", SIZE, tmp_path / "model.pt2")


def test_the_comparison_counts_pixels_and_takes_the_largest_difference():
    one = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    other = torch.tensor([[[[1.0, 2.5]], [[0.0, 1.0]]]])
    found = export.compare(lambda image: one, lambda image: other, [torch.zeros(1, 3, 1, 2)] * 2, False)
    assert (found.images, found.difference, found.spread, found.agreeing) == (2, 2.5, 1.0, 0.5)


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(model, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UdasegError) as caught:
        export.export(model, kind, SIZE, tmp_path / "model")
    assert caught.value.hint == f"pip install {' '.join(export.PACKAGES[kind])}"
