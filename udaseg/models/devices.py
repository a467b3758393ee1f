"""The device, its number format, and how much of what it does is repeatable."""

import os
from typing import Any

import torch

from udaseg.parallel.threads import cores


def choose() -> torch.device:
    """Use CUDA where there is one; several processes on a machine take a device each, in turn."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)  # where pinned memory is mapped: by default all processes would use the first
    # Convolutions in float32 would be in TF32, with 10 bits of mantissa. Where speed counts, precision is bf16.
    if hasattr(torch.backends.cudnn, "conv"):
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    else:  # before PyTorch 2.9
        torch.backends.cudnn.allow_tf32 = False
    return device


def bfloat16(precision: str, device: torch.device) -> bool:
    """Say whether to compute in bf16: as told, or where the machine has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(supported.get("avx512_bf16") or supported.get("amx_bf16"))


def layout(device: torch.device) -> torch.memory_format:
    """Choose how maps lie in memory while a network learns: channels last, but on a CPU with AVX2 alone.

    There the gradients of large convolutions take twice as long that way, and those of small ones as long as any.
    """
    plain = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if plain else torch.channels_last


def environment(device: torch.device, bf16: bool) -> dict[str, Any]:
    """Describe the device for a manifest."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "precision": "bf16" if bf16 else "fp32",
        "threads": torch.get_num_threads(),
        # Atomic additions in CUDA's interpolation and scatter kernels sum in any order.
        "deterministic": device.type == "cpu",
    }


def workers(device: torch.device) -> int:
    """Choose the number of loader processes: none where the same cores compute."""
    return 0 if device.type == "cpu" else min(8, max(1, cores() - 1))
