"""The two networks of CBST: FCN-8s on VGG16, and two dilated convolutions on the wide ResNet-38."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import VGG16_Weights
from torchvision.models import vgg as torchvision_vgg

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, export
from udaseg.models.batchnorm import BatchNorm, estimate_statistics
from udaseg.models.colors import normalise
from udaseg.models.decoders.fcn8s import enlarge
from udaseg.models.encoders import build_encoder, require_batch_norm
from udaseg.models.weights.recolor import convert_colors

FCN8S = config.Model(name="fcn8s", backbone="vgg16", weights="none", bn="train")
DILATED = config.Model(name="dilated", backbone="resnet38", weights="none", bn="train")
NETWORKS = pytest.mark.parametrize("settings", [FCN8S, DILATED], ids=["fcn8s", "dilated"])
LEVELS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


# --- their size -----------------------------------------------------------------------------------------------------


def test_vgg16_has_the_parameters_of_torchvision_but_for_imagenet_s_classes():
    with torch.device("meta"):
        network = models.construct(FCN8S, 19)
    whole = VGG16_Weights.IMAGENET1K_V1.meta["num_params"]
    assert parameters(network.backbone) == whole - (4096 + 1) * 1000
    assert parameters(network.classifier) + parameters(network.skips) == 19 * (256 + 512 + 4096 + 3)


def test_resnet38_has_the_parameters_of_its_table():
    """Wider or Deeper, figure 2: two 3x3 convolutions a block, and two blocks of 1x1, 3x3 and 1x1."""
    with torch.device("meta"):
        network = models.construct(DILATED, 19)
    expected, inputs = 3 * 64 * 9, 64
    for blocks, channels in ((3, (128, 128)), (3, (256, 256)), (6, (512, 512)), (3, (512, 1024))):
        for _ in range(blocks):
            middle, last = channels
            expected += 9 * (inputs * middle + middle * last) + 2 * (inputs + middle)
            expected += inputs * last if inputs != last else 0
            inputs = last
    for one, two, three in ((512, 1024, 2048), (1024, 2048, 4096)):
        expected += inputs * one + 9 * one * two + two * three + inputs * three + 2 * (inputs + one + two)
        inputs = three
    expected += 2 * inputs
    assert parameters(network.backbone) == expected
    assert parameters(network) - expected == 9 * 512 * (4096 + 19) + 512 + 19
    convolutions = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) - 6 + 1 == 38  # without the shortcuts, with the classifier


# --- their layers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "strides"), [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))])
def test_resnet38_dilates_where_it_does_not_halve(stride, strides):
    with torch.device("meta"):
        encoder = build_encoder("resnet38", output_stride=stride, taps=LEVELS)
        maps = encoder(torch.empty(1, 3, 64, 96))
    assert [map_NDhw.shape for map_NDhw in maps] == [
        (1, channels, 64 // one, 96 // one) for channels, one in zip((256, 512, 1024, 4096), strides, strict=True)
    ]
    dilations = {
        8: [(1, 2), (2, 2), (2, 2), (1, 4, 1), (1, 4, 1)],
        16: [(1, 1), (1, 1), (1, 1), (1, 2, 1), (1, 2, 1)],
        32: [(1, 1), (1, 1), (1, 1), (1, 1, 1), (1, 1, 1)],
    }
    blocks = [block for stage in encoder.stages[3:] for block in stage]
    assert [tuple(conv.dilation[0] for conv in block.convs) for block in blocks] == dilations[stride]


def test_vgg16_computes_what_torchvision_computes(narrow):
    """On 224x224 the last map is 7x7, and the middle of fc6 sees all of it, as torchvision's linear layer does."""
    encoder = build_encoder("vgg16", taps=LEVELS).eval()
    layers = torchvision_vgg.make_layers([4, 4, "M", 8, 8, "M", *[16] * 3, "M", *[32] * 3, "M", *[32] * 3, "M"])
    state = encoder.state_dict()
    layers.load_state_dict({name: state[f"features.{name}"] for name in layers.state_dict()})
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        *pooled, last = encoder(image)
        hidden = layers(image).flatten(1)
        for name in ("fc6", "fc7"):
            hidden = functional.linear(hidden, state[f"{name}.weight"].flatten(1), state[f"{name}.bias"]).relu()
        torch.testing.assert_close(last[..., 3, 3], hidden)
        assert torch.equal(pooled[2], layers[:24](image))
    assert [level.shape[-1] for level in (*pooled, last)] == [56, 28, 14, 7]


def test_fcn8s_adds_scores_that_fixed_deconvolutions_enlarge(narrow):
    network = models.construct(FCN8S, 3).eval()
    for score in network.skips:
        nn.init.normal_(score.weight)
    kernel_1d = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = torch.zeros(3, 3, 4, 4)
    kernel[range(3), range(3)] = torch.outer(kernel_1d, kernel_1d)
    image = torch.randn(1, 3, 256, 320)
    with torch.no_grad():
        pool3, pool4, fc7 = network.backbone(image)
        expected = functional.conv_transpose2d(network.classifier(fc7), kernel, stride=2, padding=1)
        expected = expected + network.skips[1](pool4)
        expected = functional.conv_transpose2d(expected, kernel, stride=2, padding=1) + network.skips[0](pool3)
        output = network(image)
    inner = (..., slice(6, -6), slice(6, -6))  # a deconvolution adds zeros beyond the border
    torch.testing.assert_close(output.logits[inner], expected[inner])
    assert torch.equal(output.features, fc7)


