"""Training batches as a pure function of seed and step: equal after a resume and for any number of workers."""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from udaseg.config import Augment
from udaseg.data.augment import (
    FindCorner,
    Margins,
    Pair,
    Places,
    Restyle,
    augment,
    distort,
    draw_corner,
    follow,
    mark_margins,
    recolour,
)
from udaseg.data.rare_classes import RareClasses
from udaseg.data.samples import Samples
from udaseg.data.sampling import ClassBalance, Mining
from udaseg.labels import IGNORE
from udaseg.parallel import processes

DOMAINS = ("source", "target")


class Batch(dict[str, torch.Tensor]):
    """Tensors by name: `<domain>_image` uint8 [N, H, W, 3] and, with labels, `<domain>_label` uint8 [N, H, W].

    `<domain>_valid`, bool [N, H, W], exists where images do not fill the batch; it is false outside the images.
    `<domain>_trusted`, bool [N, H, W], exists for streams with margins, and is false there and outside the images.
    `<domain>_depth`, float32 [N, H, W], exists for samples with depth: inverse depth, 0 where unknown.
    `<domain>_before`, uint8 [N, H, W, 3], and `<domain>_flow`, float32 [N, 2, H, W], exist for frames of videos: the
    frame before, and the flow to it, NaN where it is not valid.
    `<domain>_missing`, bool [N, C], exists for sources with missing classes: the labels of an image cannot have them.
    In images with pasted pixels it is of those alone, and `<domain>_pasted`, bool [N, H, W], is true there. That exists
    where the source has depth, too.
    `<domain>_present`, bool [N, 255], exists for streams that tell the classes of their labels. It stays on the CPU:
    random choices among these classes are made there.
    """

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            {
                name: tensor if name.endswith("_present") else tensor.to(device, non_blocking=True)
                for name, tensor in self.items()
            }
        )

    def domain(self, domain: str) -> "Batch":
        """Return the tensors of a domain alone."""
        return Batch({name: tensor for name, tensor in self.items() if name.startswith(f"{domain}_")})


class Draw(NamedTuple):
    """One image of a batch: the stream it is of, its number there, and the image with its random changes."""

    stream: "Stream"
    index: int
    pair: Pair


@dataclass(frozen=True)
class Stream:
    """One domain of a training: its samples, how many make a batch, and how they are augmented.

    `restyle` changes the style of the cropped image at every draw, before its colours are changed. Without `balance`
    and `rare` every image is drawn once an epoch; several sources are drawn by their shares, each in epochs of its own.
    `aligned` streams crop the images of one position at the same place. `margins` mark the border of each image as not
    trusted. With `tells_classes` a batch says which classes each of its labels has.
    """

    domain: str
    samples: Samples
    batch: int
    augment: Augment
    mining: Mining | None = None
    restyle: Restyle | None = None
    balance: ClassBalance | None = None
    rare: RareClasses | None = None
    aligned: bool = False
    margins: Margins | None = None
    tells_classes: bool = False

    @property
    def parts(self) -> tuple["Stream", ...]:
        """The streams of single domains, as in a JointStream."""
        return (self,)

    def draw(self, seed: int, position: int, places: Places | None = None) -> Draw:
        """Return the image at a position of the training, a pure function of seed and position.

        Aligned streams get the same `places`: the first one that draws adds the place of its crop.
        """
        code, count = DOMAINS.index(self.domain), len(self.samples)
        if self.rare is not None:
            rng = np.random.default_rng((seed, 7, code, position))
            index, shown = self.rare.draw(rng)
            find_corner = partial(self.rare.corner, image=index, c=shown, rng=rng)
            return Draw(self, index, self.change(index, seed, position, places, find_corner))
        if self.balance is not None:
            index = self.balance.index((seed, 5, code), position)
        elif self.samples.shares is not None:
            index = self.samples.shares.index((seed, 11, code), position)
        else:
            epoch, offset = divmod(position, count)
            index = int(_order(seed, code, epoch, count)[offset])
        return Draw(self, index, self.change(index, seed, position, places))

    def change(
        self,
        index: int,
        seed: int,
        position: int,
        places: Places | None = None,
        find_corner: FindCorner | None = None,
    ) -> Pair:
        """Return a sample with the random changes of a position; `find_corner` may place its crop."""
        code = DOMAINS.index(self.domain)
        rng = np.random.default_rng((seed, 1, code, position))
        if self.mining is not None:
            find_corner = partial(self.mining.corner, rng=np.random.default_rng((seed, 2, code, position)))
        if self.aligned:
            find_corner = find_corner or partial(draw_corner, rng=np.random.default_rng((seed, 6, position)))
            find_corner = follow({} if places is None else places, position, find_corner)
        pair = self.samples[index]
        if self.margins is not None:
            pair = mark_margins(pair, self.margins)
        pair = augment(pair, self.augment, rng, find_corner)

        def change_colours(image_HWC: np.ndarray) -> np.ndarray:
            if self.restyle is not None:
                image_HWC = self.restyle(image_HWC, np.random.default_rng((seed, 4, code, position)))
            return distort(image_HWC, self.augment, rng)

        return recolour(pair, change_colours)


