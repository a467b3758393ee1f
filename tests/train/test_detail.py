"""Training a network with two resolutions: the place of the detail, its share of the losses, whole trainings."""

import json
from contextlib import nullcontext

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy, interpolate

from udaseg import models
from udaseg.config import Augment, Distill, Model, Retrain, Warmup
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.labels import IGNORE
from udaseg.models import checkpoint
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.colors import normalise
from udaseg.train.detail import place_detail
from udaseg.train.distill import distill
from udaseg.train.frozen_encoder import FrozenEncoder
from udaseg.train.objectives import FurtherPass, StudentBatch, adaptation, self_training
from udaseg.train.retrain import retrain
from udaseg.train.warmup import warmup

from .test_retrain import SPACE, Pictures

SIZE = (64, 96)
NETWORK = models.resolve_color(
    Model(encoder="test_efficientnet", decoder="fpn", width=8, weights="none", bn="train", detail=(32, 48))
)


def build(settings=NETWORK, is_frozen=False):
    torch.manual_seed(0)
    model = models.construct(settings, 3)
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.frozen = is_frozen
    return model.train()


def batch(*domains: str) -> Batch:
    draw, parts = torch.Generator().manual_seed(1), {}
    for domain in domains:
        parts[f"{domain}_image"] = torch.randint(0, 256, (2, *SIZE, 3), generator=draw, dtype=torch.uint8)
        label_NHW = torch.randint(0, 3, (2, *SIZE), generator=draw, dtype=torch.uint8)
        label_NHW[0, :20], label_NHW[1, :, 70:] = IGNORE, IGNORE
        parts[f"{domain}_label"] = label_NHW
        parts[f"{domain}_pixels"] = torch.rand(2, *SIZE, generator=draw)
    return Batch(parts)


def gather(passes) -> dict[str, float]:
    passes = [passes] if isinstance(passes, dict) else passes
    return {name: value.item() for terms in passes for name, value in terms.items()}


def by_hand(domain, images, number, seed=5, step=3, weight=0.1, factor=1.0):
    """Compute the two losses of a domain, whose images are a batch of their own, without the code of training."""
    model = build(is_frozen=True)
    box = place_detail(model, seed, step, number)(SIZE)
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    with torch.no_grad():
        output = model(normalise(images[f"{domain}_image"], NETWORK.color), box)
    label, pixels = images[f"{domain}_label"].long(), images[f"{domain}_pixels"]
    whole = interpolate(output.logits, SIZE, mode="bilinear")
    crop = interpolate(output.detail, (box.height, box.width), mode="bilinear")
    values = []
    for logits, inside in ((whole, (slice(None),) * 3), (crop, (slice(None), rows, columns))):
        loss = cross_entropy(logits, label[inside], ignore_index=IGNORE, reduction="none") * pixels[inside]
        values.append((loss.sum() / (label[inside] != IGNORE).sum()).item())
    return {domain: factor * (1 - weight) * values[0], f"{domain}_detail": factor * weight * values[1]}


def test_the_losses_are_those_of_the_fused_logits_and_of_the_detail_in_every_pass():
    """With the weights of pixels in both, also for mixed and masked images."""
    images = batch("source", "target", "masked")

    def teacher(step, own):
        further = Batch({name: value for name, value in images.items() if name.startswith("masked")})
        return StudentBatch(own, passes=[FurtherPass("masked", further, 0.5)])

    model = build(is_frozen=True)
    both = Batch({name: value for name, value in images.items() if not name.startswith("masked")})
    objective = self_training(model, NETWORK, nullcontext, 2.0, teacher=teacher, separate=True, seed=5)
    passes = list(objective(3, both))
    expected = (
        by_hand("source", images, 0)
        | by_hand("target", images, 1, factor=2.0)
        | by_hand("masked", images, 2, factor=0.5)
    )
    assert gather(passes) == pytest.approx(expected, rel=1e-5)
    torch.stack([term for terms in passes for term in terms.values()]).sum().backward()
    for name, value in model.resolutions.attention.named_parameters():
        assert value.grad.abs().max() > 0, name


