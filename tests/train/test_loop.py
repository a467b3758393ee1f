import gc
import json
import multiprocessing
import os
import signal
import subprocess
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from udaseg.config import Augment, Training
from udaseg.data.augment import Pair
from udaseg.data.batches import Stream
from udaseg.data.samples import Samples
from udaseg.errors import UdasegError
from udaseg.models import devices
from udaseg.train import state
from udaseg.train.loop import Interrupted, Passes, Trainable, fit
from udaseg.train.schedule import poly

SETTINGS = Training(steps=12, batch=2, lr=0.1, save_every=5, log_every=2, warmup_steps=3)


def read(i):
    rng = np.random.default_rng(i)
    return Pair(rng.integers(0, 255, (8, 8, 3), np.uint8), rng.integers(0, 3, (8, 8), np.uint8))


def train(out, settings=SETTINGS, stop_at=None, bad_at=None, tell_all=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout2d(0.2), nn.Conv2d(4, 3, 1))
    optimizer = torch.optim.SGD([{"params": model.parameters(), "initial_lr": 0.1}], lr=0.1, momentum=0.9)
    stream = Stream("source", Samples(read, 6, (8, 8)), settings.batch, Augment(crop=(6, 6)))

    def objective(step, batch):
        if step + 1 == stop_at:
            for process in multiprocessing.active_children() if tell_all else ():
                subprocess.run(["kill", str(process.pid)], check=True)  # PyTorch lets a signal of the parent's pass
                process.join(0.2)  # it would end in this time
            os.kill(os.getpid(), signal.SIGTERM)
        logits = model(batch["source_image"].permute(0, 3, 1, 2) / 255)
        term = nn.functional.cross_entropy(logits, batch["source_label"].long())
        return {"segmentation": term * (torch.nan if step + 1 == bad_at else 1.0), "decay": 0.0 * term}

    out.mkdir(exist_ok=True)
    trainables = {"model": Trainable(model, optimizer)}
    fit(trainables, objective, [stream], settings, out, seed=5, device=torch.device("cpu"))
    return model


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("stop_at", [1, 5, 7, 11])
def test_a_stopped_run_goes_on_to_the_same_weights_and_log(tmp_path, stop_at):
    alone = train(tmp_path / "alone")
    with pytest.raises(Interrupted, match=f"step {stop_at} of 12"):
        train(tmp_path / "stopped", stop_at=stop_at)
    assert equal(alone, train(tmp_path / "stopped"))
    assert (tmp_path / "alone" / "log.jsonl").read_bytes() == (tmp_path / "stopped" / "log.jsonl").read_bytes()
    assert (tmp_path / "alone" / "state.pt").read_bytes() == (tmp_path / "stopped" / "state.pt").read_bytes()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_signal_to_all_processes_saves_the_state_too(tmp_path, monkeypatch):
    alone = train(tmp_path / "alone")
    monkeypatch.setattr(devices, "workers", lambda device: 2)  # as torchrun does it, and on a GPU
    with pytest.raises(Interrupted, match="step 7 of 12"):
        train(tmp_path / "stopped", stop_at=7, tell_all=True)
    assert equal(alone, train(tmp_path / "stopped"))
    assert (tmp_path / "alone" / "state.pt").read_bytes() == (tmp_path / "stopped" / "state.pt").read_bytes()


LAYOUTS = [(torch.channels_last, torch.contiguous_format), (torch.contiguous_format, torch.channels_last)]


