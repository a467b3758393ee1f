"""The chain of a recipe: its stages in order, round by round, and the gaps between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from udaseg.errors import UdasegError, did_you_mean
from udaseg.pipeline.engine import plan_job, run_stage
from udaseg.pipeline.manifest import Job, read_manifest
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Stage, StageFile

EVALUATE = "evaluate"


class Step(NamedTuple):
    """A stage of a chain, by the name that the recipe gives it, with the run in its round."""

    name: str
    stage: Stage
    run: Run

    def job(self) -> Job:
        """Plan the job of the stage."""
        return plan_job(self.run, self.stage)

    def execute(self) -> Job:
        """Run the stage, unless it is up to date."""
        return run_stage(self.run, self.stage)

    @property
    def label(self) -> str:
        """The directory of the stage, relative to the run."""
        return self.run.stage_folder(self.name).relative_to(self.run.folder).as_posix()


def final_training_stage(run: Run) -> str:
    """Return the stage whose model is the result of the recipe: the last of its trainings."""
    return next((name for name in ("redistill", "distill") if name in run.recipe.chain), "retrain")


def last_trained_stage(run: Run) -> str:
    """Return the last training of the run that is finished, or of the round where one is given; else the warm-up."""
    names = ("retrain",) if run.round_given else (final_training_stage(run), "retrain")
    return next((name for name in names if read_manifest(run.stage_folder(name)) is not None), "warmup")


def steps(run: Run) -> list[Step]:
    """Return the stages of the recipe's chain in order, each with the run in its round.

    The stages of self-training stand there once for every round; the others before the first or after the last.
    Raises UdasegError for a name that is no stage.
    """
    chain, rounds = run.recipe.chain, run.recipe.rounds
    unknown = [name for name in chain if _stage(run, name) is None]
    if unknown:
        known = [*run.stages, *(f"{EVALUATE}-{name}" for name, stage in run.stages.items() if stage.trains)]
        raise UdasegError(
            f"recipe {run.recipe.name}: chain: there is no stage {', '.join(unknown)}",
            f"{did_you_mean(unknown[0], known)}known: {', '.join(known)}",
        )
    repeated = [name for name in chain if _require_stage(run, name).each_round]
    if rounds == 1:
        return [_step(run, name) for name in chain]
    last = max((chain.index(name) for name in repeated), default=len(chain))
    before = [name for name in chain[:last] if name not in repeated]
    after = [name for name in chain[last:] if name not in repeated]
    in_rounds = [_step(run.in_round(number), name) for number in range(1, rounds + 1) for name in repeated]
    return [*(_step(run, name) for name in before), *in_rounds, *(_step(run, name) for name in after)]


def stages_read(step: Step) -> set[str]:
    """Return the directories, relative to the run, of the stages that a step of the chain reads."""
    run, places = step.run, []
    if step.stage.name == EVALUATE:
        places.append(run.stage_folder(str(run.paths["model"])))
    elif step.stage.name == "report":  # which reads all there are
        return {other.label for other in steps(run)} - {step.label}
    for declared in step.stage.inputs:
        place = declared.locate(run.recipe, run.round) if declared.is_read(run.recipe) else None
        if isinstance(place, StageFile):
            places.append(run.stage_folder(place.stage, place.round))
    return {folder.relative_to(run.folder).as_posix() for folder in places}


def gaps(run: Run) -> list[str]:
    """Return the stages of the recipe's chain that read one which the chain does not run before them."""
    problems: list[str] = []
    earlier: set[str] = set()
    for step in steps(replace(run, recipe=run.recipe.model_copy(update={"rounds": 1}))):
        needed, made = [final_training_stage(run)] if step.name == EVALUATE else [], []
        if step.name.startswith(f"{EVALUATE}-"):
            needed = [step.name.removeprefix(f"{EVALUATE}-")]
        for declared in step.stage.inputs:
            place = declared.locate(run.recipe, 1) if declared.is_read(run.recipe) and declared.required else None
            if isinstance(place, StageFile):
                (made if declared.make else needed).append(place.stage)
        missing = [name for name in dict.fromkeys(needed) if name not in earlier]
        problems += [f"chain: {step.name} reads {name}, which is not run before it" for name in missing]
        earlier |= {step.name, *made}
    return problems


def _stage(run: Run, name: str) -> Stage | None:
    """Return a stage by its name in a chain: evaluate-warmup is the stage evaluate on the model of warmup."""
    evaluated = name.removeprefix(f"{EVALUATE}-")
    if name != evaluated:
        return run.stages[EVALUATE] if evaluated in run.stages and run.stages[evaluated].trains else None
    return run.stages.get(name)


def _require_stage(run: Run, name: str) -> Stage:
    stage = _stage(run, name)
    assert stage is not None
    return stage


def _step(run: Run, name: str) -> Step:
    stage = _require_stage(run, name)
    if stage.name == EVALUATE:
        model = name.removeprefix(f"{EVALUATE}-") if name != EVALUATE else final_training_stage(run)
        run = run.with_input("model", Path(model))
    return Step(name, stage, run)