def test_the_weight_of_the_detail_is_a_setting_and_other_terms_see_the_fused_logits():
    images, seen = batch("source"), []

    def term(outputs):
        seen.append(outputs["source"])
        return {}

    settings = NETWORK.model_copy(update={"detail_weight": 0.4})
    found = gather(adaptation(build(is_frozen=True), settings, nullcontext, [term], seed=5)(3, images))
    assert found == pytest.approx(by_hand("source", images, 0, weight=0.4), rel=1e-5)
    (source,) = seen
    torch.testing.assert_close(source.full, interpolate(source.output.logits, SIZE, mode="bilinear"))


def test_the_place_is_drawn_for_each_step_and_pass_from_the_seed_alone():
    model = build()
    places = {
        (seed, step, number): place_detail(model, seed, step, number)(SIZE)
        for seed in (0, 1)
        for step in range(8)
        for number in range(3)
    }
    assert len({(box.top, box.left) for box in places.values()}) > 15  # of 35
    again = build()
    assert all(place_detail(again, *key)(SIZE) == box for key, box in places.items())
    for varied in range(3):
        kept = {key: box for key, box in places.items() if all(key[i] == 0 for i in range(3) if i != varied)}
        assert len(set(kept.values())) > 1
    single = build(NETWORK.model_copy(update={"detail": None}))
    assert place_detail(single, 0, 0, 0)(SIZE) is None


@pytest.mark.parametrize("joint", [False, True])
def test_a_batch_in_parts_has_one_place_for_its_detail(joint):
    images = batch("source", "target")
    whole, parts = (
        gather(self_training(build(is_frozen=True), NETWORK, nullcontext, 1.0, joint=joint, parts=parts)(4, images))
        for parts in (1, 2)
    )
    assert set(whole) == {"source", "target", "source_detail", "target_detail"}
    assert parts == pytest.approx(whole, rel=1e-5)


def test_a_joint_mean_is_over_the_labelled_pixels_of_all_domains_in_the_image_and_in_the_box():
    """Two domains with the same images and labels, of which one has no labels in the box."""
    images = batch("source", "target")
    for name in ("image", "label", "pixels"):
        images[f"target_{name}"] = images[f"source_{name}"].clone()
    box = place_detail(build(), 0, 0, 0)(SIZE)
    box.crop(images["target_label"]).fill_(IGNORE)
    each, joint = (
        gather(self_training(build(is_frozen=True), NETWORK, nullcontext, 1.0, joint=joint)(0, images))
        for joint in (False, True)
    )
    source, target = (int((images[f"{domain}_label"] != IGNORE).sum()) for domain in ("source", "target"))
    assert joint["source"] == pytest.approx(each["source"] * source / (source + target), rel=1e-5)
    assert joint["target"] == pytest.approx(each["target"] * target / (source + target), rel=1e-5)
    assert joint["source_detail"] == pytest.approx(each["source_detail"], rel=1e-5)
    assert joint["target_detail"] == 0


@pytest.mark.parametrize("adabn", [True, "stem", "separate"])
def test_each_domain_is_normalised_by_itself_at_both_resolutions(adabn):
    """Context and crop are two batches of a layer, and each has the domains one after the other."""
    images, model = batch("source", "target"), build()
    both = gather(adaptation(model, NETWORK, nullcontext, [], domain_specific_bn=adabn)(0, images))
    if adabn != "stem":
        alone = gather(adaptation(build(), NETWORK, nullcontext, [])(0, images.domain("source")))
        assert {name: both[name] for name in alone} == pytest.approx(alone, rel=1e-5)
    target = Batch({name.replace("target", "source"): images[name] for name in images if "target" in name})
    of_target = build()
    gather(adaptation(of_target, NETWORK, nullcontext, [])(0, target))
    first, expected = (next(m for m in one.modules() if isinstance(m, BatchNorm)) for one in (model, of_target))
    is_targets = torch.allclose(first.running_mean, expected.running_mean, rtol=1e-4, atol=1e-6)
    assert is_targets == (adabn != "separate")
    assert not first.domains