@pytest.mark.parametrize("kind", [partial(torch.optim.SGD, momentum=0.9), torch.optim.AdamW])
@pytest.mark.parametrize("layouts", LAYOUTS)
def test_a_state_of_a_machine_with_another_layout_goes_on_alike(tmp_path, kind, layouts):
    images = torch.rand(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))

    def made(layout):
        torch.manual_seed(0)
        model = nn.Conv2d(8, 4, 3).to(memory_format=layout)
        return model, kind(model.parameters(), lr=0.1, fused=True)

    def stepped(model, optimizer):
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
        return model

    one, other = layouts
    model, optimizer = made(one)
    stepped(model, optimizer)
    state.save(tmp_path / "state.pt", 1, {"model": model}, {"model": optimizer})
    expected = stepped(model, optimizer)
    model, optimizer = made(other)
    state.restore(tmp_path / "state.pt", {"model": model}, {"model": optimizer})
    for a, b in zip(stepped(model, optimizer).parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_killed_run_goes_on_from_its_last_state(tmp_path):
    alone = train(tmp_path / "alone")
    with pytest.raises(UdasegError):
        train(tmp_path / "killed", bad_at=9)
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    assert equal(alone, train(tmp_path / "killed"))
    assert (tmp_path / "alone" / "log.jsonl").read_bytes() == (tmp_path / "killed" / "log.jsonl").read_bytes()


def test_the_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_log_holds_every_term_and_the_learning_rate(tmp_path):
    train(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert set(lines[0]) == {"step", "loss", "segmentation", "decay", "lr"}
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["segmentation"])
    assert lines[-1]["lr"] == pytest.approx(0.1 * (1 - 11 / 12) ** 0.9)


def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_term(tmp_path):
    with pytest.raises(UdasegError, match="step 8: segmentation = nan"):
        train(tmp_path / "run", bad_at=8)
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 5


def test_more_processes_than_pictures_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UdasegError, match="3 processes cannot share a batch of 2 source images") as refused:
        train(tmp_path / "run")
    assert "set batch to 3 or more, or start at most 2" in refused.value.hint


def test_a_truncated_state_is_one_error(tmp_path):
    train(tmp_path / "run")
    state = tmp_path / "run" / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(UdasegError, match=r"cannot continue from .*state.pt"):
        train(tmp_path / "run")


def test_poly_is_clamped_past_its_horizon():
    settings = Training(steps=10, horizon=8, power=0.9)
    assert [poly(step, settings) for step in (8, 9, 100)] == [0.0, 0.0, 0.0]
    assert poly(0, settings) == 1.0
    assert poly(4, settings) == pytest.approx(0.5**0.9)


