"""A folder builds the same network in the library that it names, without udaseg."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from udaseg import models
from udaseg.config import Model, Views
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, smp_layout
from udaseg.models.export_folder import export_folder

CLASSES = ("road", "cár", "sky")
SIZE = (64, 96)


def saved(folder, **settings):
    settings = models.resolve_color(Model(weights="none", **{"bn": "train", **settings}))
    torch.manual_seed(0)
    network = models.construct(settings, len(CLASSES))
    network(torch.randn(2, 3, 64, 64))  # statistics that are not those of the start
    checkpoint.save(folder / "model.pt", network, settings, CLASSES)
    return checkpoint.load(folder / "model.pt")[0]


def full(logits, align_corners):
    return interpolate(logits, size=SIZE, mode="bilinear", align_corners=align_corners)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "test_convnext", "decoder": "segformer", "width": 16},  # the names of its encoder differ there
        {"encoder": "mit_b0", "decoder": "segformer"},  # built with arguments of its own
        {"encoder": "test_efficientnet", "decoder": "smp/deeplabv3plus", "stride": 16},
    ],
    ids=lambda settings: f"{settings['encoder']}-{settings['decoder']}",
)
def test_segmentation_models_pytorch_builds_the_network_from_its_folder(settings, tmp_path):
    package = pytest.importorskip("segmentation_models_pytorch")
    network = saved(tmp_path, **settings)
    exported = export_folder(tmp_path / "model.pt", SIZE, tmp_path / "folder")
    assert (exported.library, exported.reason) == ("segmentation_models_pytorch", None)
    assert exported.parity.agreeing > 0.999
    other = package.from_pretrained(str(tmp_path / "folder")).eval()
    image = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        expected, found = network(image).logits, other(image)
    align_corners = exported.facts["align_corners"]
    torch.testing.assert_close(full(found, align_corners), full(expected, align_corners), atol=1e-4, rtol=1e-4)
    again, facts = checkpoint.load(tmp_path / "folder/model.safetensors")
    assert facts["classes"] == list(CLASSES)
    with torch.no_grad():
        assert torch.equal(again(image).logits, expected)
    path = tmp_path / "folder/model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"segmentation_head.0.bias": torch.zeros(2)}, path, metadata)
    with pytest.raises(UdasegError, match="1 tensors are of another shape"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "test_efficientnet", "decoder": "fpn", "width": 16},  # lacks the last layer of timm's
        {"encoder": "mit_b0", "decoder": "segformer"},
        {"encoder": "test_vit", "decoder": "upscale"},
        {"name": "fpn", "backbone": "resnet18"},
    ],
    ids=lambda settings: settings.get("encoder", "resnet18"),
)
def test_timm_builds_the_encoder_from_its_folder(settings, tmp_path):
    network = saved(tmp_path, **settings)
    exported = export_folder(tmp_path / "model.pt", SIZE, tmp_path / "folder", encoder_alone=True)
    assert exported.library == "timm"
    assert exported.parity.agreeing > 0.999
    config = json.loads((tmp_path / "folder/config.json").read_text())
    encoder = timm.create_model(config["architecture"], num_classes=0, **config["model_args"])
    if exported.encoder.is_pruned:
        encoder.prune_intermediate_layers(prune_norm=not exported.encoder.is_normalised, prune_head=True)
    encoder.load_state_dict(load_file(tmp_path / "folder/model.safetensors"))
    image = torch.randn(1, 3, *SIZE)
    encoder.eval()
    with torch.no_grad():
        maps = encoder.forward_intermediates(
            image, indices=exported.encoder.indices, norm=exported.encoder.is_normalised, intermediates_only=True
        )
        for found, expected in zip(maps, network.backbone(image), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    short = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True, features_only=True)
    assert torch.equal(next(iter(short.state_dict().values())), next(iter(encoder.state_dict().values())))
    assert short.pretrained_cfg["mean"] == pytest.approx(config["pretrained_cfg"]["mean"])
    with pytest.raises(UdasegError, match="holds the encoder alone"):
        checkpoint.load(tmp_path / "folder/model.safetensors")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"encoder": "test_efficientnet", "decoder": "fpn"}, "none of its decoders computes what fpn computes"),
        ({"encoder": "test_convnext", "decoder": "segformer", "heads": ("depth",)}, "heads depth"),
        ({"encoder": "test_convnext", "decoder": "segformer", "detail": (32, 32)}, "two resolutions"),
        ({"encoder": "test_convnext", "decoder": "segformer", "stride": 16}, "no encoder at stride 16"),
        ({"encoder": "test_efficientnet", "decoder": "segformer"}, "the map of test_efficientnet at stride 2 too"),
        ({"encoder": "test_vit", "decoder": "segformer"}, "no encoder that computes what test_vit"),
        ({"encoder": "resnet18", "decoder": "segformer"}, "no encoder that computes what resnet18"),
    ],
)
def test_why_there_is_no_such_network_elsewhere_is_said(settings, reason):
    settings = models.resolve_color(Model(weights="none", bn="train", **settings))
    with torch.device("meta"):
        network = models.construct(settings, 3)
    assert reason in smp_layout.difference(settings, network)


def test_a_network_of_udaseg_alone_is_read_from_its_folder(tmp_path):
    network = saved(tmp_path, encoder="test_efficientnet", decoder="fpn", width=16)
    views = Views(window=(64, 64))
    exported = export_folder(tmp_path / "model.pt", (64, 70), tmp_path / "folder", views=views, pad=True)
    assert exported.library == "udaseg"
    assert (exported.parity.difference, exported.facts["window"], exported.facts["pad"]) == (0, [64, 64], True)
    again, _ = checkpoint.load(tmp_path / "folder/model.safetensors")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "encoder", "size", "message"),
    [
        ({"name": "deeplab", "backbone": "resnet18"}, True, SIZE, "timm has no encoder that computes what"),
        ({"encoder": "vgg16", "decoder": "fpn"}, True, SIZE, "timm has no encoder that computes what"),
        ({"encoder": "test_convnext", "decoder": "segformer"}, False, (64, 90), "--size 64x96"),
    ],
)
def test_what_cannot_be_exported_is_an_error_and_leaves_nothing(settings, encoder, size, message, tmp_path, narrow):
    pytest.importorskip("segmentation_models_pytorch")
    saved(tmp_path, **settings)
    with pytest.raises(UdasegError) as caught:
        export_folder(tmp_path / "model.pt", size, tmp_path / "folder", encoder_alone=encoder)
    assert message in f"{caught.value.message} {caught.value.hint}"
    assert not Path(tmp_path, "folder").exists()
