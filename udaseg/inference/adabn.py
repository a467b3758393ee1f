"""Batch norm's statistics of a trained network, which are those of the images it was trained on."""

from pathlib import Path

from udaseg.config import HxW, Model, Training
from udaseg.data.image_sets import ImageSet
from udaseg.inference.runner import Runner
from udaseg.models import checkpoint
from udaseg.parallel.threads import Progress


def estimate_target_statistics(
    model: Path,
    target: ImageSet,
    size: HxW | None,
    settings: Training,
    *,
    pad: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write `model` again with the statistics of the target's images, in batches of `settings.batch`, at `size`.

    Nothing else of it changes (AdaBN: Li et al., Revisiting Batch Normalization For Practical Domain Adaptation).
    """
    _, meta = checkpoint.load(model)
    architecture = Model(**meta["model"])
    runner = Runner(model, None, settings.precision, architecture.heads)
    runner.adapt_statistics(target, len(target), size, settings.batch, pad, progress, stem=settings.adabn == "stem")
    checkpoint.save(model, runner.model, architecture, meta["classes"], meta["extra"])
