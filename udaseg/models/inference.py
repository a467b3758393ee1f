"""Run a trained network over pictures."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from udaseg.data.transforms import resize
from udaseg.models import checkpoint, devices
from udaseg.models.averaging import averaged
from udaseg.models.output import Output
from udaseg.models.preprocess import normalise
from udaseg.recipe import HxW, Views


class Pictures(Protocol):
    def image(self, i: int) -> np.ndarray: ...


class Runner:
    """A trained network on its device, in the number format of the machine."""

    def __init__(self, path: Path, classes: Sequence[str], precision: str):
        """Load `model.pt`; raises UdasegError where it is damaged or was trained on other classes."""
        self._device = devices.choose()
        model, meta = checkpoint.load(path, map_location="cpu")
        checkpoint.require(meta, classes=classes, source=str(path))
        self.model = model.to(self._device, memory_format=torch.channels_last)
        self._color = meta["model"]["color"]
        self._bf16 = devices.bfloat16(precision, self._device)
        self.environment: dict[str, Any] = devices.environment(self._device, self._bf16)

    def run(
        self,
        pictures: Pictures,
        indices: Sequence[int],
        size: HxW | None,
        batch: int,
        infer: Callable[[Sequence[np.ndarray], HxW | None], Any] | None = None,
    ) -> Iterator[tuple[Sequence[int], list[np.ndarray], Any]]:
        """Give (indices, uint8 images [H, W, 3] at their own size, what `infer` gives for them), batch by batch.

        Pictures of one size share a batch; the next batch is read while the network works on this one. Without
        `infer` the network is run once: `self.infer`.
        """
        infer = infer or self.infer
        with ThreadPoolExecutor(1) as ahead:

            def read(start: int) -> list[np.ndarray]:
                return [pictures.image(i) for i in indices[start : start + batch]]

            waiting = ahead.submit(read, 0)
            for start in range(0, len(indices), batch):
                images = waiting.result()
                waiting = ahead.submit(read, start + batch)
                if size is None and len({image.shape for image in images}) > 1:
                    for i, image in zip(indices[start : start + batch], images, strict=True):
                        yield [i], [image], infer([image], None)
                else:
                    yield indices[start : start + batch], images, infer(images, size)

    @torch.inference_mode()
    def infer(self, images: Sequence[np.ndarray], size: HxW | None) -> Output:
        """Give float32 logits and features at the network's stride for pictures of one size, or brought to `size`."""
        stacked = np.stack([resize(image, size) if size is not None else image for image in images])
        input_N3HW: Tensor = normalise(torch.from_numpy(stacked).to(self._device), self._color)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self.model(input_N3HW)
        return Output(output.logits.float(), output.features.float())

    def views(self, images: Sequence[np.ndarray], size: HxW | None, settings: Views) -> list[Tensor]:
        """Give the logits at every scale of `settings`, float32 [N, C, h, w]; with `flip` also of the mirror image.

        The scales are of `size`, or of the pictures' own; those of the mirror image are turned back.
        """
        logits = []
        for scale in settings.scales:
            seen = size
            if scale != 1.0:
                height, width = (max(1, round(side * scale)) for side in size or images[0].shape[:2])
                seen = height, width
            logits.append(self.infer(images, seen).logits)
            if settings.flip:
                mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
                logits.append(self.infer(mirrored, seen).logits.flip(-1))
        return logits

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
