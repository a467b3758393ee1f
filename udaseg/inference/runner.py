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
from udaseg.errors import UdasegError
from udaseg.inference.averaging import average_views, logarithms
from udaseg.inference.confidence import argmax_label
from udaseg.models import batchnorm, checkpoint, devices
from udaseg.models.colors import normalise
from udaseg.models.encoders import require_batch_norm
from udaseg.models.heads import Heads
from udaseg.models.output import Output
from udaseg.models.windows import average_windows, split_image
from udaseg.parallel.threads import Progress, map_in_order

READERS = 8  # threads that read ahead, two images each: a GPU is faster than one thread


class ImageBatch(NamedTuple):
    """Images of one size, by index in their set, and the network's output for them."""

    indices: Sequence[int]
    images: list[np.ndarray]  # uint8 [H, W, 3], at their own size
    labels: list[np.ndarray | None]  # uint8 [H, W]; None without a reader of labels
    output: Any


class Runner:
    """Run a trained network on the device of this machine.

    `classes` are the names in the order of the logits; `environment` describes the device for a manifest.
    """

    def __init__(self, path: Path, classes: Sequence[str] | None, precision: str, heads: Collection[str] = ()):
        """Load a `model.pt`; raise UdasegError where it is damaged or was trained on other classes.

        `classes` are the expected names, or None to accept any. `precision` is auto, fp32 or bf16. `heads` are the
        names of the heads to run, as in `model.heads`.
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
        broken: dict[int, str] | None = None,
    ) -> Iterator[ImageBatch]:
        """Yield the images at these indices, batch by batch, with the result of `infer(images, size)` for each batch.

        `infer` is `self.infer` if it is None. It gets images resized to the size of the view, or, with other `scales`
        than 1, at their own size. Images of different sizes do not share a batch, and no image is padded. The next
        images are read while the network works. `label(i)` reads the label of image i, if set. With `broken`, images
        that cannot be read are left out, and their errors added to it by index.
        """
        infer, is_single_scale = infer or self.infer, set(scales) == {1.0}

        def read(i: int) -> tuple[int, np.ndarray, HxW, np.ndarray, np.ndarray | None] | None:
            try:
                image = view.images.image(i)
            except UdasegError as error:
                if broken is None:
                    raise
                broken[i] = error.message
                return None
            size = view.size_of(image.shape)
            return (
                i,
                image,
                size,
                resize(image, size) if is_single_scale else image,
                label(i) if label is not None else None,
            )

        with closing(map_in_order(read, indices, READERS, batch)) as ahead:
            for _ in range(0, len(indices), batch):
                readable = [one for one in islice(ahead, batch) if one is not None]
                if not readable:
                    continue
                part, images, sizes, inputs, labels = map(list, zip(*readable, strict=True))
                for at in [slice(i, i + 1) for i in range(len(part))] if len(set(sizes)) > 1 else [slice(None)]:
                    yield ImageBatch(part[at], images[at], labels[at], infer(inputs[at], sizes[at][0]))

    def adapt_statistics(
        self,
        view: View,
        batch: int,
        progress: Progress | None = None,
        *,
        stem: bool = False,
        windows: Views | None = None,
    ) -> None:
        """Replace the batch norm statistics by the mean statistics over batches of all images of a view.

        Nothing else changes in the network (AdaBN: Li et al., Revisiting Batch Normalization For Practical Domain
        Adaptation). With `stem` only the first batch norm layer changes. With the window of `windows` the images are
        seen in it, and each window is a batch. Raises UdasegError where the encoder has no batch norm.
        """
        require_batch_norm(self.model.backbone, "adabn")
        count, views = len(view.images), windows or Views()

        def inputs() -> Iterator[Tensor]:
            for part in self.run(view, range(count), batch, lambda images, size: self.windows(images, size, views)):
                yield from part.output
                if progress is not None:
                    progress(part.indices[-1] + 1, count)

        with self.autocast():
            batchnorm.estimate_statistics(self.model.stem() if stem else self.model, inputs())

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes, in the precision of this runner."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def windows(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> list[Tensor]:
        """Return the input of the network for a batch, window by window; the whole images without a window."""
        image_N3HW = self.input(images, size)
        boxes = split_image(image_N3HW.shape[-2:], settings.window, settings.window_stride)
        return [box.crop(image_N3HW) for box in boxes]

    def input(self, images: Sequence[np.ndarray], size: HxW | None) -> Tensor:
        """Turn a batch of images, resized to `size` unless it is None, into the input of the network, [N, 3, H, W]."""
        stacked = np.stack([resize(image, size) if size is not None else image for image in images])
        return normalise(torch.from_numpy(stacked).to(self._device), self._color)

    @torch.inference_mode()
    def infer(self, images: Sequence[np.ndarray], size: HxW | None) -> Output:
        """Run the network on a batch of images, uint8 [H, W, 3], resized to `size` unless it is None.

        The logits and maps of the output are float32, at the network's stride; the features have the precision of the
        computation. Without a size all images must have the same one.
        """
        return self.forward(self.input(images, size))

    def forward(self, image_N3HW: Tensor) -> Output:
        """Run the network on its input, [N, 3, H, W]; the logits and maps are float32."""
        with self.autocast():
            output = self.model(image_N3HW)
        return Output(output.logits.float(), output.features, (), output.depth, output.density)

    @torch.inference_mode()
    def infer_windows(
        self, images: Sequence[np.ndarray], size: HxW | None, settings: Views
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the logits and the inverse depth of a batch, averaged over the windows of `settings`.

        Both are float32 [N, D, h, w]; the depth is None without that head. With the average of probabilities, the
        logits of several windows are the logarithm of the mean softmax.
        """
        logits_NChw, *depth = self._average_windows(
            images, size, settings, lambda output: [] if output.depth is None else [output.depth]
        )
        return logits_NChw, depth[0] if depth else None

    @torch.inference_mode()
    def infer_features(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> tuple[Tensor, Tensor]:
        """Compute the logits as `infer_windows` does, and the features, averaged over windows: float32 [N, D, h, w]."""
        logits_NChw, features_NDhw = self._average_windows(
            images, size, settings, lambda output: [output.features.float()]
        )
        return logits_NChw, features_NDhw

    def _average_windows(
        self,
        images: Sequence[np.ndarray],
        size: HxW | None,
        settings: Views,
        other_maps: Callable[[Output], list[Tensor]],
    ) -> list[Tensor]:
        """Compute the logits of a batch and other maps of the output, averaged over the windows of `settings`."""
        image_N3HW = self.input(images, size)
        boxes = split_image(image_N3HW.shape[-2:], settings.window, settings.window_stride)
        is_of_probabilities = settings.average == "probs" and len(boxes) > 1

        def infer(window_N3HW: Tensor) -> list[Tensor]:
            output = self.forward(window_N3HW)
            return [output.logits.softmax(1) if is_of_probabilities else output.logits, *other_maps(output)]

        maps = (infer(box.crop(image_N3HW)) for box in boxes)  # one window after another, in the memory of one
        logits_NChw, *others = average_windows(maps, boxes, image_N3HW.shape[-2:], self.model.align_corners)
        return [logarithms(logits_NChw) if is_of_probabilities else logits_NChw, *others]

    def infer_views(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> list[Tensor]:
        """Compute the logits of a batch at every scale of `settings`: a list of float32 [N, C, h, w].

        The scales are relative to `size`, or to the images' own size if it is None. With `settings.flip` the logits of
        the mirror image, mirrored back, follow after those of each scale. Windows have the same size at every scale.
        """
        return [logits for logits, _ in self.infer_views_with_depth(images, size, settings)]

    def infer_views_with_depth(
        self, images: Sequence[np.ndarray], size: HxW | None, settings: Views
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Compute the logits as `infer_views` does, each with the estimated inverse depth (None without that head)."""
        views = []
        for scale in settings.scales:
            scaled = size
            if scale != 1.0:
                height, width = (max(1, round(side * scale)) for side in size or images[0].shape[:2])
                scaled = height, width
            views.append(self.infer_windows(images, scaled, settings))
            if settings.flip:
                mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
                logits_NChw, depth_N1hw = self.infer_windows(mirrored, scaled, settings)
                views.append((logits_NChw.flip(-1), None if depth_N1hw is None else depth_N1hw.flip(-1)))
        return views

    def average_logits(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> Tensor:
        """Compute the average of the logits of all views at the network's stride: float32 [N, C, h, w].

        The height and width are those of the scale nearest to 1. See `average_views` for the average of probabilities.
        """
        views = self.infer_views(images, size, settings)
        nearest = min(range(len(settings.scales)), key=lambda i: abs(settings.scales[i] - 1))
        grid = views[nearest * (1 + settings.flip)].shape[-2:]
        if len(views) == 1:
            return views[0]
        return average_views(views, (grid[0], grid[1]), settings.average, self.model.align_corners)

    def label(self, views: Sequence[Tensor], n: int, size: HxW, average: str) -> np.ndarray:
        """Return the label of image n of a batch, uint8 [H, W], from the views of the batch.

        The logits are upsampled to (height, width), averaged (see `average_views`), and the class of the largest
        average is the label.
        """
        views_of_image = [view_NChw[n : n + 1] for view_NChw in views]
        if len(views_of_image) == 1 and views_of_image[0].device.type == "cpu":
            return argmax_label(views_of_image[0][0].numpy(), *size, self.model.align_corners)
        full_1CHW = average_views(views_of_image, size, average, self.model.align_corners)
        return full_1CHW[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
