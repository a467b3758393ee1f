"""The one training loop: every training stage brings its batches and an objective.

Several processes take their parts of each batch, and the terms and gradients of all are added up: the step is that of
one process. The first of them writes.
"""

import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from udaseg.config import Training
from udaseg.data.batches import Batch, Stream, batches
from udaseg.errors import UdasegError
from udaseg.models import devices
from udaseg.models.tensorfile import check_finite
from udaseg.parallel import processes
from udaseg.train.schedule import poly
from udaseg.train.state import Log, restore, save

Objective = Callable[[int, Batch], dict[str, Tensor]]


class Interrupted(KeyboardInterrupt):
    """The run was told to stop by SIGTERM or Ctrl-C; it goes on from here when it is started again."""


@dataclass(frozen=True)
class Trainable:
    """A module that learns, with its optimizer; the learning rate in the groups is that of step 0."""

    module: nn.Module
    optimizer: Optimizer


def fit(
    trainables: dict[str, Trainable],
    objective: Objective,
    streams: list[Stream],
    settings: Training,
    out: Path,
    *,
    seed: int,
    device: torch.device,
    extra_state: dict[str, nn.Module] | None = None,
    logged_only: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Train until `settings.steps`, from where `out/state.pt` stands; return the step it started from.

    `objective(step, batch)` gives the named terms whose sum is minimised; those in `watched` are logged and no more.
    `followers` are modules that are saved and restored but not optimised, such as an averaged teacher. Raises
    Interrupted, with the state saved, when the process is told to stop, and UdasegError where a term is not finite:
    before the step, so the last state is good. Weights that are not finite are not saved either. Of several processes
    each gives its share of the terms, and all of them stop when one is told to.
    """
    _require_shares(streams)
    modules = {name: player.module for name, player in trainables.items()} | (extra_state or {})
    optimizers = {name: player.optimizer for name, player in trainables.items()}
    start = restore(out / "state.pt", modules, optimizers)
    _require_one_start(start)
    log = Log(out / "log.jsonl", start) if processes.is_first() else None
    base = {name: [group["initial_lr"] for group in optimizer.param_groups] for name, optimizer in optimizers.items()}
    with _told_to_stop() as stopped, processes.data_parallel():
        source = batches(streams, seed, range(start, settings.steps), devices.workers(device))
        for step, batch in zip(range(start, settings.steps), source, strict=True):
            # Dropout and everything else that draws random numbers continues alike after a resume.
            torch.manual_seed(hash((seed, step)) & 0x7FFFFFFF)
            factor = poly(step, settings)
            for name, optimizer in optimizers.items():
                for group, lr in zip(optimizer.param_groups, base[name], strict=True):
                    group["lr"] = lr * factor
                optimizer.zero_grad(set_to_none=True)
            terms = objective(step, batch.to(device))
            loss = torch.stack([term.float() for name, term in terms.items() if name not in logged_only]).sum()
            shares = torch.stack([loss, *(term.float() for term in terms.values())]).detach()
            whole, *values = processes.all_reduce_sum(shares)
            _require_finite(whole, dict(zip(terms, values, strict=True)), step, out)
            loss.backward()
            _add_gradients(optimizers.values())
            for optimizer in optimizers.values():
                optimizer.step()
            done = step + 1
            stop = bool(processes.all_reduce_sum(torch.tensor(stopped.is_set(), dtype=torch.int32)))
            if log is not None and (done % settings.log_every == 0 or done == settings.steps):
                said = dict(zip(terms, map(float, values), strict=True))
                log.write({"step": done, "loss": float(whole), **said, "lr": base_rate(base, factor)})
            if done % settings.save_every == 0 or done == settings.steps or stop:
                for name, player in trainables.items():
                    check_finite(f"after step {done} the {name}", player.module.state_dict())
                if processes.is_first():
                    save(out / "state.pt", done, modules, optimizers)
            if stop and done < settings.steps:
                processes.barrier()  # until the state is written
                raise Interrupted(f"stopped after step {done} of {settings.steps}; the state is saved")
            if progress is not None:
                progress(done, settings.steps)
    processes.barrier()  # until the log and the state are written
    return start


def base_rate(base: dict[str, list[float]], factor: float) -> float:
    """Give the learning rate of the first group of the first player, the one that papers quote."""
    return next(iter(base.values()))[0] * factor


def _require_shares(streams: list[Stream]) -> None:
    for stream in streams:
        if stream.batch < processes.count():
            raise UdasegError(
                f"{processes.count()} processes cannot share a batch of {stream.batch} {stream.domain} images",
                f"set batch to {processes.count()} or more, or start at most {stream.batch}",
            )


def _require_one_start(step: int) -> None:
    first = processes.broadcast(lambda: step)
    if step != first:
        raise UdasegError(
            f"the first process continues after step {first}, and this one has read the state of step {step}",
            "all processes have to see the run in one file system; the same command continues",
        )


def _add_gradients(optimizers: Iterable[Optimizer]) -> None:
    """Give all processes that learn together the sum of their gradients."""
    if not processes.is_data_parallel():
        return
    learned = [value for optimizer in optimizers for group in optimizer.param_groups for value in group["params"]]
    gradients = [value.grad for value in learned if value.grad is not None]
    sums = processes.all_reduce_sum(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, own in zip(gradients, sums.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(own.view_as(gradient))


def _require_finite(loss: Tensor, terms: dict[str, Tensor], step: int, out: Path) -> None:
    if torch.isfinite(loss):
        return
    bad = [f"{name} = {float(term)}" for name, term in terms.items() if not torch.isfinite(term)]
    state = out / "state.pt"
    kept = f"the state in {state} is from before; " if state.exists() else ""
    raise UdasegError(
        f"the loss is not finite at step {step + 1}: {', '.join(bad) or 'the sum overflows'}",
        f"{kept}lower the learning rate (lr), or train in fp32, as with --set warmup.precision=fp32",
    )


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
