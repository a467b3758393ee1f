"""Several processes that share the work of a stage: torchrun says how many there are, and which one this is.

With one process, as without torchrun, everything here leaves things as they are. Numbers travel by gloo, between
machines too, and files by the file system, which all processes share.
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
BLOCKS = 64
PATIENCE = timedelta(days=7)  # with a process that works: gloo notices at once that one has ended
STEP = timedelta(minutes=30)  # the same within a step of training: NCCL notices nothing, and gives up after that time
_now = {"alone": False, "learning": False}  # plain values: PyTorch asks in threads of its own


def rank() -> int:
    """Say which of the processes this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Say how many processes there are that share the work."""
    return 1 if _now["alone"] else int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Tell whether this is the process that writes what there is one of, and speaks."""
    return rank() == 0


@contextmanager
def single_process() -> Iterator[None]:
    """Let this process work as if there were no others: they wait."""
    with _being("alone", True):
        yield


@contextmanager
def data_parallel() -> Iterator[None]:
    """Let `added` and `highest` look at all processes: they take the same steps on parts of the same batches."""
    with _being("learning", count() > 1):
        yield


@contextmanager
def _being(name: str, value: bool) -> Iterator[None]:
    before = _now[name]
    _now[name] = value
    try:
        yield
    finally:
        _now[name] = before


def is_data_parallel() -> bool:
    """Tell whether this process learns together with others."""
    return _now["learning"]


def part_of(items: int) -> range:
    """Give this process's part of range(items), in one piece; the parts of all differ by one item at most."""
    return range(items * rank() // count(), items * (rank() + 1) // count()) if count() > 1 else range(items)


def all_reduce_sum(tensor: "Tensor") -> "Tensor":
    """Give the sum of a tensor over the processes that learn together, without a gradient; itself if there is one."""
    return _reduced(tensor, "SUM")


def all_reduce_max(tensor: "Tensor") -> "Tensor":
    """Give the maximum of a tensor over the processes that learn together, likewise."""
    return _reduced(tensor, "MAX")


def _reduced(tensor: "Tensor", how: str) -> "Tensor":
    if not is_data_parallel():
        return tensor
    import torch

    whole = tensor.detach().clone(memory_format=torch.contiguous_format)

    def reduce(group: Any) -> None:
        among = _of_devices() if whole.is_cuda else None
        group.all_reduce(whole, getattr(group.ReduceOp, how), group=among)

    _together(reduce)
    return whole


def shard(items: Sequence[Item], block: int = 1) -> list[Item]:
    """Choose this process's share: of the runs of `block` items, every one whose turn it is."""
    return [item for i, item in enumerate(items) if i // block % count() == rank()]


def blocks(items: int, least: int) -> list[range]:
    """Cut range(items) into at most 64 runs of `least` or more, the same for any number of processes.

    Sums of fractions depend on their order: summed run by run, and then over the runs, they do not depend on who
    summed which.
    """
    number = max(1, min(BLOCKS, items // max(1, least)))
    edges = [items * i // number for i in range(number + 1)]
    return [range(start, end) for start, end in pairwise(edges)]


def sum_of_all(array: "np.ndarray") -> "np.ndarray":
    """Add up the arrays of all processes, of one shape; unsigned integers may not exceed the signed ones."""
    if count() == 1:
        return array
    import numpy as np
    import torch

    array = np.ascontiguousarray(array)
    signed = array.view(f"i{array.itemsize}") if array.dtype.kind == "u" else array
    tensor = torch.from_numpy(signed.copy())
    _together(lambda group: group.all_reduce(tensor))
    return tensor.numpy().view(array.dtype)


def broadcast(function: Callable[[], Any]) -> Any:
    """Let the first process work something out, a JSON value, and give it to all."""
    value = function() if is_first() else None
    if count() == 1:
        return value
    import numpy as np
    import torch

    data = json.dumps(value).encode()
    length = int(sum_of_all(np.array([len(data) if is_first() else 0], np.int64))[0])
    tensor = torch.from_numpy(np.frombuffer(data.ljust(length) if is_first() else bytes(length), np.uint8).copy())
    _together(lambda group: group.broadcast(tensor, 0))
    return json.loads(tensor.numpy().tobytes())


def broadcast_and_wait(value: Any) -> Any:
    """Give all processes a JSON value of the first one, when all have asked for it."""
    found = broadcast(lambda: value)
    barrier()
    return found


def barrier() -> None:
    """Wait until all processes are here."""
    if count() > 1:
        _together(lambda group: group.barrier())


def _together(function: Callable[[Any], None]) -> None:
    try:
        function(_group())
    except RuntimeError as error:
        raise UdasegError(
            f"process {rank() + 1} of {count()} has lost the others: {str(error).splitlines()[0][:200]}",
            "one of them has ended, and says above why; the same command continues",
        ) from error


@cache
def _group() -> Any:
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    return torch.distributed


@cache
def _of_devices() -> Any:
    """Open NCCL between the GPUs, where each process has one of its own; None, which is gloo, where some share."""
    import numpy as np
    import torch

    own = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if sum_of_all(np.array([own], np.int64))[0] < count():
        return None
    return _group().new_group(backend="nccl", timeout=STEP)
