"""Read the tensors of a weights file, and take the wrappers of training programs off."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from udaseg.errors import UdasegError
from udaseg.models.weights.layouts import Tensors

WRAPPERS = ("module.", "Scale.")  # of DataParallel, and of DeepLabs from Caffe


def unwrap(content: Any, path: Path) -> Tensors:
    """Return the tensors of a foreign file by name, without the prefixes of wrappers.

    Raises UdasegError where the content is no dictionary of dense, real tensors.
    """
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not (
        isinstance(state, dict) and state and all(isinstance(k, str) and _is_dense_real(v) for k, v in state.items())
    ):
        raise UdasegError(
            f"{path} is not a dictionary of dense, real tensors by name", "save model.state_dict() with torch.save"
        )
    return {strip_wrappers(name): value for name, value in state.items()}


def strip_wrappers(name: str) -> str:
    """Return the name of a tensor without the prefixes of wrappers."""
    for prefix in WRAPPERS:
        name = name.removeprefix(prefix)
    return name


def _is_dense_real(value: Any) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_complex())
    )
