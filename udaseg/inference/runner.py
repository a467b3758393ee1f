"""Run a trained network over images."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udaseg.config import HxW, Views
from udaseg.data.augment import resize
from udaseg.data.image_sets import View
from udaseg.inference.averaging import averaged
from udaseg.inference.confidence import argmax_label
from udaseg.models import batchnorm, checkpoint, devices
from udaseg.models.heads import Heads
from udaseg.models.normalisation import normalise
from udaseg.models.output import Output
from udaseg.parallel.threads import Progress, map_in_order

READERS = 8  # threads that read ahead, two images each: a network on a GPU is faster than one of them


class ImageBatch(NamedTuple):
    """Images of one size, by index in their set, and the network's output for them."""

    indices: Sequence[int]
    images: list[np.ndarray]  # uint8 [H, W, 3], at their own size
    labels: list[np.ndarray | None]  # uint8 [H, W], where `run` was given a reader of labels
    output: Any


class Runner:
    """A trained network on its device, in the number format of the machine."""

    def __init__(self, path: Path, classes: Sequence[str] | None, precision: str, heads: Collection[str] = ()):
        """Load `model.pt`; raises UdasegError where it is damaged or was trained on other classes, where any are given.

        `classes` are then those that it was trained on. Of its heads, those are run that are asked for.
        """
        self._device = devices.choose()
        model, meta = checkpoint.load(path, map_location="cpu")
        checkpoint.require(meta, classes=classes, source=str(path))
        model.heads = Heads({name: head for name, head in model.heads.items() if name in heads})
        self.model = model.to(self._device, memory_format=torch.channels_last)
        self.classes: tuple[str, ...] = tuple(meta["classes"])
        self._color = meta["model"]["color"]
        self._bf16 = devices.bfloat16(precision, self._device)
        self.environment: dict[str, Any] = devices.environment(self._device, self._bf16)

    def run(
        self,
        view: View,
        indices: Sequence[int],
        batch: int,
        infer: Callable[[Sequence[np.ndarray], HxW], Any] | None = None,
        *,
        scales: Sequence[float] = (1.0,),
        label: Callable[[int], np.ndarray] | None = None,
    ) -> Iterator[ImageBatch]:
        """Yield the images at these indices, batch by batch, with `infer(images, size)` of each batch.

        Images of one size share a batch. The next images are read, and resized to the size of the view, while the
        network works; with other `scales` than 1, infer gets images of their own size. `label(i)` reads the label of
        image i. Without `infer` the network runs once: `self.infer`. Images are never padded here: only the batches
        of training need it.
        """
        infer, at_size = infer or self.infer, set(scales) == {1.0}

        def read(i: int) -> tuple[np.ndarray, HxW, np.ndarray, np.ndarray | None]:
            image = view.images.image(i)
            size = view.size_of(image.shape)
            return image, size, resize(image, size) if at_size else image, label(i) if label is not None else None

        with closing(map_in_order(read, indices, READERS, batch)) as ahead:
            for start in range(0, len(indices), batch):
                images, sizes, inputs, labels = map(list, zip(*islice(ahead, batch), strict=True))
                part = indices[start : start + batch]
                for at in [slice(i, i + 1) for i in range(len(part))] if len(set(sizes)) > 1 else [slice(None)]:
                    yield ImageBatch(part[at], images[at], labels[at], infer(inputs[at], sizes[at][0]))

    def adapt_statistics(self, view: View, batch: int, progress: Progress | None = None, *, stem: bool = False) -> None:
        """Replace the statistics of batch norm by the mean statistics of the batches of all these images.

        Nothing else of the network changes (AdaBN: Li et al., Revisiting Batch Normalization For Practical Domain
        Adaptation). With `stem` this changes the first batch norm layer of the network alone.
        """
        count = len(view.images)

        def inputs() -> Iterator[Tensor]:
            for part in self.run(view, range(count), batch, self._input):
                yield part.output
                if progress is not None:
                    progress(part.indices[-1] + 1, count)

        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            batchnorm.estimate_statistics(self.model.stem() if stem else self.model, inputs())

    def _input(self, images: Sequence[np.ndarray], size: HxW | None) -> Tensor:
        stacked = np.stack([resize(image, size) if size is not None else image for image in images])
        return normalise(torch.from_numpy(stacked).to(self._device), self._color)

    @torch.inference_mode()
    def infer(self, images: Sequence[np.ndarray], size: HxW | None) -> Output:
        """Give logits and maps at the network's stride, float32, of images of one size or seen at `size`.

        The features, which few ask for, are in the precision that the network computes in.
        """
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self.model(self._input(images, size))
        return Output(output.logits.float(), output.features, (), output.depth, output.density)

    def views(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> list[Tensor]:
        """Give the logits at every scale of `settings`, float32 [N, C, h, w]; with `flip` also of the mirror image.

        The scales are of `size`, or of the images' own; those of the mirror image are turned back.
        """
        return [logits for logits, _ in self.views_with_depth(images, size, settings)]

    def views_with_depth(
        self, images: Sequence[np.ndarray], size: HxW | None, settings: Views
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Give the logits as `views` does, each with the estimated inverse depth where it was asked for."""
        views = []
        for scale in settings.scales:
            seen = size
            if scale != 1.0:
                height, width = (max(1, round(side * scale)) for side in size or images[0].shape[:2])
                seen = height, width
            output = self.infer(images, seen)
            views.append((output.logits, output.depth))
            if settings.flip:
                turned = self.infer([np.ascontiguousarray(image[:, ::-1]) for image in images], seen)
                views.append((turned.logits.flip(-1), None if turned.depth is None else turned.depth.flip(-1)))
        return views

    def scores(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> Tensor:
        """Give the average of all views at the stride of the network, float32 [N, C, h, w].

        The grid is that of the scale nearest to 1. See `averaged` for what that means for probabilities.
        """
        views = self.views(images, size, settings)
        nearest = min(range(len(settings.scales)), key=lambda i: abs(settings.scales[i] - 1))
        grid = views[nearest * (1 + settings.flip)].shape[-2:]
        if len(views) == 1:
            return views[0]
        return averaged(views, (grid[0], grid[1]), settings.average, self.model.align_corners)

    def label(self, views: Sequence[Tensor], place: int, size: HxW, average: str) -> np.ndarray:
        """Give the labels of one image of a batch from its views, brought to (height, width) first: uint8 [H, W]."""
        own = [view_NChw[place : place + 1] for view_NChw in views]
        if len(own) == 1 and own[0].device.type == "cpu":
            return argmax_label(own[0][0].numpy(), *size, self.model.align_corners)
        full_1CHW = averaged(own, size, average, self.model.align_corners)
        return full_1CHW[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