@dataclass(frozen=True)
class JointStream:
    """One shuffled list of the images of several domains; `batch` of them make a batch, of whatever domains (CRST).

    Every image is drawn once an epoch. A batch has each domain, some with no image: [0, H, W, 3]. The images of all
    domains have one size.
    """

    parts: tuple[Stream, ...]
    batch: int

    def draw(self, seed: int, position: int, places: Places | None = None) -> Draw:
        """Return the image at a position of the training, a pure function of seed and position."""
        ends = np.cumsum([len(part.samples) for part in self.parts])
        epoch, offset = divmod(position, int(ends[-1]))
        place = int(_order(seed, len(DOMAINS), epoch, int(ends[-1]))[offset])
        part = int(np.searchsorted(ends, place, side="right"))
        stream, index = self.parts[part], place - int(ends[part]) + len(self.parts[part].samples)
        return Draw(stream, index, stream.change(index, seed, position, places))


class Batches(Dataset):
    """Make the batch of each step: the same images, crops and colours at any time and in any process.

    Each process of a data-parallel training makes its part of the batch.
    """

    def __init__(self, streams: Sequence[Stream | JointStream], seed: int):
        self._streams, self._seed = streams, seed
        self._parts = [processes.contiguous_shard(stream.batch) for stream in streams]

    def __getitem__(self, step: int) -> Batch:
        batch, places = Batch(), Places()
        for stream, part in zip(self._streams, self._parts, strict=True):
            drawn = [stream.draw(self._seed, step * stream.batch + i, places) for i in part]
            for own in stream.parts:
                batch |= _collate(own, [draw for draw in drawn if draw.stream is own], like=drawn[0].pair)
        return batch


def _collate(stream: Stream, draws: Sequence[Draw], like: Pair) -> Batch:
    """Stack the images of a domain; without any they have the shapes of `like`."""
    pairs = [draw.pair for draw in draws]

    def stack(arrays: list[np.ndarray], like: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays) if arrays else np.empty((0, *like.shape), like.dtype))

    batch = Batch({f"{stream.domain}_image": stack([pair.image for pair in pairs], like.image)})
    if stream.samples.labels:
        batch[f"{stream.domain}_label"] = stack([pair.label for pair in pairs], like.label)
    if stream.tells_classes:
        counts_NC = np.array([np.bincount(pair.label.ravel(), minlength=IGNORE)[:IGNORE] for pair in pairs])
        batch[f"{stream.domain}_present"] = torch.from_numpy(counts_NC > 0)
    valid = [np.ones(pair.label.shape, bool) if pair.valid is None else pair.valid for pair in pairs]
    if not all(map(np.all, valid)):
        batch[f"{stream.domain}_valid"] = torch.from_numpy(np.stack(valid))
    if like.trusted is not None:
        batch[f"{stream.domain}_trusted"] = stack([pair.trusted for pair in pairs], like.trusted)
    if like.depth is not None:
        batch[f"{stream.domain}_depth"] = stack([pair.depth for pair in pairs], like.depth)
    if like.before is not None:
        for name, array in like.before._asdict().items():
            key = f"{stream.domain}_{'before' if name == 'image' else name}"
            batch[key] = stack([getattr(pair.before, name) for pair in pairs], array)
    missing_SC, shares = stream.samples.missing, stream.samples.shares
    if missing_SC is not None:
        missing_NC = missing_SC[[shares.locate(draw.index)[0] for draw in draws]]
        batch[f"{stream.domain}_missing"] = torch.from_numpy(missing_NC)
    return batch


def batches(streams: Sequence[Stream | JointStream], seed: int, steps: range, workers: int) -> Iterator[Batch]:
    """Yield the batches of `steps` in order; `workers` processes make them ahead (0: this process)."""
    for stream in streams:
        for part in stream.parts:
            part.samples.set_workers(workers)
    if workers:
        atexit.register(_kill_workers)
    loader = DataLoader(
        Batches(streams, seed),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        # Samples hold closures, which only a fork can pass on. The workers do not touch the GPU.
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def _ignore_signals(_: int) -> None:
    """Ignore signals to stop in a worker: the parent saves the state, and then ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _kill_workers() -> None:
    """Kill the workers that are left when the program ends with an error: Python would wait for them for ever.

    It ends them by a signal that they ignore.
    """
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


@lru_cache(maxsize=8)
def _order(seed: int, code: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, code, epoch)).permutation(count)
