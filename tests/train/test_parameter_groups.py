"""The groups of an optimizer: learning rates from block to block, and what has no weight decay."""

import pytest
import torch

from udaseg import models
from udaseg.config import Model, Training
from udaseg.errors import UdasegError
from udaseg.train.parameter_groups import parameter_groups
from udaseg.train.setup import optimizer

ENCODERS = ("test_vit", "test_efficientnet", "mit_b0", "resnet18")
VIT = Model(encoder="test_vit", decoder="linear", weights="none")


def network(encoder):
    return models.construct(Model(encoder=encoder, decoder="fpn", weights="none"), 3)


def rates(model, settings):
    """Give the learning rate and the weight decay of each parameter by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer(model, settings).param_groups
    found = [(names[one], (group["lr"], group["weight_decay"])) for group in groups for one in group["params"]]
    assert sorted(name for name, _ in found) == sorted(names.values())  # each in exactly one group
    assert all(group["initial_lr"] == group["lr"] for group in groups)
    return dict(found)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_parameter_is_in_one_group_and_only_weights_decay(encoder):
    model = network(encoder)
    settings = Training(optimizer="adamw", lr=1e-4, weight_decay=0.01, no_decay="norms", layer_decay=0.5, head_lr=10)
    assert parameter_groups(model, settings)[0]["lr"] == 1e-4  # the one in the log
    found = rates(model, settings)
    exempt = {name for name, (_, decay) in found.items() if decay == 0}
    flat = {name for name, parameter in model.named_parameters() if parameter.ndim <= 1}
    tables = {"backbone.pos_embed", "backbone.cls_token", "backbone.reg_token"} & set(found)
    assert exempt == flat | tables
    assert {decay for name, (_, decay) in found.items() if name not in exempt} == {0.01}
    heads = {lr for name, (lr, _) in found.items() if not name.startswith("backbone.")}
    assert heads == {1e-3}
    steps = sorted({lr for name, (lr, _) in found.items() if name.startswith("backbone.")}, reverse=True)
    assert steps == pytest.approx([1e-4 * 0.5**block for block in range(len(steps))])


def test_the_last_block_has_the_rate_and_the_stem_the_lowest():
    found = rates(models.construct(VIT, 3), Training(lr=1.0, layer_decay=0.9))
    blocks = 6
    for block in range(blocks):
        assert found[f"backbone.blocks.{block}.mlp.fc1.weight"][0] == pytest.approx(0.9 ** (blocks - 1 - block))
    assert found["backbone.norm.weight"][0] == 1.0
    for name in ("patch_embed.proj.weight", "pos_embed", "cls_token"):
        assert found[f"backbone.{name}"][0] == pytest.approx(0.9**blocks)


def test_blocks_of_a_resnet_are_counted_over_all_its_layers():
    found = rates(network("resnet18"), Training(lr=1.0, layer_decay=0.5))
    order = ["conv1", *(f"layer{layer}.{block}.conv1" for layer in (1, 2, 3, 4) for block in (0, 1))]
    assert [found[f"backbone.{name}.weight"][0] for name in order] == [0.5**after for after in range(8, -1, -1)]


def test_without_these_settings_there_are_two_groups_as_before():
    model = network("test_vit")
    groups = parameter_groups(model, Training(lr=0.1, head_lr=10))
    assert [(group["lr"], len(group["params"])) for group in groups] == [
        (0.1, len(list(model.backbone_parameters()))),
        (1.0, len(list(model.head_parameters()))),
    ]
    assert not any("weight_decay" in group for group in groups)


def test_an_encoder_without_blocks_in_sequence_is_refused():
    model = network("resnet18")
    model.backbone = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(UdasegError, match="no blocks in sequence") as caught:
        parameter_groups(model, Training(layer_decay=0.9))
    assert "layer_decay=1" in caught.value.hint
