"""Adapt the batch norm statistics of a trained network to the target (AdaBN)."""

from pathlib import Path

from udaseg.config import Model, Training
from udaseg.data.image_sets import View
from udaseg.inference.runner import Runner
from udaseg.models import checkpoint
from udaseg.parallel.threads import Progress


def estimate_target_statistics(
    model: Path, target: View, settings: Training, *, progress: Progress | None = None
) -> None:
    """Replace the batch norm statistics in the file `model` by those of the target images.

    The statistics are the means over batches of `settings.batch` images, of the first layer only where
    `settings.adabn` is "stem". Nothing else in the file changes (AdaBN: Li et al., Revisiting Batch Normalization For
    Practical Domain Adaptation).
    """
    _, meta = checkpoint.load(model)
    architecture = Model(**meta["model"])
    runner = Runner(model, None, settings.precision, architecture.heads)
    runner.adapt_statistics(target, settings.batch, progress, stem=settings.adabn == "stem")
    checkpoint.save(model, runner.model, architecture, meta["classes"], meta["extra"])
