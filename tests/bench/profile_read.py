"""Read a profile of PyTorch: the time in kernels, the waits of the host, the biggest operators."""

from collections.abc import Iterable
from typing import Any

from torch.autograd import DeviceType

# What the host calls to wait for a GPU. On a CPU nothing waits; there a value that is read is counted.
WAITS = {
    "cuda": ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"),
    "cpu": ("aten::_local_scalar_dense",),
}
BIGGEST = 12


def read(events: Iterable[Any], steps: int, device: str) -> dict[str, Any]:
    """Return figures of one step from `profile.key_averages()` of so many.

    `kernel_ms` is the time of the device in kernels and copies; on a CPU, that of operators without those that they
    call. `waits` is the number of each call that waits. `operators` are the biggest ones: name, milliseconds, calls.
    """
    events, is_gpu = list(events), device == "cuda"
    times = {id(event): event.self_device_time_total if is_gpu else event.self_cpu_time_total for event in events}
    # On a GPU, kernels and copies are events of their own, beside the operators that started them.
    is_work = [event.device_type == DeviceType.CUDA if is_gpu else event.key.startswith("aten::") for event in events]
    kernels = sum(times[id(event)] for event, counts in zip(events, is_work, strict=True) if counts)
    operators = [event for event in events if event.device_type == DeviceType.CPU and event.key.startswith("aten::")]
    biggest = sorted(operators, key=lambda event: -times[id(event)])[:BIGGEST]
    return {
        "kernel_ms": kernels / 1e3 / steps,
        "waits": {event.key: event.count / steps for event in events if event.key in WAITS[device]},
        "operators": [(event.key, times[id(event)] / 1e3 / steps, event.count / steps) for event in biggest],
    }
