"""The one training loop: every training stage calls it with its batches and an objective.

Each of several processes takes its part of every batch. Their terms and gradients are added, so a step is the same as
on one process. The first process writes the files.
"""

import math
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from udaseg.config import Training
from udaseg.data.batches import Batch, JointStream, Stream, batches
from udaseg.errors import UdasegError
from udaseg.models import devices
from udaseg.models.batchnorm import recomputation
from udaseg.models.tensorfile import check_finite
from udaseg.parallel import processes
from udaseg.train.gradients import Gradients, gradients
from udaseg.train.schedule import poly
from udaseg.train.state import restore, save
from udaseg.train.training_log import Log


@dataclass(frozen=True)
class Passes:
    """The named loss terms of one pass through the network after the other, and the number of passes."""

    terms: Iterator[dict[str, Tensor]]
    count: int

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self.terms


# From the number of a step and its batch to the named loss terms of one pass, or of several.
Objective = Callable[[int, Batch], dict[str, Tensor] | Passes]


class Interrupted(KeyboardInterrupt):
    """A training was stopped by SIGTERM or Ctrl-C; started again, it continues from its last state."""


@dataclass(frozen=True)
class Trainable:
    """A module to train and its optimizer, whose groups hold the learning rate of step 0 as `initial_lr`."""

    module: nn.Module
    optimizer: Optimizer


