"""ImageNet weights of timm's encoders: from the hub's cache, from a path, or an error that says where they are."""

import time
import urllib.request

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from udaseg import config, models
from udaseg.errors import UdasegError

URL = "https://huggingface.co/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def build(name: str = "test_efficientnet", **changes) -> models.Network:
    settings = models.resolve_color(config.Model(**{"encoder": name, "weights": "imagenet", **changes}))
    return models.build(settings, ["road", "sky"], pytest.fail)


def published(name: str = "test_efficientnet") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model(name).state_dict()


def test_weights_come_from_the_cache_of_the_hub(caches, no_network):
    folder = caches / "hub" / "models--timm--test_efficientnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    state = published()
    save_file(state, folder / "snapshots" / "abc" / "model.safetensors")
    assert torch.equal(build().backbone.conv_stem.weight, state["conv_stem.weight"])


def test_weights_copied_by_hand_are_found_at_the_path_of_the_error(caches, no_network):
    with pytest.raises(
        UdasegError, match="cannot download the ImageNet weights of test_efficientnet: no route"
    ) as caught:
        build()
    path = caches / "torch" / "checkpoints" / "test_efficientnet.r160_in1k.safetensors"
    assert f"download {URL} elsewhere and copy it to {path}" in caught.value.hint
    assert "--set model.weights=none" in caught.value.hint
    path.parent.mkdir(parents=True)
    state = published()
    save_file(state, path)
    assert torch.equal(build().backbone.conv_stem.weight, state["conv_stem.weight"])


def test_a_network_that_does_not_answer_is_an_error_within_five_seconds(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_arguments, **_options: time.sleep(30))
    start = time.monotonic()
    with pytest.raises(UdasegError, match="no answer within 4 seconds"):
        build()
    assert time.monotonic() - start < 5


def test_an_encoder_without_published_weights_raises():
    with pytest.raises(UdasegError, match="timm has no ImageNet weights of mit_b0"):
        build("mit_b0")


def test_colours_that_a_transformer_cannot_take_raise(caches):
    path = caches / "torch" / "checkpoints" / "test_vit.r160_in1k.safetensors"
    path.parent.mkdir(parents=True)
    save_file(published("test_vit"), path)
    with pytest.raises(UdasegError, match="read colours as rgb-half, and cannot be converted to bgr-mean"):
        build("test_vit", decoder="deeplab", color="bgr-mean")
