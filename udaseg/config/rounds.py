"""What differs from round to round of self-training: what is kept, what is seen, and how."""

from fractions import Fraction
from typing import Any

from udaseg.config import Predict, Pseudolabel, Retrain
from udaseg.errors import UdasegError


def scheduled(start: float, step: float, maximum: float, round: int) -> float:
    """Return start + (round - 1) step, at most `maximum`; rounds count from 1.

    The decimal numbers that were written are added, so that 0.2 and six steps of 0.05 make 0.5, not the
    0.49999999999999994 after which the CBST authors' loop takes one step too many. A start above the maximum stays.
    """
    if round < 1:
        raise UdasegError(f"round is {round}, expected 1 or more", "the first round is round 1")
    start, step, maximum = (Fraction(repr(float(value))) for value in (start, step, maximum))
    return float(min(start + (round - 1) * step, max(start, maximum)))


def share_of_round(settings: Pseudolabel, round: int) -> float:
    """Return the share p of each class that is kept in a round (CBST: 20 %, and 5 % more each round up to 50 %)."""
    return scheduled(settings.p, settings.p_step, settings.p_max, round)


def prediction_of_round(settings: Predict, round: int) -> Predict:
    """Return the settings of one round: whether its model takes batch norm's statistics from the target."""
    return settings.model_copy(update={"adabn": round == 1 if settings.adabn == "first" else settings.adabn})


def prediction_identity(settings: Predict, round: int) -> dict[str, Any]:
    """Name what decides, beside the model and the images, what the model of a round says, for manifests."""
    of_round = prediction_of_round(settings, round)
    batch = {"batch": of_round.batch} if of_round.adabn else {}  # batch norm's statistics are means over batches
    return {"adabn": of_round.adabn, "precision": of_round.precision, **batch}


def training_of_round(settings: Retrain, round: int) -> Retrain:
    """Return the settings of one round: its share of the source images, its learning rate."""
    fraction = scheduled(settings.source_fraction, settings.source_fraction_step, settings.source_fraction_max, round)
    lr = settings.lr * settings.lr_per_round ** (round - 1)
    return settings.model_copy(update={"source_fraction": fraction, "lr": lr})
