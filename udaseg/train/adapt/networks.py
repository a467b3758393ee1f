"""The networks of an online adaptation, what of them moves, and their way back to the first model."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from udaseg.config import Adapt, Model
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.models import Network, checkpoint
from udaseg.models.batchnorm import BatchNorm, blend_statistics, use_batch_statistics, use_running_statistics


@dataclass
class Networks:
    """The networks of an adaptation.

    `runner` has the network that labels the frames; with `cotta` it is the teacher, and `student` is what learns.
    `first` has the network that the stream began with; None with the method `frozen`. `optimizer` moves the student, or
    the network itself.
    """

    runner: Runner
    first: Runner | None
    settings: Adapt
    seed: int
    student: Network | None = None
    optimizer: Optimizer | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks that change, by name."""
        return {"model": self.runner.model} | ({} if self.student is None else {"student": self.student})

    def restore(self) -> None:
        """Give all networks the weights and statistics of the first model, and forget the gradients of the past."""
        assert self.first is not None
        for module in self.modules.values():
            module.load_state_dict(self.first.model.state_dict())
        if self.optimizer is not None:
            self.optimizer.state.clear()


def open_networks(model: Path, settings: Adapt, precision: str, seed: int) -> Networks:
    """Load the networks of a method from a `model.pt`; raise UdasegError where the method could move nothing."""
    heads = Model(**checkpoint.load(model)[1]["model"]).heads  # they are saved with the adapted model
    runner = Runner(model, None, precision, heads)
    if settings.method == "frozen":
        return Networks(runner, None, settings, seed)
    first = Runner(model, None, precision, heads)
    first.model.requires_grad_(False)
    networks = Networks(runner, first, settings, seed)
    if settings.method == "statistics":
        _require_statistics(runner.model, settings)
    else:
        networks.student = deepcopy(runner.model) if settings.method == "cotta" else None
        networks.optimizer = _optimizer(networks, settings)
    normalise_by(networks)
    return networks


def normalise_by(networks: Networks) -> None:
    """Let batch norm use what the settings name: the statistics of the frame, or the running ones."""
    is_of_frame = "norm" in networks.settings.identity() and networks.settings.norm == "batch"
    first = networks.first
    for network in (*networks.modules.values(), *(() if first is None else (first.model,))):
        (use_batch_statistics if is_of_frame else use_running_statistics)(network)


def move_statistics(networks: Networks, windows: list[Tensor]) -> None:
    """Move the running statistics of batch norm by `momentum` towards those of a frame.

    `windows` are the parts of the frame that the network sees one by one, float32 [1, 3, h, w] each, normalised.

    With the method `cotta` the student gets those of the teacher. Frames are not normalised by them with `norm: batch`,
    but `model.pt` has them, and `apply` and `evaluate` use them.
    """
    settings, network = networks.settings, networks.runner.model
    if settings.momentum == 0 or not has_batch_norm(network):
        return
    use_running_statistics(network)
    part = network.stem() if settings.layers == "stem" else network
    with networks.runner.autocast():
        blend_statistics(part, windows, settings.momentum)
    if networks.student is not None:
        for own, new in zip(networks.student.buffers(), network.buffers(), strict=True):
            own.copy_(new)
    normalise_by(networks)


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a part of a network has batch norm."""
    return any(isinstance(module, BatchNorm) for module in network.modules())


def normalisation_layers(network: Network) -> list[nn.Module]:
    """Return the layers whose scale and shift TENT moves: batch norm, or layer norm where the encoder has none.

    Raises UdasegError where there is neither.
    """
    kind = BatchNorm if has_batch_norm(network.backbone) else nn.LayerNorm
    layers = [module for module in network.modules() if isinstance(module, kind) and module.weight is not None]
    if not layers:
        raise UdasegError(
            "tent moves the scale and shift of batch norm or layer norm, and this network has neither",
            "choose another method: --method cotta moves all weights",
        )
    return layers


def _optimizer(networks: Networks, settings: Adapt) -> Optimizer:
    network = networks.student or networks.runner.model
    networks.runner.model.requires_grad_(False)
    if networks.student is not None:
        networks.student.requires_grad_(True)  # also what a training may have kept
    if settings.method == "tent":
        for layer in normalisation_layers(network):
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(True)
    return Adam([parameter for parameter in network.parameters() if parameter.requires_grad], lr=settings.rate)


def _require_statistics(network: Network, settings: Adapt) -> None:
    """Raise UdasegError where a network lacks the running statistics that the method `statistics` moves."""
    if not has_batch_norm(network.backbone):
        raise UdasegError(
            "statistics moves the running statistics of batch norm, and the encoder of this network has none",
            "choose another method: --method tent moves the scale and shift of layer norm, --method cotta all weights",
        )
    if settings.layers == "stem":
        try:
            network.stem()
        except UdasegError as error:
            raise UdasegError(error.message, "leave out --layers") from None


def require_finite(loss: Tensor, stem: str, settings: Adapt) -> None:
    """Raise UdasegError where the loss of a frame is not finite; this is before the update."""
    if not torch.isfinite(loss):
        raise UdasegError(f"the loss of the frame {stem} is not finite", hint_of_divergence(settings))


def hint_of_divergence(settings: Adapt) -> str:
    """Return what a user changes where the updates of a method have led to values that are not finite."""
    way = "lower --momentum" if settings.method == "statistics" else "lower the rate with --lr"
    if not settings.anchor:
        way += ", or leave out --anchor 0: the anchor restores the first model"
    return f"{way}; add --force, which labels everything again"
