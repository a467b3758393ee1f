"""Depth in self-training: the weight of agreement, relative depth, mixed images, and a training that goes on."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from udaseg.config import Augment, DepthLosses, Model, Online, Retrain
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.models.output import Output
from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients.classmix import paste
from udaseg.train.ingredients.depth import Mixture, agreement, align, compared_depth, learn_depth, mixed_loss
from udaseg.train.ingredients.depth import weigh_by_agreement as weigh
from udaseg.train.ingredients.step import Networks, Step
from udaseg.train.losses import berhu
from udaseg.train.retrain import PseudoLabels, retrain

from .test_depth import Deep
from .test_retrain import SPACE, Pictures

NETWORK = Model(
    encoder="test_efficientnet", decoder="fpn", width=16, weights="none", heads=("depth", "target_depth")
)  # fmt: skip
ONLINE = {
    "labels": "none", "init": "weights", "teacher": 0.9, "classmix": True, "online": Online(confidence=0.0),
    "depth": DepthLosses(source=0.01, target=0.01),
}  # fmt: skip


def row(*values):
    return torch.tensor([[list(values)]], dtype=torch.float32)


def mixture(depth, pasted=None, kind=None):
    pasted = torch.zeros_like(depth, dtype=torch.bool) if pasted is None else pasted
    return Mixture(depth, pasted, kind is not None, kind == "relative")


def output(source, target, **parts):
    """Return an output whose heads estimate these maps [N, H, W], at the size of the images."""
    maps = {"depth": source[:, None].clone().requires_grad_(), "target_depth": target[:, None].clone().requires_grad_()}
    logits = torch.zeros(len(source), 3, *source.shape[1:])
    return DomainOutput(Output(logits, logits, **maps), logits, **parts)


def weights_of(source, target, depth=None, pasted=None, kind="metric", **parts):
    batch = Batch(target_image=torch.zeros(*source.shape, 3, dtype=torch.uint8))
    if depth is not None:
        batch["target_depth"] = depth
    if pasted is not None:
        batch["target_pasted"] = pasted
    networks = Networks(None, "rgb", None, target_depth=kind)
    step = Step(Retrain(depth=DepthLosses()), networks, batch, None, (0, 0), batch["target_image"], None)
    weigh(step)
    return step.weigh(output(source, target, **parts))


def test_labels_count_by_the_agreement_of_the_heads():
    """The numbers are those of the formula of CorDA's code for these depths."""
    depth = row(10, 10, 10)
    torch.testing.assert_close(agreement(row(10, 10, 10), row(10, 12, 25), depth), row(1, 0.801, 0.001))
    factor, logged = weights_of(row(10, 10, 10), row(10, 12, 25), depth)
    torch.testing.assert_close(factor, row(1.664817, 1.333518, 0.001665), rtol=0, atol=1e-6)
    assert logged["agreement"].item() == pytest.approx((1 + 0.801 + 0.001) / 3)


def test_heads_that_agree_change_nothing_and_heads_that_all_disagree_neither():
    depth = torch.rand(2, 4, 6) * 100 + 2
    for other in (depth, depth + 500, depth * 0 - 1000):
        factor, _ = weights_of(depth, other, depth)
        torch.testing.assert_close(factor, torch.ones_like(depth))


def test_where_depth_is_unknown_or_too_far_to_be_measured_a_label_counts_in_full():
    depth = row(0, 1, 1.5, 10)
    score = agreement(row(50, 50, 50, 50), row(90, 90, 90, 90), depth)
    assert score.flatten().tolist() == pytest.approx([1, 1, 0.001, 0.001])
    score = agreement(row(5, 5, 5, 5), row(5, 5, 5, 5), depth)
    assert score.flatten().tolist() == [1, 1, 1, 1]


def test_without_a_depth_of_the_target_the_estimates_tell_the_scale():
    source, target, pasted = row(9, 9, 9, 0.5), row(11, 27, 11, 0.2), torch.tensor([[[False, False, True, False]]])
    factor, _ = weights_of(source, target, row(0, 0, 4, 0), pasted, kind=None)
    expected = row(1 - 2 / 10 + 0.001, 0.001, 1 - 2 / 4 + 0.001, 1)  # the last is too far to be measured
    torch.testing.assert_close(factor, expected / expected.mean())
    assert not factor.requires_grad


