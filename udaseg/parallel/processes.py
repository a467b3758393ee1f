"""Functions for the processes that torchrun starts for one stage: shards, reductions and broadcasts.

torchrun sets the rank and the number of processes in environment variables. With a single process, all functions
return their input unchanged. Arrays are exchanged through gloo, also between machines. Files are exchanged through
the file system, so all processes need access to the same one.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from udaseg.errors import UdasegError

if TYPE_CHECKING:
    import numpy as np  # imported where it is used: the help of every command imports this module
    from torch import Tensor

Item = TypeVar("Item")
MAX_BLOCKS = 64
GLOO_TIMEOUT = timedelta(days=7)  # a long wait is normal work; gloo reports a process that has ended at once
NCCL_TIMEOUT = timedelta(minutes=30)  # within one training step; NCCL does not report a process that has ended
# Plain values, not context variables: PyTorch runs the backward pass in threads of its own.
_mode = {"single_process": False, "data_parallel": False}


def rank() -> int:
    """Return the rank of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Return how many processes share the work."""
    return 1 if _mode["single_process"] else int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this is the first process, the only one that prints and writes shared files."""
    return rank() == 0


@contextmanager
def single_process() -> Iterator[None]:
    """Make this process work as if it were the only one inside this block; the others wait."""
    with _set_mode("single_process", True):
        yield


@contextmanager
def data_parallel() -> Iterator[None]:
    """Make all_reduce_sum and all_reduce_max reduce over all processes inside this block (data-parallel training)."""
    with _set_mode("data_parallel", count() > 1):
        yield


@contextmanager
def _set_mode(name: str, value: bool) -> Iterator[None]:
    before = _mode[name]
    _mode[name] = value
    try:
        yield
    finally:
        _mode[name] = before


def is_data_parallel() -> bool:
    """Return whether this process trains one model together with others."""
    return _mode["data_parallel"]


def contiguous_shard(items: int) -> range:
    """Return this process's contiguous part of range(items); the sizes of all parts differ by at most one."""
    return range(items * rank() // count(), items * (rank() + 1) // count()) if count() > 1 else range(items)


def all_reduce_sum(tensor: "Tensor") -> "Tensor":
    """Sum a tensor over all processes of a data-parallel training; return it unchanged in any other case.

    The sum is a new tensor without a gradient.
    """
    return _all_reduce(tensor, "SUM")


def all_reduce_max(tensor: "Tensor") -> "Tensor":
    """Take the elementwise maximum of a tensor over all processes of a data-parallel training.

    Returns a new tensor without a gradient, or the tensor unchanged outside data-parallel training.
    """
    return _all_reduce(tensor, "MAX")


def _all_reduce(tensor: "Tensor", operation: str) -> "Tensor":
    if not is_data_parallel():
        return tensor
    import torch

    result = tensor.detach().clone(memory_format=torch.contiguous_format)

    def reduce(dist: Any) -> None:
        group = nccl_group() if result.is_cuda else None
        dist.all_reduce(result, getattr(dist.ReduceOp, operation), group=group)

    _communicate(reduce)
    return result


def shard(items: Sequence[Item], block: int = 1) -> list[Item]:
    """Return this process's shard: blocks of `block` consecutive items, dealt to the processes in turn."""
    return [item for i, item in enumerate(items) if i // block % count() == rank()]


def blocks(items: int, min_size: int) -> list[range]:
    """Cut range(items) into at most 64 blocks of at least `min_size`, the same for any number of processes.

    A sum of floating-point numbers depends on their order. A sum within each block, then over the blocks, is the
    same whichever process sums which block.
    """
    number = max(1, min(MAX_BLOCKS, items // max(1, min_size)))
    edges = [items * i // number for i in range(number + 1)]
    return [range(start, end) for start, end in pairwise(edges)]


def sum_of_all(array: "np.ndarray") -> "np.ndarray":
    """Return the elementwise sum of an array over all processes; shape and dtype must be the same in all.

    Unsigned integers are summed as signed ones of the same width, so sums must stay in the signed range.
    """
    if count() == 1:
        return array
    import numpy as np
    import torch

    array = np.ascontiguousarray(array)
    signed = array.view(f"i{array.itemsize}") if array.dtype.kind == "u" else array
    tensor = torch.from_numpy(signed.copy())
    _communicate(lambda dist: dist.all_reduce(tensor))
    return tensor.numpy().view(array.dtype)


def broadcast(function: Callable[[], Any]) -> Any:
    """Call the function in the first process only, and return its result, a JSON value, in all processes."""
    value = function() if is_first() else None
    if count() == 1:
        return value
    import numpy as np
    import torch

    data = json.dumps(value).encode()
    length = int(sum_of_all(np.array([len(data) if is_first() else 0], np.int64))[0])
    tensor = torch.from_numpy(np.frombuffer(data.ljust(length) if is_first() else bytes(length), np.uint8).copy())
    _communicate(lambda dist: dist.broadcast(tensor, 0))
    return json.loads(tensor.numpy().tobytes())


def broadcast_and_wait(value: Any) -> Any:
    """Return the first process's `value`, a JSON value, in all processes, once all of them have received it."""
    first_value = broadcast(lambda: value)
    barrier()
    return first_value


def barrier() -> None:
    """Wait until all processes have reached this call."""
    if count() > 1:
        _communicate(lambda dist: dist.barrier())


def _communicate(function: Callable[[Any], None]) -> None:
    try:
        function(_open_distributed())
    except RuntimeError as error:
        raise UdasegError(
            f"process {rank() + 1} of {count()} lost the connection to the others: {str(error).splitlines()[0][:200]}",
            "one of them ended; its error is printed above. Run the same command again to continue",
        ) from error


@cache
def _open_distributed() -> Any:
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=GLOO_TIMEOUT)
    return torch.distributed


@cache
def nccl_group() -> Any:
    """Open the NCCL group of all GPUs; None, which means gloo, where processes share a GPU."""
    import numpy as np
    import torch

    has_gpu_each = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if sum_of_all(np.array([has_gpu_each], np.int64))[0] < count():
        return None
    return _open_distributed().new_group(backend="nccl", timeout=NCCL_TIMEOUT)
