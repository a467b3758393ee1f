import subprocess
import sys
from dataclasses import replace

import numpy as np
import torch

from udaseg.config import Augment
from udaseg.data.augment import Pair, recolour
from udaseg.data.batches import Batches, JointStream, Stream, batches
from udaseg.data.image_sets import View
from udaseg.data.samples import Samples, unlabelled


def read(i):
    return Pair(np.full((6, 8, 3), i, np.uint8), np.full((6, 8), i, np.uint8))


def stream(domain="source", count=10, batch=4, **augment):
    return Stream(domain, Samples(read, count, (6, 8)), batch, Augment(crop=(4, 4), **augment))


def test_a_batch_depends_on_seed_and_step_alone():
    first, again = Batches([stream()], 3)[7], Batches([stream()], 3)[7]
    assert torch.equal(first["source_image"], again["source_image"])
    assert not torch.equal(first["source_label"], Batches([stream()], 4)[7]["source_label"])


def test_every_image_is_seen_once_an_epoch():
    loaded = Batches([stream(count=12)], 0)
    epochs = [torch.cat([loaded[step]["source_label"][:, 0, 0] for step in range(3 * e, 3 * e + 3)]) for e in (0, 1)]
    assert [sorted(epoch.tolist()) for epoch in epochs] == [list(range(12))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()


def test_batches_are_the_same_from_worker_processes_and_after_a_resume():
    streams = [stream(jitter=0.4, blur=0.5), stream("target")]
    alone = list(batches(streams, 1, range(6), 0))
    helped = list(batches(streams, 1, range(6), 2))
    resumed = list(batches(streams, 1, range(4, 6), 0))
    for one, other in zip(alone, helped, strict=True):
        assert sorted(one) == ["source_image", "source_label", "target_image", "target_label"]
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(alone[4][name], resumed[0][name]) for name in alone[4])


def test_domains_draw_in_different_orders():
    batch = Batches([stream(count=100, batch=20), stream("target", count=100, batch=20)], 0)[0]
    assert not torch.equal(batch["source_label"], batch["target_label"])


def joint(batch=3, **augment):
    parts = stream("source", count=2, **augment), stream("target", count=7, **augment)
    return JointStream(parts, batch)


def shown(batch):
    return [(name, int(label[0, 0])) for name in ("source", "target") for label in batch[f"{name}_label"]]


def test_a_joint_list_draws_every_image_of_both_domains_once_an_epoch():
    loaded = Batches([joint()], 0)
    epochs = [[image for step in range(3 * e, 3 * e + 3) for image in shown(loaded[step])] for e in range(4)]
    every = [("source", 0), ("source", 1), *(("target", i) for i in range(7))]
    assert [sorted(epoch) for epoch in epochs] == [every] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert not any(np.array_equal(shown(Batches([joint()], 1)[step]), shown(loaded[step])) for step in range(2))


def test_a_batch_of_a_joint_list_may_lack_a_domain_and_has_its_shape():
    drawn = [Batches([joint()], 0)[step] for step in range(12)]
    assert {len(batch["source_image"]) + len(batch["target_image"]) for batch in drawn} == {3}
    alone = next(batch for batch in drawn if len(batch["source_image"]) == 0)
    assert (alone["source_image"].shape, alone["source_image"].dtype) == ((0, 4, 4, 3), torch.uint8)
    assert (alone["source_label"].shape, alone["source_label"].dtype) == ((0, 4, 4), torch.uint8)


def test_batches_of_a_joint_list_are_the_same_from_workers_and_after_a_resume():
    streams = [joint(jitter=0.4, blur=0.5)]
    alone, resumed = (list(batches(streams, 1, range(first, 6), workers)) for first, workers in ((0, 0), (4, 2)))
    for one, other in zip(alone[4:], resumed, strict=True):
        assert sorted(one) == ["source_image", "source_label", "target_image", "target_label"]
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_images_that_fit_are_read_once():
    reads = []

    def counted(i):
        reads.append(i)
        return read(i)

    samples = Samples(counted, 3, (3, 4))
    for _ in range(2):
        assert [samples[i].label.shape for i in range(3)] == [(3, 4)] * 3
    assert reads == [0, 1, 2]


class Unlabelled:
    def __len__(self):
        return 3

    def image(self, i):
        return np.full((12, 16, 3), i, np.uint8)


def test_images_without_labels_give_batches_without_labels():
    target = Stream("target", unlabelled(View(Unlabelled(), (6, 8))), 3, Augment(crop=(4, 4)))
    batch = Batches([stream(), target], 0)[0]
    assert sorted(batch) == ["source_image", "source_label", "target_image"]
    assert batch["target_image"].shape == (3, 4, 4, 3)
    assert sorted(batch["target_image"][:, 0, 0, 0].tolist()) == [0, 1, 2]


