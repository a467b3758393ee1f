"""What a training step makes of the images of two domains."""

from contextlib import nullcontext

import pytest
import torch

from udaseg import models
from udaseg.config import Model
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.colors import normalise
from udaseg.train.losses import cross_entropy, mrkld, upsample
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
    return model, joined(terms(model)(0, batch(*domains, **size)))


def joined(passes) -> dict[str, torch.Tensor]:
    """Give the terms of all passes."""
    return passes if isinstance(passes, dict) else {name: value for terms in passes for name, value in terms.items()}


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
    joined(self_training(plain, NETWORK, nullcontext, 1.0)(0, batch("other", "target")))
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


def uneven(sources: int) -> Batch:
    """Give two images of which the first has 96 labelled pixels and the second all 1536."""
    both = batch("source", "target")
    images = torch.cat([both["source_image"][:1], both["target_image"][:1]])
    labels = torch.cat([both["source_label"][:1], both["target_label"][:1]])
    labels[0, 2:] = IGNORE
    halves = {"source": slice(0, sources), "target": slice(sources, 2)}
    return Batch(
        {f"{name}_image": images[half] for name, half in halves.items()}
        | {f"{name}_label": labels[half] for name, half in halves.items()}
    )


def penalised(logits_NCHW, labels_NHW, images_NHWC, pixels_NHW):
    return {"target": cross_entropy(logits_NCHW, labels_NHW), "mrkld": mrkld(logits_NCHW, labels_NHW)}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("sources", [0, 1, 2])
def test_a_joint_batch_has_one_mean_over_the_labelled_pixels_of_all_its_images(sources, parts):
    """The oracle is the plain cross-entropy of the whole batch, and so are its gradients."""
    network = NETWORK.model_copy(update={"bn": "frozen", "auxiliary": 0.4})
    torch.manual_seed(0)
    model = models.construct(network, 3).eval()
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.frozen = True  # in the decoder too: batches in parts are then those of the whole
    model.train()
    both, found, expected = uneven(sources), [], []
    (terms,) = self_training(model, network, nullcontext, 1.0, penalised, joint=True, parts=parts)(0, both)
    assert sorted(terms) == ["mrkld", "source", "source_aux1", "target", "target_aux1"]
    penalty = terms.pop("mrkld")
    torch.stack(list(terms.values())).sum().backward()
    found += [value.grad for value in model.parameters() if value.grad is not None]
    model.zero_grad()
    images_NHWC = torch.cat([both["source_image"], both["target_image"]])
    labels_NHW = torch.cat([both["source_label"], both["target_label"]])
    output = model(normalise(images_NHWC, network.color))
    full, inner = (upsample(one, (32, 48), model.align_corners) for one in (output.logits, output.aux[0]))
    loss = cross_entropy(full, labels_NHW) + 0.4 * cross_entropy(inner, labels_NHW)
    loss.backward()
    expected += [value.grad for value in model.parameters() if value.grad is not None]
    assert sum(terms.values()).item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    # A regulariser is a mean over the target's pixels alone (CRST).
    assert penalty.item() == pytest.approx(mrkld(full[sources:], labels_NHW[sources:]).item(), rel=1e-5)


def test_the_target_of_a_joint_batch_counts_by_its_weight():
    torch.manual_seed(0)
    model = models.construct(NETWORK, 3).eval()
    objectives = [self_training(model, NETWORK, nullcontext, weight, joint=True) for weight in (1.0, 2.0)]
    plain, doubled = (joined(objective(0, uneven(1))) for objective in objectives)
    assert doubled["source"] == plain["source"]
    assert doubled["target"].item() == pytest.approx(2 * plain["target"].item())


def test_domains_that_the_network_sees_one_after_the_other_are_passes_of_their_own():
    passes = [
        list(
            self_training(models.construct(NETWORK, 3).train(), NETWORK, nullcontext, 1.0, domain_specific_bn=each)(
                0, batch("source", "target")
            )
        )
        for each in (True, "stem")
    ]
    assert [[list(terms) for terms in one] for one in passes] == [[["source"], ["target"]], [["source", "target"]]]
