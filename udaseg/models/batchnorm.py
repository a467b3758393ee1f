"""Batch normalisation over the whole batch, whether one process holds it or several."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.parallel import processes


class BatchNorm(nn.BatchNorm2d):
    """Normalise by the batch, or by the running statistics where the batch holds a single value per channel.

    A batch of one image pooled to 1x1 has no variance; PyTorch raises there. `frozen` keeps the layer on
    its running statistics through every `model.train()`. Processes that learn together normalise by the batch of all
    of them. `domains` says how many images of a batch are of which domain, one after the other, where each domain is
    normalised by itself; the running statistics are then the last one's.
    """

    frozen = False
    domains: Sequence[int] = ()

    def train(self, mode: bool = True) -> "BatchNorm":
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.domains):
            return self._normalised(x)
        *others, last = x.split(tuple(self.domains))
        with frozen_statistics([self]):
            parts = [self._normalised(other) for other in others]
        return torch.cat([*parts, self._normalised(last)])

    def _normalised(self, x: Tensor) -> Tensor:
        if self.training and processes.is_data_parallel():
            return self._of_all(x)
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)

    def _of_all(self, x_NChw: Tensor) -> Tensor:
        """Do what PyTorch's SyncBatchNorm does, which there is for CUDA alone."""
        full_NChw = x_NChw.float()
        count = processes.all_reduce_sum(torch.full((), x_NChw.numel() // x_NChw.shape[1], device=x_NChw.device))
        mean_C11 = _Added.apply(full_NChw.sum((0, 2, 3)))[:, None, None] / count
        centred_NChw = full_NChw - mean_C11
        variance_C11 = _Added.apply(centred_NChw.square().sum((0, 2, 3)))[:, None, None] / count
        with torch.no_grad():
            self.running_mean.lerp_(mean_C11.flatten(), self.momentum)
            self.running_var.lerp_(variance_C11.flatten() * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale_C11 = self.weight[:, None, None] * (variance_C11 + self.eps).rsqrt()
        return (centred_NChw * scale_C11 + self.bias[:, None, None]).to(x_NChw.dtype)


@contextmanager
def frozen_statistics(norms: Iterable[nn.BatchNorm2d]) -> Iterator[None]:
    """Leave the running statistics as they are, whatever the layers see."""
    momenta = [(norm, norm.momentum) for norm in norms]
    for norm, _ in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum


@torch.no_grad()
def estimate_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Put the mean statistics of these batches in the place of the learnt ones, in frozen layers as well.

    A layer that sees a single value per channel in every batch, which has no variance, keeps what it has learnt. The
    network is left as for inference.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for norm in norms:
        nn.Module.train(norm)  # its own refuses where it is frozen
        norm.momentum = None  # the mean over all batches; the first takes the place of what was there
        norm.num_batches_tracked.zero_()
    try:
        for batch in inputs:
            network(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


@contextmanager
def by_domain(norms: Iterable[BatchNorm], domains: Sequence[int]) -> Iterator[None]:
    """Normalise each domain of a batch by itself: so many images of each, one after the other."""
    norms = list(norms)
    for norm in norms:
        norm.domains = domains
    try:
        yield
    finally:
        for norm in norms:
            norm.domains = ()


class _Added(torch.autograd.Function):
    """Add up a tensor over the processes that learn together, and its gradient too: all of them used the sum."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return processes.all_reduce_sum(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return processes.all_reduce_sum(gradient)
