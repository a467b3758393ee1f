"""Batch norm's statistics of a trained network, which are those of the images it was trained on."""

from pathlib import Path

from udaseg.config import Model, Training
from udaseg.data.image_sets import View
from udaseg.inference.runner import Runner
from udaseg.models import checkpoint
from udaseg.parallel.threads import Progress


def estimate_target_statistics(
    model: Path, target: View, settings: Training, *, progress: Progress | None = None
) -> None:
    """Replace batch norm's statistics in the file `model` by those of the target, in batches of `settings.batch`.

    Nothing else of it changes (AdaBN: Li et al., Revisiting Batch Normalization For Practical Domain Adaptation).
    """
    _, meta = checkpoint.load(model)
    architecture = Model(**meta["model"])
    runner = Runner(model, None, settings.precision, architecture.heads)
    runner.adapt_statistics(target, settings.batch, progress, stem=settings.adabn == "stem")
    checkpoint.save(model, runner.model, architecture, meta["classes"], meta["extra"])
