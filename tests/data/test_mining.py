"""Small-class mining: crops on rare classes, the same whenever they are made, and all else as without it."""

from dataclasses import replace

import numpy as np
import torch

from udaseg.config import Augment
from udaseg.data.augment import Pair
from udaseg.data.batches import Batches, JointStream, Stream, batches
from udaseg.data.samples import Samples
from udaseg.data.sampling import Mining, mine_rare_classes


def test_rare_classes_come_rarest_first():
    assert mine_rare_classes(0.8, [100_000, 5, 0, 99, 101, 100], 1e-3) == Mining(0.8, (2, 1, 3, 5), (1, 3, 5))
    assert mine_rare_classes(0.8, [10, 9], 1e-3) == Mining(0.8, (), (1, 0))
    assert mine_rare_classes(0.8, [0, 0], 1e-3) == Mining(0.8, (), ())


def test_the_rarest_classes_are_used_where_no_class_is_rare():
    rng = np.random.default_rng(0)
    assert Mining(1.0, (7,), (8,)).corner(some_label(), (20, 30), rng) == Mining(1.0, (7,)).corner(
        some_label(), (20, 30), np.random.default_rng(0)
    )
    place = Mining(1.0, (3,), (7,)).corner(some_label(), (20, 30), np.random.default_rng(0))
    assert place == Mining(1.0, (7,)).corner(some_label(), (20, 30), np.random.default_rng(0))


def some_label():
    label = np.zeros((60, 100), np.uint8)
    label[2, 97] = 7
    label[30:32, 50:52] = 8
    return label


def test_crops_are_centred_on_a_pixel_of_a_rare_class():
    mining, rng, found = Mining(1.0, (8,)), np.random.default_rng(0), set()
    for _ in range(50):
        top, left = mining.corner(some_label(), (20, 30), rng)
        found.add((top + 10, left + 15))
    assert found == {(30, 50), (30, 51), (31, 50), (31, 51)}


def test_crops_at_the_border_are_moved_into_the_image():
    assert Mining(1.0, (7,)).corner(some_label(), (20, 30), np.random.default_rng(0)) == (0, 70)
    assert Mining(1.0, (7,)).corner(some_label(), (80, 120), np.random.default_rng(0)) == (0, 0)


def test_every_rare_class_in_the_image_has_the_same_chance():
    mining, rng = Mining(1.0, (7, 8, 9)), np.random.default_rng(0)
    corners = [mining.corner(some_label(), (20, 30), rng) for _ in range(400)]
    assert 160 < corners.count((0, 70)) < 240


def test_crops_are_random_without_rare_classes_and_with_the_rest_of_the_probability():
    rng = np.random.default_rng(0)
    assert Mining(1.0, (3, 4)).corner(some_label(), (20, 30), rng) is None
    assert Mining(1.0, ()).corner(some_label(), (20, 30), rng) is None
    drawn = [Mining(0.8, (7,)).corner(some_label(), (20, 30), rng) for _ in range(500)]
    assert 370 < sum(corner is not None for corner in drawn) < 430


def read(i):
    rng = np.random.default_rng(i)
    label = np.zeros((40, 80), np.uint8)
    if i % 2:
        label[rng.integers(40), rng.integers(80)] = 9
    return Pair(rng.integers(0, 255, (40, 80, 3), np.uint8), label)


def stream(mining):
    augment = Augment(crop=(10, 10), jitter=0.3, flip=0.5)
    return Stream("target", Samples(read, 8, (40, 80)), 4, augment, mining)


def test_batches_show_the_rare_class_and_are_the_same_after_a_resume_and_from_workers():
    mined, plain = stream(Mining(1.0, (9,))), stream(None)
    alone = list(batches([mined], 1, range(8), 0))
    shown = torch.cat([(batch["target_label"] == 9).flatten(1).any(1) for batch in alone])
    assert shown.sum() == 16  # every second image has it
    chance = [(Batches([plain], 1)[step]["target_label"] == 9).any().item() for step in range(8)]
    assert sum(chance) < 4
    again = list(batches([mined], 1, range(4, 8), 2))
    assert all(
        torch.equal(one["target_image"], other["target_image"]) for one, other in zip(alone[4:], again, strict=True)
    )


def test_images_without_a_rare_class_are_as_without_mining():
    mined, plain = Batches([stream(Mining(1.0, (9,)))], 1), Batches([stream(None)], 1)
    compared = 0
    for step in range(4):
        one, other = mined[step], plain[step]
        for place in range(4):
            if not (one["target_label"][place] == 9).any():
                assert torch.equal(one["target_image"][place], other["target_image"][place])
                compared += 1
    assert compared == 8


def test_a_joint_list_mines_the_target_alone():
    source = replace(stream(None), domain="source")
    joint = JointStream((source, stream(Mining(1.0, (9,)))), 4)
    shown = {"source": 0, "target": 0}
    for step in range(4):  # one epoch: 8 images of each domain, of which every second has the class
        batch = Batches([joint], 1)[step]
        for name in shown:
            shown[name] += int((batch[f"{name}_label"] == 9).flatten(1).any(1).sum())
    assert shown["target"] == 4
    assert shown["source"] < 4
