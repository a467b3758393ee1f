"""Copy named tensors into a network, and report which fitted."""

from typing import NamedTuple

from torch import Tensor

from udaseg.errors import UdasegError, join_names
from udaseg.models.network import Network
from udaseg.models.tensorfile import check_finite


class LoadResult(NamedTuple):
    """The tensors that a weights file set in a network, those that it did not, and a caution to the user."""

    source: str
    loaded: int
    missing: tuple[str, ...]  # in the network, not in the file
    unexpected: tuple[str, ...]  # in the file, not in the network
    reshaped: tuple[str, ...]  # in both, of different shapes
    caution: str | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether file and network hold the same tensors, and there is no caution."""
        return not (self.missing or self.unexpected or self.reshaped or self.caution)

    def describe(self) -> str:
        """Describe the result in one line."""
        parts = [f"{self.source}: {self.loaded} tensors"]
        for kind in ("missing", "unexpected", "reshaped"):
            if names := getattr(self, kind):
                parts.append(f"{len(names)} {kind} ({join_names(names)})")
        if self.caution:
            parts.append(self.caution)
        return "; ".join(parts)


def copy_tensors(network: Network, state: dict[str, Tensor], source: str) -> LoadResult:
    """Copy all tensors of the same name and shape into the network.

    `source` names the weights in messages. Raises UdasegError where a tensor of the encoder is missing or has another
    shape, and for NaN or infinite values.
    """
    expected = network.state_dict()
    shared = expected.keys() & state.keys()
    reshaped = tuple(name for name in expected if name in shared and expected[name].shape != state[name].shape)
    # Networks saved before PyTorch 0.4.1 have no batch counters, which nothing here uses.
    missing = tuple(name for name in expected if name not in state and not name.endswith("num_batches_tracked"))
    unfit = tuple(name for name in (*missing, *reshaped) if name.startswith("backbone."))
    if unfit:
        raise UdasegError(
            f"{source} does not fit the backbone: {len(unfit)} tensors are missing or have another shape "
            f"({join_names(unfit)})",
            "set the encoder and the network that the file was trained with, or model.weights=none",
        )
    fitting = {name: state[name] for name in expected if name in shared and name not in reshaped}
    check_finite(source, fitting)
    network.load_state_dict(fitting, strict=False)
    return LoadResult(source, len(fitting), missing, tuple(sorted(state.keys() - expected.keys())), reshaped)
