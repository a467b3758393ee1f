import numpy as np

from udaseg.data.depth import inverse_depth, is_measured, metres


def test_inverse_depth():
    out = inverse_depth(np.array([0, 1, 499, 65535], np.uint16))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [65536, 32768, 131.072, 1.0])


def test_metres_invert_the_inverse_depth():
    cm = np.array([1, 31, 499, 10_000, 65535], np.uint16)
    np.testing.assert_allclose(metres(inverse_depth(cm)), cm / 100, rtol=1e-5, atol=1e-5)


def test_the_largest_value_is_a_measurement_only_in_the_sky():
    cm, label = np.array([[0, 600, 65535, 65535, 0]], np.uint16), np.array([[0, 0, 0, 1, 1]], np.uint8)
    assert is_measured(cm, label, ("road", "sky")).tolist() == [[False, True, False, True, False]]
    assert is_measured(cm, label, ("road", "car")).tolist() == [[False, True, False, False, False]]
