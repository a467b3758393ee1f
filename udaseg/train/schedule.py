"""The learning rate at a step."""

from udaseg.config import Training


def poly(step: int, settings: Training) -> float:
    """Give the factor on the learning rate: a linear rise, then (1 - step / horizon) ** power, never below zero.

    Clamped past the horizon, where the bare formula turns complex (DeepLab, section 4.1).
    """
    rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    left = max(0.0, 1.0 - step / (settings.horizon or settings.steps))
    return rise * left**settings.power
