"""The networks of CBST, on a few channels, through the commands that train, use and describe them."""

from pathlib import Path

import pytest
from PIL import Image

NETWORK = "--set model.name={} --set model.backbone={} --set model.weights=none"
FCN8S = NETWORK.format("fcn8s", "vgg16")


@pytest.mark.parametrize(("decoder", "encoder"), [("fcn8s", "vgg16"), ("dilated", "resnet38")])
def test_a_model_is_trained_described_exported_and_applied(narrow, rendered, udaseg, manifest, decoder, encoder):
    network = NETWORK.format(decoder, encoder)
    outcome = udaseg(f"warmup --steps 2 --run new {network}")
    assert outcome.code == 0, outcome.err
    model = manifest("new/warmup")["settings"]["model"]
    assert (model["name"], model["backbone"], model["color"]) == (decoder, encoder, "rgb-imagenet")
    assert "up to date" in udaseg(f"warmup --steps 2 --run new {network}").err
    facts = udaseg("info new/warmup --size 64x128 --json", tiny=False).json
    assert (facts["encoder"], facts["stride"]) == (encoder, 8)
    exported = udaseg("export new/warmup --format safetensors --out a.safetensors --json", tiny=False)
    assert exported.json["parity"]["agreeing"] == 1.0
    Path("photos").mkdir()
    Image.new("RGB", (50, 30), "grey").save("photos/a.png")
    assert udaseg("apply new/warmup photos --out out", tiny=False).code == 0
    with Image.open("out/labels/a.png") as label:
        assert label.size == (50, 30)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("warmup.adabn=true", "adabn=true changes batch norm, and the encoder of this network has none"),
        ("warmup.adabn=stem", "adabn=stem changes batch norm, and the encoder of this network has none"),
        ("model.bn=frozen", "bn=frozen changes batch norm, and the encoder of this network has none"),
    ],
)
def test_settings_of_batch_norm_with_vgg16_are_one_error(narrow, rendered, udaseg, setting, words):
    outcome = udaseg(f"warmup --steps 2 --run new {FCN8S} --set {setting}")
    assert (outcome.code, outcome.out) == (1, "")
    assert words in outcome.err
    assert not Path("new/warmup/manifest.json").exists()


def test_info_knows_the_encoder_of_each_network(udaseg):
    dilated = udaseg("info dilated --size 64x128 --json", tiny=False).json
    assert (dilated["encoder"], dilated["stride"], dilated["parameters"]) == ("resnet38", 8, 124_033_363)
    fcn8s = udaseg("info fcn8s --size 64x128 --json", tiny=False).json
    assert (fcn8s["encoder"], fcn8s["stride"], fcn8s["parameters"]) == ("vgg16", 8, 134_353_017)
