"""The learning rate at a step."""

from udaseg.config import Training


def poly(step: int, settings: Training) -> float:
    """Return the factor of the learning rate: a linear rise, then (1 - step / horizon) ** power (DeepLab, section 4.1).

    It is zero from the horizon on, where the bare formula has no real value.
    """
    rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    left = max(0.0, 1.0 - step / (settings.horizon or settings.steps))
    return rise * left**settings.power
