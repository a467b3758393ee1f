"""Count the parameters and the operations of a network, by a named rule."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Rule = Literal["MAC", "MAC+bias", "2*MAC"]


class Complexity(NamedTuple):
    """The cost of one forward pass."""

    parameters: int
    macs: int  # multiply-accumulates of convolutions, linear layers and attention
    biases: int  # additions of a bias

    def operations(self, rule: Rule) -> int:
        """Return the number of operations by a rule; published figures differ by a factor of two between rules."""
        return {"MAC": self.macs, "MAC+bias": self.macs + self.biases, "2*MAC": 2 * self.macs}[rule]


def complexity(module: nn.Module, size: tuple[int, int], channels: int = 3) -> Complexity:
    """Count the parameters, and the operations of one forward pass on an input [1, channels, height, width].

    `size` is (height, width). Only shapes are computed (PyTorch's meta device), so any size takes milliseconds and no
    memory. Operations are those of inference: classifiers that only training uses are left out.
    """
    biases = 0

    def count(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
        nonlocal biases
        biases += output.numel() if layer.bias is not None else 0

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = [part for part in module.modules() if part.training]
    state = {name: value.to("meta") for name, value in (*module.named_parameters(), *module.named_buffers())}
    try:
        module.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as operations:
            torch.func.functional_call(module, state, torch.empty(1, channels, *size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
        for part in training:
            part.training = True
    macs = operations.get_total_flops() // 2  # PyTorch counts a multiplication and an addition each
    return Complexity(sum(value.numel() for value in module.parameters()), macs, biases)
