"""A device that is not the CPU, on machines without one.

A tensor that was sent to CUDA says that it is there, lives on the CPU, and refuses what a real one would: to meet a
tensor that was left behind, and to become an array. That tells nothing of speed and of CUDA's own numbers. It also
tells where a real host would wait for its device.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from udaseg.models import devices

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
CROSSING = {aten.copy_.default, aten._to_copy.default}
MASKS = (torch.bool, torch.uint8)
INDEXING = {aten.index.Tensor, aten._index_put_impl_.default}  # a tensor on CUDA takes indices from the CPU
JOINING = {aten.cat.default, aten.stack.default}  # other functions take single numbers from the CPU
# The shape or the value of their result is known to the host when the device has computed it. An index that is a mask
# is another, and so is a copy between host and device that is not asked to be asynchronous.
WAITING = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.bincount.default,
    aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default, aten.equal.default,
    aten.repeat_interleave.Tensor, aten.median.default, aten.nanmedian.default,
}  # fmt: skip
ROOT = Path(devices.__file__).parent.parent


class Wait(NamedTuple):
    """Where the host waits: the operation, and the functions of udaseg that were running, the innermost first."""

    operation: str
    functions: tuple[str, ...]


Waits = list[Wait]
WAITS: Waits = []


def wait(operation: str) -> None:
    """Note that the host of a real device would wait here."""
    functions, frame = [], sys._getframe(1)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT):
            functions.append(f"{file.relative_to(ROOT)}:{frame.f_code.co_name}")
        frame = frame.f_back
    WAITS.append(Wait(operation, tuple(functions)))


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
        wait("copy to the host")
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
    masks = [leaf for leaf in tree_leaves(arguments[1:2]) if isinstance(leaf, Far) and leaf.dtype in MASKS]
    if (far and function in WAITING) or (function in INDEXING and masks):
        wait(str(function))
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
    is_asynchronous = options.pop("non_blocking", False)
    if rest and isinstance(rest[0], torch.Tensor):
        other = rest.pop(0)
        device, options["dtype"] = other.device, other.dtype
    if rest and isinstance(rest[0], str | torch.device):
        device = rest.pop(0)
    rest = [value for value in rest if value is not None and not isinstance(value, bool)]
    if is_cuda(device) and not isinstance(tensor, Far):
        if not is_asynchronous:
            wait("copy to the device")
        tensor = Far(tensor.detach().clone()).requires_grad_(tensor.requires_grad)
    elif device is not None and not is_cuda(device) and isinstance(tensor, Far):
        tensor = Back.apply(tensor) if is_asynchronous else tensor.cpu()
    elif device is not None and not is_cuda(device):
        options["device"] = device
    return torch._C.TensorBase.to(tensor, *rest, **options) if rest or options else tensor


class Calls(TorchFunctionMode):
    """Make far what is made on CUDA, and know inside of what PyTorch makes new tensors by itself."""

    inside = False

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = dict(options or {})
        if function in (torch.Tensor.to, torch.Tensor.cpu):
            return sent(*arguments, **(options if function is torch.Tensor.to else {"device": "cpu"}))
        if is_cuda(options.get("device")):
            if function in (torch.tensor, torch.as_tensor):
                wait("copy to the device")
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


@contextmanager
def on_far_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    """Let everything be computed on what is said to be CUDA inside this block; give the waits of the host for it."""
    monkeypatch.setattr(devices, "choose", lambda: CUDA)
    monkeypatch.setattr(devices, "bfloat16", lambda precision, device: False)
    monkeypatch.setattr(devices, "environment", lambda device, bf16: {"device": f"far from {device}"})
    monkeypatch.setattr(devices, "workers", lambda device: 0)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a module's tensors become others
    WAITS.clear()
    try:
        with Calls() as calls, Operations(calls):
            yield WAITS
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
