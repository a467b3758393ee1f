"""udaseg pseudolabel: label the target images with the network's most confident predictions."""

from typing import Any

from udaseg.config import Recipe
from udaseg.config.policies import WITH_PRIOR
from udaseg.pipeline.stage import Input, Stage
from udaseg.pipeline.work import Work


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    return {"pseudolabel": recipe.pseudolabel.identity(), "round": round}


def uses_prior(recipe: Recipe) -> bool:
    return recipe.pseudolabel.policy in WITH_PRIOR


def run(work: Work) -> None:
    """Label the target images with the network's most confident predictions."""
    from udaseg.inference.predictions import Predictions
    from udaseg.labels import class_space
    from udaseg.pseudo.collapse import collapse_warnings
    from udaseg.pseudo.label import pseudolabel
    from udaseg.pseudo.label_files import read_thresholds, require_same
    from udaseg.statistics import spatial_prior

    setting, path = work.recipe.pseudolabel, work.require_path("predictions")
    prior_path, previous_path = work.path("prior"), work.path("previous")
    with Predictions(path) as predictions:
        classes, images = predictions.classes, len(predictions.stems)
        if work.run.out is None:  # elsewhere the predictions stand on their own
            require_same(path, classes, work.class_space().classes, work.other_classes_hint())
        prior = None if prior_path is None else spatial_prior.read(prior_path, classes)
        previous = None if previous_path is None else read_thresholds(previous_path, classes)
        progress = work.progress("images" if setting.policy == "iast" else "passes")
        thresholds = pseudolabel(
            predictions, class_space(classes), setting, work.out, prior=prior, round=work.round, progress=progress
        )
    kept = sum(thresholds.kept) / max(1, sum(thresholds.predicted))
    text = f"{kept:.1%} of the pixels of {images} images are in {work.job.out / 'labels'}"
    work.finish({"images": images, "kept": kept}, text, collapse_warnings(thresholds, previous))


stage = Stage(
    "pseudolabel",
    run,
    settings,
    inputs=[
        Input(
            "predictions",
            "predict/predictions.h5",
            "A predictions.h5, a stage directory, or a stage of the run.",
            make=True,
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
    flags=["policy", "p", "p_step", "p_max", "stride"],
    each_round=True,
    shared=True,
    writes="`labels/<stem>.png`, `thresholds.json`",
    example="udaseg pseudolabel --policy cbst --p 0.2",
)
