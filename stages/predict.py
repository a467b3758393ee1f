"""udaseg predict: store the network's logits, or labels and confidences, for every target image."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from udaseg.config import Recipe
from udaseg.config.rounds import prediction_of_round
from udaseg.pipeline.common_inputs import MODEL_HELP, latest_model, stores_predictions
from udaseg.pipeline.images import CarryOver
from udaseg.pipeline.stage import Dataset, Input, Stage
from udaseg.pipeline.work import Work


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    return {"space": recipe.space, "predict": prediction_of_round(recipe.predict, round).identity()}


def carry_over(recipe: Recipe, round: int) -> CarryOver | None:
    if not stores_predictions(recipe):
        return None
    if prediction_of_round(recipe.predict, round).adabn:  # the statistics are those of all images together
        return None

    def keep(folder: Path, partial: Path, stems: Collection[str]) -> None:
        from udaseg.inference.predictions import keep_predictions

        keep_predictions(folder, partial, stems)

    return keep


def run(work: Work) -> None:
    """Store the network's logits for every target image."""
    from udaseg.inference.predict import predict

    if not stores_predictions(work.recipe):
        work.finish({"images": 0}, "nothing is stored (predict.store=none): pseudolabel runs the network itself")
        return
    target, setting = work.view("target"), prediction_of_round(work.recipe.predict, work.round)
    progress = work.progress("passes" if setting.adabn else "images")
    model = work.require_path("model")
    work.result.environment = predict(model, work.class_space(), target, setting, work.out, progress=progress)
    images = len(target.images)
    work.finish({"images": images}, f"{images} images in {work.job.out / 'predictions.h5'}")


stage = Stage(
    "predict",
    run,
    settings,
    inputs=[Input("model", latest_model, MODEL_HELP)],
    datasets=[Dataset("target", section="predict")],
    carry_over=carry_over,
    flags=["store", "scales", "flip", "window", "window_stride", "average", "adabn"],
    each_round=True,
    shared=True,
    writes="`predictions.h5`: the logits of each image, or labels and confidences",
    example="udaseg predict --model runs/demo/warmup/model.pt",
)