def test_a_batch_says_where_its_images_end():
    padded = Stream("target", unlabelled(View(Unlabelled(), (6, 12), pad=True)), 2, Augment(flip=0.0))
    batch = Batches([padded], 0)[0]
    assert batch["target_valid"].dtype == torch.bool
    assert batch["target_valid"].shape == (2, 6, 12)
    assert batch["target_valid"][:, :, :8].all()
    assert not batch["target_valid"][:, :, 8:].any()
    assert (batch["target_image"][:, :, 8:] == 0).all()


def test_a_batch_says_what_is_inside_the_margins_of_its_images():
    whole = unlabelled(View(Unlabelled(), (6, 12), pad=True))
    target = Stream("target", whole, 2, Augment(flip=0.0), margins=(0.0, 0.5, 0.25, 0.0))
    batch = Batches([target], 0)[0]
    assert (batch["target_trusted"].dtype, batch["target_trusted"].shape) == (torch.bool, (2, 6, 12))
    assert batch["target_trusted"][:, :3, 2:8].all()
    assert batch["target_trusted"].sum() == 2 * 3 * 6
    plain = Batches([replace(target, margins=None)], 0)[0]
    assert set(batch) - set(plain) == {"target_trusted"}
    assert all(torch.equal(plain[name], batch[name]) for name in plain)


def test_colours_change_only_inside_the_image():
    class Grey(Unlabelled):
        def image(self, i):
            return np.tile(np.linspace(60, 180, 16, dtype=np.uint8)[:, None], (12, 1, 3))

    def drawn(pad):
        seen = []
        target = unlabelled(View(Grey(), (6, 12 if pad else 8), pad))
        settings = Augment(flip=0.0, jitter=0.5)
        own = Stream("target", target, 3, settings, restyle=lambda image, rng: seen.append(image.shape) or image + 9)
        return Batches([own], 0)[0]["target_image"], seen

    alone, padded = drawn(False), drawn(True)
    assert padded[1] == alone[1] == [(6, 8, 3)] * 3
    assert torch.equal(padded[0][:, :, :8], alone[0])
    assert not padded[0][:, :, 8:].any()


def test_a_crop_that_holds_nothing_of_a_padded_image_stays_black():
    nothing = Pair(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8), np.zeros((4, 4), bool))
    assert recolour(nothing, lambda image: image + 9) is nothing


def test_a_second_stream_leaves_the_first_as_it_was():
    target = Stream("target", unlabelled(View(Unlabelled(), (6, 8))), 1, Augment(crop=(4, 4)))
    alone, together = Batches([stream()], 0)[2], Batches([stream(), target], 0)[2]
    assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_a_style_is_drawn_for_every_position_and_changes_nothing_else():
    def restyle(image, rng):
        return np.full_like(image, rng.integers(256))

    def styled(seed=0, **settings):
        own = replace(stream(count=1, batch=40, **settings), restyle=restyle)
        return Batches([own], seed)[0]

    first = styled()
    assert torch.equal(first["source_image"], styled()["source_image"])
    assert not torch.equal(first["source_image"], styled(1)["source_image"])
    assert len(set(first["source_image"][:, 0, 0, 0].tolist())) > 30
    assert torch.equal(first["source_label"], Batches([stream(count=1, batch=40)], 0)[0]["source_label"])
    assert not torch.equal(first["source_image"], styled(jitter=0.5)["source_image"])


def placed(aligned, **augment):
    """Give the corners of the crops of both domains in some batches, in shares of the free way."""

    def place(i):
        rows, columns = np.mgrid[:40, :80].astype(np.uint8)
        return Pair(np.stack([rows, columns, columns], 2), rows)

    settings = Augment(crop=(10, 20), flip=0.0, **augment)
    streams = [Stream(name, Samples(place, 7, (40, 80)), 3, settings, aligned=aligned) for name in ("source", "target")]
    drawn = [Batches(streams, 0)[step] for step in range(4)]
    return [torch.cat([batch[f"{name}_image"][:, 0, 0, :2] for batch in drawn]) for name in ("source", "target")]


def test_aligned_streams_crop_both_images_of_a_position_at_the_same_place():
    source, target = placed(True)
    assert torch.equal(source, target)
    assert len(set(map(tuple, source.tolist()))) > 8
    assert not torch.equal(*placed(False))
    # With a scale of its own each crop lies at the same shares of the free way, which is longer in a larger image.
    source, target = placed(True, scale=(0.8, 1.2))
    assert not torch.equal(source, target)
    assert (source.int() - target.int()).abs().max() <= 8
    assert (placed(False, scale=(0.8, 1.2))[0].int() - target.int()).abs().max() > 20


UNREADABLE = """
from udaseg.config import Augment
from udaseg.data.batches import Stream, batches
from udaseg.data.samples import Samples

def read(index):
    raise ValueError("this image is damaged")

loader = batches([Stream("source", Samples(read, 6, (8, 8)), 2, Augment())], 0, range(9), 2)
next(loader)
"""


def test_an_error_in_a_loader_process_ends_the_program():
    """The processes ignore signals to stop, and Python waits for them where nothing else ends them."""
    done = subprocess.run([sys.executable, "-c", UNREADABLE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "this image is damaged" in done.stderr