def test_the_learning_rate_rises_linearly_first():
    settings = Training(steps=100, warmup_steps=4, power=0.0)
    assert [poly(step, settings) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


TARGETS = torch.arange(3.0)


def step_of(objective, out, *, logged_only=(), steps=1, **settings):
    """Train four weights by an objective of them; give the weights, and the log."""
    weights = nn.ParameterList([torch.tensor([1.0, -2.0, 0.5, 3.0])])
    optimizer = torch.optim.SGD([{"params": weights, "initial_lr": 0.1}], lr=0.1)
    stream = Stream("source", Samples(read, 6, (8, 8)), 2, Augment())
    settings = Training(steps=steps, batch=2, log_every=1, power=0.0, **settings)
    out.mkdir()
    trainables = {"model": Trainable(weights, optimizer)}
    fit(
        trainables, partial(objective, weights[0]), [stream], settings, out, seed=0, device=torch.device("cpu"),
        logged_only=logged_only,
    )  # fmt: skip
    return weights[0].detach(), [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def named(weights):
    return [{f"term{i}": (weights - target).square().sum()} for i, target in enumerate(TARGETS)]


def test_terms_pass_by_pass_give_the_step_of_their_sum(tmp_path):
    """Of 2 (w - 0), 2 (w - 1), 2 (w - 2) all sums are exact."""

    def joint(weights, step, batch):
        return {name: term for terms in named(weights) for name, term in terms.items()}

    def in_passes(weights, step, batch):
        return Passes(iter(named(weights)), len(TARGETS))

    (whole, log), (parts, log_of_parts) = (
        step_of(objective, tmp_path / objective.__name__, steps=3) for objective in (joint, in_passes)
    )
    assert torch.equal(parts, whole)
    assert log_of_parts == log


def test_a_term_of_several_passes_is_their_sum_and_what_is_only_logged_has_no_gradient(tmp_path):
    def objective(weights, step, batch):
        terms = ({"loss of labels": factor * weights.sum(), "seen": 100 * weights.sum()} for factor in (1.0, 2.0))
        return Passes(terms, 2)

    weights, (line,) = step_of(objective, tmp_path / "run", logged_only=("seen",))
    torch.testing.assert_close(weights, torch.tensor([1.0, -2.0, 0.5, 3.0]) - 0.3)
    assert (line["loss"], line["loss of labels"], line["seen"]) == (7.5, 7.5, 500.0)


def test_a_pass_that_is_not_finite_stops_the_training_one_step_later_and_nothing_of_it_is_kept(tmp_path):
    """A host that looked at once would wait for its device in every step."""
    begun = []

    def objective(weights, step, batch):
        begun.append(step)
        factors = {"first": 1.0, "second": torch.nan if step == 2 else 1.0, "third": 1.0}
        return Passes(({name: weights.sum() * factor} for name, factor in factors.items()), 3)

    with pytest.raises(UdasegError, match="step 3: second = nan"):
        step_of(objective, tmp_path / "run", steps=9, save_every=2)
    assert begun == [0, 1, 2, 3]
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 2
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_a_loss_that_is_not_finite_is_seen_before_its_step_is_saved(tmp_path, bad):
    def objective(weights, step, batch):
        return {"one": weights.sum() * (torch.inf if step + 1 == bad else 1.0)}

    with pytest.raises(UdasegError, match=f"step {bad}: one = inf"):
        step_of(objective, tmp_path / "run", steps=3, save_every=1)
    state = tmp_path / "run" / "state.pt"
    assert (torch.load(state, weights_only=True)["step"] if state.exists() else 0) == bad - 1


class Saved:
    """A tensor that waits for the backward pass."""

    def __init__(self, tensor):
        self.tensor = tensor


def peak_of_saved(objective, out):
    """Return the most bytes that wait for the backward pass at any time."""
    held, most = 0, 0

    def release(size):
        nonlocal held
        held -= size

    def keep(tensor):
        nonlocal held, most
        one, size = Saved(tensor), tensor.untyped_storage().nbytes()
        weakref.finalize(one, release, size)
        held += size
        most = max(most, held)
        return one

    with saved_tensors_hooks(keep, lambda one: one.tensor):
        step_of(objective, out)
    gc.collect()
    assert held == 0
    return most


def test_passes_hold_the_memory_of_the_largest_one_and_a_joint_step_that_of_all(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1))
    passes = {"source": 2, "mixed": 2, "masked": 1}

    def term(weights, images):
        return network(torch.rand(images, 3, 16, 16)).square().mean() * weights.square().sum()

    def alone(weights, step, batch):
        return {"source": term(weights, passes["source"])}

    def in_passes(weights, step, batch):
        return Passes(({name: term(weights, images)} for name, images in passes.items()), len(passes))

    def joint(weights, step, batch):
        return {name: term(weights, images) for name, images in passes.items()}

    largest, by_pass, whole = (
        peak_of_saved(objective, tmp_path / objective.__name__) for objective in (alone, in_passes, joint)
    )
    assert by_pass <= 1.2 * largest
    assert whole > 2 * largest


def test_the_ramp_of_the_learning_rate_has_the_values_of_daformer_one_step_on():
    settings = Training(steps=40_000, lr=6e-5, power=1.0, warmup_steps=1500)
    expected = {0: 4.0e-8, 750: 2.947675e-5, 1499: 5.775150e-5, 1500: 5.775e-5, 20_000: 3.0e-5, 39_999: 1.5e-9}
    for step, lr in expected.items():
        assert settings.lr * poly(step, settings) == pytest.approx(lr, rel=1e-6)
