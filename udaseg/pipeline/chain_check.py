"""Check that a recipe can be run: its settings, the order of its stages, its data and its weights."""

from udaseg.config import rules
from udaseg.errors import UdasegError
from udaseg.pipeline import chain, datasets, toytown
from udaseg.pipeline.chain_weights import weights_problems
from udaseg.pipeline.run import Run


def require_runnable(run: Run, name: str, *, weights: bool = True) -> None:
    """Raise UdasegError, with all that is wrong, where the chain of a recipe cannot be run; nothing is rendered.

    Without `weights` those that the trainings start from are not looked for.
    """
    steps = chain.steps(run)
    problems = [UdasegError(problem, f"set chain in {name}") for problem in chain.gaps(run)]
    for stage in dict.fromkeys(step.stage.name for step in steps):
        problems += rules.contradictions(run.recipe, stage)
    is_missing = toytown.needs_rendering(run)
    problems += datasets.data_problems(run, toytown.TOYTOWN if is_missing else ()).values()
    problems += weights_problems(steps) if weights else []
    if is_missing:
        try:
            toytown.require_room(run)
        except UdasegError as error:
            problems.append(error)
    if problems:
        hints = "\n       ".join(dict.fromkeys(problem.hint for problem in problems))
        messages = "\n  ".join(dict.fromkeys(problem.message for problem in problems))
        raise UdasegError(f"recipe {name} cannot be run:\n  {messages}", hints)
