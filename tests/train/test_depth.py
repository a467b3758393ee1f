"""What the heads for depth and density learn, and a training of them."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from udaseg.config import Adversary, Augment, Depth, Model, Warmup
from udaseg.data.image_sets import View
from udaseg.models import checkpoint
from udaseg.models.output import Output
from udaseg.statistics.class_counts import class_weights
from udaseg.statistics.density_maps import DensityMaps
from udaseg.statistics.gmm import Gmm
from udaseg.train.adversary import VIEWS, build_discriminator, fused
from udaseg.train.depth import balance, regression
from udaseg.train.domains import DomainOutput
from udaseg.train.losses import berhu, cross_entropy, information_map
from udaseg.train.warmup import warmup

from .test_retrain import SPACE, Pictures

WHOLE = Augment(flip=0.0)


@dataclass(frozen=True)
class Deep(Pictures):
    """The left half of an image is near, the right half far, and the top row has no depth."""

    def depth(self, i):
        cm = np.full((64, 96), 300, np.uint16)
        cm[:, 48:] = 3000
        cm[0] = 0
        return cm


def mixtures(grid=(9, 13)):
    means = np.tile(np.array([grid[1] / 2, grid[0] / 2, 200.0]), (3, 1, 1))
    return Gmm(np.ones((3, 1)), means, np.full((3, 1, 3), [60.0, 60.0, 4000.0]), SPACE.classes, grid)


def domain_output(size=(16, 24), **parts):
    torch.manual_seed(1)
    features = torch.zeros(2, 4, 4, 6)
    output = Output(torch.randn(2, 3, 4, 6), features, (), torch.rand(2, 1, 4, 6) * 200, torch.rand(2, 1, 4, 6) * 255)
    for one in (output.depth, output.density):
        one.requires_grad_()
    return DomainOutput(output, torch.zeros(2, 3, *size), **parts)


def test_depth_is_compared_at_full_size_where_it_is_known():
    depth = torch.rand(2, 16, 24) * 100
    depth[:, :5] = 0
    source = domain_output(depth=depth)
    term = regression(0.005)({"source": source})
    full = torch.nn.functional.interpolate(source.output.depth, (16, 24), mode="bilinear", align_corners=True)[:, 0]
    torch.testing.assert_close(term["depth"], 0.005 * berhu(full[:, 5:], depth[:, 5:]))
    term["depth"].backward()
    assert source.output.depth.grad.isfinite().all()


def test_no_known_depth_is_no_loss():
    source = domain_output(depth=torch.zeros(2, 16, 24))
    regression(1.0)({"source": source})["depth"].backward()
    assert not source.output.depth.grad.any()


def test_the_density_of_two_resolutions_is_compared_at_the_size_of_the_context():
    """Its logits have twice that size."""
    source = domain_output(label=torch.randint(0, 3, (2, 16, 24), dtype=torch.uint8), depth=torch.rand(2, 16, 24) * 300)
    target = domain_output()
    context, fused = {"source": source, "target": target}, {}
    for name, domain in context.items():
        logits = domain.output.logits.repeat_interleave(2, 2).repeat_interleave(2, 3)
        fused[name] = domain._replace(output=domain.output._replace(logits=logits), align_corners=False)
    term = balance(Depth(), DensityMaps(mixtures()))
    expected = {name: value.item() for name, value in term(context).items()}
    assert {name: value.item() for name, value in term(fused).items()} == pytest.approx(expected)


def test_density_learns_the_maps_of_both_domains_and_teaches_nothing_else():
    source = domain_output(label=torch.randint(0, 3, (2, 16, 24), dtype=torch.uint8), depth=torch.rand(2, 16, 24) * 300)
    target, maps, settings = domain_output(), DensityMaps(mixtures()), Depth(balance=0.01, target_balance=0.05)
    source.output.logits.requires_grad_()
    target.output.logits.requires_grad_()
    terms = balance(settings, maps)({"source": source, "target": target})
    map_Nhw, counts_Nhw = maps.source(source.output.logits, source.label, source.depth)
    torch.testing.assert_close(terms["density"], 0.01 * berhu(source.output.density[:, 0], map_Nhw, counts_Nhw))
    map_Nhw = maps.target(target.output.logits, target.output.depth[:, 0])
    torch.testing.assert_close(terms["target_density"], 0.05 * berhu(target.output.density[:, 0], map_Nhw))
    (terms["density"] + terms["target_density"]).backward()
    assert source.output.density.grad.any()
    assert target.output.density.grad.any()
    for other in (source.output.logits, target.output.logits, source.output.depth, target.output.depth):
        assert other.grad is None


def test_the_padding_of_the_target_has_no_density_loss():
    valid = torch.ones(2, 16, 24, dtype=torch.bool)
    valid[:, 8:] = False
    source = domain_output(label=torch.zeros(2, 16, 24, dtype=torch.uint8), depth=torch.ones(2, 16, 24))
    target = domain_output(valid=valid)
    balance(Depth(), DensityMaps(mixtures()))({"source": source, "target": target})["target_density"].backward()
    grad = target.output.density.grad
    assert grad[:, :, :2].any()
    assert not grad[:, :, 2:].any()


# 1 / (C f) of the shares that belong to the published weights.
SHARES = [0.19113, 0.19968, 0.30340, 0.00279, 0.00277, 0.01076, 0.00040, 0.00105]
SHARES += [0.10666, 0.07086, 0.04392, 0.00486, 0.04200, 0.01580, 0.00214, 0.00227]
WEIGHTS = [0.327, 0.313, 0.206, 22.427, 22.558, 5.811, 155.643, 59.528]
WEIGHTS += [0.586, 0.882, 1.423, 12.871, 1.488, 3.955, 29.164, 27.563]


def test_class_weights_are_the_published_ones():
    np.testing.assert_allclose(class_weights([round(1e5 * share) for share in SHARES]), WEIGHTS, rtol=0.01)
    assert class_weights([30, 0, 10]) == pytest.approx([4 / 9, 0, 4 / 3])
    assert class_weights([0, 0]) == [0, 0]


def test_a_weighted_mean_divides_by_the_weights():
    logits, label = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    weights = torch.tensor([0.3, 2.0, 5.0])
    losses = torch.nn.functional.cross_entropy(logits, label, reduction="none")
    expected = (weights[label] * losses).sum() / weights[label].sum()
    torch.testing.assert_close(cross_entropy(logits, label, weights), expected)


def network(heads):
    return Model(name="fpn", backbone="resnet18", weights="none", bn="train", heads=heads)


def train(out, heads, steps=4, adversary="none", pad=False, augment=WHOLE, source=None, **more):
    settings = Warmup(
        steps=steps, batch=2, log_every=1, lr=1e-3, head_lr=1.0, optimizer="adamw", augment=augment, precision="fp32"
    )
    out.mkdir()
    needs = heads == ("depth", "density") or adversary != "none"
    warmup(
        View(source or Deep(), (64, 96), pad),
        View(Pictures(), (64, 96)) if needs else None,
        network(heads),
        settings,
        out,
        seed=3,
        adversary=Adversary(align=adversary, weight=0.01),
        densities=DensityMaps(mixtures()),
        **more,
    )
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_training_of_both_heads(tmp_path):
    first = train(tmp_path / "1", ("depth", "density"), adversary="fused")
    terms = {"source", "depth", "density", "target_density", "adversarial", "discriminator"}
    assert terms <= first[0].keys()
    assert train(tmp_path / "2", ("depth", "density"), adversary="fused") == first
    loaded, meta = checkpoint.load(tmp_path / "1" / "model.pt")
    assert meta["model"]["heads"] == ["depth", "density"]
    assert loaded(torch.zeros(1, 3, 64, 96)).density.shape == (1, 1, 16, 24)


def test_depth_alone_needs_no_target_and_no_mixtures(tmp_path):
    log = train(tmp_path / "1", ("depth",))
    assert log[0].keys() == {"step", "loss", "source", "depth", "lr"}
    cut = train(tmp_path / "2", ("depth",), augment=Augment(crop=(32, 32), scale=(0.5, 1.5)))
    assert cut[0]["depth"] > 0


def test_heads_that_learn_nothing_else_leave_the_first_loss_as_it_was(tmp_path):
    plain, headed = train(tmp_path / "1", (), source=Pictures()), train(tmp_path / "2", ("depth",))
    assert plain[0].keys() == {"step", "loss", "source", "lr"}
    assert plain[0]["source"] == headed[0]["source"]
    assert plain[1]["source"] != headed[1]["source"]


def test_depth_is_learnt(tmp_path):
    log = train(tmp_path / "1", ("depth",), steps=40, depth=Depth(regression=0.05))
    assert log[-1]["depth"] < log[0]["depth"]


def test_class_weights_reach_the_loss(tmp_path):
    plain = train(tmp_path / "1", (), steps=1, source=Pictures())
    weighted = train(tmp_path / "2", (), steps=1, source=Pictures(), class_weights=[0.1, 5.0, 1.0])
    assert plain[0]["source"] != weighted[0]["source"]
    assert train(tmp_path / "3", (), steps=1, source=Pictures(), class_weights=[2.0, 2.0, 2.0])[0][
        "source"
    ] == pytest.approx(plain[0]["source"], rel=1e-6)


def test_the_fused_view_multiplies_entropy_and_density():
    target = domain_output((32, 48))
    estimated = torch.nn.functional.interpolate(target.output.density, (32, 48), mode="bilinear", align_corners=True)
    logits = torch.randn(2, 3, 32, 48, requires_grad=True)
    maps = VIEWS["fused"](target._replace(full=logits))
    torch.testing.assert_close(maps, information_map(logits) * estimated)
    maps.sum().backward()
    assert logits.grad.any()
    assert target.output.density.grad.any()
    bare = target._replace(full=logits, output=target.output._replace(density=None), align_corners=False)
    estimated = torch.nn.functional.interpolate(bare.output.depth, (32, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(VIEWS["fused"](bare), information_map(logits) * estimated)


@pytest.mark.parametrize("maps", [("segmentation",), ("depth",), ("density",), ("segmentation", "depth", "density")])
def test_the_fused_view_is_the_product_of_the_chosen_maps(maps):
    target = domain_output((32, 48))
    at_size = {"size": (32, 48), "mode": "bilinear", "align_corners": True}
    factors = {name: torch.nn.functional.interpolate(getattr(target.output, name), **at_size)
               for name in ("depth", "density")}  # fmt: skip
    factors["segmentation"] = information_map(target.full)
    expected = torch.ones(1)
    for name in maps:
        expected = expected * factors[name]
    torch.testing.assert_close(fused(target, maps), expected)
    channels = 3 if "segmentation" in maps else 1
    settings = Adversary(align="fused", maps=maps)
    discriminator = build_discriminator(settings, 8, 3, torch.device("cpu")).module
    assert discriminator(fused(target, maps)).shape[1] == 1
    assert fused(target, maps).shape[1] == channels


def test_the_fused_adversary_does_with_depth_alone(tmp_path):
    log = train(tmp_path / "1", ("depth",), adversary="fused", steps=1)
    assert {"adversarial", "depth"} <= log[0].keys()
