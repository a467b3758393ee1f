"""The functions for other programs: the values of the stages' own functions, for arrays and for tensors; messages."""

import numpy as np
import pytest
import torch

import udaseg
from udaseg.data.style.fda import low_band, stylize
from udaseg.inference.confidence import label_and_confidence
from udaseg.pseudo.label_files import select

CLASSES = 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def image(rng, *shape):
    return rng.integers(0, 256, shape, np.uint8)


def test_fda_of_arrays_and_tensors(rng):
    source, target = image(rng, 2, 24, 36, 3), image(rng, 2, 24, 36, 3) // 2
    expected = [stylize(one, low_band(other, 0.1)) for one, other in zip(source, target, strict=True)]
    assert np.array_equal(udaseg.fda(source[0], target[0], 0.1), expected[0])
    tensors = [torch.from_numpy(images).permute(0, 3, 1, 2) for images in (source, target)]
    batch = udaseg.fda(*tensors, beta=0.1)
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch.permute(0, 2, 3, 1), expected)
    assert torch.equal(udaseg.fda(tensors[0][1], tensors[1][1], 0.1), batch[1])
    assert torch.equal(udaseg.fda(*tensors, beta=0), tensors[0])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_thresholds_and_labels_of_cbst(rng, kind):
    logits = 2 * rng.standard_normal((3, CLASSES, 6, 8)).astype(np.float32)
    labels, confidences = zip(*(label_and_confidence(one, 12, 16, False) for one in logits), strict=True)
    label, confidence = udaseg.label_and_confidence(kind(logits), (12, 16))
    assert type(label) is type(confidence) is type(kind(logits))
    assert np.array_equal(label, labels)
    assert np.array_equal(confidence, confidences)

    whole, parts = udaseg.ConfidenceHistogram(CLASSES), [udaseg.ConfidenceHistogram(CLASSES) for _ in range(2)]
    whole.add(label, confidence)
    parts[0].add(label[0], confidence[0])
    parts[1].add(label[1:], confidence[1:])
    thresholds = udaseg.cbst_thresholds(whole, 0.3)
    assert np.array_equal(udaseg.cbst_thresholds(parts[0] + parts[1], 0.3), thresholds)
    for c in range(CLASSES):  # the confidence of rank floor(n p), by sorting
        own = np.sort(np.asarray(confidences)[np.asarray(labels) == c])[::-1]
        assert thresholds[c] == pytest.approx(own[int(0.3 * len(own)) - 1], abs=2**-15)

    kept = udaseg.cbst_labels(kind(logits), thresholds)
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    assert np.array_equal(kept, [select(one, thresholds) for one in probabilities])
    assert np.array_equal(udaseg.cbst_labels(kind(logits[0]), thresholds.tolist()), kept[0])


def test_logits_of_other_precision():
    logits = torch.randn(CLASSES, 3, 5, dtype=torch.bfloat16)
    label, confidence = udaseg.label_and_confidence(logits)
    assert torch.equal(label.long(), logits.float().argmax(0))
    assert confidence.dtype == torch.float32
    assert np.array_equal(udaseg.label_and_confidence(logits.double().numpy())[0], label)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_spatial_aggregation(kind):
    label = np.zeros((2, 6, 9), np.int64)
    label[0, 1:3, 1:3], label[1, 4, 7], label[1, 0, 0] = 1, 1, 255
    minimum = udaseg.size_thresholds([100, 20], base0=2, base1=40)
    assert minimum.tolist() == [42, 2]
    assert np.array_equal(udaseg.size_thresholds(np.array([[60, 20], [40, 0]]), 2, 40), minimum)  # image by image
    cleaned = udaseg.spatial_aggregation(kind(label), minimum)
    label[1, 4, 7] = 255
    assert type(cleaned) is type(kind(label))
    assert np.array_equal(cleaned, label)