def test_padding_counts_in_no_mean():
    valid = torch.tensor([[[True, True, False]]])
    factor, _ = weights_of(row(10, 10, 0), row(10, 12, 0), row(10, 10, 0), valid=valid)
    assert factor[valid].mean().item() == pytest.approx(1)


@pytest.mark.parametrize(("factor", "constant"), [(1.0, 0.0), (7.5, 0.0), (1.0, 40.0), (0.02, 3.0)])
def test_alignment_depends_neither_on_the_factor_nor_on_the_constant_of_a_map(factor, constant):
    torch.manual_seed(0)
    relative, scale = torch.rand(3, 8, 9) * 200 + 1, torch.rand(3, 8, 9) * 90 + 5
    valid = torch.rand(3, 8, 9) < 0.7
    aligned, known = align(relative, scale, valid)
    other, _ = align(relative * factor + constant, scale, valid)
    torch.testing.assert_close(other, aligned, rtol=1e-3, atol=1e-2)
    assert torch.equal(known, valid)
    for i in range(3):
        one, wanted = aligned[i][valid[i]], scale[i][valid[i]]
        assert one.median().item() == pytest.approx(wanted.median().item(), rel=1e-4)
        spread, expected = (part.sub(part.median()).abs().mean().item() for part in (one, wanted))
        assert spread == pytest.approx(expected, rel=1e-4)


def test_a_map_of_the_true_depth_in_another_unit_becomes_the_true_depth():
    depth = torch.rand(2, 8, 9) * 90 + 5
    aligned, _ = align(depth * 3 + 20, depth, torch.ones_like(depth, dtype=torch.bool))
    torch.testing.assert_close(aligned, depth, rtol=1e-4, atol=1e-3)


def test_a_part_of_a_map_with_one_value_has_no_scale():
    relative, scale, valid = row(7, 7, 7), row(1, 2, 3), torch.ones(1, 1, 3, dtype=torch.bool)
    for relative_NHW, valid_NHW in ((relative, valid), (row(1, 2, 3), ~valid)):
        _, known = align(relative_NHW, scale, valid_NHW)
        assert not known.any()
        relative_mixture = mixture(relative_NHW * valid_NHW, kind="relative")
        assert mixed_loss(scale.requires_grad_(), row(4, 5, 6), relative_mixture).item() == 0
        scale = scale.detach()


def test_pasted_pixels_have_the_depth_of_the_source_and_others_that_of_the_target():
    depth = {name: torch.rand(count, 6, 8) * 100 for name, count in (("source", 2), ("target", 3))}
    batch = Batch()
    for name, one in depth.items():
        batch |= {f"{name}_image": torch.zeros(*one.shape, 3), f"{name}_label": torch.zeros(one.shape)}
    batch["source_depth"] = depth["source"]
    mask = torch.rand(3, 6, 8) < 0.4
    mixed = paste(Batch(batch | {"target_depth": depth["target"]}), mask)
    assert torch.equal(mixed["target_depth"][mask], depth["source"][[0, 1, 0]][mask])
    assert torch.equal(mixed["target_depth"][~mask], depth["target"][~mask])
    assert torch.equal(mixed["target_pasted"], mask)
    assert torch.equal(mixed["source_depth"], depth["source"])
    alone = paste(batch, mask)
    assert torch.equal(alone["target_depth"], torch.where(mask, depth["source"][[0, 1, 0]], 0))
    assert "target_depth" not in paste(Batch({key: one for key, one in batch.items() if key != "source_depth"}), mask)


def test_each_head_learns_its_own_pixels_of_mixed_images():
    torch.manual_seed(0)
    depth, pasted = torch.rand(1, 4, 6) * 50 + 2, torch.rand(1, 4, 6) < 0.5
    depth[0, 0, 0] = depth[0, 3, 5] = 0
    for kind in ("metric", None):
        seen = output(torch.rand(1, 4, 6), torch.rand(1, 4, 6))
        source, target = seen.output.depth, seen.output.target_depth
        known = depth if kind else depth * pasted
        loss = mixed_loss(source[:, 0], target[:, 0], mixture(known, pasted, kind))
        estimate = torch.where(pasted, source[:, 0], target[:, 0]) if kind else target[:, 0]
        torch.testing.assert_close(loss, berhu(estimate, known, known > 1))
        loss.backward()
        learns_source = (source.grad[:, 0] != 0) if source.grad is not None else torch.zeros_like(pasted)
        assert torch.equal(learns_source, pasted & (depth > 1) & (kind is not None))
        assert torch.equal(target.grad[:, 0] != 0, (pasted ^ (kind is not None)) & (depth > 1))


