"""Classes that a source cannot label: they are left out of the softmax on its pixels, wherever these are seen."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from udaseg import models
from udaseg.config import Model
from udaseg.data.batches import Batch
from udaseg.models.output import Output
from udaseg.models.windows import Box
from udaseg.train import objectives
from udaseg.train.detail import weigh_resolutions
from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients.classmix import paste
from udaseg.train.losses import cross_entropy, leave_out
from udaseg.train.objectives import adaptation, self_training

NETWORK = Model(encoder="test_efficientnet", decoder="fpn", weights="none", color="rgb")


def test_the_loss_is_that_of_the_other_classes_alone():
    logits = torch.tensor([2.0, 1.0, 0.0]).reshape(1, 3, 1, 1).requires_grad_()
    label, missing = torch.zeros(1, 1, 1, dtype=torch.uint8), torch.tensor([False, True, False]).reshape(1, 3, 1, 1)
    loss = cross_entropy(leave_out(logits, missing), label)
    assert loss.item() == pytest.approx(0.126928, abs=1e-6)
    loss.backward()
    gradient = logits.grad.flatten()
    assert gradient[1] == 0
    assert gradient[2].item() == pytest.approx(1 / (math.e**2 + 1), rel=1e-5)
    assert gradient[0].item() == pytest.approx(-gradient[2].item(), rel=1e-5)
    assert cross_entropy(leave_out(logits, None), label).item() == pytest.approx(0.407606, abs=1e-6)


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 3.0])])
@pytest.mark.parametrize("pixels", [None, torch.full((2, 4, 6), 0.5)])
def test_ignored_pixels_and_weights_leave_the_gradient_finite(weight, pixels):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 6, generator=generator).requires_grad_()
    label = torch.where(torch.arange(6) < 2, 255, torch.arange(6) % 2 * 2).to(torch.uint8).expand(2, 4, 6)
    missing = torch.tensor([[False, True, False], [False, False, False]])[:, :, None, None]
    loss = cross_entropy(leave_out(logits, missing), label, weight, pixels_NHW=pixels)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert (logits.grad[0, 1] == 0).all()
    assert (logits.grad[1, 1, :, 2:] > 0).all()  # where the other source could label the class


def source(missing) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 255, (2, 32, 48, 3), generator=generator, dtype=torch.uint8)
    label = torch.randint(0, 2, (2, 32, 48), generator=generator, dtype=torch.uint8)
    batch = Batch({"source_image": image, "source_label": label})
    return batch if missing is None else Batch(batch | {"source_missing": torch.tensor(missing)})


def losses(missing, network=NETWORK):
    """Give the losses on the source, and the network with their gradients."""
    torch.manual_seed(0)
    model = models.construct(network, 3).train()
    terms = adaptation(model, network, nullcontext, [])(0, source(missing))
    sum(terms.values()).backward()
    return terms, model


def test_the_source_of_an_image_decides_and_recipes_without_missing_classes_are_as_they_were():
    cases = None, [[False] * 3] * 2, [[False, False, True], [False] * 3], [[False, False, True]] * 2
    plain, none, one, both = (losses(missing)[0]["source"].item() for missing in cases)
    assert none == plain > one > both


def test_the_classifier_of_a_class_that_no_image_can_label_gets_no_gradient():
    _, model = losses([[False, False, True]] * 2)
    gradients = [parameter.grad for name, parameter in model.named_parameters() if "classif" in name]
    assert gradients
    assert all((gradient[2] == 0).all() and (gradient[:2] != 0).any() for gradient in gradients)
    _, other = losses([[False, False, True], [False] * 3])
    assert all((parameter.grad[2] != 0).any() for name, parameter in other.named_parameters() if "classif" in name)


def test_inner_classifiers_leave_them_out_too():
    network = Model(name="bisenet", backbone="resnet18", weights="none", color="rgb")
    plain, _ = losses(None, network)
    without, _ = losses([[False, False, True]] * 2, network)
    assert len(plain) == 3
    assert all(without[name] < plain[name] for name in plain)


def test_pasted_pixels_keep_the_missing_classes_of_their_source():
    batch = source([[False, False, True], [False, False, False]])
    batch |= {"target_image": batch["source_image"] // 2, "target_label": torch.full((3, 32, 48), 2, dtype=torch.uint8)}
    batch["target_image"] = torch.cat([batch["target_image"], batch["target_image"][:1]])
    mask = torch.zeros(3, 32, 48, dtype=torch.bool)
    mask[:, :, 24:] = True
    mixed = paste(batch, mask)
    assert mixed["target_missing"].tolist() == [[False, False, True], [False] * 3, [False, False, True]]
    assert torch.equal(mixed["target_pasted"], mask)
    logits = torch.zeros(3, 3, 32, 48, requires_grad=True)
    outputs = {"target": DomainOutput(Output(logits, logits), logits, None, mixed["target_label"])}
    terms = objectives._segmentation(models.construct(NETWORK, 3), NETWORK, outputs, mixed)
    terms["target"].backward()
    assert terms["target"].item() == pytest.approx((4 * math.log(3) + 2 * math.log(2)) / 6, rel=1e-5)
    of_class = logits.grad[:, 2]
    assert (of_class[[0, 2], :, 24:] == 0).all()  # pasted from the source that cannot label it
    assert (of_class[1, :, 24:] > 0).all()  # pasted from the other one
    assert (of_class[:, :, :24] < 0).all()  # and on the target it is the label
    without = paste(Batch({name: value for name, value in batch.items() if name != "source_missing"}), mask)
    assert not {"target_missing", "target_pasted"} & without.keys()


def test_a_detail_leaves_out_what_lies_in_its_box():
    box = Box(8, 8, 16, 16)
    full, detail = torch.zeros(1, 3, 32, 48), torch.zeros(1, 3, 16, 16)
    output, label = Output(full, full, detail=detail, box=box), torch.zeros(1, 32, 48, dtype=torch.uint8)
    pasted = torch.zeros(1, 32, 48, dtype=torch.bool)
    pasted[:, :, 16:] = True
    missing = torch.tensor([False, False, True]).reshape(1, 3, 1, 1)

    def terms(missing):
        ce = lambda logits, label, image, pixels: {"source": cross_entropy(logits, label)}  # noqa: E731
        image = torch.zeros(1, 32, 48, 3, dtype=torch.uint8)
        return weigh_resolutions(ce, output, 0.1, True, leave_out(full, missing), label, image, None, missing)

    of_source, mixed = terms(missing), terms(missing & pasted[:, None])
    assert of_source["source_detail"].item() == pytest.approx(0.1 * math.log(2))
    assert of_source["source"].item() == pytest.approx(0.9 * math.log(2))
    # Half of the box is pasted: columns 16 to 24 of 8 to 24.
    assert mixed["source_detail"].item() == pytest.approx(0.1 * (math.log(2) + math.log(3)) / 2)
    assert terms(None)["source_detail"].item() == pytest.approx(0.1 * math.log(3))


def test_separate_passes_leave_them_out_in_the_source_alone():
    torch.manual_seed(0)
    model = models.construct(NETWORK, 3).train()
    batch = source([[False, False, True]] * 2)
    batch |= {"target_image": batch["source_image"], "target_label": batch["source_label"]}
    [of_source, of_target] = self_training(model, NETWORK, nullcontext, 1.0, separate=True)(0, Batch(batch))
    assert of_source["source"] < of_target["target"]
    assert np.isfinite(of_source["source"].item())
