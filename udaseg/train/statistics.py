"""Batch norm's statistics of a trained network, which are those of the pictures it was trained on."""

from pathlib import Path

from udaseg.data.records import ImageSet
from udaseg.models import checkpoint
from udaseg.models.inference import Runner
from udaseg.parallel import Progress
from udaseg.recipe import HxW, Model, Training


def take(
    model: Path,
    target: ImageSet,
    size: HxW | None,
    settings: Training,
    *,
    pad: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write `model` again with the statistics of the target's pictures, in batches of `settings.batch`, at `size`.

    Nothing else of it changes (AdaBN: Li et al., Revisiting Batch Normalization For Practical Domain Adaptation).
    """
    _, meta = checkpoint.load(model)
    architecture = Model(**meta["model"])
    runner = Runner(model, None, settings.precision, architecture.heads)
    runner.adapt_statistics(target, len(target), size, settings.batch, pad, progress, stem=settings.adabn == "stem")
    checkpoint.save(model, runner.model, architecture, meta["classes"], meta["extra"])
