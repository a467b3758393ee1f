"""Online adaptation on a tiny network: what each method moves, when, and how a stopped stream goes on."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from udaseg import models
from udaseg.config import Adapt, Model, Views
from udaseg.data.datasets.loose_labels import open_loose_labels
from udaseg.data.image_sets import View
from udaseg.data.images.loose import open_loose_images
from udaseg.errors import UdasegError
from udaseg.inference.apply import apply
from udaseg.inference.runner import Runner
from udaseg.labels import class_space
from udaseg.models import checkpoint
from udaseg.models.batchnorm import BatchNorm
from udaseg.train.adapt import methods
from udaseg.train.adapt import stream as streams
from udaseg.train.adapt.journal import Journal
from udaseg.train.adapt.networks import hint_of_divergence, open_networks
from udaseg.train.adapt.predictions import entropy
from udaseg.train.adapt.stream import Stream, adapt

CLASSES = ("road", "car", "sky")
SMALL = {"encoder": "test_efficientnet", "decoder": "fpn", "width": 16, "weights": "none", "color": "rgb-imagenet"}
FRAMES, SIZE = 5, (64, 96)


def save_model(path: Path, **changes) -> Path:
    settings = Model(**SMALL | changes)
    torch.manual_seed(0)
    network = models.construct(settings, len(CLASSES))
    for module in network.modules():  # statistics as after a training, which fit no frame
        if isinstance(module, BatchNorm):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    checkpoint.save(path, network, settings, CLASSES)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Give a model, a stream of frames that grow darker, and their labels."""
    folder = tmp_path_factory.mktemp("stream")
    save_model(folder / "model.pt")
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for i in range(FRAMES):
        pixels = rng.integers(0, 256 - 40 * i, (*SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        Image.fromarray(rng.integers(0, 3, SIZE, np.uint8)).save(folder / "labels" / f"{i}.png")
    (folder / "classes.yaml").write_text("names: [road, car, sky]\n")
    return folder


def stream(place: Path, *, labels: bool = False, **views) -> Stream:
    images = open_loose_images(place / "images")
    space = class_space(list(CLASSES))
    opened = open_loose_labels(images, place / "labels", space, None, "--labels", "--coding") if labels else None
    return Stream(View(images), Views(precision="fp32", **views), opened)


def show(*_):
    return lambda done, total: None


def adapted(place: Path, out: Path, *, frames: Stream | None = None, seed: int = 0, **settings):
    return adapt(place / "model.pt", frames or stream(place), Adapt(**settings), out, seed=seed, show=show)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(path)[0].state_dict()


def moved(place: Path, out: Path) -> set[str]:
    before, after = weights(place / "model.pt"), weights(out / "model.pt")
    return {name for name in before if not torch.equal(before[name], after[name])}


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != "state.pt"}


def test_frozen_writes_what_apply_writes(place, tmp_path):
    adapted(place, tmp_path / "frozen", frames=(frames := stream(place, flip=True)), method="frozen")
    apply(Runner(place / "model.pt", None, frames.views.precision), frames.view, frames.views, tmp_path / "apply")
    frozen = files(tmp_path / "frozen")
    assert frozen.pop("adapt.json") is not None
    assert frozen.pop("model.pt") == (place / "model.pt").read_bytes()
    assert frozen == files(tmp_path / "apply")


def test_a_network_with_heads_keeps_them(place, tmp_path):
    save_model(tmp_path / "model.pt", heads=("depth", "target_depth"))
    adapt(tmp_path / "model.pt", stream(place), Adapt(method="statistics"), tmp_path / "out", seed=0, show=show)
    network, facts = checkpoint.load(tmp_path / "out" / "model.pt")
    assert set(network.heads) == set(facts["model"]["heads"]) == {"depth", "target_depth"}


def test_statistics_of_momentum_1_are_adabn_of_the_last_frame(place, tmp_path):
    adapted(place, tmp_path / "out", method="statistics", momentum=1.0, anchor=0)
    runner = Runner(place / "model.pt", None, "fp32")
    last = open_loose_images(place / "images" / f"{FRAMES - 1}.png")
    runner.adapt_statistics(View(last), 1)
    expected, found = runner.model.state_dict(), weights(tmp_path / "out" / "model.pt")
    assert all(torch.equal(found[name], expected[name]) for name in expected if "running" in name)
    assert moved(place, tmp_path / "out") == {name for name in expected if "running" in name}


def test_statistics_of_momentum_0_are_frozen(place, tmp_path):
    adapted(place, tmp_path / "none", method="statistics", momentum=0.0)
    adapted(place, tmp_path / "frozen", method="frozen")
    assert moved(place, tmp_path / "none") == set()
    for part in ("labels", "overlays"):
        assert files(tmp_path / "none" / part) == files(tmp_path / "frozen" / part)


def test_the_stem_alone_moves_where_that_is_asked_for(place, tmp_path):
    adapted(place, tmp_path / "out", method="statistics", layers="stem")
    names = {name.rpartition(".")[0] for name in moved(place, tmp_path / "out")}
    assert len(names) == 1
    assert "bn1" in names.pop()


@pytest.mark.parametrize("norm", ["batch", "average"])
def test_tent_moves_scale_and_shift_of_batch_norm_alone(place, tmp_path, norm):
    adapted(place, tmp_path / "out", method="tent", momentum=0.0, norm=norm)
    network, _ = checkpoint.load(place / "model.pt")
    affine = {
        f"{name}.{part}"
        for name, module in network.named_modules()
        if isinstance(module, BatchNorm)
        for part in ("weight", "bias")
    }
    found = moved(place, tmp_path / "out")
    assert found
    assert found <= affine


def test_tent_lowers_the_entropy_of_a_frame_that_it_sees_again(place, tmp_path):
    still = Stream(View(open_loose_images(place / "images" / "0.png")), Views(precision="fp32"))
    one = dataclasses.replace(still.view.images, stems=tuple("abcdef"), files=still.view.images.files * 6)
    document = adapted(
        place, tmp_path / "out", frames=still._replace(view=View(one)), method="tent", lr=0.01, anchor=0
    ).document
    entropies = [record["entropy"] for record in document["frames"].values()]
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[-1] < entropies[0] - 0.01


def test_statistics_of_a_network_without_batch_norm_are_refused(tmp_path):
    settings = Model(encoder="test_vit", decoder="linear", weights="none", color="rgb-imagenet")
    checkpoint.save(tmp_path / "model.pt", models.construct(settings, 3), settings, CLASSES)
    with pytest.raises(UdasegError, match="batch norm, and the encoder of this network has none") as raised:
        adapted(tmp_path, tmp_path / "out", frames=Stream(View(None), Views()), method="statistics")
    assert "--method tent" in raised.value.hint


def test_cotta_moves_all_weights_and_its_views_only_where_the_first_model_is_unsure(place, tmp_path, monkeypatch):
    counts = []

    def count(runner, image, views, rng, grid):
        counts.append(views)
        return teach(runner, image, views, rng, grid)

    teach = methods.teacher_probabilities
    monkeypatch.setattr(methods, "teacher_probabilities", count)
    settings = {"method": "cotta", "views": 2, "momentum": 0.0, "restore": 0.0, "lr": 0.01}
    adapted(place, tmp_path / "out", confidence=1.0, **settings)
    assert counts == [2] * FRAMES
    network, _ = checkpoint.load(place / "model.pt")
    assert moved(place, tmp_path / "out") == {name for name, _ in network.named_parameters()}
    counts.clear()
    adapted(place, tmp_path / "sure", confidence=0.0, **settings)
    assert counts == [0] * FRAMES


@pytest.mark.parametrize("method", ["statistics", "tent", "cotta"])
def test_a_frame_is_labelled_before_the_update_that_learns_from_it(place, tmp_path, method):
    """The first label is the frozen model's, but for the statistics of the frame, and the last update changes none."""
    changes = {"momentum": 1.0} if method == "statistics" else {"norm": "average", "momentum": 0.5, "lr": 0.05}
    frames = stream(place, labels=True)
    document = adapted(place, tmp_path / "out", frames=frames, method=method, anchor=0, **changes).document
    adapted(place, tmp_path / "frozen", method="frozen")
    first, *_, last = sorted((tmp_path / "out/labels").iterdir())
    assert first.read_bytes() == (tmp_path / "frozen/labels" / first.name).read_bytes()
    assert last.read_bytes() != (tmp_path / "frozen/labels" / last.name).read_bytes()
    assert document["frames"]["0"]["miou"] != document["frames"]["0"]["miou_after"]
    assert document["stream"]["frames"] == document["after"]["frames"] == FRAMES
    assert document["last_tenth"]["miou"] == document["frames"][str(FRAMES - 1)]["miou"]


@pytest.mark.parametrize(("method", "labels"), [("statistics", True), ("tent", False), ("cotta", False)])
def test_a_stopped_stream_goes_on_to_the_same_bytes(place, tmp_path, method, labels):
    class StoppedError(Exception):
        pass

    def stop(*_):
        def progress(done, total):
            if done == 4:  # after the state of the third frame, in which nothing of the fourth is
                raise StoppedError

        return progress

    changes = {"views": 1} if method == "cotta" else {}
    settings, frames = Adapt(method=method, save_every=3, **changes), stream(place, labels=labels)
    adapt(place / "model.pt", frames, settings, tmp_path / "whole", seed=3, show=show)
    with pytest.raises(StoppedError):
        adapt(place / "model.pt", frames, settings, tmp_path / "parts", seed=3, show=stop)
    label = tmp_path / "parts/labels/1.png"
    label.rename(tmp_path / "1.png")
    with pytest.raises(UdasegError, match=r"1.png was written before the stream was stopped, and is not there"):
        adapt(place / "model.pt", frames, settings, tmp_path / "parts", seed=3, show=show)
    (tmp_path / "1.png").rename(label)
    adapt(place / "model.pt", frames, settings, tmp_path / "parts", seed=3, show=show)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_the_anchor_restores_the_first_model_and_says_so(place, tmp_path):
    far = {"method": "tent", "lr": 0.05, "norm": "average", "momentum": 0.0}
    free = adapted(place, tmp_path / "free", anchor=0, **far)
    assert free.document["resets"] == {"anchor": 0, "scene": 0}
    bound = max(record["kl"] for record in free.document["frames"].values()) / 2
    held = adapted(place, tmp_path / "held", anchor=bound, **far)
    restored = [stem for stem, record in held.document["frames"].items() if record["reset"] == "anchor"]
    assert restored
    assert held.document["resets"]["anchor"] == len(restored)
    assert f"restored {len(restored)} times, first at {restored[0]}" in held.warnings[0]
    assert held.document["frames"][restored[0]]["kl"] > bound
    # What is restored labels as the frozen model, and its next update is that of a new start.
    adapted(place, tmp_path / "frozen", method="frozen")
    label = f"labels/{restored[0]}.png"
    assert (tmp_path / "held" / label).read_bytes() == (tmp_path / "frozen" / label).read_bytes()


def test_a_network_that_diverges_is_an_error_or_restored_by_the_anchor(place, tmp_path):
    far = {"method": "tent", "lr": 1e4, "norm": "average", "momentum": 0.0}
    with pytest.raises(UdasegError, match=r"the prediction of the frame [1-4] is not finite"):
        adapted(place, tmp_path / "free", anchor=0, **far)
    held = adapted(place, tmp_path / "held", **far)
    assert None in [record["kl"] for record in held.document["frames"].values()]
    assert len(held.warnings) >= 1
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "held" / "model.pt").values())