def test_relative_depth_is_compared_at_the_scale_of_the_source_head_and_pasted_depth_as_it_is():
    source, pasted = row(10, 20, 30, 99), torch.tensor([[[False, False, False, True]]])
    depth, known = compared_depth(source, mixture(row(1, 2, 3, 55), pasted, "relative"))
    torch.testing.assert_close(depth, row(10, 20, 30, 55))
    assert known.all()


def test_the_losses_of_both_domains_have_their_weights():
    depth = torch.rand(1, 4, 6) * 50 + 2
    batch = Batch(target_image=torch.zeros(1, 4, 6, 3, dtype=torch.uint8), target_depth=depth)
    networks, settings = Networks(None, "rgb", None, target_depth="metric"), DepthLosses(source=0.1, target=0.0)
    for target in (0.0, 0.5):
        settings = DepthLosses(source=0.1, target=target)
        step = Step(Retrain(depth=settings), networks, batch, None, (0, 0), batch["target_image"], None)
        learn_depth(step)
        seen = output(torch.rand(1, 4, 6), torch.rand(1, 4, 6), depth=depth)
        terms = {}
        for term in (*step.source_terms, *step.terms):
            terms |= term({"source": seen, "target": seen})
        expected = {"depth": 0.1 * berhu(seen.output.depth[:, 0], depth)}
        if target:
            expected["depth_target"] = 0.5 * berhu(seen.output.target_depth[:, 0], depth)
        torch.testing.assert_close(terms, expected)


@dataclass(frozen=True)
class Maps:
    """The depth of the target: of pictures whose left half is near, in centimetres or without a unit."""

    kind: str

    def read(self, stem):
        depth = np.full((64, 96), 217.0, np.float32)
        depth[:, 48:] = 22.0 + int(stem)
        return depth * 3 + 10 if self.kind == "relative" else depth


def train(out, kind="metric", progress=None, stored=None, **settings):
    chosen = {"steps": 4, "batch": 2, "log_every": 1, "augment": Augment(crop=(32, 48)), **ONLINE, **settings}
    out.mkdir(exist_ok=True)
    source, target = View(Deep(), (64, 96)), View(Pictures(), (64, 96))
    depth = None if kind is None else Maps(kind)
    retrain(
        source, target, SPACE.classes, NETWORK, Retrain(**chosen), out, seed=3, depth=depth, progress=progress,
        labels=stored,
    )  # fmt: skip
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["metric", "relative", None])
def test_a_stopped_training_goes_on_to_the_same_bytes(tmp_path, kind):
    def stop(done, steps):
        if done == 2:
            raise KeyboardInterrupt

    settings = {"depth_agreement": True, "save_every": 1}
    alone = train(tmp_path / "1", kind, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "2", kind, progress=stop, **settings)
    assert train(tmp_path / "2", kind, **settings) == alone
    assert (tmp_path / "1" / "model.pt").read_bytes() == (tmp_path / "2" / "model.pt").read_bytes()
    assert {"agreement", "depth", "depth_target"} <= alone[0].keys()


def test_the_weight_makes_a_difference_and_separate_passes_and_parts_of_a_batch_have_it_too(tmp_path):
    names = {
        "full": {}, "without": {"depth_agreement": False}, "separate": {"passes": "separate"},
        "parts": {"accumulate": 2},
    }  # fmt: skip
    logs = {name: train(tmp_path / name, **{"depth_agreement": True, **more}) for name, more in names.items()}
    first = {name: log[0] for name, log in logs.items()}
    assert first["full"]["depth_target"] == first["without"]["depth_target"]
    assert first["full"]["target"] != first["without"]["target"]
    assert "agreement" not in first["without"]
    assert "agreement" in first["separate"]
    assert "agreement" in first["parts"]


def test_stored_labels_are_weighed_too(tmp_path):
    labels = PseudoLabels(lambda stem: Pictures().label(int(stem)))
    settings = {"labels": "pseudolabel", "online": None, "teacher": None, "classmix": False}
    logs = [
        train(tmp_path / str(agree), stored=labels, depth_agreement=agree, **settings)[-1]["target"]
        for agree in (True, False)
    ]
    assert logs[0] != logs[1]
