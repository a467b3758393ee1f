"""Several views of an image: scales and the mirror image, averaged as logits or as probabilities."""

import time

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from udaseg import models
from udaseg.config import Model, Predict
from udaseg.data.image_sets import View
from udaseg.inference.averaging import average_views
from udaseg.inference.runner import Runner
from udaseg.models import checkpoint
from udaseg.models.batchnorm import BatchNorm

CLASSES = ("road", "car", "sky")
SETTINGS = Model(name="fpn", backbone="resnet18", weights="none")
BISENET = Model(name="bisenet", backbone="resnet18", weights="none")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    checkpoint.save(path, models.construct(SETTINGS, 3), SETTINGS, CLASSES)
    return Runner(path, CLASSES, "fp32")


def image(size=(64, 96), seed=0):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)


def test_averages_logits_after_upsampling():
    views = [torch.randn(2, 3, 4, 5), torch.randn(2, 3, 6, 8)]
    for corners in (True, False):
        full = [interpolate(view, size=(12, 20), mode="bilinear", align_corners=corners) for view in views]
        torch.testing.assert_close(average_views(views, (12, 20), "logits", corners), (full[0] + full[1]) / 2)
        expected = ((full[0].softmax(1) + full[1].softmax(1)) / 2).log()
        torch.testing.assert_close(average_views(views, (12, 20), "probs", corners), expected)


def test_the_two_averages_label_ambiguous_pixels_differently():
    # Sure of the first class once, in favour of the second twice.
    views = [torch.tensor(scores).log().view(1, 2, 1, 1) for scores in ([0.9999, 0.0001], [0.2, 0.8], [0.2, 0.8])]
    assert average_views(views, (1, 1), "probs", False).argmax(1).item() == 1
    assert average_views(views, (1, 1), "logits", False).argmax(1).item() == 0


def test_probabilities_that_underflow_stay_finite_and_views_as_they_were():
    view = torch.tensor([1000.0, 0.0]).view(1, 2, 1, 1)
    before = view.clone()
    assert average_views([view, view], (1, 1), "probs", False).isfinite().all()
    average_views([view, view], (1, 1), "logits", False)
    assert torch.equal(view, before)


def test_one_view_is_the_network_itself(runner):
    plain = runner.infer([image()], None).logits
    assert torch.equal(runner.average_logits([image()], None, Predict()), plain)
    assert torch.equal(runner.average_logits([image()], (32, 48), Predict()), runner.infer([image()], (32, 48)).logits)
    small = runner.average_logits([image()], None, Predict(scales=(0.5,)))
    assert torch.equal(small, runner.infer([image()], (32, 48)).logits)


def test_the_mirror_image_has_mirrored_logits(runner):
    for average in ("logits", "probs"):
        settings = Predict(flip=True, scales=(0.75, 1.0), average=average)
        scores = runner.average_logits([image()], None, settings)
        mirrored = runner.average_logits([np.ascontiguousarray(image()[:, ::-1])], None, settings)
        torch.testing.assert_close(mirrored.flip(-1), scores, atol=1e-4, rtol=1e-4)
    assert not torch.equal(
        runner.average_logits([image()], None, Predict(flip=True)), runner.average_logits([image()], None, Predict())
    )


def test_the_average_has_the_size_of_the_scale_nearest_to_one(runner):
    settings = Predict(scales=(0.5, 1.2, 0.9, 2.0))
    views = runner.infer_views([image(), image(seed=1)], None, settings)
    assert len(views) == 4
    scores = runner.average_logits([image(), image(seed=1)], None, settings)
    grid = runner.infer([image()], (58, 86)).logits.shape[-2:]
    assert scores.shape == (2, 3, *grid)
    torch.testing.assert_close(scores, average_views(views, tuple(grid), "logits", runner.model.align_corners))


class ImageList:
    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def image(self, i):
        return image(self.sizes[i], seed=i)


def test_images_of_a_padded_view_keep_their_aspect_without_padding(runner):
    pictures = ImageList((80, 120), (80, 120), (120, 60))
    view = View(pictures, (64, 96), pad=True)
    found = [(list(batch.indices), batch.output.logits) for batch in runner.run(view, range(3), 3)]
    assert [indices for indices, _ in found] == [[0], [1], [2]]
    for i, (height, width) in enumerate([(64, 96), (64, 96), (64, 32)]):
        assert torch.equal(found[i][1], runner.infer([pictures.image(i)], (height, width)).logits)
    together = [list(batch.indices) for batch in runner.run(view, range(2), 2)]
    assert together == [[0, 1]]


