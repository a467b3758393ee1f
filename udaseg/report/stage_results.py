"""Read the results of stages, each by the model of its file."""

from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.io.documents.refinement import Refinement
from udaseg.io.documents.thresholds import Thresholds

RESULTS = {"evaluate": Metrics, "pseudolabel": Thresholds, "refine": Refinement}  # by the kind of stage
Result = Metrics | Thresholds | Refinement


def read_result(folder: Path, kind: str) -> Result:
    """Read the result of a finished stage. Raises UdasegError where it is missing or damaged."""
    model = RESULTS[kind]
    result = read_document(folder / model.file, model, rerun_hint(folder))
    if result is None:
        raise UdasegError(f"{folder} has a manifest and no {model.file}", rerun_hint(folder))
    return result


def rerun_hint(folder: Path) -> str:
    """Return the hint for a stage directory whose files are damaged."""
    return f"remove {folder} and run the stage again"
