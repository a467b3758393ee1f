"""Two resolutions of an image: the fusion, the place of the detail crop, and whole networks."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, complexity, export
from udaseg.models.multi_resolution import fuse
from udaseg.models.windows import Box

DETAIL = (64, 64)
SIZE = (128, 192)


def settings(**changes) -> config.Model:
    chosen = {"encoder": "test_efficientnet", "decoder": "fpn", "width": 8, "weights": "none", "bn": "train"}
    return models.resolve_color(config.Model(**{**chosen, "detail": DETAIL, **changes}))


def build(seed: int = 0, **changes):
    torch.manual_seed(seed)
    return models.construct(settings(**changes), 3).eval()


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    return torch.randn(2, 3, *SIZE)


def attend(network, share: float) -> None:
    """Make the attention return the same share everywhere, 0 or 1."""
    classifier = network.resolutions.attention.classifier
    torch.nn.init.zeros_(classifier.weight)
    torch.nn.init.constant_(classifier.bias, 200.0 if share else -200.0)


def see(network, images):
    """Return the logits of a network with one resolution."""
    return network._infer(images)[0].logits


def test_the_products_are_taken_before_the_enlargement():
    context, attention = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.full((1, 1, 2, 2), 0.25)
    fused = fuse(context, attention, torch.full((1, 1, 2, 2), 10.0), Box(1, 1, 1, 1))
    expected = [[1, 1.25, 1.75, 2], [1.5, 1.6875, 2.0625, 2.25], [2.5, 2.5625, 4.09375, 4.625], [3, 3, 4.875, 5.5]]
    assert fused[0, 0].tolist() == expected


def test_boxes_lie_at_multiples_of_eight_up_to_the_last_one(network):
    rng = np.random.default_rng(0)
    boxes = [network.resolutions.draw_box((128, 192), rng) for _ in range(2000)]
    assert {box.top for box in boxes} == set(range(0, 65, 8))
    assert {box.left for box in boxes} == set(range(0, 129, 8))
    assert {(box.height, box.width) for box in boxes} == {DETAIL}
    assert network.resolutions.draw_box(DETAIL, rng) == Box(0, 0, *DETAIL)
    with pytest.raises(UdasegError, match="images of 48x192 are smaller than the detail of 64x64") as caught:
        network.resolutions.draw_box((48, 192), rng)
    assert caught.value.hint == "set model.detail to [48,192] or less"


def test_without_attention_the_result_is_the_enlarged_context(image):
    network = build()
    attend(network, 0)
    with torch.no_grad():
        context = see(network, avg_pool2d(image, 2))
        for box in (None, Box(0, 8, *DETAIL)):
            expected = interpolate(context, (32, 48), mode="bilinear")
            torch.testing.assert_close(network(image, box).logits, expected)


def test_with_all_attention_the_result_is_the_detail(image):
    network = build()
    attend(network, 1)
    with torch.no_grad():
        crop = image[..., :64, :64]
        output = network(crop, Box(0, 0, *DETAIL))
        assert torch.equal(output.logits, see(network, crop))
        assert torch.equal(output.detail, output.logits)
        assert torch.equal(network(crop).logits, output.logits)  # one window is the whole image
        inside = network(image, Box(32, 64, *DETAIL)).logits
    # One cell beside the border of the box the enlarged attention is neither 0 nor 1.
    detail = see(network, image[..., 32:96, 64:128]).detach()
    torch.testing.assert_close(inside[..., 9:23, 17:31], detail[..., 1:-1, 1:-1])
    far = interpolate(see(network, avg_pool2d(image, 2)).detach(), (32, 48), mode="bilinear")
    torch.testing.assert_close(inside[..., :7, :], far[..., :7, :])


def test_without_a_box_the_windows_of_the_detail_are_averaged(image):
    network = build()
    attend(network, 1)
    with torch.no_grad():
        output = network(image)
        total, count = torch.zeros(2, 3, 32, 48), torch.zeros(32, 48)
        for top in (0, 32, 64):
            for left in (0, 32, 64, 96, 128):
                box = Box(top, left, *DETAIL)
                box.divided(4).crop(total).add_(see(network, box.crop(image)))
                box.divided(4).crop(count).add_(1)
    torch.testing.assert_close(output.logits, total / count, rtol=1e-4, atol=1e-5)
    assert (output.detail, output.box) == (None, None)
    assert count.unique().tolist() == [1, 2, 4]


def test_two_networks_at_once_do_not_share_a_box(network, image):
    other = build(seed=5)
    first, second = Box(0, 0, *DETAIL), Box(64, 128, *DETAIL)
    with torch.no_grad():
        alone = network(image, first), other(image, second)
        mixed = network(image, second), other(image, first), network(image, first), other(image, second)
    assert torch.equal(mixed[2].logits, alone[0].logits)
    assert torch.equal(mixed[3].logits, alone[1].logits)
    assert not torch.equal(mixed[0].logits, alone[0].logits)


@pytest.mark.parametrize("box", [Box(4, 0, 64, 64), Box(0, 136, 64, 64), Box(-8, 0, 64, 64)])
def test_a_box_beside_the_grid_or_the_image_is_an_error(network, image, box):
    with pytest.raises(UdasegError, match="does not lie in an image of 128x192 at multiples of 8"):
        network(image, box)


def test_a_training_step_reaches_all_parameters_and_the_output_has_both_resolutions(image):
    network, box = build(heads=("depth",), auxiliary=0.1).train(), Box(8, 16, *DETAIL)
    output = network(image, box)
    assert output.logits.shape == (2, 3, 32, 48)
    assert (output.detail.shape, output.box) == ((2, 3, 16, 16), box)
    assert output.features.shape == (2, 8, 16, 24)
    assert (output.deep.shape[-2:], output.depth.shape[-2:]) == ((2, 3), (16, 24))
    (output.logits.mean() + output.aux[0].mean() + output.depth.mean()).backward()
    assert all(value.grad is not None for value in network.parameters())
    body, head = set(network.backbone_parameters()), set(network.head_parameters())
    assert body | head == set(network.parameters())
    assert set(network.resolutions.parameters()) <= head
    first, second = output.split([1, 1])
    assert torch.equal(second.detail, output.detail[1:])
    joined = models.Output.cat([first, second])
    assert torch.equal(joined.detail, output.detail)
    assert (first.box, joined.box) == (box, box)


@pytest.mark.parametrize("size", [(100, 190), (40, 90), (64, 64)])
def test_images_of_any_size_are_seen(network, size):
    with torch.no_grad():
        output = network(torch.randn(1, 3, *size))
    assert output.logits.shape[-2:] == tuple(2 * -(-side // 8) for side in size)
    assert output.logits.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "step", "multiple"),
    [
        ({"encoder": "test_vit", "decoder": "upscale", "width": None}, 8, 32),
        ({"decoder": "daformer"}, 8, 8),
        ({"decoder": "bisenet", "width": None}, 16, 16),
        ({"decoder": "deeplab", "width": None, "stride": 8}, 16, 16),
    ],
)
def test_the_detail_works_with_other_encoders_and_decoders(changes, step, multiple):
    changes = {name: value for name, value in changes.items() if value is not None} | (
        {} if changes.get("width", 8) else {"width": None}
    )
    network = build(**changes)
    assert (network.resolutions.step, network.resolutions.multiple) == (step, multiple)
    with torch.no_grad():
        output = network(torch.randn(1, 3, 96, 128), Box(step, 2 * step, *DETAIL))
    assert output.logits.shape[-2:] == (96 // (step // 2), 128 // (step // 2))


def test_half_precision_fuses_in_full_precision(network, image):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(image)
    assert output.logits.dtype == torch.float32
    with torch.no_grad():
        assert (output.logits - network(image).logits).abs().max() < 0.05 * output.logits.abs().max()


def test_a_model_keeps_its_attention_and_its_detail(tmp_path, network, image):
    path = tmp_path / "model.pt"
    checkpoint.save(path, network, settings(), list("abc"))
    loaded, meta = checkpoint.load(path)
    with torch.no_grad():
        assert torch.equal(loaded(image).logits, network(image).logits)
    checkpoint.require(meta, model=settings())
    with pytest.raises(UdasegError, match=r"model.detail: expected None, found \[64, 64\]"):
        checkpoint.require(meta, model=settings(detail=None))
    windows = config.Views(window=(96, 96))  # each with the windows of its detail
    assert export.export(path, "torch", (96, 128), tmp_path / "model.pt2", views=windows).agreeing > 0.999


def test_a_network_of_one_resolution_is_a_start_for_two(tmp_path):
    single = build(seed=3, detail=None)
    checkpoint.save(tmp_path / "model.pt", single, settings(detail=None), list("abc"))
    notes = []
    both = models.build(settings(weights=str(tmp_path / "model.pt")), list("abc"), notes.append)
    own = single.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in both.state_dict().items() if name in own)
    assert "missing (resolutions.attention." in notes[0]


def test_the_attention_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = models.construct(
            config.Model(encoder="mit_b1", decoder="daformer", weights="none", detail=(512, 512)), 19
        )
    assert sum(value.numel() for value in network.resolutions.parameters()) == 530_707


def test_the_cost_of_training_is_that_of_one_detail_crop():
    with torch.device("meta"):
        single, both = (models.construct(settings(detail=detail), 3) for detail in (None, DETAIL))
    one, two = (complexity.training_memory(network, (128, 128)).activations for network in (single, both))
    assert two < one
    part, training, inference = (
        complexity.complexity(single, DETAIL).macs,
        complexity.complexity(both, (128, 128), detail=DETAIL).macs,
        complexity.complexity(both, (128, 128)).macs,
    )
    attention = training - 2 * part
    assert 0 < attention < part
    assert inference == 10 * part + attention  # the context and nine windows


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"detail": (60, 68)}, "model.detail is 60x68, and this network needs multiples of 8", "model.detail=[64,64]"),
        ({"decoder": "linear", "width": None}, "logits at stride 4 or 8; those of this network have 2 columns", "fpn"),
        ({"encoder": "test_vit", "detail": (72, 64)}, "needs multiples of 16", "model.detail=[64,64]"),
    ],
)
def test_a_detail_that_does_not_fit_the_network_is_an_error(changes, message, hint):
    with pytest.raises(UdasegError, match=message) as caught:
        build(**changes)
    assert hint in caught.value.hint


@pytest.mark.parametrize("network", [{"name": "deeplab"}, {"encoder": "resnet18.tv_in1k", "decoder": "smp/fpn"}])
def test_a_network_with_align_corners_has_no_detail(network):
    with pytest.raises(ValueError, match="has it; set encoder, and decoder=daformer"):
        config.Model(detail=(64, 64), **network)
