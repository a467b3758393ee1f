"""Labels of the frame before, warped to the frame that is learnt (TPS)."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from udaseg.config import Augment, Model, Online, Retrain
from udaseg.data.augment import Before, Pair, augment, fit
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.data.samples import frames_before
from udaseg.data.video.flow_file import write_flow
from udaseg.data.video.flows import Flows
from udaseg.errors import UdasegError
from udaseg.labels import class_space
from udaseg.models.batchnorm import BatchNorm, labelling
from udaseg.models.output import Output
from udaseg.train.ingredients import Networks, batch_teacher
from udaseg.train.ingredients.online import follow_flow, label_batch, label_online
from udaseg.train.retrain import retrain

H, W = 32, 48
NAN = float("nan")


def scene(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8)


def shifted(x: int, y: int) -> tuple[Pair, np.ndarray]:
    """Return a frame whose content was x further right and y further down a frame before, and the mask of that."""
    before = scene()
    flow = np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, H, W)).copy()
    rows, columns = np.arange(H) + y, np.arange(W) + x
    inside = ((rows >= 0) & (rows < H))[:, None] & (columns >= 0) & (columns < W)
    flow[:, ~inside] = NAN
    label = np.zeros((H, W), np.uint8)
    return Pair(np.roll(before, (-y, -x), (0, 1)), label, before=Before(before, flow)), inside


def tensors(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that tell the colours of the frame before, and the flow, as a batch of one."""
    image = torch.from_numpy(np.ascontiguousarray(pair.before.image)).permute(2, 0, 1)[None].float()
    return (image + 1).log(), torch.from_numpy(np.ascontiguousarray(pair.before.flow))[None]


def test_no_flow_changes_nothing_and_a_shift_rolls():
    logits = torch.randn(2, 4, H, W)
    warped, seen = follow_flow(logits, torch.zeros(2, 2, H, W))
    torch.testing.assert_close(warped, logits.log_softmax(1), atol=1e-4, rtol=1e-4)
    assert seen.all()
    flow = torch.tensor([3.0, -2.0])[None, :, None, None].expand(2, 2, H, W)
    warped, seen = follow_flow(logits, flow)
    assert torch.equal(seen[0], (torch.arange(H)[:, None] >= 2) & (torch.arange(W) < W - 3))
    rolled = logits.log_softmax(1).roll((2, -3), (2, 3))
    torch.testing.assert_close(warped[:, :, seen[0]], rolled[:, :, seen[0]], atol=1e-3, rtol=1e-3)


def test_probabilities_are_interpolated_and_stay_probabilities():
    logits = torch.randn(1, 3, H, W)
    warped, seen = follow_flow(logits, torch.full((1, 2, H, W), 0.5))
    torch.testing.assert_close(warped.exp().sum(1)[seen], torch.ones(int(seen.sum())), atol=1e-5, rtol=0)
    p = logits.softmax(1)
    mean = (p[..., :-1, :-1] + p[..., 1:, :-1] + p[..., :-1, 1:] + p[..., 1:, 1:]) / 4
    torch.testing.assert_close(warped.exp()[..., :-1, :-1], mean, atol=1e-5, rtol=1e-4)


def test_flow_that_is_not_valid_gives_no_label():
    flow = torch.zeros(1, 2, H, W)
    flow[0, :, 3, 4], flow[0, 0, 5, 6] = NAN, np.inf
    warped, seen = follow_flow(torch.randn(1, 3, H, W), flow)
    assert warped.isfinite().all()
    batch, sure = label_batch(Batch(), warped, Online(confidence=0.0), seen)
    assert torch.nonzero(batch["target_label"][0] == 255).tolist() == [[3, 4], [5, 6]]
    assert float(sure) == 1.0
    stored = torch.full((1, H, W), 7, dtype=torch.uint8)
    stored[0, :4] = 255
    batch, _ = label_batch(Batch(target_label=stored), warped, Online(confidence=0.0, pixels="unlabelled"), seen)
    assert batch["target_label"][0, 3, 4] == 255
    assert torch.equal(batch["target_label"][0, 4:], stored[0, 4:])


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("crop", [None, (20, 24), (40, 64)])
def test_frames_and_flow_are_cut_and_mirrored_together(flip, crop):
    """The reference code warps mirrored predictions along flow that is not mirrored."""
    pair, _ = shifted(4, -3)
    changed = augment(pair, Augment(crop=crop, scale=(1.0, 1.0), flip=flip), np.random.default_rng(1))
    logits, flow = tensors(changed)
    warped, seen = follow_flow(logits, flow)
    colours = torch.from_numpy(np.ascontiguousarray(changed.image)).permute(2, 0, 1).float() + 1
    colours = (colours / colours.sum(0)).log()
    assert seen.float().mean() > 0.25
    torch.testing.assert_close(warped[0][:, seen[0]], colours[:, seen[0]], atol=1e-3, rtol=1e-3)
    if flip:
        wrong, _ = follow_flow(logits, flow * torch.tensor([-1.0, 1.0])[None, :, None, None])
        assert (wrong[0] - colours)[:, seen[0]].abs().mean() > 0.1


