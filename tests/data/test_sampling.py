"""Class-balanced sampling: rare classes are drawn more often, and a draw depends on its position alone."""

import numpy as np

from udaseg.config import Augment
from udaseg.data.augment import Pair
from udaseg.data.batches import Batches, Stream
from udaseg.data.samples import Samples
from udaseg.data.sampling import SPAN, ClassBalance


def drawn(shown, count=SPAN, key=(0,)):
    balance = ClassBalance(np.asarray(shown, bool))
    return np.array([balance.index(key, position) for position in range(count)])


def test_a_rare_class_is_seen_as_often_as_the_common_one():
    shown = np.zeros((100, 2), bool)
    shown[:, 0] = True
    shown[:4] = False, True  # 4 images show class 1 alone, 96 class 0
    rare = (drawn(shown) < 4).mean()
    assert 0.45 < rare < 0.55


def test_the_share_of_a_class_follows_the_published_weights():
    # With classes that exclude one another the share g settles where g_c is proportional to 1 / log(1.01 + g_c).
    shown = np.repeat(np.eye(3, dtype=bool), 10, axis=0)
    shares = np.bincount(drawn(shown) // 10, minlength=3) / SPAN
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)
    # Class 0 is on every image: its share stays above a half, and the others get most of the draws.
    shown[:, 0] = True
    counts = np.bincount(drawn(shown) // 10, minlength=3) / SPAN
    assert counts[1] + counts[2] > 0.8


def test_all_images_of_a_class_take_turns():
    order = drawn(np.ones((7, 1)), 70)
    assert all(sorted(order[start : start + 7]) == list(range(7)) for start in range(0, 70, 7))


def test_a_image_without_classes_is_never_drawn_and_a_class_without_images_does_not_matter():
    order = drawn([[True, False], [False, False], [True, False]])
    assert set(order) == {0, 2}


def test_the_order_is_that_of_key_and_position_alone():
    shown = np.random.default_rng(0).random((50, 5)) < 0.3
    one, other = ClassBalance(shown), ClassBalance(shown.copy())
    positions = [0, SPAN + 5, 17, 2 * SPAN, SPAN + 4]
    assert [one.index((3, 1), p) for p in positions] == [other.index((3, 1), p) for p in reversed(positions)][::-1]
    assert (drawn(shown, 100, (3, 1)) != drawn(shown, 100, (4, 1))).any()


def test_a_stream_draws_as_its_balance_says():
    shown = np.zeros((8, 2), bool)
    shown[3], shown[5] = (True, False), (False, True)

    def read(i):
        return Pair(np.full((6, 8, 3), i, np.uint8), np.full((6, 8), i, np.uint8))

    stream = Stream("source", Samples(read, 8, (6, 8)), 4, Augment(), balance=ClassBalance(shown))
    batches = [Batches([stream], 0)[step]["source_label"][:, 0, 0].tolist() for step in range(8)]
    assert {index for batch in batches for index in batch} == {3, 5}
    assert batches == [Batches([stream], 0)[step]["source_label"][:, 0, 0].tolist() for step in range(8)]
