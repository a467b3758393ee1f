"""How well scores without target labels order models: rank correlations, and what choosing by them costs."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from udaseg.inference.judgement.scores import SCORES
from udaseg.report.compare import Spread, over_seeds

from .judged import Model, Trained

RESAMPLES = 1000


class Correlation(NamedTuple):
    """Spearman's rank correlation with the true mIoU, positive where the better value has the better model.

    `low` and `high` are the 95 % interval of the bootstrap over models.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Regrets:
    """The best true mIoU of a group of models less that of the chosen one, over groups; fractions of 1."""

    mean: Spread
    gain: Spread  # over the choice that it is compared with, group by group
    ahead: int  # groups in which it chooses a better model than that
    behind: int
    groups: int


def correlation(pairs: Sequence[Sequence[Model]], name: str) -> Correlation | None:
    """Return the rank correlation of a score with the true mIoU, of the models of one pair, or within several pairs.

    Within several pairs, ranks are those within the pair, as shares of its models. A pair with less than three models
    that have the score is left out. The bootstrap draws models within each pair. None where there is nothing to order.
    """
    known = [[one for one in models if one.scores[name] is not None] for models in pairs]
    columns = [np.array([_column(one, name) for one in models]).T for models in known if len(models) > 2]
    if not columns:
        return None
    rng = np.random.default_rng(0)
    draws = [rng.integers(column.shape[1], size=(RESAMPLES, column.shape[1])) for column in columns]
    whole = _pooled([column[:, None] for column in columns])
    resampled = _pooled([column[:, drawn] for column, drawn in zip(columns, draws, strict=True)])
    if not np.isfinite(whole[0]):
        return None
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Correlation(float(whole[0]), float(low), float(high))


def _column(one: Model, name: str) -> tuple[float, float]:
    return -SCORES[name].key(one.scores[name]), one.miou


def _pooled(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return Pearson's correlation of the ranks within each pair: float [R] of several [2, R, models]."""
    ranks = [rankdata(column, axis=2) / (column.shape[2] + 1) - 0.5 for column in columns]
    score_RM, truth_RM = np.concatenate(ranks, axis=2)
    with np.errstate(invalid="ignore"):
        covariance_R = (score_RM * truth_RM).sum(1)
        return covariance_R / np.sqrt(np.square(score_RM).sum(1) * np.square(truth_RM).sum(1))


def regrets_of_runs(runs: Sequence[Trained], models: Mapping[str, Model], name: str) -> Regrets | None:
    """Return the regrets of choosing by a score among the models of each run, compared with its last model."""
    groups = [[models[one] for one in run.digests] for run in runs]
    return _regrets(groups, name, lambda group: group[-1].miou)


def regrets_of_rows(runs: Sequence[Trained], models: Mapping[str, Model], name: str) -> Regrets | None:
    """Return the regrets of choosing by a score among the last models of all runs of a pair and seed.

    They are compared with the mean of these models, which is what choosing at random gives.
    """
    groups: dict[tuple[str, int], dict[str, Model]] = {}
    for run in runs:
        last = models[run.digests[-1]]
        groups.setdefault((run.pair, run.run.recipe.seed), {})[last.digest] = last
    return _regrets([[*one.values()] for one in groups.values()], name, _mean)


def _mean(group: Sequence[Model]) -> float:
    return statistics.fmean(one.miou for one in group)


def _regrets(groups: Sequence[Sequence[Model]], name: str, other: Callable[[Sequence[Model]], float]) -> Regrets | None:
    chosen, compared, best = [], [], []
    for group in groups:
        if len(group) > 1 and all(one.scores[name] is not None for one in group):
            chosen.append(min(group, key=lambda one: SCORES[name].key(one.scores[name])).miou)
            compared.append(other(group))
            best.append(max(one.miou for one in group))
    if not chosen:
        return None
    gains = [one - another for one, another in zip(chosen, compared, strict=True)]
    regrets = [top - one for top, one in zip(best, chosen, strict=True)]
    ahead, behind = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Regrets(over_seeds(regrets), over_seeds(gains), ahead, behind, len(gains))


def error(models: Sequence[Model], name: str, truth: Callable[[Model], float]) -> Spread | None:
    """Return the mean and deviation of the absolute difference of a predicted score and the true one."""
    differences = [abs(one.scores[name] - truth(one)) for one in models if one.scores[name] is not None]
    return over_seeds(differences) if differences else None
