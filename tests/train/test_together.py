"""Two processes that train on parts of the same batches take the steps of one."""

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from udaseg.config import Adversary, Augment, Model, Retrain, Warmup
from udaseg.data.image_sets import View
from udaseg.labels import IGNORE, class_space
from udaseg.models import checkpoint
from udaseg.models.batchnorm import BatchNorm
from udaseg.parallel import processes
from udaseg.statistics.class_counts import class_weights
from udaseg.train import adversary as adversaries
from udaseg.train import loop, losses
from udaseg.train.gradients import Overlapped
from udaseg.train.retrain import PseudoLabels, retrain
from udaseg.train.warmup import warmup

from .test_retrain import Pictures

NETWORK = Model(name="fpn", backbone="resnet18", weights="none", auxiliary=0.4)
SHARED = {"steps": 2, "batch": 3, "log_every": 1, "save_every": 2, "precision": "fp32", "optimizer": "sgd"}
AUGMENT = Augment(crop=(32, 48), scale=(0.3, 1.0), flip=0.5, jitter=0.2)  # crops that images do not always fill
SPACE = class_space(["road", "car", "sky"])
ALIGNED = {"plain": "none", "output": "output", "fine-grained": "fine-grained"}
OF_TIMM = Model(encoder="test_efficientnet", decoder="fpn", weights="none", bn="train")
TWO_RESOLUTIONS = OF_TIMM.model_copy(update={"detail": (32, 32)})
RUNS = (
    *ALIGNED, "retrained", "retrained jointly", "retrained by domain", "timm", "timm, activations twice",
    "two resolutions",
)  # fmt: skip
# Their gradients are added up while the last backward pass goes on, as where each process has a GPU.
OVERLAPPED = tuple(
    f"{name}, overlapped" for name in ("output", "retrained jointly", "retrained by domain", "timm, activations twice")
)


class Uneven(Pictures):
    """Images of which some have many labels, some few and some none."""

    def label(self, i):
        label_HW = np.random.default_rng(i).integers(0, 3, (64, 96)).astype(np.uint8)
        label_HW[: 64 * (i % 3) // 2] = IGNORE
        return label_HW


def train(name, out):
    name, *is_overlapped = name.split(", overlapped")
    with pytest.MonkeyPatch.context() as patch:
        if is_overlapped and processes.count() > 1:
            patch.setattr(loop, "gradients", lambda modules, device: Overlapped(list(modules)))
        train_plainly(name, out)


def train_plainly(name, out):
    torch.set_num_threads(1)
    out.mkdir(exist_ok=True, parents=True)
    images = Uneven()
    view = View(images, (64, 96))
    if name.startswith("retrained"):
        # The first batch of the joint list has no image of the source in one process.
        draw = "joint" if "jointly" in name else "separate"
        settings = Retrain(**SHARED, augment=AUGMENT, regulariser="mrkld", bn="train", draw=draw)
        settings = settings.model_copy(update={"adabn": "by domain" in name})
        labels = PseudoLabels(lambda stem: images.label(int(stem)))
        retrain(view, view, SPACE.classes, NETWORK, settings, out, seed=3, labels=labels)
        return
    settings = Warmup(**SHARED, augment=AUGMENT, entropy_weight=0.1, activation_checkpointing="twice" in name)
    adversary = Adversary(align=ALIGNED.get(name, "none"), weight=0.1)
    network = NETWORK.model_copy(update={"bn": "frozen" if name == "output" else "train"})
    if name.startswith("timm"):
        network = OF_TIMM
    if name == "two resolutions":
        network = TWO_RESOLUTIONS
    weights = class_weights([5, 1, 3])
    warmup(view, view, network, settings, out, seed=3, adversary=adversary, class_weights=weights)


PROGRAM = """
import sys
from pathlib import Path
from tests.train.test_together import train
for name in sys.argv[2:]:
    train(name, Path(sys.argv[1], name))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Give the directory in which two processes have trained."""
    out = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    root = Path(__file__).parent.parent.parent
    running = []
    for rank in "01":
        given = {"env": os.environ | place | {"RANK": rank, "LOCAL_RANK": rank}, "cwd": root}
        program = [sys.executable, "-c", PROGRAM, str(out), *RUNS, *OVERLAPPED]
        running.append(subprocess.Popen(program, **given, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=250)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    return out


@pytest.mark.parametrize("name", RUNS + OVERLAPPED)
def test_two_processes_take_the_steps_of_one(together, tmp_path, name):
    train(name, tmp_path)
    one, two = (
        [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
        for place in (tmp_path, together / name)
    )
    assert len(one) == len(two) == 2
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-4, abs=1e-6)
    (model, _), (other, _) = (checkpoint.load(place / "model.pt") for place in (tmp_path, together / name))
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=1e-4, atol=1e-5)


@pytest.fixture
def by_two(monkeypatch):
    """Give what calls a function in two threads, as two processes would, and returns what it gives."""
    meeting, at, given = threading.Barrier(2, timeout=20), threading.local(), [None, None]

    def reduced(tensor, how):
        given[at.rank] = tensor.detach().clone()
        meeting.wait()
        both = torch.stack(given)
        meeting.wait()
        return both.sum(0) if how == "SUM" else both.amax(0)

    def work(function, rank):
        at.rank = rank
        return function(rank)

    def run(function):
        monkeypatch.setitem(processes._mode, "data_parallel", True)
        monkeypatch.setattr(processes, "_all_reduce", reduced)
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(work, [function] * 2, range(2)))
        monkeypatch.undo()
        return found

    return run


