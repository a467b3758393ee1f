"""Batch normalisation over the whole batch, also where several processes hold parts of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.parallel import processes


class BatchNorm(nn.BatchNorm2d):
    """Normalise a batch [N, C, h, w] by its mean and variance per channel; extends PyTorch's BatchNorm2d in four ways.

    * In data-parallel training, mean and variance are those of the whole batch over all processes.
    * A batch with a single value per channel has no variance, and PyTorch raises an error. This layer uses the
      running statistics instead.
    * With `frozen`, the layer always uses its running statistics, also after `model.train()`.
    * `domains` holds the number of images of each domain, in the order of the batch. Each domain is then normalised
      by its own mean and variance; only the last domain updates the running statistics.
    """

    frozen = False
    domains: Sequence[int] = ()
    # PyTorch's SyncBatchNorm reads these.
    process_group: Any = None
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def train(self, mode: bool = True) -> "BatchNorm":
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.domains):
            return self._normalise(x)
        *others, last = x.split(tuple(self.domains))
        with frozen_statistics([self]):
            parts = [self._normalise(other) for other in others]
        return torch.cat([*parts, self._normalise(last)])

    def _normalise(self, x: Tensor) -> Tensor:
        if self.training and processes.is_data_parallel():
            self.process_group = processes.nccl_group() if x.is_cuda else None
            if self.process_group is not None:
                return nn.SyncBatchNorm.forward(self, x)
            return self._normalise_across_processes(x)
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)

    def _normalise_across_processes(self, x_NChw: Tensor) -> Tensor:
        """Normalise by the statistics over all processes, as PyTorch's SyncBatchNorm does, which needs a GPU each."""
        full_NChw = x_NChw.float()
        count = processes.all_reduce_sum(torch.full((), x_NChw.numel() // x_NChw.shape[1], device=x_NChw.device))
        mean_C11 = _AllReduceSum.apply(full_NChw.sum((0, 2, 3)))[:, None, None] / count
        centred_NChw = full_NChw - mean_C11
        variance_C11 = _AllReduceSum.apply(centred_NChw.square().sum((0, 2, 3)))[:, None, None] / count
        with torch.no_grad():
            self.running_mean.lerp_(mean_C11.flatten(), self.momentum)
            self.running_var.lerp_(variance_C11.flatten() * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale_C11 = self.weight[:, None, None] * (variance_C11 + self.eps).rsqrt()
        return (centred_NChw * scale_C11 + self.bias[:, None, None]).to(x_NChw.dtype)


@contextmanager
def frozen_statistics(norms: Iterable[nn.BatchNorm2d]) -> Iterator[None]:
    """Keep the running statistics of these layers unchanged inside this block."""
    momenta = [(norm, norm.momentum) for norm in norms]
    for norm, _ in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum


def use_batch_statistics(network: nn.Module) -> None:
    """Let batch norm normalise every batch by its own mean and variance; the running statistics stay as they are.

    This holds until the mode of the network is set again.
    """
    for norm in network.modules():
        if isinstance(norm, BatchNorm):
            nn.Module.train(norm)  # BatchNorm.train does nothing where the layer is frozen
            norm.track_running_stats = False


def use_running_statistics(network: nn.Module) -> None:
    """Let batch norm normalise by its running statistics: the reverse of `use_batch_statistics`."""
    for norm in network.modules():
        if isinstance(norm, BatchNorm):
            norm.eval()
            norm.track_running_stats = True


@contextmanager
def recomputation(network: nn.Module) -> Iterator[None]:
    """Leave the running statistics of a network unchanged inside this block, where forward passes are repeated."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    counts = [norm.num_batches_tracked.clone() for norm in norms]
    with frozen_statistics(norms):
        yield
    for norm, count in zip(norms, counts, strict=True):
        norm.num_batches_tracked.copy_(count)


@contextmanager
def labelling(network: nn.Module) -> Iterator[None]:
    """Let a network in training label images inside this block: without dropout, and without a trace.

    Batch norm normalises as in training, and its running statistics stay unchanged.
    """
    modes = [(module, module.training) for module in network.modules()]
    with recomputation(network):
        for module, _ in modes:
            module.training = module.training and isinstance(module, BatchNorm)
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


@torch.no_grad()
def estimate_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Replace the running statistics by the mean statistics of these batches, also in frozen layers.

    `inputs` are batches for the network, float [N, 3, H, W]. A layer keeps its statistics where every batch has a
    single value per channel, which has no variance. The network is in evaluation mode afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for module in network.modules():
        if not any(module.children()):
            module.eval()  # dropout and drop path would make the statistics random
    for norm in norms:
        nn.Module.train(norm)  # BatchNorm.train does nothing where the layer is frozen
        norm.momentum = None  # averages over all batches; the first one replaces the old statistics
        norm.num_batches_tracked.zero_()
    try:
        for batch in inputs:
            network(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


@torch.no_grad()
def blend_statistics(network: nn.Module, inputs: Iterable[Tensor], momentum: float) -> None:
    """Move the running statistics by `momentum`, 0 to 1, towards the mean statistics of these batches.

    With 1 they are those of `estimate_statistics`, with 0 they stay. The network is in evaluation mode afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    buffers = [
        (norm.running_mean.clone(), norm.running_var.clone(), norm.num_batches_tracked.clone()) for norm in norms
    ]
    estimate_statistics(network, inputs)
    for norm, (mean, variance, count) in zip(norms, buffers, strict=True):
        norm.running_mean.copy_(mean.lerp(norm.running_mean, momentum))
        norm.running_var.copy_(variance.lerp(norm.running_var, momentum))
        norm.num_batches_tracked.copy_(count)


@contextmanager
def by_domain(norms: Iterable[BatchNorm], domains: Sequence[int]) -> Iterator[None]:
    """Normalise each domain of a batch separately inside this block.

    `domains` holds the number of images of each domain, in the order of the batch.
    """
    norms = list(norms)
    for norm in norms:
        norm.domains = domains
    try:
        yield
    finally:
        for norm in norms:
            norm.domains = ()


class _AllReduceSum(torch.autograd.Function):
    """Sum a tensor over all processes of a data-parallel training; the gradient is summed too, as all used the sum."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return processes.all_reduce_sum(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return processes.all_reduce_sum(gradient)
