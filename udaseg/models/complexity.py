"""Count the parameters and the operations of a network, by a named rule, and the memory that training takes."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from udaseg.config import HxW
from udaseg.models.network import Network
from udaseg.models.windows import Box

Rule = Literal["MAC", "MAC+bias", "2*MAC"]


class Complexity(NamedTuple):
    """The cost of one forward pass."""

    parameters: int
    macs: int  # multiply-accumulates of convolutions, linear layers and attention
    biases: int  # additions of a bias

    def operations(self, rule: Rule) -> int:
        """Return the number of operations by a rule; published figures differ by a factor of two between rules."""
        return {"MAC": self.macs, "MAC+bias": self.macs + self.biases, "2*MAC": 2 * self.macs}[rule]


def complexity(module: nn.Module, size: tuple[int, int], channels: int = 3, *, detail: HxW | None = None) -> Complexity:
    """Count the parameters, and the operations of one forward pass on an input [1, channels, height, width].

    `size` is (height, width). Only shapes are computed (PyTorch's meta device), so any size takes milliseconds and no
    memory. Operations are those of inference: classifiers that only training uses are left out. With `detail` a network
    of two resolutions sees one crop of this size, as in training, and not all.
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
            image = torch.empty(1, channels, *size, device="meta")
            torch.func.functional_call(module, state, image if detail is None else (image, Box(0, 0, *detail)))
    finally:
        for hook in hooks:
            hook.remove()
        for part in training:
            part.training = True
    macs = operations.get_total_flops() // 2  # PyTorch counts a multiplication and an addition each
    return Complexity(sum(value.numel() for value in module.parameters()), macs, biases)


class TrainingMemory(NamedTuple):
    """What a training keeps in memory, in bytes, without the images and what PyTorch itself takes."""

    weights: int  # float32 weights, their gradients, and copies of them in bf16
    sgd: int  # the state of the optimizer: sgd with momentum
    adamw: int
    activations: int  # of each image in a step, kept for the backward pass


def training_memory(network: Network, size: tuple[int, int], *, bf16: bool = False) -> TrainingMemory:
    """Count what a training step keeps: encoder, decoder, upsampling to the image [3, height, width], cross-entropy.

    `size` is (height, width). Counted are the tensors that PyTorch saves for the backward pass, each storage once, on
    tensors without data. `bf16` counts those of mixed precision.
    """
    training = [part for part in network.modules() if part.training]
    try:
        one, two = (_saved_bytes(network.train(), (count, 3, *size), bf16) for count in (1, 2))
    finally:
        network.eval()
        for part in training:
            part.training = True
    parameters = 4 * sum(value.numel() for value in network.parameters())
    return TrainingMemory(2 * parameters + max(0, 2 * one - two), parameters, 2 * parameters, two - one)


def _saved_bytes(network: Network, shape: tuple[int, int, int, int], bf16: bool) -> int:
    """Return the bytes that a step with images of a shape saves for its backward pass, without the weights."""
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage
        return tensor

    with FakeTensorMode(), saved_tensors_hooks(keep, lambda tensor: tensor):
        state = {
            name: torch.empty(value.shape, dtype=value.dtype, requires_grad=value.requires_grad)
            for name, value in (*network.named_parameters(), *network.named_buffers())
        }
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            box = None if network.resolutions is None else Box(0, 0, *network.resolutions.detail)
            output = torch.func.functional_call(network, state, (torch.empty(shape), box))
        maps = [(logits_NChw, shape[2:]) for logits_NChw in (output.logits, *output.aux)]
        for logits_NChw, size in maps if box is None else [*maps, (output.detail, box[2:])]:
            full_NCHW = functional.interpolate(logits_NChw.float(), size=size, mode="bilinear")
            functional.cross_entropy(full_NCHW, torch.zeros(shape[0], *size, dtype=torch.int64))
    weights = {tensor.untyped_storage()._cdata for tensor in state.values()}
    return sum(storage.nbytes() for number, storage in saved.items() if number not in weights)
