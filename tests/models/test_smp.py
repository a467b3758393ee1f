"""The decoders of segmentation_models_pytorch compute what the package computes."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from udaseg import config, models
from udaseg.config.networks import SMP_NAMES
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, export
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders import smp

package = pytest.importorskip("segmentation_models_pytorch")


def settings(decoder: str, encoder: str = "test_efficientnet") -> config.Model:
    stride = 16 if decoder in smp.STRIDED else 32
    model = config.Model(encoder=encoder, decoder=f"smp/{decoder}", stride=stride, weights="none", bn="train")
    return models.resolve_color(model)


@pytest.mark.parametrize("decoder", ["fpn", "unet"])
def test_logits_are_those_of_the_package(decoder):
    torch.manual_seed(0)
    network = models.construct(settings(decoder), 5).eval()
    whole = package.create_model(decoder, "tu-test_efficientnet", encoder_weights=None, classes=5).eval()
    whole.encoder.model.load_state_dict(network.backbone.state_dict())
    whole.decoder.load_state_dict(network.decoder.state_dict())
    whole.segmentation_head[0].load_state_dict(network.classifier.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        logits = network(image).logits
        expected = whole.segmentation_head[0](whole.decoder(whole.encoder(image)))
        assert torch.equal(logits, expected)
        full = interpolate(logits, size=(64, 96), mode="bilinear", align_corners=network.align_corners)
        torch.testing.assert_close(full, whole(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("decoder", SMP_NAMES)
def test_every_decoder_trains_on_images_of_any_size(decoder):
    torch.manual_seed(0)
    network = models.construct(settings(decoder), 3)
    output = network(torch.randn(2, 3, 120, 180))
    output.logits.square().mean().backward()
    assert output.features.shape[1] == network.feature_channels
    assert all(value.grad is not None for value in network.parameters())
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert all(isinstance(norm, BatchNorm) for norm in norms)


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_convnext"])
def test_a_model_is_saved_and_exported(encoder, tmp_path):
    torch.manual_seed(0)
    model = settings("upernet", encoder)
    checkpoint.save(tmp_path / "model.pt", models.construct(model, 3), model, list("abc"))
    assert export.export(tmp_path / "model.pt", "torch", (64, 64), tmp_path / "model.pt2").agreeing > 0.999


def test_what_the_package_cannot_build_has_a_way_out(monkeypatch):
    with pytest.raises(UdasegError, match="cannot build unet on test_vit"):
        models.construct(settings("unet", "test_vit"), 3)
    with pytest.raises(UdasegError, match="is another") as caught:
        models.construct(settings("unet", "resnet18"), 3)
    assert "resnet18.tv_in1k" in caught.value.hint
    monkeypatch.setattr(smp, "find_spec", lambda name: None)
    with pytest.raises(UdasegError) as caught:
        models.construct(settings("unet"), 3)
    assert caught.value.hint == "pip install 'udaseg[smp]'"
