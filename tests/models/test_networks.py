import copy

import pytest
import torch
from torch import nn

from udaseg import config, models
from udaseg.config.networks import ENCODERS, NETWORKS
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders.bisenet import BiSeNet
from udaseg.models.encoders import build_encoder
from udaseg.train.losses import cross_entropy, upsample

NAMES = tuple(NETWORKS)
STRIDES = {"deeplab": 8, "bisenet": 8, "fpn": 4, "fcn8s": 8, "dilated": 8}


def small(name: str, **changes) -> config.Model:
    return config.Model(name=name, backbone="resnet18", weights="none", **changes)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 1024), (65, 129)),
        ((720, 1280), (91, 161)),
        ((760, 1280), (96, 161)),
        ((320, 640), (41, 81)),
        ((1024, 2048), (129, 257)),
    ],
)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet101"])
def test_deeplab_has_the_published_sizes(backbone, size, expected):
    with torch.device("meta"):
        network = models.construct(config.Model(backbone=backbone), 19)
        output = network(torch.empty(1, 3, *size))
    assert output.logits.shape == (1, 19, *expected)
    assert output.features.shape == (1, network.feature_channels, *expected)
    assert output.aux == ()
    assert network.align_corners


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_output_stride_8_dilates_every_3x3_of_the_last_two_layers(backbone):
    with torch.device("meta"):
        resnet = build_encoder(backbone, output_stride=8)
    for layer, dilation in ((resnet.layer3, 2), (resnet.layer4, 4)):
        convs = [conv for conv in layer.modules() if isinstance(conv, nn.Conv2d)]
        assert {conv.stride for conv in convs} == {(1, 1)}
        assert {conv.dilation for conv in convs if conv.kernel_size == (3, 3)} == {(dilation, dilation)}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_return_the_maps_of_their_levels(name):
    with torch.device("meta"):
        encoder = build_encoder(name, taps=(1, 2, 3, 4))
        maps = encoder(torch.empty(1, 3, 64, 128))
    assert tuple(level.shape[1] for level in maps) == encoder.channels
    assert [tuple(level.shape[-2:]) for level in maps] == [(16, 32), (8, 16), (4, 8), (2, 4)]


def test_deeplab_head_is_the_sum_of_its_branches():
    torch.manual_seed(0)
    network = models.construct(small("deeplab", aspp=(6, 12)), 5).eval()
    assert len(network.classifier) == 2
    output = network(torch.randn(1, 3, 40, 48))
    branches = [branch(output.features) for branch in network.classifier]
    torch.testing.assert_close(output.logits, branches[0] + branches[1])
    wide = models.construct(small("deeplab"), 5)
    wide(torch.randn(1, 3, 40, 48)).logits.sum().backward()
    assert all(branch.weight.grad.abs().sum() > 0 for branch in wide.classifier)
    assert wide.classifier[0].weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(("name", "stride"), [("deeplab", 8), ("fpn", 16)])
