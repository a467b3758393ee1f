"""The two ways to choose a network: a published one by its name, or any encoder and decoder."""

import pytest

from udaseg.config import Model
from udaseg.config.load import load_recipe
from udaseg.config.networks import DECODERS
from udaseg.errors import UdasegError

BY_ENCODER = {"encoder", "decoder", "stride", "width", "drop_path"}


def test_settings_show_only_the_way_that_was_chosen():
    assert not BY_ENCODER & Model(name="fpn").model_dump().keys()
    model = Model(encoder="mit_b0", decoder="daformer")
    assert not {"name", "backbone"} & model.model_dump().keys()
    assert model.color == "auto"
    assert (model.architecture, model.encoder_name) == ("daformer", "mit_b0")
    assert Model(**model.model_dump()) == model
    named = Model(name="bisenet", backbone="resnet18")
    assert (named.architecture, named.encoder_name, named.color) == ("bisenet", "resnet18", "rgb-imagenet")


def test_an_encoder_replaces_the_network_of_a_base_and_the_other_way_round(tmp_path):
    changed = load_recipe("gta2city", changes={"model.encoder": "mit_b0", "model.decoder": "segformer"})
    assert (changed.model.architecture, changed.model.color) == ("segformer", "auto")
    path = tmp_path / "own.yaml"
    path.write_text("base: demo\nmodel: {encoder: test_vit, decoder: upscale, weights: none}\n")
    assert load_recipe(str(path)).model.encoder == "test_vit"
    assert load_recipe(str(path), changes={"model.encoder": "mit_b0"}).model.decoder == "upscale"
    back = load_recipe(str(path), changes={"model.name": "fpn", "model.backbone": "resnet18"}).model
    assert (back.encoder, back.architecture, back.color) == (None, "fpn", "rgb-imagenet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.encoder": "mit_b0", "model.name": "fpn"}, "name and encoder are two ways"),
        ({"model.encoder": "mit_b0", "model.backbone": "resnet18"}, "backbone and encoder are two ways"),
        ({"model.decoder": "daformer", "model.stride": 16}, "decoder and stride needs? an encoder"),
        ({"model.encoder": "mit_b0", "model.decoder": "daforner"}, "no decoder 'daforner'; did you mean 'daformer'"),
        ({"model.encoder": "mit_b0", "model.decoder": "smp/dpt"}, "no decoder 'smp/dpt'"),
    ],
)
def test_contradictions_are_errors(changes, message):
    with pytest.raises(UdasegError, match=message):
        load_recipe("oracle-gta2city", changes=changes)


def test_an_encoder_of_timm_given_as_backbone_is_told_where_it_goes():
    with pytest.raises(UdasegError, match=r"model\.backbone") as caught:
        load_recipe("oracle-gta2city", changes={"model.backbone": "tf_efficientnet_lite0"})
    assert caught.value.hint.endswith("--set model.encoder=tf_efficientnet_lite0")


def test_every_decoder_is_a_module():
    from importlib.util import find_spec

    assert all(find_spec(f"udaseg.models.decoders.{module}") for module in DECODERS.values())
