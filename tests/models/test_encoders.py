"""Encoders of timm: their names, maps, batch norm and colours, by the tiny models that timm has for tests."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models import checkpoint
from udaseg.models.batchnorm import BatchNorm, estimate_statistics
from udaseg.models.encoders import build_encoder, names, require_batch_norm
from udaseg.models.network import cut

SIZES = [(96, 192), (100, 190)]
LEVELS = (1, 2, 3, 4)
PARAMETERS = [3_319_392, 13_151_424, 24_196_288, 44_072_128, 60_842_688, 81_443_008]


def settings(encoder: str, **changes) -> config.Model:
    return models.resolve_color(config.Model(**{"encoder": encoder, "weights": "none", "bn": "train", **changes}))


def construct(encoder: str, **changes) -> models.Network:
    torch.manual_seed(0)
    return models.construct(settings(encoder, **changes), 5)


@pytest.mark.parametrize("n", range(6))
def test_mit_is_the_encoder_of_segformer(n):
    with torch.device("meta"):
        encoder = build_encoder(f"mit_b{n}", taps=LEVELS)
    assert sum(value.numel() for value in encoder.parameters()) == PARAMETERS[n]
    assert encoder.channels == ((32, 64, 160, 256) if n == 0 else (64, 128, 320, 512))
    assert "stages.3.blocks.0.attn.kv.weight" in encoder.state_dict()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_efficientnet_ln", "test_resnet", "test_convnext", "test_vit", "mit_b0"]
)
def test_every_family_trains_on_images_of_any_size(name, size):
    network = construct(name)
    output = network(torch.randn(2, 3, *size))
    (output.logits.square().mean() + output.deep.square().mean()).backward()
    assert output.features.shape[1] == network.feature_channels
    assert output.logits.shape[-2:] == output.features.shape[-2:]
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit"])
def test_parameters_have_the_names_of_timm(name):
    import timm

    plain = timm.create_model(name, num_classes=0).state_dict()
    own = build_encoder(name, taps=LEVELS).state_dict()
    assert own.keys() <= plain.keys()
    assert all(own[key].shape == plain[key].shape for key in own)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_batch_norm_computes_what_the_layers_of_timm_compute(name):
    import timm

    plain, own = timm.create_model(name, num_classes=0), build_encoder(name, taps=LEVELS)
    plain.load_state_dict(own.state_dict(), strict=False)
    image = torch.randn(2, 3, 64, 96)
    for _ in range(2):
        expected = plain.forward_intermediates(image, indices=[1, 2, 3, 4], intermediates_only=True)
        assert all(torch.equal(*pair) for pair in zip(own(image), expected, strict=True))
        plain.eval()
        own.eval()
    assert all(torch.equal(value, plain.state_dict()[key]) for key, value in own.state_dict().items())


def test_adabn_changes_the_statistics_of_every_batch_norm():
    network = construct("test_efficientnet")
    norms = [module for module in network.backbone.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == sum(name.endswith("running_mean") for name in network.backbone.state_dict())
    before = [norm.running_mean.clone() for norm in norms]
    estimate_statistics(network, [torch.randn(2, 3, 64, 64)])
    assert not any(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    stem = construct("test_efficientnet")
    estimate_statistics(stem.stem(), [torch.randn(2, 3, 64, 64)])
    changed = [key for key, value in stem.state_dict().items() if not torch.equal(value, network.state_dict()[key])]
    assert all("running" in key or "tracked" in key for key in changed)


def test_adabn_computes_without_dropped_blocks():
    network = construct("tf_efficientnet_lite0", drop_path=0.5)
    image = torch.randn(2, 3, 64, 64)
    estimate_statistics(network, [image])
    first = {key: value.clone() for key, value in network.state_dict().items()}
    estimate_statistics(network, [image])
    assert all(torch.equal(value, first[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["test_efficientnet_ln", "test_vit", "test_convnext"])
def test_encoders_without_batch_norm_refuse_settings_of_batch_norm(name):
    network = construct(name)
    with pytest.raises(UdasegError, match="has none"):
        require_batch_norm(network.backbone, "adabn")
    with pytest.raises(UdasegError, match="first layers"):
        network.stem()
    with pytest.raises(UdasegError, match="bn=frozen"):
        construct(name, bn="frozen")


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_frozen_statistics_do_not_move(name):
    network = construct(name, bn="frozen")
    before = copy.deepcopy(network.backbone.state_dict())
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):
        network(torch.randn(2, 3, 64, 64)).logits.square().mean().backward()
        optimizer.step()
    after = network.backbone.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if "running" in key or "tracked" in key)
    assert not torch.equal(next(network.backbone.parameters()), next(iter(before.values())))


def test_other_running_statistics_are_refused(monkeypatch):
    from udaseg.models.encoders.norms import adopt_batch_norms

    with pytest.raises(UdasegError, match="x has running statistics in layers of the kind BatchNorm1d"):
        adopt_batch_norms(nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm1d(2)), "x")


def test_a_stride_dilates_the_encoder_or_is_refused():
    with torch.device("meta"):
        maps = build_encoder("test_efficientnet", taps=LEVELS, output_stride=8)(torch.empty(1, 3, 64, 64))
        assert [level.shape[-1] for level in maps] == [16, 8, 8, 8]
    for name in ("test_vit", "mit_b0"):
        with pytest.raises(UdasegError, match=f"{name} has no stride 16"):
            build_encoder(name, output_stride=16)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("tf_eficientnet_lite0", "no encoder 'tf_eficientnet_lite0'", "did you mean 'tf_efficientnet_lite0'"),
        ("mit_b6", "no encoder 'mit_b6'", "did you mean 'mit_b"),
        ("resnet50.a1_in2k", "no weights", "a1_in1k"),
        ("timm-tf_efficientnet_lite0", "computes other features", "model.encoder=tf_efficientnet_lite0"),
        ("hiera_tiny_224", "224x224 only", "any size"),
    ],
)
def test_names_that_cannot_be_built_have_a_way_out(name, message, hint):
    with pytest.raises(UdasegError) as caught:
        build_encoder(name)
    assert message in " ".join(caught.value.message.split())
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("resnet18", "rgb-imagenet"),
        ("tf_efficientnet_lite0", "rgb-half"),
        ("tf_efficientnet_lite0.in1k", "rgb-half"),
        ("eva02_tiny_patch14_224.mim_in22k", "rgb-clip"),
        ("mit_b5", "rgb-imagenet"),
        ("vit_base_patch14_reg4_dinov2", "rgb-imagenet"),
    ],
)
def test_colours_are_those_of_the_encoder(name, color):
    assert settings(name).color == color
    assert settings(name, color="rgb").color == "rgb"


def test_colours_of_no_convention_are_an_error(monkeypatch):
    monkeypatch.setattr(names, "CONVENTIONS", {})
    with pytest.raises(UdasegError, match="no convention"):
        settings("test_resnet")


def test_the_map_of_a_padded_image_is_cut_to_the_image():
    columns_11hw = torch.arange(12.0).expand(1, 1, 7, 12)
    size, padded = (100, 190), (112, 192)
    whole = functional.interpolate(columns_11hw, padded, mode="bilinear")[..., : size[0], : size[1]]
    again = functional.interpolate(cut(columns_11hw, size, padded), size, mode="bilinear")
    assert cut(columns_11hw, size, padded).shape == columns_11hw.shape
    torch.testing.assert_close(again[..., 8:-8], whole[..., 8:-8], atol=0.02, rtol=0)


# The last one has buffers that no file holds.
@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "eva02_tiny_patch14_224"])
def test_a_checkpoint_holds_the_encoder(name, tmp_path):
    network, of_network = construct(name).eval(), settings(name)
    checkpoint.save(tmp_path / "model.pt", network, of_network, list("abcde"))
    loaded, meta = checkpoint.load(tmp_path / "model.pt")
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(loaded(image).logits, network(image).logits)
    assert (meta["model"]["encoder"], meta["model"]["decoder"], meta["model"]["stride"]) == (name, "fpn", 32)
    assert meta["model"]["color"] == of_network.color
    assert not {"name", "backbone"} & meta["model"].keys()
    checkpoint.require(meta, model=of_network)
    with pytest.raises(UdasegError, match=f"model.encoder: expected mit_b0, found {name}"):
        checkpoint.require(meta, model=settings("mit_b0"))


def test_a_checkpoint_of_another_timm_names_the_difference(tmp_path):
    path = tmp_path / "model.pt"
    checkpoint.save(path, construct("test_efficientnet"), settings("test_efficientnet"), list("abcde"))
    content = torch.load(path, weights_only=True)
    content["meta"]["timm"] = "0.9.1"
    content["model"]["backbone.stem.weight"] = content["model"].pop("backbone.conv_stem.weight")
    torch.save(content, path)
    with pytest.raises(UdasegError) as caught:
        checkpoint.load(path)
    assert "1 tensors are missing (backbone.conv_stem.weight)" in caught.value.message
    assert "1 tensors are unexpected (backbone.stem.weight)" in caught.value.message
    assert "written with timm 0.9.1" in caught.value.message
    assert caught.value.hint == "pip install timm==0.9.1"