def test_images_are_read_with_their_labels_at_the_size_of_the_network(runner):
    pictures, shapes = ImageList(*[(80, 120)] * 5), []

    def infer(images, size):
        shapes.extend((image.shape[:2], size) for image in images)
        return len(images)

    found = list(runner.run(View(pictures, (64, 96)), range(5), 2, infer, label=lambda i: 10 * i))
    assert [(list(batch.indices), batch.labels, batch.output) for batch in found] == [
        ([0, 1], [0, 10], 2),
        ([2, 3], [20, 30], 2),
        ([4], [40], 1),
    ]
    assert all(
        np.array_equal(image, pictures.image(i))
        for seen in found
        for i, image in zip(seen.indices, seen.images, strict=True)
    )
    assert shapes == [((64, 96), (64, 96))] * 5
    shapes.clear()
    list(runner.run(View(pictures, (64, 96)), range(5), 2, infer, scales=(0.5, 1.0)))
    assert shapes == [((80, 120), (64, 96))] * 5


def test_no_more_is_read_once_the_network_has_failed(runner):
    begun = []

    class Slow(ImageList):
        def image(self, i):
            begun.append(i)
            return super().image(i)

    def infer(images, size):
        raise ValueError("the network failed")

    with pytest.raises(ValueError, match="failed") as failure:
        next(runner.run(View(Slow(*[(64, 96)] * 500)), range(500), 1, infer))
    count = len(begun)
    time.sleep(0.2)
    assert failure.value.__traceback__ is not None
    assert len(begun) == count < 100


def test_scales_are_of_the_size_that_is_asked_for(runner):
    views = runner.infer_views([image((40, 50))], (64, 96), Predict(scales=(1.0, 0.5), flip=True))
    assert [view.shape[-2:] for view in views[2:]] == [runner.infer([image()], (32, 48)).logits.shape[-2:]] * 2


