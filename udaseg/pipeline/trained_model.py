"""A trained model by its path: its file, its run, and the size at which it was trained.

The file is a model.pt, or the model.safetensors of a whole network that `udaseg export` has written.
"""

from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.io import safetensors_file
from udaseg.pipeline.manifest import read_manifest
from udaseg.pipeline.run_file import RUN_FILE
from udaseg.pipeline.swap import require_finished


def find_model(path: Path) -> Path:
    """Return the file of a model, given by itself or by the directory of the stage or export that wrote it."""
    model = path / "model.pt" if path.is_dir() else path
    if path.is_dir() and not model.exists() and (path / safetensors_file.MODEL).exists():
        model = path / safetensors_file.MODEL
    if not model.is_file():
        problem = f"{path} holds no model.pt" if path.is_dir() else f"there is no model {path}"
        within = sorted(path.glob("**/model.pt"), key=lambda file: file.stat().st_mtime_ns)
        last = f": the last one of this run is {within[-1].parent}" if within else ""
        raise UdasegError(problem, f"name a model.pt, or the directory of a warmup or retrain stage{last}")
    require_finished(model)
    return model


def find_run(model: Path) -> Path | None:
    """Return the run that a model.pt lies in: the nearest directory above it with a run.json; None outside of runs."""
    return next((folder for folder in model.absolute().parents if (folder / RUN_FILE).is_file()), None)


def trained_size(model: Path) -> tuple[list[int] | None, bool]:
    """Return the (height, width) at which a model saw its images in training, and whether their aspect was kept.

    The manifest beside the model says so (that of an adapted model, how it saw its stream), or the facts in an exported
    file. The size is None without them, and where images kept their own size.
    """
    if model.suffix == safetensors_file.SUFFIX:
        facts = safetensors_file.read_facts(model)
        return facts.get("size"), bool(facts.get("pad"))
    settings = (read_manifest(model.parent) or {}).get("settings", {})
    several = [*settings.get("sources", {}).values()]
    section = settings.get("target") or settings.get("source") or settings.get("adapt") or (several or [{}])[0]
    return section.get("size"), bool(section.get("pad"))
