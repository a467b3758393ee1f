"""Pseudo-labels and the frame before: what it contradicts goes, and its labels fill gaps."""

import numpy as np
import pytest

from udaseg.config import Refine
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.data.video.flow_file import write_flow
from udaseg.data.video.flows import Flows
from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.labels import class_space, flat_palette
from udaseg.pseudo.refine import refine
from udaseg.pseudo.temporal import FrameBefore

SPACE = class_space(["road", "car", "sky"])
H, W = 16, 24


class World:
    """Two frames: what is predicted for each, the pseudo-labels, and the flow from the second to the first."""

    def __init__(self, folder, predicted, labels, flow=(0, 0), valid=None):
        self.folder, self.labels = folder, {}
        with PredictionsWriter(folder, SPACE.classes, False) as writer:
            for stem, label in predicted.items():
                logits = 8 * (label == np.arange(3)[:, None, None])
                writer.put(stem, logits.astype(np.float16), *label.shape)
        for stem, label in labels.items():
            self.labels[stem] = folder / f"labels/{stem}.png"
            write_label(self.labels[stem], label, flat_palette(SPACE))
        size = predicted["b"].shape
        flow = np.broadcast_to(np.array(flow, np.float32)[:, None, None], (2, *size))
        write_flow(folder / "flows/b.png", flow, np.ones(size, bool) if valid is None else valid)
        self.before = FrameBefore(Flows(folder, {"b": "a"}), Predictions(folder / "predictions.h5"), self.labels, SPACE)


def random(seed: int, classes=(0, 1, 2), size=(H, W)) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array(classes, np.uint8), size)


def test_the_frames_of_a_static_scene_agree(tmp_path):
    label = random(0)
    world = World(tmp_path, {"a": label, "b": label}, {"a": label, "b": label})
    np.testing.assert_array_equal(world.before.keep_agreeing(label, "b"), label)
    np.testing.assert_array_equal(world.before.carry(label, "b"), label)


def test_a_label_goes_where_another_class_was_predicted_a_frame_before(tmp_path):
    predicted, label = random(1), random(2, (0, 1, 2, 255))
    valid = np.random.default_rng(3).random((H, W)) < 0.8
    world = World(tmp_path, {"a": predicted, "b": random(4)}, {"b": label}, (3, -2), valid)
    warped = np.roll(predicted, (2, -3), (0, 1))
    rows, columns = np.mgrid[:H, :W]
    seen = valid & (rows >= 2) & (columns < W - 3)
    expected = np.where(seen & (warped != label), 255, label)
    np.testing.assert_array_equal(world.before.keep_agreeing(label, "b"), expected)
    np.testing.assert_array_equal(world.before.keep_agreeing(label, "a"), label)  # nothing comes before


def test_gaps_get_the_pseudo_label_of_the_frame_before(tmp_path):
    first, second, own = random(1, (0, 1, 255)), random(2, (2, 255)), random(4)
    world = World(tmp_path, {"a": random(3), "b": own}, {"a": first, "b": second}, (-4, 0))
    warped = np.where(np.arange(W) >= 4, np.roll(first, 4, 1), 255)
    filled = (second == 255) & (warped == own)  # likely here, and sure a frame before
    assert 0.02 < filled.mean() < 0.5
    np.testing.assert_array_equal(world.before.carry(second, "b"), np.where(filled, warped, second))
    alone = World(tmp_path / "alone", {"a": random(3), "b": random(4)}, {"b": second})
    np.testing.assert_array_equal(alone.before.carry(second, "b"), second)


def test_refining_agrees_first_then_carries_and_is_the_same_when_stopped(tmp_path):
    labels = {"a": random(1, (0, 1, 2, 255)), "b": random(2, (0, 1, 2, 255))}
    world = World(tmp_path, {"a": random(3), "b": random(4)}, labels)
    settings = Refine(temporal=True, carry=True)

    def run(out):
        return refine(world.labels, world.before.predictions, SPACE, settings, out, before=world.before)

    document = run(tmp_path / "out")
    assert document.order == ["temporal", "carry"]
    kept = np.where(labels["b"] == random(3), labels["b"], 255)
    expected = np.where((kept == 255) & (labels["a"] == random(4)), labels["a"], kept)
    np.testing.assert_array_equal(read_train_ids(tmp_path / "out/labels/b.png", SPACE), expected)
    np.testing.assert_array_equal(read_train_ids(tmp_path / "out/labels/a.png", SPACE), labels["a"])
    (tmp_path / "out/labels/a.png").unlink()
    (tmp_path / "out/refine.json").unlink()
    assert run(tmp_path / "out") == document


def test_frames_of_two_sizes_are_refused(tmp_path):
    world = World(tmp_path, {"a": random(0, size=(H, W + 1)), "b": random(1)}, {"b": random(1)})
    with pytest.raises(UdasegError, match="b is 16x24, and a, the frame before it, 16x25"):
        world.before.keep_agreeing(random(1), "b")
