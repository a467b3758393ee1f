import math

import pytest
import torch

from udaseg.train import losses


def logits_of(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities).log().view(1, -1, 1, 1)


def labels_of(value: int) -> torch.Tensor:
    return torch.full((1, 1, 1), value, dtype=torch.uint8)


LABELLED = [losses.cross_entropy, losses.symmetric_cross_entropy, losses.mrkld, losses.mrent, losses.mrl2]
UNLABELLED = [
    lambda x: losses.entropy_map(x).mean(),
    losses.robust_entropy,
    losses.mean_entropy,
    losses.max_square,
    lambda x: losses.kl_consistency(x, torch.zeros_like(x)),
    lambda x: losses.kl_consistency(x, -x),
]


@pytest.mark.parametrize("loss", LABELLED)
def test_no_valid_pixel_gives_zero_with_a_graph(loss):
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    value = loss(logits, torch.full((2, 3, 3), 255, dtype=torch.uint8))
    assert value.item() == 0.0
    value.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", LABELLED)
def test_ignored_pixels_do_not_count(loss):
    logits = torch.randn(1, 4, 2, 3)
    labels = torch.tensor([[[0, 1, 2], [3, 255, 255]]], dtype=torch.uint8)
    valid = loss(logits[..., :1, :], labels[:, :1]) * 3 + loss(logits[..., 1:, :1], labels[:, 1:, :1])
    torch.testing.assert_close(loss(logits, labels), valid / 4)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_gradients_are_finite_at_certainty(scale):
    start = torch.zeros(1, 4, 2, 2)
    start[:, 0] = scale
    for loss in UNLABELLED:
        logits = start.clone().requires_grad_()
        loss(logits).backward()
        assert torch.isfinite(logits.grad).all()
    for loss in LABELLED:
        for wrong in (0, 1):
            logits = start.clone().requires_grad_()
            value = loss(logits, torch.full((1, 2, 2), wrong))
            value.backward()
            assert torch.isfinite(value)
            assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", LABELLED)
def test_half_precision_is_summed_in_float32(loss):
    value = loss(torch.randn(1, 4, 8, 8, dtype=torch.bfloat16), torch.zeros(1, 8, 8, dtype=torch.uint8))
    assert value.dtype == torch.float32


def test_weighted_cross_entropy_divides_by_the_weights():
    logits = torch.randn(2, 3, 4, 5)
    labels = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    labels[0, 0] = 255
    weight = torch.tensor([0.3, 2.0, 22.0])
    expected = torch.nn.functional.cross_entropy(logits, labels.long(), weight, ignore_index=255)
    torch.testing.assert_close(losses.cross_entropy(logits, labels, weight), expected)
    nothing = losses.cross_entropy(logits, torch.full_like(labels, 255), weight)
    assert nothing.item() == 0.0
    absent = losses.cross_entropy(logits, torch.zeros_like(labels), torch.tensor([0.0, 1.0, 1.0]))
    assert absent.item() == 0.0


def test_symmetric_cross_entropy():
    value = losses.symmetric_cross_entropy(logits_of(0.7, 0.3), labels_of(0))
    assert value.item() == pytest.approx(2.7988, abs=5e-5)
    assert losses.symmetric_cross_entropy(logits_of(0.7, 0.3), labels_of(0), 1.0, 0.0).item() == pytest.approx(
        0.35667, abs=5e-6
    )


@pytest.mark.parametrize("classes", [2, 7, 16, 19])
def test_entropy_is_one_for_uniform_and_zero_for_certain(classes):
    uniform = torch.zeros(1, classes, 2, 3)
    maps = losses.information_map(uniform)
    assert maps.shape == uniform.shape
    torch.testing.assert_close(losses.entropy_map(uniform), torch.ones(1, 2, 3))
    certain = uniform.clone()
    certain[:, 0] = 1e4
    assert losses.entropy_map(certain).abs().max() == 0
    assert losses.robust_entropy(uniform).item() == pytest.approx((1 + 1e-6) ** 2)
    assert losses.robust_entropy(certain).item() == pytest.approx(1e-12)


