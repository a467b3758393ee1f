"""Pseudo-labels for every image that has scores."""

import shutil
from importlib import import_module
from pathlib import Path

from udaseg.config import Pseudolabel
from udaseg.config.policies import POLICIES
from udaseg.config.rounds import share_of_round
from udaseg.io.documents.thresholds import Thresholds
from udaseg.io.files import write_json
from udaseg.labels import ClassSpace
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress
from udaseg.pseudo.passes import LabelTask
from udaseg.pseudo.scores import Source
from udaseg.statistics.spatial_prior import Prior


def pseudolabel(
    scores: Source,
    space: ClassSpace,
    settings: Pseudolabel,
    out: Path,
    *,
    prior: Prior | None = None,
    round: int = 1,
    progress: Progress | None = None,
    state: Path | None = None,
) -> Thresholds:
    """Write `labels/<stem>.png` and `thresholds.json`; return the content of the latter.

    The policy of the settings chooses the pixels; `prior` is for st-sp and cbst-sp. The round, from 1, sets the share
    p. Labels that are there already are kept: they were written in one piece, for the same settings and scores. With
    `state`, a folder, a second call goes on with the first pass after a stop; it is removed in the end. Raises
    UdasegError for these two policies without a prior, or without the scores of all classes.
    """
    folder = out / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    task = LabelTask(scores, space, settings, share_of_round(settings, round), folder, prior, progress, state)
    policy = import_module(f"udaseg.pseudo.policies.{POLICIES[settings.policy]}")
    document = Thresholds(policy=settings.policy, classes=list(space.classes), round=round, **policy.label_images(task))
    if processes.is_first():
        write_json(out / document.file, document.content())
        if state is not None:
            shutil.rmtree(state, ignore_errors=True)
    return document
