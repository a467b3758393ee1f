"""The stages on a device that is not the CPU, on machines without one: see `tests/far.py`."""

from pathlib import Path

import pytest
import torch

from udaseg.inference.runner import Runner

from ..far import CUDA, on_far_device


@pytest.fixture
def far(monkeypatch):
    with on_far_device(monkeypatch):
        yield


def test_what_a_device_refuses_is_refused(far):
    near, tensor = torch.ones(2, 3), torch.zeros(2, 3, device="cuda")
    assert tensor.device == (tensor + 1).device == CUDA
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        tensor + near
    with pytest.raises(TypeError, match="numpy"):
        (tensor + near.to("cuda")).numpy()
    for refused in (
        lambda: near[tensor > 0],
        lambda: torch.zeros(()).add_(tensor.sum()),
        lambda: torch.stack([near.sum(), tensor.sum()]),
    ):
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            refused()
    assert (tensor[near > 0] * near.sum()).device == CUDA
    assert (tensor + near.to("cuda")).cpu().numpy().sum() == 6


def changed(*settings):
    return [word for setting in settings for word in ("--set", setting)]


TEACHER = changed(
    "retrain.teacher=0.9", "retrain.strong={}", "retrain.classmix=true", "retrain.consistency=1.0",
    "retrain.online={rectify: true, confidence: 0.5}", "retrain.labels=none", "retrain.source=source",
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("warmup", changed("adversary.align=fine-grained", "warmup.adabn=true", "warmup.class_weights=true")),
        ("warmup", changed("adversary.align=entropy", "adversary.loss=least-squares", "warmup.entropy_weight=0.005")),
        (
            "warmup",
            changed(
                "model={name: bisenet, backbone: resnet18, weights: none}",
                "adversary.align=output",
                "adversary.discriminator=light",
                "warmup.fda=0.05",
            ),
        ),
        ("warmup", changed("model.auxiliary=0.1", "adversary.align=output", "adversary.auxiliary=0.0002")),
        ("retrain", changed("retrain.regulariser=lrent", "retrain.adabn=after")),
        ("retrain", TEACHER),
        ("distill --model retrain", changed("distill.steps=2", "distill.batch=2", "distill.strong={}")),
        ("predict", changed("predict.adabn=true", "predict.flip=true", "predict.scales=[0.75, 1.0]")),
        ("prototypes", []),
        ("refine --prototypes --spatial-prior", []),
        ("evaluate --flip", []),
    ],
)
def test_every_stage_with_a_network_runs_on_a_device(workspace, udaseg, far, command, settings):
    outcome = udaseg(f"{command} --force", *settings)
    assert outcome.code == 0, outcome.err
    assert "far from cuda:0" in Path("runs/tiny", command.split()[0], "manifest.json").read_text()


def test_depth_is_learnt_on_a_device(rendered, udaseg, far):
    settings = changed(
        "source.size=[32,64]", "target.size=[32,64]", "gmm.grid=[12,20]", "warmup.steps=2", "warmup.batch=2"
    )
    outcome = udaseg("warmup --recipe synthia2city --scale toy", *settings, tiny=False)
    assert outcome.code == 0, outcome.err
    outcome = udaseg("evaluate --model warmup --recipe synthia2city --scale toy", *settings, tiny=False)
    assert outcome.code == 0, outcome.err
    assert "far from cuda:0" in Path("runs/synthia2city-toy/warmup/manifest.json").read_text()


def test_a_gpu_without_enough_memory_is_one_error_with_a_way_out(workspace, udaseg, monkeypatch):
    def infer(self, image_N3HW):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.19 GiB "
            "is free. Process 1 has 77.90 GiB memory in use. If reserved but unallocated memory is large try ..."
        )

    monkeypatch.setattr(Runner, "forward", infer)
    outcome = udaseg("predict --force")
    assert outcome.code == 1
    assert "error: the GPU has not enough memory: Tried to allocate 2.50 GiB\n" in outcome.err
    assert "hint: give the stage smaller batches" in outcome.err
    assert "Traceback" not in outcome.err