@pytest.mark.parametrize("norm", ["batch", "average"])
def test_a_last_update_that_destroys_the_model_is_taken_back(place, tmp_path, norm):
    last = {"method": "tent", "lr": 1e4, "norm": norm, "momentum": 0.0, "every": FRAMES}
    held = adapted(place, tmp_path / "held", **last)
    assert [record["updated"] for record in held.document["frames"].values()] == [False] * (FRAMES - 1) + [True]
    assert ["the last update" in warning for warning in held.warnings] == [True]
    assert "model.pt is the first model" in held.warnings[0]
    assert moved(place, tmp_path / "held") == set()
    with pytest.raises(UdasegError, match="the last update made values that are not finite") as raised:
        adapted(place, tmp_path / "free", anchor=0, **last)
    assert "lower the rate with --lr, or leave out --anchor 0: " in raised.value.hint
    assert "add --force" in raised.value.hint
    # A finite departure is told by the same rule as before a frame.
    last |= {"lr": 0.01, "norm": "average"}
    assert adapted(place, tmp_path / "near", anchor=1.0, **last).warnings == []
    assert moved(place, tmp_path / "near")
    warnings = adapted(place, tmp_path / "far", anchor=1e-7, **last).warnings
    assert warnings == [
        "the last update moved the predictions further than --anchor allows: model.pt is the first model"
    ]
    assert moved(place, tmp_path / "far") == set()