def test_a_step_keeps_the_maps_of_the_context_and_of_one_crop():
    def kept_bytes(run) -> int:
        storages = {}

        def keep(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            result = run()
        del result  # until here no storage is used twice
        return sum(storages.values())

    images, model = batch("source"), build()
    seen = normalise(images["source_image"], NETWORK.color)
    single = build(NETWORK.model_copy(update={"detail": None}))
    step = kept_bytes(lambda: adaptation(model, NETWORK, nullcontext, [])(0, images))
    assert step < 0.5 * kept_bytes(lambda: model(seen))  # the context and nine windows
    assert step < kept_bytes(lambda: adaptation(single, NETWORK, nullcontext, [])(0, images))


def test_the_pretrained_encoder_sees_the_context_as_the_student_does(tmp_path):
    checkpoint.save(tmp_path / "model.pt", build(), NETWORK, SPACE.classes)
    settings = NETWORK.model_copy(update={"weights": str(tmp_path / "model.pt")})
    frozen = FrozenEncoder(settings, SPACE.classes, torch.device("cpu"), nullcontext)
    student = models.build(settings, SPACE.classes).eval()
    for height, width in (SIZE, (60, 90)):  # the latter is padded
        image_NHWC = batch("source")["source_image"][:, :height, :width]
        with torch.no_grad():
            expected = student(normalise(image_NHWC, settings.color)).deep
        assert torch.equal(frozen.last_map(image_NHWC), expected)


# --- whole trainings

PLAN = {"steps": 2, "batch": 2, "log_every": 1, "save_every": 1, "optimizer": "adamw", "precision": "fp32"}
CROP = Augment(crop=(64, 64))


class Stop(Exception):  # noqa: N818 - it is no error
    """End a training from outside."""


def stop(done, total):
    if done == 1:
        raise Stop


def run_warmup(out, view, progress):
    settings = Warmup(**PLAN, augment=CROP, entropy_weight=0.1)
    warmup(view, view, NETWORK, settings, out, seed=3, progress=progress)


def run_retrain(out, view, progress):
    settings = Retrain(
        **PLAN, augment=CROP, labels="none", init="weights", passes="separate", teacher=0.9, classmix=True,
        online={"confidence": 0.3, "margins": [0.1, 0.2, 0, 0]}, masked={"block": 16}, loss="symmetric",
        feature_distance={"classes": ["car"]},
    )  # fmt: skip
    retrain(view, view, SPACE.classes, NETWORK, settings, out, seed=3, progress=progress)


def run_distill(out, view, progress):
    model = out / "teacher.pt"
    if not model.exists():
        checkpoint.save(model, build(), NETWORK, SPACE.classes)
    settings = Distill(**PLAN, augment=CROP, strong={})
    distill(view, view, SPACE.classes, model, NETWORK, settings, out, seed=3, progress=progress)


@pytest.mark.parametrize("run", [run_warmup, run_retrain, run_distill])
def test_a_stopped_training_of_two_resolutions_goes_on_to_the_same_bytes(tmp_path, run):
    view = View(Pictures(), (64, 96))
    for name in ("alone", "stopped"):
        (tmp_path / name).mkdir()
    run(tmp_path / "alone", view, None)
    with pytest.raises(Stop):
        run(tmp_path / "stopped", view, stop)
    run(tmp_path / "stopped", view, None)
    for name in ("model.pt", "state.pt", "log.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "alone" / "log.jsonl").read_text().splitlines()]
    named = set(lines[0]) - {"step", "loss", "lr", "confident", "distance"}
    domains = {run_warmup: {"source"}, run_distill: {"source", "target"}}.get(run, {"source", "target", "masked"})
    assert {name for name in named if name.endswith("_detail")} == {f"{domain}_detail" for domain in domains}
    assert lines[0]["loss"] == pytest.approx(sum(lines[0][name] for name in named), rel=1e-5)
