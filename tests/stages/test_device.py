"""The stages on a device that is not the CPU, on machines without one.

A tensor that was sent to CUDA says that it is there, lives on the CPU, and refuses what a real one would: to meet a
tensor that was left behind, and to become an array. That tells nothing of speed and of CUDA's own numbers.
"""

from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from udaseg.inference.runner import Runner
from udaseg.models import devices

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
CROSSING = {aten.copy_.default, aten._to_copy.default}
INDEXING = {aten.index.Tensor, aten._index_put_impl_.default}  # a tensor on CUDA takes indices from the CPU
JOINING = {aten.cat.default, aten.stack.default}  # other functions take single numbers from the CPU


class Far(torch.Tensor):
    """A tensor that is said to be on CUDA; `near` has its numbers."""

    @staticmethod
    def __new__(cls, near):
        kept = {"dtype": near.dtype, "strides": near.stride(), "storage_offset": near.storage_offset()}
        far = torch.Tensor._make_wrapper_subclass(cls, near.size(), **kept)
        far.near = near
        return far

    @property
    def device(self):
        return CUDA

    @property
    def is_cuda(self):
        return True

    def numpy(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    def cpu(self):
        return Back.apply(self)

    def to(self, *arguments, **options):
        return sent(self, *arguments, **options)

    def tolist(self):
        return self.detach().cpu().tolist()

    def __reduce_ex__(self, protocol):
        return self.detach().cpu().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        return computed(function, arguments, options or {}, False)


class Back(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        return tensor.near.clone()

    @staticmethod
    def backward(context, gradient):
        return Far(gradient)


def is_cuda(device):
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


def computed(function, arguments, options, inside):
    """Compute on the CPU what is asked of tensors of one device.

    `inside` of a function that was called with far tensors, what it makes out of nothing is far too.
    """
    tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, torch.Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, Far)]
    written = arguments[0] if arguments and function._schema.is_mutable else None
    left = [
        tensor
        for tensor in tensors
        if not isinstance(tensor, Far) and (tensor.dim() or tensor is written or function in JOINING)
    ]
    crosses = function in CROSSING or (function in INDEXING and isinstance(arguments[0], Far))
    if far and left and not crosses:
        raise RuntimeError(f"expected all tensors on one device, found two in {function}")
    stays = bool(far) or is_cuda(options.get("device")) or (not tensors and inside)
    if function is aten.copy_.default:
        stays = isinstance(arguments[0], Far)
    if stays and options.get("device") is not None:
        options = options | {"device": "cpu"}
    near = tree_map_only(Far, lambda tensor: tensor.near, (arguments, options))
    found = function(*near[0], **near[1])
    if not stays:
        return found
    found = tree_map_only(torch.Tensor, Far, found)
    return return_and_correct_aliasing(function, arguments, options, found) if far else found


def sent(tensor, *arguments, **options):
    """Do what Tensor.to does."""
    device, rest = options.pop("device", None), list(arguments)
    options.pop("non_blocking", None)
    if rest and isinstance(rest[0], torch.Tensor):
        other = rest.pop(0)
        device, options["dtype"] = other.device, other.dtype
    if rest and isinstance(rest[0], str | torch.device):
        device = rest.pop(0)
    rest = [value for value in rest if value is not None and not isinstance(value, bool)]
    if is_cuda(device) and not isinstance(tensor, Far):
        tensor = Far(tensor.detach().clone()).requires_grad_(tensor.requires_grad)
    elif device is not None and not is_cuda(device) and isinstance(tensor, Far):
        tensor = tensor.cpu()
    return torch._C.TensorBase.to(tensor, *rest, **options) if rest or options else tensor


class Calls(TorchFunctionMode):
    """Make far what is made on CUDA, and know inside of what PyTorch makes new tensors by itself."""

    inside = False

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = dict(options or {})
        if function in (torch.Tensor.to, torch.Tensor.cpu):
            return sent(*arguments, **(options if function is torch.Tensor.to else {"device": "cpu"}))
        if is_cuda(options.get("device")):
            found = function(*arguments, **options | {"device": "cpu"})
            return found if isinstance(found, Far) else Far(found)
        before = self.inside
        self.inside = any(isinstance(leaf, Far) for leaf in tree_leaves((arguments, options)))
        try:
            return function(*arguments, **options)
        finally:
            self.inside = before


class Operations(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return computed(function, arguments, options or {}, self.calls.inside)


@pytest.fixture
def far(monkeypatch):
    """Let everything be computed on what is said to be CUDA."""
    monkeypatch.setattr(devices, "choose", lambda: CUDA)
    monkeypatch.setattr(devices, "bfloat16", lambda precision, device: False)
    monkeypatch.setattr(devices, "environment", lambda device, bf16: {"device": f"far from {device}"})
    monkeypatch.setattr(devices, "workers", lambda device: 0)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a module's tensors become others
    try:
        with Calls() as calls, Operations(calls):
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


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
