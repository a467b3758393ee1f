"""Time labels and confidences at full size: upsampled logits, softmax, argmax."""

from collections.abc import Iterator

import numpy as np
import scene
from measure import Call, Row

from udaseg.inference.confidence import label_and_confidence


def by_torch(logits_CHW: np.ndarray, size: tuple[int, int]) -> Call:
    import torch
    from torch.nn.functional import interpolate

    logits_1CHW = torch.from_numpy(logits_CHW.astype(np.float32))[None]

    def call() -> tuple[np.ndarray, np.ndarray]:
        full_1CHW = interpolate(logits_1CHW, size=size, mode="bilinear", align_corners=False)
        confidence, label = full_1CHW.softmax(1)[0].max(0)
        return label.to(torch.uint8).numpy(), confidence.numpy()

    return call


def difference(ours: tuple, theirs: tuple) -> dict[str, float]:
    return {
        "share of labels": float((ours[0] != theirs[0]).mean()),
        "confidence": float(np.abs(ours[1] - theirs[1]).max()),
    }


def rows(size: tuple[int, int]) -> Iterator[Row]:
    logits_CHW = scene.logits(size)
    peer = "torch interpolate, softmax, max"
    yield Row(
        "upsample, softmax, argmax, confidence",
        lambda: label_and_confidence(logits_CHW, *size, False),
        {peer: lambda: by_torch(logits_CHW, size)},
        logits_CHW.nbytes + 5 * size[0] * size[1],
        difference,
        {peer: 6},
    )