def test_prototypes(rng):
    features = torch.from_numpy(rng.standard_normal((2, 5, 3, 4)).astype(np.float32))
    labels = torch.from_numpy(rng.choice([0, 1, 255], (2, 3, 4)))
    sums, by_array = (udaseg.Centroids(3, 5) for _ in range(2))
    sums.add(features, labels)
    by_array.add(features.permute(0, 2, 3, 1).numpy(), labels.numpy())
    means = np.stack([features.permute(0, 2, 3, 1)[labels == c].mean(0) for c in range(2)])
    np.testing.assert_allclose(sums.centroids()[:2], means, rtol=1e-5)
    assert np.array_equal(sums.centroids(), by_array.centroids(), equal_nan=True)
    assert np.isnan(sums.centroids()[2]).all()

    distances = udaseg.prototype_distances(features, sums.centroids())
    expected = torch.linalg.vector_norm(features[:, None] - torch.from_numpy(means)[None, :, :, None, None], dim=2)
    torch.testing.assert_close(distances[:, :2], expected)
    logits = torch.randn(2, 3, 3, 4)
    weights = torch.cat([(-expected / 0.5).softmax(1), torch.zeros(2, 1, 3, 4)], 1) * logits.softmax(1)
    rectified = udaseg.rectify(logits, distances, 0.5)
    torch.testing.assert_close(rectified.softmax(1), weights / weights.sum(1, keepdim=True))
    assert udaseg.rectify(torch.randn(2, 3, 6, 8), distances).shape == (2, 3, 6, 8)

    moving = udaseg.MovingPrototypes(sums.centroids(), momentum=0.75)
    moving.move(features[:1], labels[:1])
    mean = features[0].permute(1, 2, 0)[labels[0] == 0].mean(0)
    torch.testing.assert_close(moving.centroids[0], 0.75 * torch.from_numpy(sums.centroids()[0]) + 0.25 * mean)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_moving_prototypes_leave_those_they_start_from_alone(rng, kind):
    start = kind(rng.standard_normal((2, 3)).astype(np.float32))
    before = np.asarray(start).copy()
    udaseg.MovingPrototypes(start, momentum=0.5).move(torch.ones(1, 3, 8, 8), LABELS)
    assert np.array_equal(start, before)


def test_distances_and_rectified_logits_are_float32_whatever_goes_in(rng):
    centroids = rng.standard_normal((2, 3))
    distances = udaseg.prototype_distances(IMAGES, centroids)
    assert distances.dtype == torch.float32
    assert torch.equal(distances, udaseg.prototype_distances(IMAGES, centroids.astype(np.float32)))
    assert udaseg.rectify(IMAGES[:, :2], distances.double()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_class_mix_pastes_half_of_the_classes(rng, dtype):
    source, target = torch.rand(2, 3, 8, 12), -torch.rand(3, 3, 8, 12)
    label = torch.from_numpy(np.repeat([0, 1, 2, 255], 3)).to(dtype).expand(2, 8, 12)
    mixed = udaseg.class_mix(source, label, target, torch.full((3, 8, 12), 255, dtype=dtype), rng)
    assert mixed.labels.dtype == dtype
    for i in range(3):
        assert len(mixed.labels[i].unique()) == 3  # two of three classes, and 255
        assert torch.equal(mixed.images[i][:, mixed.pasted[i]], source[i % 2][:, mixed.pasted[i]])
        assert torch.equal(mixed.images[i][:, ~mixed.pasted[i]], target[i][:, ~mixed.pasted[i]])
    assert torch.equal(mixed.labels != 255, mixed.pasted)
    other = torch.full((3, 8, 12), 255, dtype=torch.uint8)  # as label_and_confidence gives them
    assert udaseg.class_mix(source, label, target, other, rng).labels.dtype == dtype


def test_hidden_blocks(rng):
    shown, hidden = udaseg.mask_blocks(torch.ones(40, 3, 16, 32), 8, 0.7, rng, fill=-1.0)
    assert torch.equal(shown == -1, hidden[:, None].expand_as(shown))
    assert torch.equal(hidden, hidden[:, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2))
    assert hidden.float().mean() == pytest.approx(0.7, abs=0.1)


def test_the_mean_teacher():
    student = torch.nn.Linear(2, 1)
    teacher = udaseg.mean_teacher(student, momentum=0.75)
    teacher.update_parameters(student)
    before = student.weight.detach().clone()
    with torch.no_grad():
        student.weight += 8
    for _ in range(9):  # update t keeps at most 1 - 1 / (t + 1) of the teacher
        teacher.update_parameters(student)
    shares = [min(1 - 1 / (t + 1), 0.75) for t in range(1, 10)]
    torch.testing.assert_close(teacher.module.weight, before + 8 * (1 - float(np.prod(shares))))
    assert not teacher.training
    assert not any(value.requires_grad for value in teacher.parameters())


def test_rare_classes(rng):
    counts = np.array([[900, 0], [800, 100], [950, 20]])
    rare = udaseg.rare_classes(counts, temperature=0.5, pixels=50)
    share = counts.sum(0) / counts.sum()
    weights = np.exp((1 - share) / 0.5)
    np.testing.assert_allclose(rare.probabilities, weights / weights.sum())
    sampler = udaseg.RareClassSampler(rare, length=400, seed=3)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert list(udaseg.RareClassSampler(rare, 800, seed=3)) == first + second
    only = rare.probabilities[1] + rare.probabilities[0] / 3  # the second class is shown by one image alone
    assert np.mean([index == 1 for index in first]) == pytest.approx(only, abs=0.1)
    label = np.zeros((8, 16), np.uint8)
    label[:, 12:] = 1
    row, column = udaseg.rare_classes(counts, pixels=50, tries=1000).corner(label, (8, 8), 1, 1, rng)
    assert (row, column > 4) == (0, True)


def test_depth():
    column = np.arange(32)
    label = np.repeat((column >= 16)[None].astype(np.int64), 24, axis=0)
    cm = np.where(label == 0, 655, 6553)
    label[:, 30:], cm[:, :2] = 255, 0
    inverse = udaseg.inverse_depth(torch.from_numpy(cm))
    torch.testing.assert_close(inverse, 65536 / (torch.from_numpy(cm).float() + 1))
    pairs = [(label, cm), (torch.from_numpy(label), torch.from_numpy(cm))]
    mixtures = udaseg.depth_mixtures(pairs, ("road", "car", "sky"), components=1, grid=(12, 16))
    np.testing.assert_allclose(mixtures.means[:2, 0], [[4, 5.5, 65536 / 656], [11, 5.5, 65536 / 6554]], rtol=1e-3)
    assert mixtures.weights.tolist() == [[1.0], [1.0], [0.0]]
    density = udaseg.depth_density(mixtures, inverse)
    assert density.shape == (3, 12, 16)
    assert (density[0, :, 1:7] > density[1, :, 1:7]).all()
    assert (density[1, :, 9:15] > density[0, :, 9:15]).all()
    assert np.array_equal(udaseg.depth_density(mixtures, inverse.numpy()[None])[0], density)


def test_scores(rng):
    truth, prediction = rng.choice([0, 1, 2, 255], (2, 9, 9)), rng.integers(0, 3, (2, 9, 9))
    matrix = udaseg.confusion(truth[0], prediction[0], 3)
    matrix = udaseg.confusion(torch.from_numpy(truth[1]), torch.from_numpy(prediction[1]), 3, matrix)
    expected = [[((truth == t) & (prediction == p)).sum() for p in range(3)] for t in range(3)]
    assert np.array_equal(matrix, expected)
    result = udaseg.scores(matrix, ("road", "car", "sky"))
    iou = [matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum() - matrix[c, c]) for c in range(3)]
    assert result.miou == pytest.approx(np.mean(iou))


