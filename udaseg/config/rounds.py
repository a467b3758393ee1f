"""The settings of one round of self-training."""

import math
from fractions import Fraction
from typing import Any

from udaseg.config.sections.predict import Predict
from udaseg.config.sections.pseudolabel import Pseudolabel
from udaseg.config.sections.retrain import Retrain
from udaseg.errors import UdasegError


def linear_schedule(start: float, step: float, maximum: float, round: int) -> float:
    """Return the value of a round, start + (round - 1) step, but at most `maximum`; rounds count from 1.

    The sum is exact in decimals: 0.2 and six steps of 0.05 make 0.5. In floating point they make 0.49999999999999994,
    and the loop of the CBST authors takes one step too many. A start above the maximum stays. Raises UdasegError for
    a round below 1.
    """
    if round < 1:
        raise UdasegError(f"round is {round}, expected 1 or more", "the first round is round 1")
    start, step, maximum = (Fraction(repr(float(value))) for value in (start, step, maximum))
    return float(min(start + (round - 1) * step, max(start, maximum)))


def share_of_round(settings: Pseudolabel, round: int) -> float:
    """Return the share of pixels to keep of each class in a round.

    By default 20 % in round 1, and 5 % more in each further round, up to 50 % (CBST).
    """
    return linear_schedule(settings.p, settings.p_step, settings.p_max, round)


def prediction_of_round(settings: Predict, round: int) -> Predict:
    """Return the prediction settings of a round, with `adabn` resolved for its model."""
    return settings.model_copy(update={"adabn": round == 1 if settings.adabn == "first" else settings.adabn})


def prediction_identity(settings: Predict, round: int) -> dict[str, Any]:
    """Return the settings that determine a model's predictions beside the model and the images, for manifests."""
    of_round = prediction_of_round(settings, round)
    names = ["adabn", "precision"]
    if of_round.adabn:  # batch norm's statistics are means over batches, and over windows
        names += ["batch", "window", "window_stride"]
    return {name: value for name, value in of_round.identity().items() if name in names}


def training_of_round(settings: Retrain, round: int) -> Retrain:
    """Return the training settings of a round, with its share of the source images and its learning rate."""
    fraction = linear_schedule(
        settings.source_fraction, settings.source_fraction_step, settings.source_fraction_max, round
    )
    lr = settings.lr * settings.lr_per_round ** (round - 1)
    return settings.model_copy(update={"source_fraction": fraction, "lr": lr})


def steps_of_epochs(settings: Retrain, images: int) -> int:
    """Return the steps in which `images` images are drawn in all epochs of the settings.

    The last batch of an epoch is a step too, however few images are left for it (CRST).
    """
    assert settings.epochs is not None
    return settings.epochs * math.ceil(images / settings.batch)
