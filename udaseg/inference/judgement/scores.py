"""The scores of `judge` by name: which way is better, and what each says."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Values = Mapping[str, float | None]


class Score(NamedTuple):
    """What a score is, and whether the larger or the smaller value is the better one."""

    meaning: str
    larger_is_better: bool = True

    def key(self, value: float | None) -> float:
        """Return the number by which models are sorted, the best first; a model without the score is last."""
        if value is None:
            return float("inf")
        return -value if self.larger_is_better else value


SCORES = {
    "atc": Score("share of target pixels above the confidence that as many source pixels exceed as are right"),
    "expected": Score("mIoU that calibrated probabilities lead to expect"),
    "confidence": Score("mean probability of the predicted class"),
    "entropy": Score("mean entropy of the probabilities, in nats", larger_is_better=False),
    "information": Score("entropy of the mean probabilities less the mean entropy, in nats"),
    "snd": Score("soft neighbourhood density, in nats"),
    "flip": Score("share of pixels with the class that the mirror image gives them"),
    "scale": Score("share of pixels with the class that a smaller image gives them"),
    "networks": Score("share of pixels with the class that the other models give them"),
    "shares": Score("distance of the shares of classes to those of the source's labels", larger_is_better=False),
    "features": Score("distance of the features of both domains", larger_is_better=False),
    "source": Score("mIoU on source images"),
    "styled": Score("mIoU on source images in the style of the target"),
}


def rank(models: Mapping[str, Values], by: str) -> list[str]:
    """Return the names of models, the best first by one score; of equal ones the first that was given."""
    return sorted(models, key=lambda name: SCORES[by].key(models[name].get(by)))


def best_of_each(models: Mapping[str, Values]) -> dict[str, str]:
    """Return the model that each score would choose, without the scores that no model has."""
    known: Sequence[str] = [name for name in SCORES if any(one.get(name) is not None for one in models.values())]
    return {name: rank(models, name)[0] for name in known}
