"""The warm-up: learn the labelled source, and where asked, leave no difference between it and the target."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from udaseg.config import Adversary, Depth, HxW, Model, Warmup
from udaseg.data.augment import Restyle
from udaseg.data.batches import Stream, labelled, unlabelled, with_depth
from udaseg.data.image_sets import ImageSet, LabelledSet
from udaseg.data.sampling import ClassBalance
from udaseg.models import checkpoint, devices
from udaseg.parallel import processes
from udaseg.train import adversary as adversaries
from udaseg.train import setup
from udaseg.train.depth import Densities, balance, regression, require_whole
from udaseg.train.loop import Trainable, fit
from udaseg.train.objectives import LossTerm, adaptation, entropy


def warmup(
    source: LabelledSet,
    size: HxW | None,
    model_settings: Model,
    settings: Warmup,
    out: Path,
    *,
    seed: int,
    restyle: Restyle | None = None,
    adversary: Adversary | None = None,
    target: ImageSet | None = None,
    target_size: HxW | None = None,
    pad: tuple[bool, bool] = (False, False),
    class_weights: Sequence[float] | None = None,
    class_balance: ClassBalance | None = None,
    depth: Depth | None = None,
    densities: Densities | None = None,
    progress: Callable[[int, int], None] | None = None,
    note: setup.Note | None = None,
) -> dict[str, Any]:
    """Train a network on the labelled source and write `model.pt`; return the manifest's environment.

    restyle gives a draw of the source another style; pad keeps the aspect of the images of (source, target). An
    adversary, `settings.entropy_weight` and the density head need the target, that head the densities of the source.
    """
    device = devices.choose()
    model = setup.network(model_settings, source.space.classes, seed, device, note)
    autocast, environment = setup.number_format(settings, device)
    trainables = {"model": Trainable(model, setup.optimizer(model, settings))}
    depth = depth or Depth()
    seen = with_depth(source, size, pad[0], depth.mask_invalid) if model.heads else labelled(source, size, pad[0])
    streams = [Stream("source", seen, settings.batch, settings.augment, restyle=restyle, balance=class_balance)]
    asked: list[LossTerm] = []
    temperature = 1.0
    if adversary is not None and adversary.align != "none":
        opponents, games = adversaries.build_adversaries(adversary, model, len(source.space), device, autocast)
        trainables |= opponents
        asked += games
        temperature = adversaries.TEMPERATURE if adversary.align == "fine-grained" else 1.0
    if settings.entropy_weight is not None:
        asked.append(entropy(settings.entropy_weight))
    if "density" in model.heads:
        require_whole(settings, pad[0])
        asked.append(balance(depth, densities))
    if asked:
        assert target is not None
        geometry = settings.augment.model_copy(update={"jitter": 0.0, "blur": 0.0})
        streams.append(Stream("target", unlabelled(target, target_size, pad[1]), settings.batch, geometry))
    if model.heads:
        asked.append(regression(depth.regression))
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32, device=device)
    fit(
        trainables,
        adaptation(model, model_settings, autocast, asked, temperature, weights, settings.domain_specific_bn),
        [setup.croppable(stream) for stream in streams],
        settings,
        out,
        seed=seed,
        device=device,
        logged_only=adversaries.LOGGED_ONLY,
        progress=progress,
    )
    if processes.is_first():
        checkpoint.save(out / "model.pt", model, model_settings, source.space.classes)
    return environment
