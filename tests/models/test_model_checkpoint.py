import io
import os
import random

import pytest
import torch

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, tensorfile

CLASSES = ("road", "car", "person")
SETTINGS = config.Model(name="fpn", backbone="resnet18", weights="none")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return models.construct(SETTINGS, 3)


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "model.pt"
    checkpoint.save(path, network, SETTINGS, CLASSES, {"step": 7})
    return path


def rewrite(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_round_trip(network, saved):
    loaded, meta = checkpoint.load(saved)
    assert not loaded.training
    assert meta["classes"] == list(CLASSES)
    assert meta["extra"] == {"step": 7}
    assert meta["model"] == {
        "name": "fpn", "backbone": "resnet18", "bn": "affine-frozen", "aspp": [6, 12, 18, 24],
        "color": "rgb-imagenet", "heads": [], "auxiliary": None, "detail": None, "detail_weight": 0.1,
    }  # fmt: skip
    image = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image).logits, network.eval()(image).logits, rtol=0, atol=0)
    network.train()
    loaded.train()
    assert not loaded.backbone.bn1.weight.requires_grad
    loaded(image.expand(2, -1, -1, -1)).logits.sum().backward()


def test_moved_strides_survive(tmp_path):
    settings = config.Model(name="deeplab", backbone="resnet18", weights="none")
    network = models.construct(settings, 3)
    network.move_strides()
    checkpoint.save(tmp_path / "model.pt", network, settings, CLASSES)
    loaded, meta = checkpoint.load(tmp_path / "model.pt")
    assert loaded.stride_first
    assert meta["stride_first"]


def test_equal_networks_give_equal_bytes(network, saved, tmp_path):
    other = tmp_path / "other.pt"
    moved = config.Model(name="fpn", backbone="resnet18", weights="elsewhere.pth")
    layout = models.construct(SETTINGS, 3)
    layout.load_state_dict(network.state_dict())
    checkpoint.save(other, layout.to(memory_format=torch.channels_last), moved, list(CLASSES), {"step": 7})
    assert other.read_bytes() == saved.read_bytes()


def test_a_failed_save_keeps_the_old_file_and_leaves_no_other(network, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(saved, network, SETTINGS, CLASSES)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.pt"]


def test_a_missing_file_raises_with_a_command(tmp_path):
    with pytest.raises(UdasegError, match="there is no model at") as caught:
        checkpoint.load(tmp_path / "model.pt")
    assert "udaseg warmup" in caught.value.hint


@pytest.mark.parametrize("hidden", [KeyboardInterrupt, OSError])
def test_errors_while_writing_are_raised_unchanged(hidden):
    class Full(io.BytesIO):
        count = 0

        def write(self, data):
            self.count += 1
            if self.count == 5:
                raise hidden
            return super().write(data)

    with pytest.raises(hidden):
        tensorfile.write({"a": [torch.ones(9) for _ in range(9)]}, Full())


def test_truncated_and_foreign_files_raise(saved):
    whole = saved.read_bytes()
    for content in (b"", b"PK\x03\x04", b"not a model", whole[:5000], whole[: len(whole) // 2], whole[:-10]):
        saved.write_bytes(content)
        with pytest.raises(UdasegError, match="truncated, damaged, or not a PyTorch file"):
            checkpoint.load(saved)


def test_a_flipped_byte_never_ends_in_a_traceback_or_another_network(network, saved):
    whole = bytearray(saved.read_bytes())
    draw = random.Random(0)
    state = network.state_dict()
    # The head of the file holds the pickled structure, the tail the zip directory, the middle tensors.
    places = [draw.randrange(6000) for _ in range(15)] + [len(whole) - draw.randrange(9000) - 1 for _ in range(15)]
    for place in [*places, len(whole) // 2]:
        content = bytearray(whole)
        content[place] ^= 0xFF
        saved.write_bytes(content)
        try:
            loaded, _ = checkpoint.load(saved)
        except UdasegError:
            continue
        assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items()), place


def test_code_raises(tmp_path):
    path = tmp_path / "model.pt"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    torch.save({"meta": {}, "model": Trap()}, path)
    with pytest.raises(UdasegError, match="could run code"):
        checkpoint.load(path)
    assert not (tmp_path / "trapped").exists()


def test_other_schemas_are_named(saved):
    rewrite(saved, lambda content: content["meta"].update(schema="udaseg.model/0"))
    with pytest.raises(UdasegError, match=r"schema 'udaseg.model/0', expected 'udaseg.model/1'"):
        checkpoint.load(saved)
    torch.save({"state_dict": {}}, saved)
    with pytest.raises(UdasegError, match="schema None"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["meta"].pop("classes"),
        lambda content: content["meta"].update(classes=[]),
        lambda content: content["meta"]["model"].update(name="unet"),
        lambda content: content["meta"].pop("stride_first"),
        lambda content: content.update(model=3),
    ],
)
def test_incomplete_facts_are_damage(saved, change):
    rewrite(saved, change)
    with pytest.raises(UdasegError, match="damaged"):
        checkpoint.load(saved)


def test_a_model_with_the_digest_of_earlier_versions_is_read(saved):
    rewrite(saved, lambda content: content.update(digest="ab12"))
    assert checkpoint.load(saved)[1]["classes"] == list(CLASSES)


def test_missing_and_broken_tensors_are_named(saved):
    rewrite(saved, lambda content: content["model"]["classifier.weight"].fill_(float("nan")))
    with pytest.raises(UdasegError, match=r"classifier\.weight holds NaN"):
        checkpoint.load(saved)
    rewrite(saved, lambda content: content["model"].pop("classifier.weight"))
    with pytest.raises(UdasegError, match=r"classifier\.weight"):
        checkpoint.load(saved)


def test_require_names_each_difference(saved):
    _, meta = checkpoint.load(saved)
    checkpoint.require(meta, classes=CLASSES, model=SETTINGS)
    checkpoint.require(meta, model=SETTINGS.model_copy(update={"aspp": (6, 12)}))  # only DeepLab has one
    other = config.Model(name="deeplab", backbone="resnet50")
    with pytest.raises(UdasegError) as caught:
        checkpoint.require(meta, classes=("road", "bus", "person"), model=other, source="runs/a/model.pt")
    message = caught.value.message
    assert message.startswith("runs/a/model.pt")
    assert "1: expected 'bus', found 'car'" in message
    assert "model.name: expected deeplab, found fpn" in message
    assert "model.backbone: expected resnet50, found resnet18" in message
    with pytest.raises(UdasegError, match=r"model\.auxiliary: expected 0\.1, found None"):
        checkpoint.require(meta, model=SETTINGS.model_copy(update={"auxiliary": 0.1}))
    with pytest.raises(UdasegError, match=r"expected 1 \(road\), found 3 \(road, car, person\)"):
        checkpoint.require(meta, classes=("road",))
