"""The weights that the trainings of a chain start from, looked for before its first stage runs."""

from collections.abc import Sequence

from udaseg.config.recipe import NamedWeights, foundation_weights, initial_weights
from udaseg.errors import UdasegError
from udaseg.io.weights_file import NOT_FILES, find_weights_file
from udaseg.parallel import processes
from udaseg.pipeline import datasets, toytown
from udaseg.pipeline.chain import Step
from udaseg.pipeline.manifest import read_manifest
from udaseg.pipeline.run import Run


def weights_problems(steps: Sequence[Step]) -> list[UdasegError]:
    """Return an error for each file or package of weights that a training of the chain starts from and that is missing.

    Weights of ImageNet are no problem where they can be downloaded.
    """
    problems: dict[str, UdasegError] = {}
    for weights in _weights(steps):
        try:
            if weights.value not in NOT_FILES:
                find_weights_file(weights.value, weights.key)
        except UdasegError as error:
            problems.setdefault(error.message, error)
    for encoder in _imagenet_encoders(steps):
        from udaseg.models.weights import imagenet  # imports torch

        try:
            imagenet.find_imagenet(encoder)
        except UdasegError as error:
            problems.setdefault(error.message, error)
    return list(problems.values())


def require_weights(steps: Sequence[Step]) -> None:
    """Raise UdasegError where a file or package of weights that a chain starts from is missing, with all of them."""
    if problems := weights_problems(steps):
        hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
        raise UdasegError("\n  ".join(problem.message for problem in problems), "\n       ".join(hints))


def fetch_weights(steps: Sequence[Step]) -> None:
    """Download the weights of ImageNet that unfinished trainings of a chain start from and that are not here.

    Raises UdasegError where that fails, or where other weights are missing. Nothing is downloaded for a recipe without
    its data, which its first stage reports.
    """
    require_weights(steps)
    unfinished = [step for step in steps if step.run.force or read_manifest(step.run.stage_folder(step.name)) is None]
    encoders = _imagenet_encoders(unfinished)
    if not encoders:
        return
    from udaseg.models.weights import imagenet  # imports torch

    absent = [encoder for encoder in encoders if not imagenet.find_imagenet(encoder)[2]]
    if absent and not _lacks_data(steps[0].run):
        for encoder in absent:
            processes.broadcast(lambda encoder=encoder: str(imagenet.download_imagenet(encoder)))


def _lacks_data(run: Run) -> bool:
    return bool(datasets.data_problems(run, toytown.TOYTOWN if toytown.needs_rendering(run) else ()))


def absent_imagenet(steps: Sequence[Step]) -> list[str]:
    """Return a note for each encoder whose weights of ImageNet the chain starts from and that are not here yet."""
    from udaseg.pipeline.doctor import weights

    findings = [weights(encoder) for encoder in _imagenet_encoders(steps)]
    return [f"{finding.what}: {finding.fix}" for finding in findings if finding is not None]


def _imagenet_encoders(steps: Sequence[Step]) -> list[str]:
    """Return the encoders whose trainings start from the weights of ImageNet."""
    return list(dict.fromkeys(weights.encoder for weights in _weights(steps) if weights.value == "imagenet"))


def _weights(steps: Sequence[Step]) -> list[NamedWeights]:
    """Return the weights that the trainings of a chain read."""
    kinds = (initial_weights, foundation_weights)
    found = [kind(step.run.recipe, step.stage.name) for step in steps for kind in kinds]
    return [weights for weights in found if weights is not None]