@pytest.mark.parametrize("method", ["frozen", "statistics"])
def test_a_model_without_finite_predictions_is_not_blamed_on_a_rate(place, tmp_path, monkeypatch, method):
    monkeypatch.setattr(streams, "measure", lambda *probabilities: None)
    with pytest.raises(UdasegError, match="is not finite: without any update") as raised:
        adapted(place, tmp_path / "out", method=method)
    assert "name another model" in raised.value.hint
    assert "--lr" not in raised.value.hint
    assert "--momentum" in hint_of_divergence(Adapt(method="statistics"))
    assert "--anchor" not in hint_of_divergence(Adapt(method="statistics"))


def test_another_scene_restores_the_first_model_where_that_is_asked_for(place, tmp_path, monkeypatch):
    seen = []

    def is_fourth(journal, confidence):
        seen.append(confidence)
        return len(seen) == 4

    monkeypatch.setattr(Journal, "is_other_scene", is_fourth)
    document = adapted(place, tmp_path / "out", method="statistics", momentum=0.5, anchor=0, reset=True).document
    assert [record["reset"] for record in document["frames"].values()] == [None, None, None, "scene", None]
    assert document["resets"] == {"anchor": 0, "scene": 1}
    adapted(place, tmp_path / "frozen", method="frozen")
    for stem, is_same in (("2", False), ("3", True), ("4", False)):
        one, other = ((tmp_path / folder / f"labels/{stem}.png").read_bytes() for folder in ("out", "frozen"))
        assert (one == other) == is_same