IMAGES, LABELS = torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
GREY, RNG = np.zeros((8, 8, 3), np.uint8), np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: udaseg.fda(GREY, GREY[:4]), "source is an array [8, 8, 3], target is an array [4, 8, 3]"),
        (lambda: udaseg.fda(GREY / 255, GREY), "source is float64, expected uint8 from 0 to 255"),
        (lambda: udaseg.fda(torch.from_numpy(GREY), GREY), "source is [8, 8, 3], expected [3, H, W] or [N, 3, H, W]"),
        (lambda: udaseg.fda([1], GREY), "source is list, expected a NumPy array or a tensor"),
        (lambda: udaseg.fda(GREY, GREY, beta=2), "beta is 2, expected a fraction from 0 to 1"),
        (lambda: udaseg.label_and_confidence(LABELS[0]), "logits is [8, 8], expected [C, h, w] or [N, C, h, w]"),
        (lambda: udaseg.label_and_confidence(IMAGES / 0), "logits hold NaN or infinite values"),
        (lambda: udaseg.label_and_confidence(IMAGES[:0]), "logits is [0, 3, 8, 8], which is empty"),
        (lambda: udaseg.label_and_confidence(IMAGES, 8), "size is 8, expected (height, width) in pixels"),
        (lambda: udaseg.label_and_confidence(IMAGES, (8, 0.5)), "size is (8, 0.5), expected (height, width) in pixels"),
        (lambda: udaseg.fda(IMAGES[:0].byte(), IMAGES[:0].byte()), "source is [0, 3, 8, 8], which is empty"),
        (lambda: udaseg.cbst_labels(IMAGES, [0.5]), "1 thresholds for 3 classes"),
        (lambda: udaseg.ConfidenceHistogram(255), "classes is 255, expected 1 to 254"),
        (lambda: udaseg.class_space(3), "the class space is int, expected a name or a list of class names"),
        (lambda: udaseg.spatial_aggregation(LABELS[:0], [1]), "label is [0, 8, 8], which is empty"),
        (lambda: udaseg.ConfidenceHistogram(2).add(LABELS + 7, LABELS), "label holds the ids [7], expected 0 to 1"),
        (lambda: udaseg.ConfidenceHistogram(2).add(LABELS, IMAGES), "expected uint8 and float32 of one shape"),
        (
            lambda: udaseg.ConfidenceHistogram(2) + udaseg.ConfidenceHistogram(3),
            "one histogram has 2 classes and the other 3",
        ),
        (lambda: udaseg.spatial_aggregation(LABELS + 300, [1]), "label holds the ids [300], expected 0 to 254"),
        (lambda: udaseg.spatial_aggregation(LABELS / 2, [1]), "label is float32, expected whole numbers: class ids"),
        (lambda: udaseg.spatial_aggregation(LABELS + 3, [1]), "label holds the ids [3], expected 0 to 0"),
        (lambda: udaseg.Centroids(2, 3).add(IMAGES, LABELS[:, :4]), "labels are [1, 4, 8] for features of [1, 8, 8]"),
        (lambda: udaseg.MovingPrototypes(torch.zeros(2, 3)).move(IMAGES, LABELS + 2), "labels holds the ids [2]"),
        (lambda: udaseg.MovingPrototypes(torch.zeros(2, 3), 1.0), "momentum is 1.0, expected 0 to below 1"),
        (lambda: udaseg.prototype_distances(IMAGES, torch.zeros(2, 4)), "centroids is [2, 4], expected [C, 3]"),
        (lambda: udaseg.rectify(IMAGES, IMAGES[:, :2]), "distances is [1, 2, 8, 8], expected [1, 3, h, w]"),
        (lambda: udaseg.rectify(IMAGES, IMAGES, 0), "temperature is 0, expected a number above 0"),
        (lambda: udaseg.mean_teacher(torch.nn.Identity(), 2), "momentum is 2, expected 0 to 1"),
        (lambda: udaseg.class_mix(IMAGES, LABELS, IMAGES, LABELS, 0), "rng is int, expected a numpy.random.Generator"),
        (
            lambda: udaseg.class_mix(IMAGES, LABELS, IMAGES[..., :4], LABELS[..., :4], RNG),
            "source_images are torch.float32 [1, 3, 8, 8], target_images torch.float32 [1, 3, 8, 4]",
        ),
        (lambda: udaseg.mask_blocks(IMAGES, 9, 0.7, RNG), "block is 9, expected 1 to 8 pixels for images of 8x8"),
        (lambda: udaseg.mask_blocks(IMAGES, 4, 7, RNG), "ratio is 7, expected 0 to 1"),
        (lambda: udaseg.rare_classes(np.ones((2, 2), int)), "pixels is 3000, and no image has more pixels of a class"),
        (lambda: udaseg.rare_classes(np.full((2, 2), 9000), 0), "temperature is 0: Input should be greater than 0"),
        (lambda: udaseg.rare_classes(np.ones(2)), "counts is float64 [2], expected pixels, whole numbers [N, C]"),
        (lambda: udaseg.inverse_depth(np.zeros(2)), "depth is float64, from 0.0 to 0.0, expected whole centimetres"),
        (lambda: udaseg.inverse_depth(np.zeros(0)), "depth is float64, expected whole centimetres"),
        (lambda: udaseg.depth_mixtures([], ["road"], grid=8), "grid is 8, expected (height, width)"),
        (lambda: udaseg.depth_mixtures([], ["road"]), "images holds no label and no depth, expected one pair or more"),
        (lambda: udaseg.depth_mixtures([(GREY, GREY)], ["road"]), "label is [8, 8, 3], expected [H, W]"),
        (lambda: udaseg.confusion(GREY + 9, GREY, 3), "truth holds the ids 9"),
        (lambda: udaseg.confusion(GREY, GREY + 255, 3), "prediction holds the ids 255"),
        (lambda: udaseg.confusion(GREY, GREY, 3, np.zeros((3, 3))), "out is float64 [3, 3], expected int64 [3, 3]"),
        (lambda: udaseg.confusion(GREY, GREY, 300), "classes is 300, expected 1 to 254"),
        (lambda: udaseg.confusion(GREY, GREY, 3, [[0]]), "out is list, expected int64 [3, 3]"),
        (lambda: udaseg.scores(np.zeros((2, 2), int), ["road"]), "confusion is [2, 2] for 1 classes"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(udaseg.UdasegError) as error:
        call()
    assert message in error.value.message
    assert error.value.hint
