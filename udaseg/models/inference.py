"""Run a trained network over pictures."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from udaseg.data.transforms import resize
from udaseg.models import checkpoint, devices
from udaseg.models.output import Output
from udaseg.models.preprocess import normalise
from udaseg.recipe import HxW


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
        self, pictures: Pictures, indices: Sequence[int], size: HxW | None, batch: int
    ) -> Iterator[tuple[Sequence[int], list[np.ndarray], Output]]:
        """Give (indices, uint8 images [H, W, 3] at their own size, float32 output), batch by batch.

        Pictures of one size share a batch; the next batch is read while the network works on this one.
        """
        with ThreadPoolExecutor(1) as ahead:

            def read(start: int) -> list[np.ndarray]:
                return [pictures.image(i) for i in indices[start : start + batch]]

            waiting = ahead.submit(read, 0)
            for start in range(0, len(indices), batch):
                images = waiting.result()
                waiting = ahead.submit(read, start + batch)
                if size is None and len({image.shape for image in images}) > 1:
                    for i, image in zip(indices[start : start + batch], images, strict=True):
                        yield [i], [image], self.infer([image], None)
                else:
                    yield indices[start : start + batch], images, self.infer(images, size)

    @torch.inference_mode()
    def infer(self, images: Sequence[np.ndarray], size: HxW | None) -> Output:
        """Give float32 logits and features at the network's stride for pictures of one size, or brought to `size`."""
        stacked = np.stack([resize(image, size) if size is not None else image for image in images])
        input_N3HW: Tensor = normalise(torch.from_numpy(stacked).to(self._device), self._color)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self.model(input_N3HW)
        return Output(output.logits.float(), output.features.float())