def test_fcn8s_starts_from_the_scores_of_the_deepest_map(narrow):
    network = models.construct(FCN8S, 3).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        deepest = network.classifier(network.backbone(image)[-1])
        torch.testing.assert_close(network(image).logits, enlarge(enlarge(deepest, (4, 4)), (8, 8)))
    assert float(deepest.std()) > 0


def test_a_grid_that_is_no_multiple_is_cut_and_not_stretched():
    ramp = torch.arange(3.0).expand(1, 1, 3, 3)
    whole = functional.interpolate(ramp, scale_factor=2, mode="bilinear")
    assert torch.equal(enlarge(ramp, (5, 6)), whole[..., :5, :])
    assert torch.equal(enlarge(ramp, (3, 3)), ramp)


@NETWORKS
@pytest.mark.parametrize("size", [(33, 47), (70, 122)])
def test_they_train_on_images_of_any_size(narrow, settings, size):
    network = models.construct(settings, 4)
    output = network(torch.randn(2, 3, *size))
    output.logits.square().mean().backward()
    assert output.logits.shape == (2, 4, *(-(-side // 8) for side in size))
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
    assert not network.align_corners
    # Dropout works in training alone.
    image = torch.randn(1, 3, *size)
    assert not torch.equal(network(image).logits, network(image).logits)
    network.eval()
    assert torch.equal(network(image).logits, network(image).logits)


@NETWORKS
def test_activations_computed_twice_change_nothing(narrow, settings):
    network, results = models.construct(settings, 4), []
    for _ in range(2):
        torch.manual_seed(1)
        network.zero_grad()
        output = network(torch.linspace(-1, 1, 3 * 40 * 56).sin().view(1, 3, 40, 56))
        output.logits.square().sum().backward()
        results.append([output.logits, *(value.grad.clone() for value in network.parameters())])
        network.backbone.checkpoint_activations()
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


# --- batch norm -----------------------------------------------------------------------------------------------------


def test_settings_of_batch_norm_are_one_error_with_vgg16(narrow):
    network = models.construct(FCN8S, 3)
    with pytest.raises(UdasegError, match="adabn changes batch norm, and the encoder of this network has none"):
        require_batch_norm(network.backbone, "adabn")
    with pytest.raises(UdasegError, match="first layers"):
        network.stem()
    with pytest.raises(UdasegError, match="bn=frozen changes batch norm") as caught:
        models.construct(FCN8S.model_copy(update={"bn": "frozen"}), 3)
    assert caught.value.hint == "set bn=train, or choose an encoder with batch norm"
    with pytest.raises(UdasegError, match="vgg16 has no stride 8") as caught:
        build_encoder("vgg16", output_stride=8)
    assert "model.name=fcn8s" in caught.value.hint
    with pytest.raises(UdasegError, match="cannot be converted to bgr-mean"):
        convert_colors(network.backbone, "rgb-imagenet", "bgr-mean")


def test_all_batch_norm_of_resnet38_adapts_and_freezes(narrow):
    network = models.construct(DILATED, 3)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 2 * 15 + 3 * 2 + 1
    assert all(isinstance(norm, BatchNorm) for norm in norms)
    images = [torch.randn(2, 3, 32, 32)]
    estimate_statistics(network, images)
    assert not any(torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in norms)
    stem = models.construct(DILATED, 3)
    estimate_statistics(stem.stem(), images)
    changed = [norm for norm in stem.modules() if isinstance(norm, BatchNorm) and float(norm.running_mean.abs().sum())]
    assert changed == [stem.backbone.stages[0][0].norms[0]]
    models.set_bn_mode(network, "frozen")
    before = network.backbone.norm.running_mean.clone()
    network.train()(images[0])
    assert torch.equal(network.backbone.norm.running_mean, before)


def test_other_colours_give_the_same_features_of_resnet38(narrow):
    image = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
    encoder = build_encoder("resnet38", output_stride=8).eval()
    conv, norm = encoder.first_layers()
    before = norm(conv(normalise(image, "rgb-imagenet")))
    convert_colors(encoder, "rgb-imagenet", "bgr-mean")
    after = norm(conv(normalise(image, "bgr-mean")))
    torch.testing.assert_close(before[..., 2:-2, 2:-2], after[..., 2:-2, 2:-2], atol=1e-3, rtol=1e-3)


# --- files ----------------------------------------------------------------------------------------------------------


@NETWORKS
def test_a_checkpoint_gives_the_network_back(narrow, settings, tmp_path):
    network = models.construct(settings, 3).eval()
    path = tmp_path / "model.pt"
    checkpoint.save(path, network, settings, list("abc"))
    loaded, meta = checkpoint.load(path)
    assert (meta["model"]["name"], meta["model"]["backbone"]) == (settings.name, settings.backbone)
    assert "timm" not in meta
    image = torch.randn(1, 3, 40, 56)
    assert torch.equal(network(image).logits, loaded(image).logits)
    assert export.export(path, "safetensors", (40, 56), tmp_path / "a.safetensors").difference == 0.0


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("resnet38", "fcn8s"), ("vgg16", "dilated"), ("vgg16", "segformer"), ("resnet38", "daformer")],
)
def test_their_parts_go_with_others(narrow, encoder, decoder):
    network = models.construct(config.Model(encoder=encoder, decoder=decoder, weights="none", bn="train"), 3).eval()
    assert network(torch.randn(1, 3, 64, 96)).logits.shape[:2] == (1, 3)


def test_imagenet_weights_of_resnet38_have_to_be_given(narrow):
    with pytest.raises(UdasegError, match="no ImageNet weights of resnet38 to download") as caught:
        models.build(config.Model(name="fpn", backbone="resnet38"), ["road"])
    assert "the path of a weights file" in caught.value.hint
