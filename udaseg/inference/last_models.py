"""The last models of a training: where they lie, and how much their scores differ."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAST_MODELS = "last"  # the folder, beside model.pt, of the models from before the last step


def earlier_models(model: Path) -> list[Path]:
    """Return the kept models of the training that ended with a model.pt, the earliest first."""
    return sorted((model.parent / LAST_MODELS).glob("*.pt")) if model.name == "model.pt" else []


def last_scores(mious: Sequence[float | None]) -> dict[str, Any]:
    """Return the mIoU of each of the last models, the earliest first, their mean and their standard deviation.

    The deviation is that of a sample. Without a mIoU, mean and deviation are None.
    """
    known = [miou for miou in mious if miou is not None]
    mean = statistics.fmean(known) if known else None
    return {"miou": list(mious), "mean": mean, "deviation": statistics.stdev(known) if len(known) > 1 else None}
