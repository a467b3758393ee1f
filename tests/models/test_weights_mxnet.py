"""Files of MXNet: what they are made of, byte by byte, and what becomes of the wide ResNet-38 in them."""

import struct

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models import vgg16

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models.weights.layouts import find_layout
from udaseg.models.weights.mxnet import read_params

DILATED = config.Model(name="dilated", backbone="resnet38", weights="none")
ONE = np.array([[1.5, -2.0, 0.25]], np.float32)
VERSIONS = ("oldest", 0xF993FAC8, 0xF993FAC9, 0xF993FACA)


def array_bytes(values: np.ndarray, version=0xF993FAC9, kind: int = 0) -> bytes:
    """Write an array as MXNet of that version does; 1 is the CPU."""
    begin = b"" if version == "oldest" else struct.pack("<I", version)
    if version in (0xF993FAC9, 0xF993FACA):
        begin += struct.pack("<i", 0)
    side = "I" if version == "oldest" else "q"
    shape = struct.pack(f"<I{values.ndim}{side}", values.ndim, *values.shape)
    return begin + shape + struct.pack("<iii", 1, 0, kind) + values.tobytes()


def file_bytes(arrays: dict[str, bytes]) -> bytes:
    names = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)
    count = len(arrays)
    return struct.pack("<QQQ", 0x112, 0, count) + b"".join(arrays.values()) + struct.pack("<Q", count) + names


def write(path, arrays: dict[str, torch.Tensor]):
    path.write_bytes(file_bytes({name: array_bytes(value.numpy()) for name, value in arrays.items()}))
    return path


# --- the format -----------------------------------------------------------------------------------------------------


def test_a_file_is_read_byte_by_byte(tmp_path):
    path = tmp_path / "a.params"
    path.write_bytes(
        bytes.fromhex(
            "1201000000000000" "0000000000000000" "0100000000000000"  # a list, of one array
            "c9fa93f9" "00000000" "02000000" "0100000000000000" "0300000000000000"  # dense, 1x3
            "01000000" "00000000" "00000000"  # on the CPU, float32
            "0000c03f" "000000c0" "0000803e"  # 1.5, -2, 0.25
            "0100000000000000" "0a00000000000000" + b"arg:weight".hex()
        )
    )  # fmt: skip
    (weight,) = read_params(path).values()
    assert read_params(path).keys() == {"weight"}
    assert weight.dtype == torch.float32
    assert weight.tolist() == [[1.5, -2.0, 0.25]]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_mxnet_is_read(tmp_path, version):
    path = tmp_path / "a.params"
    path.write_bytes(file_bytes({"arg:a": array_bytes(ONE, version), "aux:b": array_bytes(ONE[0], version)}))
    tensors = read_params(path)
    assert (tensors["a"].tolist(), tensors["b"].tolist()) == (ONE.tolist(), ONE[0].tolist())


@pytest.mark.parametrize(
    ("kind", "dtype"), [(1, np.float64), (2, np.float16), (3, np.uint8), (4, np.int32), (5, np.int8), (6, np.int64)]
)
def test_every_type_of_values_is_read(tmp_path, kind, dtype):
    values = np.array([1, 2, 100], dtype)
    path = tmp_path / "a.params"
    path.write_bytes(file_bytes({"a": array_bytes(values, kind=kind)}))
    assert np.array_equal(read_params(path)["a"].numpy(), values)


