"""The warm-up: train on the labelled source, and align the target with it where the recipe says so."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from udaseg.config import Adversary, Depth, Model, Warmup
from udaseg.data.batches import Stream
from udaseg.data.image_sets import View
from udaseg.data.samples import labelled, unlabelled, with_depth
from udaseg.data.sampling import ClassBalance
from udaseg.data.style.dataset import random_restyle
from udaseg.models import checkpoint, devices, resolve_color
from udaseg.parallel import processes
from udaseg.statistics.density_maps import DensityMaps
from udaseg.train import adversary as adversaries
from udaseg.train import setup
from udaseg.train.depth import balance, regression
from udaseg.train.domains import LossTerm
from udaseg.train.entropy import delay_entropy, entropy_terms
from udaseg.train.loop import Trainable, fit
from udaseg.train.objectives import adaptation


def warmup(
    source: View,
    target: View | None,
    network: Model,
    settings: Warmup,
    out: Path,
    *,
    seed: int,
    adversary: Adversary | None = None,
    depth: Depth | None = None,
    densities: DensityMaps | None = None,
    class_weights: Sequence[float] | None = None,
    class_balance: ClassBalance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> setup.TrainingResult:
    """Train a network on the labelled source and align the target where a setting says so; write `model.pt`.

    An adversary, `settings.entropy_weight`, `settings.fda` and the density head need the target. The density head
    also needs `densities`, those of the source. `class_weights`, float [C], weigh the cross-entropy.
    """
    device, classes = devices.choose(), source.images.space.classes
    network = resolve_color(network)
    warnings: list[str] = []
    model = setup.network(network, settings, classes, seed, device, warnings.append)
    autocast, environment = setup.number_format(settings, device)
    trainables = {"model": Trainable(model, setup.optimizer(model, settings))}
    depth = depth or Depth()
    samples = with_depth(source, depth.mask_invalid) if model.heads else labelled(source)
    restyle = None if settings.fda is None else random_restyle(target.images, settings.fda)
    streams = [Stream("source", samples, settings.batch, settings.augment, restyle=restyle, balance=class_balance)]
    terms: list[LossTerm] = []
    temperature = 1.0
    if adversary is not None and adversary.align != "none":
        discriminators, adversarial = adversaries.build_adversaries(adversary, model, len(classes), device, autocast)
        trainables |= discriminators
        terms += adversarial
        temperature = adversaries.TEMPERATURE if adversary.align == "fine-grained" else 1.0
    terms += entropy_terms(settings, model.align_corners)
    if "density" in model.heads:
        terms.append(balance(depth, densities))
    if terms:
        geometry = settings.augment.model_copy(update={"jitter": 0.0, "blur": 0.0})
        streams.append(Stream("target", unlabelled(target), settings.batch, geometry))
    if model.heads:
        terms.append(regression(depth.regression))
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32, device=device)
    setup.require_stackable(streams)
    objective = adaptation(
        model, network, autocast, terms, temperature, weights, settings.domain_specific_bn, settings.accumulate, seed
    )
    fit(
        trainables,
        delay_entropy(objective, settings.entropy_from),
        streams,
        settings,
        out,
        seed=seed,
        device=device,
        logged_only=adversaries.LOGGED_ONLY,
        keep_model=setup.model_keeper(settings, out, model, network, classes),
        progress=progress,
    )
    if processes.is_first():
        checkpoint.save(out / "model.pt", model, network, classes)
    return setup.TrainingResult(environment, warnings)