@pytest.mark.parametrize("classes", [2, 7, 19])
def test_mean_entropy_and_squares_of_uniform_and_certain_pixels(classes):
    uniform, certain = torch.zeros(1, classes, 2, 3), torch.zeros(1, classes, 2, 3)
    certain[:, 0] = 1e4
    assert losses.mean_entropy(uniform).item() == pytest.approx(1)
    assert losses.mean_entropy(certain).item() == 0
    assert losses.max_square(uniform).item() == pytest.approx(-0.5 / classes)
    assert losses.max_square(certain).item() == pytest.approx(-0.5)
    assert losses.max_square(logits_of(0.7, 0.2, 0.1)).item() == pytest.approx(-0.27)
    half = torch.cat([uniform, certain], dim=3)
    valid = torch.arange(6).expand(1, 2, 6) < 3
    for loss in (losses.mean_entropy, losses.max_square):
        torch.testing.assert_close(loss(half, valid), loss(uniform))
        assert loss(half, torch.zeros_like(valid)).item() == 0


def test_the_information_map_is_the_formula():
    p = torch.tensor([0.6, 0.3, 0.1])
    expected = -p * p.log2() / math.log2(3)
    torch.testing.assert_close(losses.information_map(logits_of(0.6, 0.3, 0.1)).flatten(), expected)


def test_berhu():
    predicted = torch.tensor([0.0, 1.0, -2.0, 10.0], requires_grad=True)
    value = losses.berhu(predicted, torch.zeros(4))
    assert value.item() == pytest.approx(7.25)
    value.backward()
    torch.testing.assert_close(predicted.grad, torch.tensor([0.0, 1.0, -1.0, 5.0]) / 4)
    masked = losses.berhu(predicted, torch.zeros(4), torch.tensor([True, True, True, False]))
    assert masked.item() == pytest.approx((0 + (1 + 0.16) / 0.8 + (4 + 0.16) / 0.8) / 3)


def test_berhu_of_a_perfect_prediction():
    predicted = torch.ones(2, 3, requires_grad=True)
    for valid in (None, torch.zeros(2, 3, dtype=torch.bool)):
        value = losses.berhu(predicted, torch.ones(2, 3), valid)
        value.backward()
        assert value.item() == 0.0
    assert torch.isfinite(predicted.grad).all()


def test_confidence_regularisers():
    p = torch.tensor([0.7, 0.2, 0.1])
    logits = logits_of(0.7, 0.2, 0.1)
    assert losses.mrkld(logits, labels_of(0)).item() == pytest.approx(-p.log().mean().item())
    assert losses.mrl2(logits, labels_of(0)).item() == pytest.approx(0.49 + 0.04 + 0.01)
    assert losses.mrent(logits, labels_of(0)).item() == pytest.approx((p * p.log()).sum().item())


def test_kl_consistency_is_kl():
    student, teacher = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=teacher.movedim(1, -1)),
        torch.distributions.Categorical(logits=student.movedim(1, -1)),
    )
    torch.testing.assert_close(losses.kl_consistency(student, teacher), expected.mean())
    valid = torch.rand(2, 3, 4) > 0.5
    torch.testing.assert_close(losses.kl_consistency(student, teacher, valid), expected[valid].mean())
    assert losses.kl_consistency(student, teacher, torch.zeros_like(valid)).item() == 0.0
    assert losses.kl_consistency(student, student + 3.0).item() == pytest.approx(0.0, abs=1e-6)
    teacher.requires_grad_()
    student.requires_grad_()
    losses.kl_consistency(student, teacher).backward()
    assert teacher.grad is None


def test_upsampling_follows_the_corners():
    row = torch.tensor([0.0, 1.0], dtype=torch.bfloat16).view(1, 1, 1, 2)
    aligned = losses.upsample(row, (1, 4), align_corners=True)
    assert aligned.dtype == torch.float32
    torch.testing.assert_close(aligned.flatten(), torch.tensor([0, 1 / 3, 2 / 3, 1]))
    free = losses.upsample(row, (1, 4), align_corners=False)
    torch.testing.assert_close(free.flatten(), torch.tensor([0, 0.25, 0.75, 1]))
    assert losses.upsample(row, (1, 2), False).dtype == torch.float32
