"""Arrays and tensors in, the same out: the kernels take NumPy arrays, a training loop has tensors."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar

import numpy as np

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

MAX_CLASSES = 254  # 255 is the ignored id, 254 marks unknown ids
Values: TypeAlias = "np.ndarray | Tensor"
ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, "Tensor")  # the kind that goes in comes out


def is_tensor(value: Any) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor, without importing PyTorch."""
    return hasattr(value, "detach")


def to_array(name: str, value: Any) -> np.ndarray:
    """Return a NumPy array, or the values of a tensor as one; bfloat16 becomes float32.

    Raises UdasegError, with the name of the argument, for other types.
    """
    require_values(name, value)
    if is_tensor(value):
        value = value.detach().cpu()
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return value


def require_values(name: str, value: Any) -> None:
    """Raise UdasegError for what is neither an array nor a tensor."""
    if not (is_tensor(value) or isinstance(value, np.ndarray)):
        raise UdasegError(
            f"{name} is {type(value).__name__}, expected a NumPy array or a tensor", "convert it: numpy.asarray(x)"
        )


def match_kind(result: np.ndarray, value: Any) -> Any:
    """Return an array as it is, or as a tensor on the device of `value` where that is a tensor."""
    if not is_tensor(value):
        return result
    import torch

    return torch.from_numpy(np.ascontiguousarray(result)).to(value.device)


def to_labels(name: str, value: Any, classes: int | None = None) -> np.ndarray:
    """Return class ids as uint8 of the same shape; 255 is ignored.

    Raises UdasegError for values that are no whole numbers from 0 to 255, and with `classes` for ids of no class.
    """
    ids = to_array(name, value)
    if ids.dtype.kind not in "iu":
        raise UdasegError(f"{name} is {ids.dtype}, expected whole numbers: class ids", "give the ids, not the scores")
    if ids.dtype != np.uint8:
        if ids.size and not (ids.min() >= 0 and ids.max() <= IGNORE):
            raise _has_other_ids(name, ids[(ids < 0) | (ids > IGNORE)], IGNORE)
        ids = ids.astype(np.uint8)
    if classes is not None and ((ids >= classes) & (ids != IGNORE)).any():
        raise _has_other_ids(name, ids[(ids >= classes) & (ids != IGNORE)], classes)
    return ids


def _has_other_ids(name: str, ids: np.ndarray, classes: int) -> UdasegError:
    found = np.unique(ids)[:5].tolist()
    return UdasegError(
        f"{name} holds the ids {found}, expected 0 to {classes - 1}, and {IGNORE} for no class",
        "udaseg.train_ids maps the ids of a dataset to those of the classes",
    )


def require_shape(name: str, value: Any, *layouts: str, hint: str = "permute, stack or resize it") -> None:
    """Raise UdasegError unless this is an array or a tensor with the rank and the sizes of a layout, as in "3 H W"."""
    require_values(name, value)
    shape = list(value.shape)
    for layout in layouts:
        sides = layout.split()
        if len(sides) == len(shape) and all(
            not side.isdigit() or int(side) == size for side, size in zip(sides, shape, strict=True)
        ):
            return
    expected = " or ".join(f"[{', '.join(layout.split())}]" for layout in layouts)
    raise UdasegError(f"{name} is {shape}, expected {expected}", hint)


def require_filled(name: str, value: Any) -> None:
    """Raise UdasegError for an array or a tensor without a value, such as an empty batch."""
    if 0 in value.shape:
        raise UdasegError(f"{name} is {list(value.shape)}, which is empty", "leave out batches without an image")


def require_size(name: str, size: Any) -> tuple[int, int]:
    """Return a (height, width) of whole numbers from 1 on; raise UdasegError for anything else."""
    sides = tuple(size) if hasattr(size, "__iter__") else ()
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) >= 1 for side in sides):
        raise UdasegError(f"{name} is {size}, expected (height, width) in pixels", f"as in {name}=(512, 1024)")
    return int(sides[0]), int(sides[1])


def require_classes(classes: Any) -> None:
    """Raise UdasegError unless this is a number of classes that ids below 255 can name."""
    if not (isinstance(classes, Integral) and 1 <= int(classes) <= MAX_CLASSES):
        raise UdasegError(
            f"classes is {classes}, expected 1 to {MAX_CLASSES}", "give the number of outputs of the network"
        )


def require_tensors(**values: Any) -> None:
    """Raise UdasegError for an argument that is no tensor."""
    for name, value in values.items():
        if not is_tensor(value):
            raise UdasegError(
                f"{name} is {type(value).__name__}, expected a tensor", "convert it: torch.as_tensor(...)"
            )


def require_generator(rng: Any) -> None:
    """Raise UdasegError unless the source of random values is a generator of NumPy."""
    if not isinstance(rng, np.random.Generator):
        raise UdasegError(
            f"rng is {type(rng).__name__}, expected a numpy.random.Generator",
            "make one before the loop: rng = numpy.random.default_rng(seed)",
        )
