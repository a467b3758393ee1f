import pytest
import torch

from udaseg.errors import UdasegError
from udaseg.models.colors import normalise


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ("rgb-imagenet", [(1.0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.0 - 0.406) / 0.225]),
        ("bgr-mean", [0 - 104.00698793, 51 - 116.66876762, 255 - 122.67891434]),
        ("rgb", [1.0, 0.2, 0.0]),
    ],
)
def test_conventions(color, expected):
    pixel = torch.tensor([255, 51, 0], dtype=torch.uint8)
    image_N3HW = pixel.view(1, 3, 1, 1).expand(2, 3, 4, 5)
    result = normalise(image_N3HW, color)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result[1, :, 2, 3], torch.tensor(expected))
    last = normalise(image_N3HW.permute(0, 2, 3, 1).contiguous(), color)
    assert torch.equal(last, result)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalise(image_N3HW.float(), color), result)


def test_the_input_is_not_changed():
    image = torch.rand(1, 3, 4, 4)
    before = image.clone()
    normalise(image, "rgb-imagenet")
    assert torch.equal(image, before)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5, 1), (1, 1, 4, 5)])
def test_other_shapes_raise(shape):
    with pytest.raises(UdasegError, match="expected"):
        normalise(torch.zeros(shape, dtype=torch.uint8), "rgb")