def fit(
    trainables: dict[str, Trainable],
    objective: Objective,
    streams: Sequence[Stream | JointStream],
    settings: Training,
    out: Path,
    *,
    seed: int,
    device: torch.device,
    extra_state: dict[str, nn.Module] | None = None,
    logged_only: Collection[str] = (),
    keep_model: Callable[[int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Train up to `settings.steps`, from the state in `out/state.pt` if there is one; return the first step.

    `objective(step, batch)` returns named loss terms, or those of several passes through the network. Their sum is
    minimised, without the terms in `logged_only`. The graph of a pass is freed before the next one is built.
    `extra_state` are modules that are saved and restored but not optimised, such as an averaged teacher. `keep_model`
    is called with each number of steps after which the state is saved, in the first process and before that.

    The terms of a step are read when the work of the next one has been handed to the device, or before the state is
    saved: the host does not wait within a step.

    Raises Interrupted when the process gets a signal to stop; the state is then saved. Raises UdasegError where a loss
    term is not finite, before anything is saved after it, so the last state is good. Weights that are not finite are
    not saved. On several processes each returns its share of the terms, and a signal to one stops all.
    """
    _require_enough_images(streams, settings.accumulate)
    modules = {name: trainable.module for name, trainable in trainables.items()} | (extra_state or {})
    optimizers = {name: trainable.optimizer for name, trainable in trainables.items()}
    start = restore(out / "state.pt", modules, optimizers)
    _require_common_start(start)
    repeats = settings.accumulate > 1 or settings.activation_checkpointing
    repeating = [trainable.module for trainable in trainables.values()] if repeats else []
    log = Log(out / "log.jsonl", start) if processes.is_first() else None
    base = {name: [group["initial_lr"] for group in optimizer.param_groups] for name, optimizer in optimizers.items()}

    def read(done: int, values: Callable[[], list[float]], names: list[str], rate: float) -> None:
        """Check the values of a step, and write them to the log every few steps."""
        total, *terms = values()
        named = dict(zip(names, terms, strict=True))
        _require_finite(total, named, done, out)
        if log is not None and (done % settings.log_every == 0 or done == settings.steps):
            log.write({"step": done, "loss": total, **named, "lr": rate})

    unread: list[Callable[[], None]] = []
    with _stop_signal() as stop_signal, processes.data_parallel():
        sums = gradients([trainable.module for trainable in trainables.values()], device)
        steps = range(start, settings.steps)
        for step, batch in zip(steps, batches(streams, seed, steps, devices.workers(device)), strict=True):
            if settings.compile == "graphs":
                torch.compiler.cudagraph_mark_step_begin()  # the outputs of the step before may be overwritten
            # Dropout draws the same random numbers after a resume.
            torch.manual_seed(hash((seed, step)) & 0x7FFFFFFF)
            factor = poly(step, settings)
            for name, optimizer in optimizers.items():
                for group, lr in zip(optimizer.param_groups, base[name], strict=True):
                    group["lr"] = lr * factor
                optimizer.zero_grad(set_to_none=True)
            loss, terms = _add_passes(objective(step, batch.to(device)), sums, logged_only, repeating)
            values = devices.fetch(processes.all_reduce_sum(torch.stack([loss, *terms.values()])))
            sums.finish()
            for optimizer in optimizers.values():
                optimizer.step()
            done = step + 1
            stop = bool(processes.all_reduce_sum(torch.tensor(stop_signal.is_set(), dtype=torch.int32)))
            unread.append(partial(read, done, values, list(terms), first_rate(base, factor)))
            is_saved = done % settings.save_every == 0 or done == settings.steps or stop
            while len(unread) > (not is_saved):
                unread.pop(0)()
            if is_saved:
                for name, trainable in trainables.items():
                    check_finite(f"after step {done} the {name}", trainable.module.state_dict())
                if processes.is_first():
                    if keep_model is not None:
                        keep_model(done)
                    save(out / "state.pt", done, modules, optimizers)
            if stop and done < settings.steps:
                processes.barrier()  # until the state is written
                raise Interrupted(f"stopped after step {done} of {settings.steps}; the state is saved")
            if progress is not None:
                progress(done, settings.steps)
    processes.barrier()  # until the log and the state are written
    return start


def _add_passes(
    passes: dict[str, Tensor] | Passes, sums: Gradients, logged_only: Collection[str], repeating: list[nn.Module]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradients of each pass to the parameters; return the loss and the values of its terms, float32.

    `repeating` are modules that run parts of the forward pass again, where the settings save memory.
    """
    losses: list[Tensor] = []
    values: dict[str, Tensor] = {}
    if isinstance(passes, dict):
        passes = Passes(iter([passes]), 1)
    for number, terms in enumerate(passes, 1):
        loss = torch.stack([term.float() for name, term in terms.items() if name not in logged_only]).sum()
        with ExitStack() as repeated:
            for module in repeating:
                repeated.enter_context(recomputation(module))
            sums.add(loss, is_last=number == passes.count)
        losses.append(loss.detach())
        for name, term in terms.items():
            value = term.detach().float()
            values[name] = values[name] + value if name in values else value
    return torch.stack(losses).sum(), values


def first_rate(base: dict[str, list[float]], factor: float) -> float:
    """Return the learning rate of the first group of the first trainable, which is the one in papers."""
    return next(iter(base.values()))[0] * factor


def _require_enough_images(streams: Sequence[Stream | JointStream], parts: int) -> None:
    for stream in streams:
        domains = " and ".join(part.domain for part in stream.parts)
        share = stream.batch // processes.count()
        if 1 <= share < parts:
            raise UdasegError(
                f"accumulate={parts} needs as many {domains} images in a step, and a process has {share}",
                f"set accumulate to {share} or less, or batch to {parts * processes.count()} or more",
            )
        if stream.batch < processes.count():
            raise UdasegError(
                f"{processes.count()} processes cannot share a batch of {stream.batch} {domains} images",
                f"set batch to {processes.count()} or more, or start at most {stream.batch}",
            )


def _require_common_start(step: int) -> None:
    first = processes.broadcast(lambda: step)
    if step != first:
        raise UdasegError(
            f"the first process continues after step {first}, and this one has read the state of step {step}",
            "all processes have to see the run in one file system; the same command continues",
        )


def _require_finite(loss: float, terms: dict[str, float], step: int, out: Path) -> None:
    if math.isfinite(loss):
        return
    bad = [f"{name} = {term}" for name, term in terms.items() if not math.isfinite(term)]
    state = out / "state.pt"
    earlier = f"the state in {state} is from before; " if state.exists() else ""
    raise UdasegError(
        f"the loss is not finite at step {step}: {', '.join(bad) or 'the sum overflows'}",
        f"{earlier}lower the learning rate (lr), or train in fp32, as with --set warmup.precision=fp32",
    )


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Set the event at SIGINT or SIGTERM; only the main thread of a process can receive them."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