def test_an_auxiliary_classifier_on_layer_3_changes_nothing_else(name, stride):
    torch.manual_seed(0)
    single = models.construct(small(name), 5)
    torch.manual_seed(0)
    multi = models.construct(small(name, auxiliary=0.1), 5)
    assert (single.inner_classifiers, multi.inner_classifiers) == (0, 1)
    own = single.state_dict()
    assert all(torch.equal(own[key], multi.state_dict()[key]) for key in own)
    assert {key.split(".")[0] for key in multi.state_dict().keys() - own.keys()} == {"auxiliary"}
    image = torch.randn(2, 3, 64, 96)
    plain, output = single(image), multi(image)
    assert torch.equal(plain.logits, output.logits)
    assert plain.aux == multi.eval()(image).aux == ()
    (aux_NChw,) = output.aux
    assert aux_NChw.shape[:2] == (2, 5)
    assert [-(-side // stride) for side in (64, 96)] <= list(aux_NChw.shape[-2:])
    aux_NChw.sum().backward()
    assert multi.backbone.layer3[1].conv2.weight.grad is not None
    assert multi.backbone.layer4[0].conv1.weight.grad is None
    assert all(value.grad is not None for value in multi.auxiliary.parameters())


def test_bisenet_has_the_published_parameter_counts():
    with torch.device("meta"):
        network = BiSeNet(build_encoder("resnet18", taps=(3, 4)), 19)

    def count(*parts: nn.Module) -> int:
        return sum(value.numel() for part in parts for value in part.parameters())

    assert count(network.spatial) == 371_264
    assert count(network.refine16, network.refine32) == 329_984
    assert count(network.supervise16, network.supervise32) == 14_630
    assert count(network.fusion) == 175_902
    assert count(network.classifier) == 380
    assert count(network.backbone) == 11_176_512
    assert count(network) == 12_068_672
    with torch.device("meta"):
        assert BiSeNet(build_encoder("resnet101", taps=(3, 4)), 19).feature_channels == 3328


def test_bisenet_convolving_before_upsampling_is_the_published_order():
    torch.manual_seed(0)
    network = models.construct(small("bisenet"), 4).eval()
    image = torch.randn(1, 3, 64, 96)
    output = network(image)
    fused = network.fusion(output.features)
    published = network.classifier(upsample(fused, (64, 96), align_corners=False))
    torch.testing.assert_close(upsample(output.logits, (64, 96), False), published)


@pytest.mark.parametrize("size", [(33, 47), (64, 96), (70, 122)])
@pytest.mark.parametrize("name", NAMES)
def test_trains_on_one_image_of_any_size(name, size):
    torch.manual_seed(0)
    network = models.construct(small(name, bn="train"), 4)
    output = network(torch.randn(1, 3, *size))
    labels = torch.randint(0, 4, (1, *size))
    heads = [output.logits, *output.aux]
    loss = sum(cross_entropy(upsample(logits, size, network.align_corners), labels) for logits in heads)
    loss.backward()
    assert len(output.aux) == (2 if name == "bisenet" else 0)
    assert all(aux.shape == output.logits.shape for aux in output.aux)
    assert output.features.shape[1] == network.feature_channels
    assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in network.parameters())
    expected = [-(-side // STRIDES[name]) for side in size]
    assert all(0 <= found - at_least <= 1 for found, at_least in zip(output.logits.shape[-2:], expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_bf16_and_channels_last_agree_with_fp32(name):
    torch.manual_seed(0)
    network = models.construct(small(name), 4).eval()
    image = torch.randn(2, 3, 64, 64)
    expected = network(image)
    network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image.contiguous(memory_format=torch.channels_last))
    full = upsample(output.logits, (64, 64), network.align_corners)
    assert full.dtype == torch.float32
    reference = upsample(expected.logits, (64, 64), network.align_corners)
    assert (full - reference).abs().mean() < 0.05 * reference.std()
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image.contiguous(memory_format=torch.channels_last))
    sum(logits.float().square().mean() for logits in (output.logits, *output.aux)).backward()
    assert all(torch.isfinite(value.grad).all() for value in network.head_parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_belongs_to_the_backbone_or_to_a_head(name):
    network = models.construct(small(name), 4)
    body, head = list(network.backbone_parameters()), list(network.head_parameters())
    assert {id(value) for value in body} | {id(value) for value in head} == {id(v) for v in network.parameters()}
    assert len(body) + len(head) == len(list(network.parameters()))
    assert any(value is parameter for value in head for parameter in network.classifier.parameters())


@pytest.mark.parametrize(
    ("mode", "learns", "follows"),
    [("train", True, True), ("affine-frozen", False, True), ("frozen", False, False)],
)
def test_bn_modes(mode, learns, follows):
    torch.manual_seed(0)
    network = models.construct(small("fpn", bn=mode), 3)
    norms = [module for module in network.backbone.modules() if isinstance(module, BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    network.eval()
    network.train()
    network(torch.randn(2, 3, 64, 64)).logits.sum().backward()
    for norm, mean in zip(norms, before, strict=True):
        assert (norm.weight.grad is not None) is learns
        assert (norm.bias.grad is not None) is learns
        assert torch.equal(norm.running_mean, mean) is not follows
    head = network.smooth[1]
    assert head.training
    assert head.weight.grad is not None
    assert copy.deepcopy(network).train().backbone.bn1.training is follows  # as an EMA teacher does
    models.set_bn_mode(network, "train")
    assert all(norm.training and norm.weight.requires_grad for norm in norms)


def test_batch_norm_of_a_single_value_uses_the_running_statistics():
    norm = BatchNorm(3)
    norm.running_mean += 1.0
    single = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(norm(single), (single - 1.0) / (1 + 1e-5) ** 0.5)
    assert torch.equal(norm.running_mean, torch.ones(3))
    batch = torch.randn(4, 3, 1, 1)
    torch.testing.assert_close(norm(batch).mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_same_seed_same_network():
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        weights.append(models.build(small("bisenet"), list("abcde")).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_strides_move_to_the_first_1x1_for_caffe_weights():
    with torch.device("meta"):
        network = models.construct(config.Model(backbone="resnet50"), 19)
        network.move_strides()
        assert network(torch.empty(1, 3, 512, 1024)).logits.shape[-2:] == (65, 129)
    block = network.backbone.layer2[0]
    assert (block.conv1.stride, block.conv2.stride, network.stride_first) == ((2, 2), (1, 1), True)
