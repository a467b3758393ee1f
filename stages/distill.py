"""udaseg distill: train a fresh student on the predictions of the finished model."""

from dataclasses import replace

from udaseg.config import Recipe
from udaseg.pipeline.common_inputs import MODEL_HELP
from udaseg.pipeline.stage import Dataset, Input, Stage, StageFile
from udaseg.pipeline.work import Work
from udaseg.train.stage import FLAGS, finish_training, source_view, stylized_source, weights_input


def reads_source(recipe: Recipe) -> bool:
    return recipe.distill.source != "none"


def finished_model(recipe: Recipe, round: int) -> StageFile:
    return StageFile("retrain", "model.pt", round)


def first_student(recipe: Recipe, round: int) -> StageFile:
    return StageFile("distill", "model.pt")


def run(work: Work) -> None:
    """Train a fresh student on the source and on the finished model's predictions of the target."""
    from udaseg.train.distill import distill

    recipe, target = work.recipe, work.view("target")
    result = distill(
        source_view(work, recipe.distill.source),
        target,
        work.class_space().classes,
        work.require_path("model"),
        recipe.model,
        recipe.distill,
        work.out,
        seed=work.seed,
        progress=work.progress("steps"),
    )
    finish_training(work, recipe.distill, result, f"{len(target.images)} target images")


TEACHER_HELP = f"The teacher, of any architecture: {MODEL_HELP[0].lower()}{MODEL_HELP[1:]}"

declared = Stage(
    "distill",
    run,
    settings=["space", "model", "distill"],
    inputs=[
        Input("model", finished_model, TEACHER_HELP),
        weights_input("distill"),
        stylized_source("distill"),
    ],
    datasets=[Dataset("target", section="distill"), Dataset("source", when=reads_source, drawn=True)],
    flags=FLAGS,
    seeded=True,
    trains=True,
    writes="as `warmup`: a new student of that model",
    example="udaseg distill --model runs/demo/retrain/model.pt --set model.name=bisenet",
)


def run_again(work: Work) -> None:
    """Distill the student of `distill` into a second fresh student (ProDA, stage 3)."""
    run(work)


again = replace(
    declared,
    name="redistill",
    run=run_again,
    section="distill",
    inputs=[Input("model", first_student, TEACHER_HELP), *declared.inputs[1:]],
    command="distill --again",
    writes="",
)
stage = replace(declared, phases={"again": again})
