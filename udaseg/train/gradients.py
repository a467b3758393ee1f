"""The gradients of a step: each pass adds its own, and those of several processes are added up."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from udaseg.parallel import processes


class Gradients(Protocol):
    """Compute the gradients of the passes of a step, one pass after the other."""

    def add(self, loss: Tensor, is_last: bool) -> None:
        """Add the gradients of a pass to those of the parameters; `is_last` says whether it ends the step."""

    def finish(self) -> None:
        """Make the gradients those of all processes, after the last pass."""


def gradients(modules: Iterable[nn.Module], device: torch.device) -> Gradients:
    """Return how the gradients of modules are computed: overlapped where processes have a GPU each."""
    modules = list(modules)
    group = processes.nccl_group() if processes.is_data_parallel() and device.type == "cuda" else None
    return Summed(modules) if group is None else Overlapped(modules, group)


def trained(modules: list[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters of modules that have a gradient, those that are not frozen."""
    return [value for module in modules for value in module.parameters() if value.requires_grad]


class Summed:
    """Compute all gradients, and then add those of all processes in one exchange, if there are several."""

    def __init__(self, modules: list[nn.Module]):
        self._parameters = trained(modules)

    def add(self, loss: Tensor, is_last: bool) -> None:
        loss.backward()

    def finish(self) -> None:
        if not processes.is_data_parallel():
            return
        own = [value.grad for value in self._parameters if value.grad is not None]
        sums = processes.all_reduce_sum(torch.cat([gradient.flatten() for gradient in own]))
        for gradient, part in zip(own, sums.split([gradient.numel() for gradient in own]), strict=True):
            gradient.copy_(part.view_as(gradient))


class Overlapped:
    """Add the gradients of all processes in buckets, while the backward pass of a step's last pass goes on.

    This is PyTorch's DistributedDataParallel. It is not around the networks, whose names in files stay as they are, but
    around the loss: a module that has all of their parameters, and returns the loss unchanged.
    """

    def __init__(self, modules: list[nn.Module], group: Any = None):
        from torch import distributed
        from torch.nn.parallel import DistributedDataParallel

        def add_up(group: Any, bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:
            # Each process has its share of the loss: the sum of the gradients needs no division.
            work = distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
            return work.get_future().then(lambda future: future.value()[0])

        self._parallel = DistributedDataParallel(
            _LossOf(trained(modules)),
            process_group=group,
            gradient_as_bucket_view=True,
            find_unused_parameters=True,  # heads that a pass has no loss for
        )
        self._parallel.register_comm_hook(group, add_up)

    def add(self, loss: Tensor, is_last: bool) -> None:
        with nullcontext() if is_last else self._parallel.no_sync():
            self._parallel(loss).backward()

    def finish(self) -> None:
        """Do nothing: the last pass has waited for the sums."""


class _LossOf(nn.Module):
    """Has all parameters that are trained, and no buffers, and returns the loss of theirs unchanged."""

    def __init__(self, parameters: list[nn.Parameter]):
        super().__init__()
        self.trained = nn.ParameterList(parameters)

    def forward(self, loss: Tensor) -> Tensor:
        return loss