def test_updates_happen_every_n_frames(place, tmp_path):
    document = adapted(place, tmp_path / "out", method="statistics", every=2).document
    assert [record["updated"] for record in document["frames"].values()] == [False, True, False, True, False]
    assert document["updates"] == 2
    assert [record["kl"] > 0 for record in document["frames"].values()] == [False, False, True, True, True]


def test_the_windows_of_a_frame_are_learnt_from_together(place, tmp_path):
    document = adapted(place, tmp_path / "out", frames=stream(place, window=(64, 48)), method="tent").document
    assert document["updates"] == FRAMES
    networks = open_networks(place / "model.pt", Adapt(method="tent", norm="average", momentum=0.0), "fp32", 0)
    parameters = [value for value in networks.runner.model.parameters() if value.requires_grad]
    image = open_loose_images(place / "images").image(0)
    windows = networks.runner.windows([image], SIZE, Views(window=(64, 48)))
    losses = [entropy(networks.runner.forward(window).logits.softmax(1)).mean() for window in windows]
    expected = torch.autograd.grad(torch.stack(losses).mean(), parameters)
    methods.UPDATES["tent"](networks, methods.Frame(0, "0", windows, 1.0))
    assert len(losses) > 1
    for value, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(value.grad, gradient)


def test_a_loss_that_is_not_finite_stops_before_the_update(place, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "entropy", lambda probabilities: probabilities.sum(1) * float("nan"))
    with pytest.raises(UdasegError, match="the loss of the frame 0 is not finite"):
        adapted(place, tmp_path / "out", method="tent")


@pytest.mark.parametrize(
    "network",
    [
        {"encoder": None, "name": "deeplab", "backbone": "resnet18", "decoder": None, "width": None},
        {"encoder": None, "name": "bisenet", "backbone": "resnet18", "decoder": None, "width": None},
        {"detail": (32, 32)},
    ],
    ids=["deeplab", "bisenet", "two resolutions"],
)
@pytest.mark.parametrize("method", ["statistics", "tent", "cotta"])
def test_every_network_adapts(place, tmp_path, network, method):
    changes = {key: value for key, value in network.items() if value is not None}
    dropped = {key for key, value in network.items() if value is None}
    settings = Model(**{key: value for key, value in (SMALL | changes).items() if key not in dropped})
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.pt", models.construct(settings, len(CLASSES)), settings, CLASSES)
    one = Stream(View(open_loose_images(place / "images" / "0.png")), Views(precision="fp32"))
    more = {"views": 1} if method == "cotta" else {}
    document = adapted(tmp_path, tmp_path / "out", frames=one, method=method, **more).document
    assert document["updates"] == 1
    assert any(moved(tmp_path, tmp_path / "out"))
