"""The published component sizes, to the pixel, as far as the published class weights fix them."""

import numpy as np
import pytest

from udaseg.pseudo.aggregation import size_thresholds

from .test_aggregation import SIZES7, SIZES16

# w = 1 / (16 f) of the share f of a class in the source, printed to three digits.
WEIGHTS = [0.327, 0.313, 0.206, 22.427, 22.558, 5.811, 155.643, 59.528]
WEIGHTS += [0.586, 0.882, 1.423, 12.871, 1.488, 3.955, 29.164, 27.563]
LARGEST, SMALLEST = 2, 6


@pytest.mark.parametrize("i", range(16))
def test_sizes_of_16_classes_are_those_of_weights_that_round_to_the_printed_ones(i):
    sizes = []
    for off, rest in ((5e-4, -5e-4), (-5e-4, 5e-4)):
        weights = np.array(WEIGHTS)
        weights[[LARGEST, SMALLEST]] += rest
        weights[i] = WEIGHTS[i] + off
        sizes.append(size_thresholds(1 / (16 * weights), 50, 4950)[i])
    assert sizes[0] <= SIZES16[i] <= sizes[1]
    assert sizes[1] - sizes[0] <= 0.01 * SIZES16[i] + 1


@pytest.mark.parametrize(("base0", "base1"), SIZES7)
def test_one_set_of_shares_gives_all_three_tables_of_7_classes(base0, base1):
    """Rounded to the nearest: cut off instead, 316 of the first and 32 of the third contradict each other."""
    shares = np.array([1, 0.7467, 0, 0.24, 0.149, 0.081, 0.081])
    assert size_thresholds(shares, base0, base1).tolist() == SIZES7[base0, base1]
