"""The heads for depth and density: what they give, what they cost, and that nothing changes without them."""

import pytest
import torch
from pydantic import ValidationError

from udaseg import models
from udaseg.config import Model
from udaseg.errors import UdasegError
from udaseg.models import checkpoint
from udaseg.models.heads import MapHead
from udaseg.models.output import Output

NAMES = ("deeplab", "bisenet", "fpn")
BOTH = ("depth", "density")


def network(name="fpn", heads=(), seed=0):
    torch.manual_seed(seed)
    return models.construct(Model(name=name, backbone="resnet18", weights="none", heads=heads), 3)


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_size_of_the_features(name):
    image = torch.randn(2, 3, 48, 72)
    output = network(name, BOTH)(image)
    for estimated in (output.depth, output.density):
        assert estimated.shape == (2, 1, *output.features.shape[-2:])
        assert estimated.dtype == torch.float32
    assert network(name, BOTH).eval()(image).density is not None
    assert network(name, ("depth",))(image).density is None


@pytest.mark.parametrize("name", NAMES)
def test_heads_do_not_change_the_other_weights(name):
    image = torch.randn(2, 3, 48, 72)
    plain, headed = network(name), network(name, BOTH)
    own = plain.state_dict()
    assert not any(key.startswith("heads.") for key in own)
    assert own.keys() == {key for key in headed.state_dict() if not key.startswith("heads.")}
    assert all(torch.equal(value, headed.state_dict()[key]) for key, value in own.items())
    first, second = plain(image), headed(image)
    assert torch.equal(first.logits, second.logits)
    assert (first.depth, first.density) == (None, None)
    assert {id(value) for value in headed.heads.parameters()} < {id(value) for value in headed.head_parameters()}


def test_a_head_is_the_published_one():
    torch.manual_seed(0)
    head = MapHead(2048)
    sizes = [tuple(value.shape) for name, value in head.named_parameters() if name.endswith("weight")]
    assert sizes == [(512, 2048, 1, 1), (512, 512, 3, 3), (128, 512, 1, 1)]
    assert all(abs(head[i].weight.std().item() - 0.01) < 3e-4 for i in (0, 2, 4))
    features = torch.randn(1, 2048, 3, 4)
    x = head[0](features).relu()
    x = head[2](x).relu()
    torch.testing.assert_close(head(features), head[4](x).mean(1, keepdim=True))
    with torch.no_grad():
        head[4].bias.fill_(-1)
        assert (head(features) < 0).all()


def test_the_mean_is_not_rounded_to_bfloat16():
    head = MapHead(8)
    with torch.no_grad():
        head[4].bias.copy_(torch.linspace(130, 131, 16))
        head[4].weight.zero_()
        with torch.autocast("cpu", torch.bfloat16):
            estimated = head(torch.randn(1, 8, 2, 2))
    torch.testing.assert_close(estimated, torch.full((1, 1, 2, 2), 130.5), rtol=0, atol=0.1)


def test_splitting_a_batch_splits_its_maps():
    output = network("bisenet", ("depth",))(torch.randn(3, 3, 48, 72))
    first, second = output.split([1, 2])
    assert torch.equal(first.depth, output.depth[:1])
    assert second.density is None
    for k in range(2):
        assert torch.equal(second.aux[k], output.aux[k][1:])
    bare = Output(torch.zeros(3, 2, 4, 4), torch.zeros(3, 5, 4, 4)).split([2, 1])
    assert [(len(part.logits), len(part.features), part.aux) for part in bare] == [(2, 2, ()), (1, 1, ())]


def test_a_checkpoint_records_the_heads(tmp_path):
    settings = Model(name="fpn", backbone="resnet18", weights="none", heads=BOTH)
    own = network("fpn", BOTH)
    checkpoint.save(tmp_path / "model.pt", own, settings, ("a", "b", "c"))
    loaded, meta = checkpoint.load(tmp_path / "model.pt")
    image = torch.randn(1, 3, 48, 72)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image).depth, own.eval()(image).depth, rtol=0, atol=0)
    checkpoint.require(meta, model=settings)
    with pytest.raises(UdasegError, match=r"model.heads: expected \['depth'\], found \['depth', 'density'\]"):
        checkpoint.require(meta, model=settings.model_copy(update={"heads": ("depth",)}))


def test_an_old_checkpoint_has_no_heads(tmp_path):
    settings = Model(name="fpn", backbone="resnet18", weights="none")
    path = tmp_path / "model.pt"
    checkpoint.save(path, network(), settings, ("a", "b", "c"))
    content = torch.load(path, weights_only=True)
    del content["meta"]["model"]["heads"]
    torch.save(content, path)
    _, meta = checkpoint.load(path)
    checkpoint.require(meta, model=settings)


@pytest.mark.parametrize("heads", [("density",), ("density", "depth"), ("depth", "depth"), ("normals",)])
def test_unknown_heads_raise(heads):
    with pytest.raises(ValidationError, match="heads"):
        Model(heads=heads)
