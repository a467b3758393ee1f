"""The setting `compile`: the network is compiled in its place, as one graph, and learns the same."""

import json

import pytest
import torch

from udaseg import models
from udaseg.config import Retrain, Warmup
from udaseg.train import setup
from udaseg.train.ingredients.teacher import averaged_copy

from .every_objective import ONLINE, SPACE, TINY, labelled_source, self_trained


@pytest.fixture
def whole(monkeypatch):
    """Compile to a graph, without code for it, and refuse what needs more than one graph."""
    torch._dynamo.reset()
    monkeypatch.setitem(setup.COMPILER, "kernels", {"backend": "aot_eager", "fullgraph": True})


@pytest.mark.parametrize(
    "train",
    [
        lambda out, **settings: labelled_source(out, adversary={"align": "output"}, adabn="stem", **settings),
        lambda out, **settings: self_trained(out, **ONLINE, passes="separate", **settings),
    ],
    ids=["adversary", "teacher"],
)
def test_a_compiled_network_takes_the_same_steps(tmp_path, whole, train):
    for name in ("none", "kernels"):
        (tmp_path / name).mkdir()
        train(tmp_path / name, compile=name)
    plain, compiled = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("none", "kernels")
    )
    for one, other in zip(plain, compiled, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    states = [torch.load(tmp_path / name / "model.pt", weights_only=True)["model"] for name in ("none", "kernels")]
    assert list(states[0]) == list(states[1])
    torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=1e-5)


def test_the_network_and_its_teacher_keep_their_names(whole):
    settings = Warmup(compile="kernels")
    model = setup.network(TINY, settings, SPACE.classes, 0, torch.device("cpu"), print)
    assert list(model.state_dict()) == list(models.construct(TINY, 3).state_dict())
    assert list(averaged_copy(model, 0.9).module.state_dict()) == list(model.state_dict())
    assert Retrain().compile == "none"
