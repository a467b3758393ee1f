"""Measure how fast a network is: the time of a forward pass of one image on the device of this machine."""

import statistics
import time
from typing import Any, NamedTuple

import torch
from torch import nn

from udaseg.models import devices

WARM_UP = 3  # runs before those that count: kernels are chosen, memory is reserved
RUNS = 5, 200  # the fewest and the most runs that count
SECONDS = 10.0  # after which no run begins, once there are the fewest


class Speed(NamedTuple):
    """The median time of a forward pass of one image, in seconds, the number of runs, and where they ran."""

    latency: float
    runs: int
    environment: dict[str, Any]  # device, precision, threads

    @property
    def frames_per_second(self) -> float:
        """Images a second, one after another."""
        return 1 / self.latency


def measure_speed(module: nn.Module, size: tuple[int, int], channels: int = 3, precision: str = "auto") -> Speed:
    """Time forward passes on an input [1, channels, height, width] that is on the device already.

    `size` is (height, width), `precision` auto, fp32 or bf16. The time ends with the logits at the network's stride:
    reading and upsampling are not in it. The module stays on the device, in evaluation mode.
    """
    device = devices.choose()
    bf16 = devices.bfloat16(precision, device)
    module = module.to(device, memory_format=torch.channels_last).eval()
    image_1CHW = torch.rand(1, channels, *size, device=device).contiguous(memory_format=torch.channels_last)

    def run() -> float:
        start = time.perf_counter()
        module(image_1CHW)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    seconds: list[float] = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for _ in range(WARM_UP):
            run()
        begin = time.perf_counter()
        while len(seconds) < RUNS[0] or (len(seconds) < RUNS[1] and time.perf_counter() - begin < SECONDS):
            seconds.append(run())
    environment = devices.environment(device, bf16)
    del environment["deterministic"]
    return Speed(statistics.median(seconds), len(seconds), environment)
