"""The compute device: its choice, number format, memory layout and description."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from udaseg.parallel.threads import cores


def choose() -> torch.device:
    """Return a CUDA device where there is one, else the CPU.

    Several processes on one machine get the devices in turn. Sets the CUDA device of this process, and switches TF32
    off in convolutions.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)  # pinned memory is mapped there; by default all processes would use the first device
    # By default float32 convolutions run in TF32, with 10 bits of mantissa. For speed there is precision bf16.
    if hasattr(torch.backends.cudnn, "conv"):
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    else:  # before PyTorch 2.9
        torch.backends.cudnn.allow_tf32 = False
    return device


def bfloat16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bf16: with "bf16", and with "auto" where the device supports it.

    A PyTorch that is held to AVX2 (ATEN_CPU_CAPABILITY) would imitate bf16 on any CPU, which takes many times as long.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        return False
    supported = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(supported.get("avx512_bf16") or supported.get("amx_bf16"))


def layout(device: torch.device) -> torch.memory_format:
    """Return the memory format for training: channels last, except on a CPU with AVX2 only.

    There the gradients of large convolutions take twice as long in channels last; those of small ones take
    the same time.
    """
    is_contiguous = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if is_contiguous else torch.channels_last


def environment(device: torch.device, bf16: bool) -> dict[str, Any]:
    """Describe the device for a manifest: name, precision, number of threads, and whether results are repeatable."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "precision": "bf16" if bf16 else "fp32",
        "threads": torch.get_num_threads(),
        # The interpolation and scatter kernels of CUDA add atomically, in any order.
        "deterministic": device.type == "cpu",
    }


def workers(device: torch.device) -> int:
    """Return the number of loader processes for a device: 0 on a CPU, whose cores compute; up to 8 on a GPU."""
    return 0 if device.type == "cpu" else min(8, max(1, cores() - 1))


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device; the host does not wait for the device.

    A copy from memory that is not pinned waits until all work before it is done.
    """
    if device.type == "cuda" and torch.cuda.is_available():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def fill(values: Sequence[float], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a vector of few values, made on the device: nothing is copied, and the host does not wait."""
    return torch.stack([torch.full((), value, device=device, dtype=dtype) for value in values])


def fetch(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy a vector to the host; return the function that waits for the copy alone and returns the values.

    `values.tolist()` would wait for all work that the device has got until then.
    """
    copy = values.to("cpu", non_blocking=True)  # into pinned memory
    if not torch.cuda.is_initialized():
        return copy.tolist
    arrived = torch.cuda.Event()
    arrived.record()

    def read() -> list[float]:
        arrived.synchronize()
        return copy.tolist()

    return read
