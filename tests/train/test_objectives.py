"""What a training step makes of the images of two domains."""

from contextlib import nullcontext

import pytest
import torch

from udaseg import models
from udaseg.config import Model
from udaseg.data.batches import Batch
from udaseg.models.batchnorm import BatchNorm
from udaseg.train.objectives import adaptation, self_training

NETWORK = Model(name="fpn", backbone="resnet18", weights="none", bn="train", color="rgb")


def batch(*domains: str, height: int = 32) -> Batch:
    parts = {}
    for bright, domain in enumerate(domains, 1):
        made = torch.Generator().manual_seed(bright)
        shape = (2, height if domain == "source" else 32, 48)
        parts[f"{domain}_image"] = torch.randint(0, 100 * bright, (*shape, 3), generator=made, dtype=torch.uint8)
        parts[f"{domain}_label"] = torch.randint(0, 3, shape, generator=made, dtype=torch.uint8)
    return Batch(parts)


def trained(terms, *domains: str, **size: int):
    torch.manual_seed(0)
    model = models.construct(NETWORK, 3).train()
    return model, terms(model)(0, batch(*domains, **size))


def buffers(model) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_buffers() if "running" in name}


@pytest.mark.parametrize(
    "terms",
    [
        lambda model, domain_specific_bn: adaptation(
            model, NETWORK, nullcontext, [], domain_specific_bn=domain_specific_bn
        ),
        lambda model, domain_specific_bn: self_training(
            model, NETWORK, nullcontext, 1.0, domain_specific_bn=domain_specific_bn
        ),
    ],
    ids=["adaptation", "self_training"],
)
def test_domains_apart_are_normalised_each_by_itself_and_the_running_statistics_are_the_targets(terms):
    model, both = trained(lambda model: terms(model, True), "source", "target")
    # A domain that the network does not know leaves the target with the same images, alone.
    model_T, _ = trained(lambda model: self_training(model, NETWORK, nullcontext, 1.0), "other", "target")
    for (name, value), (_, of_target) in zip(buffers(model).items(), buffers(model_T).items(), strict=True):
        torch.testing.assert_close(value, of_target, msg=name)
    _, alone = trained(lambda model: adaptation(model, NETWORK, nullcontext, []), "source")
    assert both["source"].item() == pytest.approx(alone["source"].item(), rel=1e-5)
    _, mixed = trained(lambda model: terms(model, False), "source", "target")
    assert mixed["source"].item() != pytest.approx(alone["source"].item(), rel=1e-3)


def test_separate_domains_are_two_passes_that_update_one_set_of_running_statistics():
    """As in AdaptSegNet: the source goes through the network, then the target."""
    model, both = trained(
        lambda model: adaptation(model, NETWORK, nullcontext, [], domain_specific_bn="separate"), "source", "target"
    )
    plain, source = trained(lambda model: adaptation(model, NETWORK, nullcontext, []), "source")
    assert both["source"].item() == pytest.approx(source["source"].item(), rel=1e-5)
    self_training(plain, NETWORK, nullcontext, 1.0)(0, batch("other", "target"))
    for (name, value), (_, expected) in zip(buffers(model).items(), buffers(plain).items(), strict=True):
        torch.testing.assert_close(value, expected, msg=name)


def test_stems_apart_are_each_domains_own_and_all_behind_them_sees_the_mixture():
    model, _ = trained(
        lambda model: adaptation(model, NETWORK, nullcontext, [], domain_specific_bn="stem"), "source", "target"
    )
    model_T, _ = trained(lambda model: self_training(model, NETWORK, nullcontext, 1.0), "other", "target")
    same = {name for name, value in buffers(model).items() if torch.allclose(value, buffers(model_T)[name], rtol=1e-4)}
    assert same == {"backbone.bn1.running_mean", "backbone.bn1.running_var"}
    assert not any(module.domains for module in model.modules() if isinstance(module, BatchNorm))
    # Images of two sizes go through one domain after the other, and the stem's are the target's still.
    model, _ = trained(
        lambda model: adaptation(model, NETWORK, nullcontext, [], domain_specific_bn="stem"),
        "source",
        "target",
        height=64,
    )
    torch.testing.assert_close(model.backbone.bn1.running_mean, model_T.backbone.bn1.running_mean)
    assert not torch.allclose(model.smooth[1].running_var, model_T.smooth[1].running_var, rtol=1e-3)


def test_a_source_alone_gives_the_running_statistics():
    model, _ = trained(lambda model: adaptation(model, NETWORK, nullcontext, [], domain_specific_bn=True), "source")
    plain, _ = trained(lambda model: adaptation(model, NETWORK, nullcontext, []), "source")
    assert all(torch.equal(value, buffers(plain)[name]) for name, value in buffers(model).items())
