"""The warm-up: learn the labelled source, and where asked, leave no difference between it and the target."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from udaseg.data.loading import Stream, labelled, unlabelled
from udaseg.data.records import ImageSet, LabelledSet
from udaseg.data.transforms import Restyle
from udaseg.models import checkpoint, devices
from udaseg.recipe import Adversary, HxW, Model, Warmup
from udaseg.train import adversary as adversaries
from udaseg.train import setup
from udaseg.train.loop import Player, fit
from udaseg.train.objectives import Ask, adaptation, entropy


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
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train a network on the labelled source and write `model.pt`; return the manifest's environment.

    restyle gives a draw of the source another style. An adversary, and `settings.entropy_weight`, need the target.
    """
    device = devices.choose()
    model = setup.network(model_settings, len(source.space), seed, device)
    autocast, environment = setup.number_format(settings, device)
    players = {"model": Player(model, setup.optimizer(model, settings))}
    streams = [Stream("source", labelled(source, size), settings.batch, settings.augment, restyle=restyle)]
    asked: list[Ask] = []
    temperature = 1.0
    if adversary is not None and adversary.align != "none":
        opponent = adversaries.player(adversary, model.feature_channels, len(source.space), device)
        asked.append(adversaries.against(opponent.module, adversary, model.align_corners, autocast))
        players["discriminator"] = opponent
        temperature = adversaries.TEMPERATURE if adversary.align == "fine-grained" else 1.0
    if settings.entropy_weight is not None:
        asked.append(entropy(settings.entropy_weight))
    if asked:
        assert target is not None
        geometry = settings.augment.model_copy(update={"jitter": 0.0, "blur": 0.0})
        streams.append(Stream("target", unlabelled(target, target_size), settings.batch, geometry))
    fit(
        players,
        adaptation(model, model_settings, autocast, asked, temperature),
        [setup.croppable(stream) for stream in streams],
        settings,
        out,
        seed=seed,
        device=device,
        watched=(adversaries.ACCURACY,),
        progress=progress,
    )
    checkpoint.save(out / "model.pt", model, model_settings, source.space.classes)
    return environment