def test_a_file_that_was_cut_anywhere_is_refused(tmp_path):
    whole = file_bytes({"arg:a": array_bytes(ONE), "b": array_bytes(ONE, "oldest")})
    path = tmp_path / "cut.params"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UdasegError, match=r"cut\.params is truncated, damaged, or not"):
            read_params(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\3\4" + bytes(40), "it begins with another number"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "it ends too early"),
        (file_bytes({"a": struct.pack("<IiIqqiii", 0xF993FAC9, 0, 2, 1 << 40, 1 << 40, 1, 0, 0)}), "it ends too early"),
        (file_bytes({"a": struct.pack("<I", 1 << 20) + bytes(99)}), "an array has 1048576 dimensions"),
        (file_bytes({"a": struct.pack("<IiIq", 0xF993FAC9, 1, 1, 1) + bytes(99)}), "it holds sparse arrays"),
        (file_bytes({"a": array_bytes(ONE, kind=12)}), r"an array has shape \[1, 3\] and type 12"),
        (file_bytes({"a": struct.pack("<IiIqiii", 0xF993FAC9, 0, 1, -1, 1, 0, 0)}), r"shape \[-1\]"),
        (file_bytes({"arg:a": array_bytes(ONE), "aux:a": array_bytes(ONE)}), "it has 2 arrays and 1 names"),
        (file_bytes({"a": array_bytes(ONE)})[:-1] + b"\xff", "not a parameter file"),
    ],
)  # fmt: skip
def test_counts_and_shapes_are_not_believed(tmp_path, content, reason):
    path = tmp_path / "bad.params"
    path.write_bytes(content)
    with pytest.raises(UdasegError, match=reason):
        read_params(path)


# --- the wide ResNet-38 ---------------------------------------------------------------------------------------------


def blocks():
    """Yield the name of each block of the authors, the channels of its convolutions, its stride and its dilations."""
    for level, count, channels in ((2, 3, (4, 4)), (3, 3, (8, 8)), (4, 6, (16, 16)), (5, 3, (16, 32))):
        for number in range(count):
            is_first = number == 0
            dilations = (1, 1) if level < 5 else (1, 2) if is_first else (2, 2)
            yield f"{level}{f'b{number}' if number else 'a'}", channels, 2 if is_first and level < 5 else 1, dilations
    yield "6a", (16, 32, 64), 1, (1, 4, 1)
    yield "7a", (32, 64, 128), 1, (1, 4, 1)


@pytest.fixture
def published() -> dict[str, torch.Tensor]:
    """Make tensors with the names of CBST's file for three classes, on a network of a thirty-second of the width."""
    torch.manual_seed(0)
    tensors = {"arg:conv1a_weight": torch.randn(2, 3, 3, 3) / 5}

    def norm(name, channels):
        tensors[f"arg:{name}_gamma"], tensors[f"arg:{name}_beta"] = torch.rand(channels) + 0.5, torch.randn(channels)
        tensors[f"aux:{name}_moving_mean"] = torch.randn(channels)
        tensors[f"aux:{name}_moving_var"] = torch.rand(channels) + 0.5

    inputs = 2
    for name, channels, _, _ in blocks():
        before = inputs
        for index, after in enumerate(channels):
            branch = f"branch2b{index}" if index else "branch2a"
            kernel = 3 if len(channels) == 2 or index == 1 else 1
            norm(f"bn{name}_{branch}", before)
            scale = (2 / (before * kernel**2)) ** 0.5
            tensors[f"arg:res{name}_{branch}_weight"] = torch.randn(after, before, kernel, kernel) * scale
            before = after
        if name.endswith("a"):
            tensors[f"arg:res{name}_branch1_weight"] = torch.randn(before, inputs, 1, 1) / inputs**0.5
        inputs = before
    norm("bn7", inputs)
    tensors["arg:conv6a_weight"], tensors["arg:conv6a_bias"] = torch.randn(8, inputs, 3, 3) / 30, torch.randn(8)
    tensors["arg:linear3_weight"], tensors["arg:linear3_bias"] = torch.randn(3, 8, 3, 3) / 8, torch.randn(3)
    return tensors


