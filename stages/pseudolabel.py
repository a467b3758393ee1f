"""udaseg pseudolabel: label the target images with the network's most confident predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from udaseg.config import Recipe
from udaseg.config.policies import WITH_PRIOR
from udaseg.config.rounds import prediction_of_round
from udaseg.pipeline.common_inputs import STORE, latest_model, predictions_input, stores_nothing
from udaseg.pipeline.stage import Dataset, Input, Stage
from udaseg.pipeline.work import Work

if TYPE_CHECKING:
    from udaseg.pseudo.scores import Source


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    network = {"space": recipe.space, "predict": prediction_of_round(recipe.predict, round).identity()}
    return {"pseudolabel": recipe.pseudolabel.identity(), "round": round} | (network if stores_nothing(recipe) else {})


def uses_prior(recipe: Recipe) -> bool:
    return recipe.pseudolabel.policy in WITH_PRIOR


def run(work: Work) -> None:
    """Label the target images with the network's most confident predictions."""
    from udaseg.labels import class_space
    from udaseg.pseudo.collapse import collapse_warnings, one_class_warnings
    from udaseg.pseudo.label import pseudolabel
    from udaseg.pseudo.label_files import read_thresholds
    from udaseg.statistics import spatial_prior

    setting, prior_path, previous_path = work.recipe.pseudolabel, work.path("prior"), work.path("previous")
    with open_scores(work) as (scores, classes):
        prior = None if prior_path is None else spatial_prior.read(prior_path, classes)
        previous = None if previous_path is None else read_thresholds(previous_path, classes)
        thresholds = pseudolabel(
            scores,
            class_space(classes),
            setting,
            work.out,
            prior=prior,
            round=work.round,
            progress=work.progress("images" if setting.policy == "iast" else "passes"),
            state=work.out / "counted" if stores_nothing(work.recipe) else None,
        )
    kept, images = sum(thresholds.kept) / max(1, sum(thresholds.predicted)), len(scores.stems)
    text = f"{kept:.1%} of the pixels of {images} images are in {work.job.out / 'labels'}"
    warnings = [] if scores.has_all_classes else one_class_warnings(thresholds)
    work.finish({"images": images, "kept": kept}, text, [*collapse_warnings(thresholds, previous), *warnings])


@contextmanager
def open_scores(work: Work) -> Iterator[tuple[Source, tuple[str, ...]]]:
    """Open the stored predictions, or the network where nothing is stored; give the scores and their classes."""
    from udaseg.inference.predictions import Predictions
    from udaseg.pseudo.label_files import require_same
    from udaseg.pseudo.scores import NetworkScores, StoredScores

    if stores_nothing(work.recipe):
        settings, classes = prediction_of_round(work.recipe.predict, work.round), work.class_space().classes
        progress = work.progress("images", "pseudolabel: batch norm")
        scores = NetworkScores(work.require_path("model"), classes, work.view("target"), settings, progress)
        work.result.environment = scores.environment
        yield scores, classes
        return
    path = work.require_path("predictions")
    with Predictions(path) as predictions:
        if work.run.out is None:  # elsewhere the predictions stand on their own
            require_same(path, predictions.classes, work.class_space().classes, work.other_classes_hint())
        yield StoredScores(predictions), predictions.classes


stage = Stage(
    "pseudolabel",
    run,
    settings,
    inputs=[
        predictions_input("A predictions.h5, a stage directory, or a stage of the run.", make=True),
        Input(
            "model",
            latest_model,
            "The model to run where nothing is stored.",
            when=stores_nothing,
            because="the predictions are stored",
            hint="give it to `udaseg predict`, or add --store none",
        ),
        Input(
            "prior",
            "prior/prior.h5",
            "The prior.h5 of st-sp and cbst-sp.",
            when=uses_prior,
            because="st-sp and cbst-sp alone have a prior",
            hint="add --policy cbst-sp, or --policy st-sp",
            make=True,
        ),
        Input(
            "previous",
            "pseudolabel/thresholds.json",
            "The thresholds.json of the round before, to compare.",
            flag="--before",
            round=-1,
            required=False,
        ),
    ],
    datasets=[Dataset("target", when=stores_nothing, section="predict")],
    flags=["policy", "p", "p_step", "p_max", "stride", STORE],
    each_round=True,
    shared=True,
    writes="`labels/<stem>.png`, `thresholds.json`",
    example="udaseg pseudolabel --policy cbst --p 0.2",
)