LOSSES = {
    "cross_entropy": lambda x, y, f, v: losses.cross_entropy(x, y),
    "with weights": lambda x, y, f, v: losses.cross_entropy(x, y, torch.tensor([1.0, 0.2, 3.0])),
    "with pixels": lambda x, y, f, v: losses.cross_entropy(x, y, pixels_NHW=f),
    "symmetric": lambda x, y, f, v: losses.symmetric_cross_entropy(x, y),
    "entropy": lambda x, y, f, v: losses.robust_entropy(x),
    "entropy of the valid": lambda x, y, f, v: losses.robust_entropy(x, v),
    "berhu": lambda x, y, f, v: losses.berhu(x[:, 0], f, v),
    "mrkld": lambda x, y, f, v: losses.mrkld(x, y),
    "mrent": lambda x, y, f, v: losses.mrent(x, y),
    "lrent": lambda x, y, f, v: losses.lrent(x, x.detach().softmax(1), y),
    "vanilla": lambda x, y, f, v: adversaries.vanilla(x, 1),
    "least squares": lambda x, y, f, v: adversaries.least_squares(x, 0),
    "fine-grained": lambda x, y, f, v: adversaries.fine_grained(torch.cat([x, 2 * x], 1), 1, x.detach().softmax(1), v),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_shares_of_a_loss_add_up_to_it(name, by_two):
    torch.manual_seed(0)
    logits_NCHW = 3 * torch.randn(3, 3, 4, 5)
    label_NHW = torch.randint(0, 3, (3, 4, 5)).to(torch.uint8)
    label_NHW[0], label_NHW[1, :2] = IGNORE, IGNORE  # the first process has no label
    whole = (logits_NCHW, label_NHW, torch.rand(3, 4, 5), torch.rand(3, 4, 5) > 0.3)
    cuts = [slice(0, 1), slice(1, 3)]
    shares = by_two(lambda rank: LOSSES[name](*(part[cuts[rank]] for part in whole)))
    torch.testing.assert_close(sum(shares), LOSSES[name](*whole))


def test_batch_norm_of_two_is_that_of_the_whole_batch(by_two):
    torch.manual_seed(0)
    x_NChw, weight_NChw, cuts = torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5), [slice(0, 1), slice(1, 3)]
    whole, *norms = (BatchNorm(2) for _ in range(3))
    learned = {"weight": torch.tensor([0.5, 2.0]), "bias": torch.tensor([1.0, 0.0])}
    for norm in (whole, *norms):
        norm.load_state_dict(norm.state_dict() | learned)
        norm.momentum = 0.3

    def learn(norm, cut):
        own_NChw = x_NChw[cut].clone().requires_grad_()
        out_NChw = norm(own_NChw)
        (out_NChw.square() * weight_NChw[cut]).sum().backward()
        return out_NChw.detach(), own_NChw.grad

    expected = learn(whole, slice(None))
    found = by_two(lambda rank: learn(norms[rank], cuts[rank]))
    for wanted, parts in zip(expected, zip(*found, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(parts), wanted)
    torch.testing.assert_close(norms[0].weight.grad + norms[1].weight.grad, whole.weight.grad)
    for norm in norms:
        torch.testing.assert_close(dict(norm.named_buffers()), dict(whole.named_buffers()))


def test_batch_norm_has_what_that_of_pytorch_for_several_gpus_reads():
    """Without other processes that one computes on a CPU too."""
    torch.manual_seed(0)
    x_NChw, (norm, other) = torch.randn(3, 2, 4, 5), (BatchNorm(2), BatchNorm(2))
    assert torch.equal(nn.SyncBatchNorm.forward(norm, x_NChw), other(x_NChw))
    torch.testing.assert_close(norm.state_dict(), other.state_dict(), rtol=0, atol=0)