def compute(tensors: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """Compute the network of CBST as the authors' symbols say, by the names of their file."""
    tensors = {name.removeprefix("arg:").removeprefix("aux:"): value for name, value in tensors.items()}

    def activate(x, name):
        mean, variance, gamma, beta = (
            tensors[f"{name}_{part}"] for part in ("moving_mean", "moving_var", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5).relu()

    def convolve(x, name, stride=1, dilation=1):
        weight = tensors[f"{name}_weight"]
        padding = dilation if weight.shape[-1] == 3 else 0
        return functional.conv2d(x, weight, tensors.get(f"{name}_bias"), stride, padding, dilation)

    x = convolve(image, "conv1a")
    for name, channels, stride, dilations in blocks():
        first = activate(x, f"bn{name}_branch2a")
        result = convolve(first, f"res{name}_branch2a", stride, dilations[0])
        for index in range(1, len(channels)):
            branch = f"{name}_branch2b{index}"
            result = convolve(activate(result, f"bn{branch}"), f"res{branch}", 1, dilations[index])
        x = result + (convolve(first, f"res{name}_branch1", stride) if name.endswith("a") else x)
    hidden = convolve(activate(x, "bn7"), "conv6a", dilation=12).relu()
    return convolve(hidden, "linear3", dilation=12)


def test_a_model_of_cbst_computes_what_its_symbols_say(narrow, published, tmp_path):
    path = write(tmp_path / "cityscapes_rna-a1_cls3_s8_ep-0000.params", published)
    notes = []
    network = models.build(DILATED.model_copy(update={"weights": str(path)}), list("abc"), notes.append).eval()
    image = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        output = network(image)
        expected = compute(published, image)
    assert output.logits.shape == (1, 3, 5, 7)
    torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=1e-4)
    assert notes == []


@pytest.fixture
def body(published) -> dict[str, torch.Tensor]:
    return {name: value for name, value in published.items() if "conv6a" not in name and "linear3" not in name}


def test_imagenet_s_classes_are_no_news_and_a_missing_tensor_is_an_error(narrow, body, tmp_path):
    imagenet = body | {"arg:linear1000_weight": torch.zeros(1000, 128), "arg:linear1000_bias": torch.zeros(1000)}
    settings = DILATED.model_copy(update={"weights": str(write(tmp_path / "imagenet.params", imagenet))})
    notes = []
    models.build(settings, list("abc"), notes.append)
    (note,) = notes
    assert "4 missing (hidden.weight, hidden.bias, classifier.weight, classifier.bias)" in note
    assert "unexpected" not in note
    del imagenet["aux:bn5b2_branch2b1_moving_var"]
    write(tmp_path / "imagenet.params", imagenet)
    with pytest.raises(UdasegError, match=r"stages\.3\.2\.norms\.1\.running_var"):
        models.build(settings, list("abc"))


PARTS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var", "weight": "weight"}


def affinitynet(name: str) -> str:
    """Rename as AffinityNet does: b2_1.bn_branch2b1.weight."""
    layer, _, part = name[4:].replace("moving_", "").rpartition("_")
    if "branch" not in layer:
        return f"{layer}.{PARTS[part]}"
    block, _, branch = layer.partition("_")
    kind, number = ("conv", block[3:]) if block.startswith("res") else ("bn", block[2:])
    stage = number[0] if number[1] == "a" else f"{number[0]}_{number[2:]}"
    return f"b{stage}.{kind}_{branch}.{PARTS[part]}"


def mapillary(name: str) -> str:
    """Rename as Mapillary does: mod2.block2.convs.bn2.weight."""
    name = affinitynet(name)
    layer, _, part = name.rpartition(".")
    if layer in ("conv1a", "bn7"):
        return f"{'mod1.conv1' if layer == 'conv1a' else 'bn_out'}.{part}"
    block, _, branch = layer.partition(".")
    stage, _, number = block[1:].partition("_")
    kind, _, branch = branch.partition("_branch")
    index = 1 if branch == "2a" else int(branch[-1]) + 1
    layer = "proj_conv" if branch == "1" else "bn1" if (kind, index) == ("bn", 1) else f"convs.{kind}{index}"
    return f"mod{stage}.block{int(number or 0) + 1}.{layer}.{part}"


@pytest.fixture
def ours(body) -> dict[str, torch.Tensor]:
    tensors = {name[4:]: value for name, value in body.items()}
    return find_layout(tensors).rename(tensors, DILATED).encoder


def test_affinitynet_has_the_same_tensors(body, ours):
    tensors = {affinitynet(name): value for name, value in body.items()}
    assert {"conv1a.weight", "b2.conv_branch1.weight", "b4_5.conv_branch2b1.weight", "bn7.bias"} <= tensors.keys()
    renamed = find_layout(tensors).rename(tensors, DILATED)
    assert renamed.encoder.keys() == ours.keys()
    assert all(torch.equal(value, ours[name]) for name, value in renamed.encoder.items())
    assert (renamed.heads, renamed.caution) == ({}, None)


def test_mapillary_scales_by_absolute_weights_and_its_network_is_another(narrow, body, ours, tmp_path):
    tensors = {f"module.{mapillary(name)}": -value if "gamma" in name else value for name, value in body.items()}
    assert {"module.mod4.block6.convs.bn2.weight", "module.mod7.block1.proj_conv.weight"} <= tensors.keys()
    path = tmp_path / "wide_resnet38_ipabn_lr_256.pth.tar"
    torch.save({"state_dict": tensors, "epoch": 90}, path)
    notes = []
    settings = config.Model(name="fpn", backbone="resnet38", weights=str(path))
    encoder = models.build(settings, ["road"], notes.append).backbone.state_dict()
    assert "max-poolings and leaky ReLUs, this one strided convolutions and ReLUs" in notes[0]
    for name, value in ours.items():
        is_scale = value.ndim == 1 and name.endswith("weight")
        torch.testing.assert_close(encoder[name], value + 1e-5 if is_scale else value)


def test_nvidia_keeps_its_batch_norms_in_sequences(body, ours):
    tensors = {}
    for name, value in body.items():
        layer, _, part = mapillary(name).rpartition(".")
        is_norm = layer.startswith("bn") or ".bn" in layer
        tensors[f"{layer}.0.{part}" if is_norm else f"{layer}.{part}"] = -value
    assert {"mod2.block1.bn1.0.weight", "mod2.block1.convs.bn2.0.bias", "bn_out.0.weight"} <= tensors.keys()
    renamed = find_layout(tensors).rename(tensors, DILATED).encoder
    assert renamed.keys() == ours.keys()
    assert all(torch.equal(value, -ours[name]) for name, value in renamed.items())


# --- VGG16 ----------------------------------------------------------------------------------------------------------


def test_the_classifier_of_torchvision_s_vgg16_becomes_convolutions():
    with torch.device("meta"):
        state = vgg16().state_dict()
        network = models.construct(config.Model(name="fcn8s", backbone="vgg16", weights="none"), 3)
    renamed = find_layout(state).rename(state, config.Model(name="fcn8s", backbone="vgg16"))
    expected = network.backbone.state_dict()
    assert renamed.encoder.keys() - expected.keys() == {"classifier.6.weight", "classifier.6.bias"}
    assert all(renamed.encoder[name].shape == value.shape for name, value in expected.items())
    of_timm = find_layout(state).rename(state, config.Model(encoder="vgg16.tv_in1k"))
    assert of_timm.encoder.keys() == state.keys()


def test_the_weights_of_fc6_keep_their_order():
    flat = torch.arange(2.0 * 3 * 49).view(2, 3 * 49) / 100
    state = {"classifier.0.weight": flat, "classifier.3.weight": torch.eye(2), "features.28.weight": torch.zeros(1)}
    renamed = find_layout(state).rename(state, config.Model(name="fcn8s", backbone="vgg16"))
    maps = torch.randn(1, 3, 7, 7)
    fc6 = renamed.encoder["fc6.weight"]
    torch.testing.assert_close(functional.conv2d(maps, fc6).flatten(1), functional.linear(maps.flatten(1), flat))
    assert renamed.encoder["fc7.weight"].shape == (2, 2, 1, 1)