def test_scaled_frames_have_scaled_flow():
    pair, _ = shifted(4, -2)
    for size in ((2 * H, 2 * W), (H // 2, W // 2)):
        scaled = fit(pair, size, pad=False)
        assert scaled.before.image.shape == (*size, 3)
        steps = {tuple(one) for one in np.unique(scaled.before.flow.reshape(2, -1).T, axis=0) if np.isfinite(one).all()}
        assert steps == {(4 * size[1] / W, -2 * size[0] / H)}
    padded = fit(pair, (H, 2 * W), pad=True)
    assert np.isnan(padded.before.flow[:, :, W:]).all()
    assert not padded.before.image[:, W:].any()


class Colours(nn.Module):
    """Tells the channel that is brightest, with the statistics of the batch."""

    align_corners = False

    def __init__(self):
        super().__init__()
        self.norm, self.drop = BatchNorm(3, affine=False), nn.Dropout(0.9)

    def forward(self, x):
        x = self.drop(self.norm(x))
        return Output(20 * x, x)


def test_the_student_labels_the_frame_before_without_a_trace():
    pair, inside = shifted(5, 2)
    student = Colours().train()
    student.norm.running_mean.fill_(3.0)
    state = {name: value.clone() for name, value in student.state_dict().items()}
    settings = Retrain(online=Online(scores="student", frame="previous", confidence=0.0))
    batch = Batch(
        target_image=torch.from_numpy(pair.image.copy())[None],
        target_before=torch.from_numpy(pair.before.image)[None],
        target_flow=torch.from_numpy(pair.before.flow)[None],
    )
    prepare = batch_teacher([label_online], settings, Networks(student, "rgb", nullcontext), 0)
    labelled = prepare(0, batch).batch
    image = torch.from_numpy(pair.before.image.copy()).float()
    expected = ((image - image.mean((0, 1))) / image.std((0, 1), correction=0)).argmax(2)
    expected = expected.roll((-2, -5), (0, 1)).to(torch.uint8)
    inside = torch.from_numpy(inside)
    assert (labelled["target_label"][0] == expected)[inside].float().mean() > 0.99
    assert (labelled["target_label"][0] == 255)[~inside].all()
    assert "target_before" not in labelled
    assert "target_flow" not in labelled
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
    assert all(module.training for module in student.modules())


def test_labelling_keeps_frozen_layers_frozen():
    network = nn.Sequential(BatchNorm(3), nn.Dropout(0.5))
    network[0].frozen = True
    network.train()
    modes = [module.training for module in network.modules()]
    with labelling(network):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == modes == [True, False, True]


@dataclass(frozen=True)
class Record:
    stem: str


@dataclass(frozen=True)
class Frames:
    """Ten frames that show the same scene, shifted by two pixels from one to the next."""

    records: tuple[Record, ...] = tuple(Record(f"{i}") for i in range(10))
    root: Path = Path("frames")
    split: str = "train"

    def __len__(self):
        return len(self.records)

    def image(self, i):
        return np.roll(scene(), -2 * int(self.records[i].stem), 1)

    def label(self, i):
        return np.full((H, W), int(self.records[i].stem) % 3, np.uint8)

    def choose(self, stems):
        return Frames(tuple(record for record in self.records if record.stem in set(stems)))


@pytest.fixture
def flows(tmp_path):
    flow = np.broadcast_to(np.array([2, 0], np.float32)[:, None, None], (2, H, W))
    (tmp_path / "flows").mkdir()
    previous = {str(i): str(i - 1) for i in range(10) if i not in (0, 5)}
    for stem in previous:
        write_flow(tmp_path / f"flows/{stem}.png", flow, np.ones((H, W), bool))
    return Flows(tmp_path, previous)


def test_images_without_a_frame_before_them_are_left_out(flows):
    images, before = frames_before(Frames(), flows)
    assert [record.stem for record in images.records] == ["1", "2", "3", "4", "6", "7", "8", "9"]
    np.testing.assert_array_equal(before("7").image, Frames().image(6))
    np.testing.assert_array_equal(before("7").flow[0], 2)
    with pytest.raises(UdasegError, match="expected the optical flow of some of 1 images in train of frames"):
        frames_before(Frames((Record("6"),)), flows)


def test_a_training_on_the_frame_before_gives_the_same_bytes_stopped_or_not(tmp_path, flows):
    space = class_space(["road", "car", "sky"])
    network = Model(encoder="test_efficientnet", decoder="fpn", width=8, weights="none")
    online = Online(scores="student", frame="previous", confidence=0.0, flip=True)
    augment = Augment(crop=(32, 32), scale=(0.9, 1.2), flip=0.5)
    settings = Retrain(
        steps=4, batch=2, labels="none", init="weights", online=online, augment=augment, save_every=2, log_every=1
    )

    def train(out, progress=None):
        out.mkdir(exist_ok=True)
        view = View(Frames(), (H, W))
        retrain(view, view, space.classes, network, settings, out, seed=3, flows=flows, progress=progress)
        return (out / "model.pt").read_bytes()

    class StopError(Exception):
        pass

    def stop(done, steps):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        train(tmp_path / "stopped", stop)
    assert train(tmp_path / "stopped") == train(tmp_path / "whole")