def test_statistics_of_batch_norm_are_those_of_the_images_and_nothing_else_changes(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.pt", models.construct(SETTINGS, 3), SETTINGS, CLASSES)
    runner, pictures, read = Runner(tmp_path / "model.pt", CLASSES, "fp32"), ImageList(*[(64, 96)] * 4), []
    learnt = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.adapt_statistics(View(pictures, (32, 48)), 2, progress=lambda done, total: read.append((done, total)))
    assert read == [(2, 4), (4, 4)]
    assert not any(module.training for module in runner.model.modules())
    changed = {name for name, value in runner.model.state_dict().items() if not torch.equal(value, learnt[name])}
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    with torch.no_grad():
        first = runner.model.backbone.conv1(runner.input([pictures.image(i) for i in range(4)], (32, 48)))
    statistics = runner.model.backbone.bn1
    torch.testing.assert_close(statistics.running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(statistics.running_var, (first[:2].var((0, 2, 3)) + first[2:].var((0, 2, 3))) / 2)


def test_statistics_are_taken_of_frozen_layers_too(tmp_path):
    torch.manual_seed(0)
    pictures = ImageList(*[(64, 96)] * 4)
    network, taken = models.construct(SETTINGS, 3), []
    for mode in ("train", "frozen"):
        settings = SETTINGS.model_copy(update={"bn": mode})
        checkpoint.save(tmp_path / "model.pt", network, settings, CLASSES)
        runner = Runner(tmp_path / "model.pt", CLASSES, "fp32")
        runner.adapt_statistics(View(pictures, (32, 48)), 2)
        assert not any(module.training for module in runner.model.modules())
        taken.append(runner.model.state_dict())
    assert all(torch.equal(value, taken[1][name]) for name, value in taken[0].items())


def test_a_layer_that_sees_one_value_in_each_batch_keeps_its_statistics(tmp_path):
    """BiSeNet pools an image to 1x1, and batches of one have no variance there."""
    network = models.construct(BISENET, 3)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.fill_(7)
    checkpoint.save(tmp_path / "model.pt", network, BISENET, CLASSES)
    kept = {}
    for batch in (1, 2):
        runner = Runner(tmp_path / "model.pt", CLASSES, "fp32")
        runner.adapt_statistics(View(ImageList(*[(64, 96)] * 4), (32, 48)), batch)
        variances = {name: v for name, v in runner.model.state_dict().items() if name.endswith("running_var")}
        kept[batch] = {name.rpartition(".")[0] for name, value in variances.items() if (value == 7).all()}
    assert {"refine16.bn", "refine32.bn"} <= kept[1]
    assert not kept[2]


@pytest.mark.parametrize(
    ("settings", "norms"), [(SETTINGS, {"backbone.bn1"}), (BISENET, {"backbone.bn1", "spatial.0.1"})]
)
def test_statistics_of_the_stem_are_taken_alone(tmp_path, settings, norms):
    checkpoint.save(tmp_path / "model.pt", models.construct(settings, 3), settings, CLASSES)
    runner, pictures = Runner(tmp_path / "model.pt", CLASSES, "fp32"), ImageList(*[(64, 96)] * 4)
    everywhere = Runner(tmp_path / "model.pt", CLASSES, "fp32")
    learnt = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.adapt_statistics(View(pictures, (32, 48)), 2, stem=True)
    everywhere.adapt_statistics(View(pictures, (32, 48)), 2)
    assert not any(module.training for module in runner.model.modules() if isinstance(module, BatchNorm))
    found, taken = runner.model.state_dict(), everywhere.model.state_dict()
    changed = {name for name, value in found.items() if not torch.equal(value, learnt[name])}
    assert {name.rpartition(".")[0] for name in changed} == norms
    for name in changed:
        torch.testing.assert_close(found[name], taken[name], msg=name)


def test_a_window_as_large_as_the_image_is_the_network_itself(runner):
    for average in ("logits", "probs"):
        settings = Predict(window=(64, 96), average=average)
        plain = Predict(average=average)
        assert torch.equal(
            runner.average_logits([image()], None, settings), runner.average_logits([image()], None, plain)
        )
        small = image((40, 50))
        assert torch.equal(runner.average_logits([small], None, settings), runner.average_logits([small], None, plain))


@pytest.mark.parametrize("average", ["logits", "probs"])
def test_windows_are_averaged_with_scales_and_the_mirror_image(runner, average):
    """Two windows side by side, at two scales: the views of a runner are those averages, and are mirrored back."""
    settings = Predict(window=(64, 64), window_stride=(64, 32), scales=(1.0, 1.5), flip=True, average=average)
    images = [image(), image(seed=1)]
    views = runner.infer_views(images, None, settings)
    grids = [tuple(view.shape[-2:]) for view in views]
    assert grids == [(16, 24), (16, 24), (24, 36), (24, 36)]  # as without windows
    parts = [runner.infer([one[:, left : left + 64] for one in images], None).logits for left in (0, 32)]
    parts = [part.softmax(1) if average == "probs" else part for part in parts]
    expected = torch.cat([parts[0][..., :8], (parts[0][..., 8:] + parts[1][..., :8]) / 2, parts[1][..., 8:]], -1)
    found = views[0].exp() if average == "probs" else views[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    mirrored = runner.infer_views([np.ascontiguousarray(one[:, ::-1]) for one in images], None, settings)
    torch.testing.assert_close(views[1], mirrored[0].flip(-1))
    assert runner.average_logits(images, None, settings).shape == (2, 3, 16, 24)


def test_windows_in_half_precision_are_averaged_in_full_precision(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.pt", models.construct(SETTINGS, 3), SETTINGS, CLASSES)
    full, half = (
        Runner(tmp_path / "model.pt", CLASSES, precision).average_logits([image()], None, Predict(window=(32, 64)))
        for precision in ("fp32", "bf16")
    )
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05 * full.abs().max()


def test_statistics_of_batch_norm_are_those_of_windows(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.pt", models.construct(SETTINGS, 3), SETTINGS, CLASSES)
    runner, pictures, read = Runner(tmp_path / "model.pt", CLASSES, "fp32"), ImageList(*[(64, 96)] * 2), []
    runner.adapt_statistics(View(pictures, None), 1, lambda *done: read.append(done), windows=Predict(window=(64, 64)))
    assert read == [(1, 2), (2, 2)]
    with torch.no_grad():
        windows = [runner.input([pictures.image(i)[:, left : left + 64]], None) for i in range(2) for left in (0, 32)]
        means = [runner.model.backbone.conv1(window).mean((0, 2, 3)) for window in windows]
    torch.testing.assert_close(runner.model.backbone.bn1.running_mean, torch.stack(means).mean(0))
