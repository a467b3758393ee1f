"""Read and write files of tensors and plain values; refuse damaged files, and code."""

import errno
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.io import safetensors_file
from udaseg.io.documents.other_files import MODEL_SCHEMA


def read(path: Path, device: str | torch.device = "cpu") -> Any:
    """Read tensors and plain values from a PyTorch file; a file that could run code is refused.

    Raises UdasegError for a file that is missing, damaged, or holds other Python objects.
    """
    try:
        # PyTorch writes checksums and does not check them. Files of PyTorch before 1.6 are no archives and have none.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                # PyTorch takes an entry with this bit for a folder, and returns a tensor that it never read.
                is_folder = any(entry.external_attr & 0x10 for entry in archive.infolist())
                if is_folder or archive.testzip() is not None:
                    raise damaged(path)
        return torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the beginning of a file that has been cut
            raise damaged(path) from None
        raise UdasegError(
            f"cannot read {path}: {error.strerror or error}", "check the path and its permissions"
        ) from None
    except pickle.UnpicklingError as error:
        if any(word in str(error) for word in ("GLOBAL", "unrecognized", "Unsupported class")):
            raise UdasegError(
                f"{path} holds Python objects besides tensors; loading it could run code, so it is refused",
                "save it again where you trust it, as a dictionary of tensors: model.state_dict()",
            ) from None
        raise damaged(path) from None
    except UdasegError:
        raise
    except Exception:  # a damaged stream can fail anywhere in the reader, with anything
        raise damaged(path) from None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file by name. Raises UdasegError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError):
        raise safetensors_file.damaged(path) from None


def read_export(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a network that udaseg has exported as safetensors, as the facts and the tensors of a `model.pt`.

    The fact `layout` says whose names the tensors have. Raises UdasegError for any other file.
    """
    exported = safetensors_file.read_facts(path)
    if exported.get("layout") == "timm" or not exported:
        whose = "the encoder alone" if exported else "a network that udaseg has not exported"
        raise UdasegError(
            f"{path} holds {whose}", "foreign weights and encoders are read by model.weights=FILE, for a training"
        )
    meta = {"extra": {}, **exported, "schema": MODEL_SCHEMA}
    return facts(path, {"meta": meta, "model": read_safetensors(path)})


def write(content: Any, file: BinaryIO) -> None:
    """Write tensors and plain values to an open file, as `read` reads them.

    Raises OSError where there is no space and KeyboardInterrupt where the user stops it; PyTorch hides both behind an
    error of its own.
    """
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError | KeyboardInterrupt):
            raise error.__context__ from None
        raise


def damaged(path: Path) -> UdasegError:
    """Return the error for a file that is damaged or of another format."""
    return UdasegError(
        f"{path} is truncated, damaged, or not a PyTorch file", "copy it again, or run the stage that wrote it"
    )


def is_ours(content: Any) -> bool:
    """Tell whether the content of a PyTorch file is that of a `model.pt` of any version."""
    # Before the first release it had a third key, `digest`.
    return (
        isinstance(content, dict)
        and content.keys() - {"digest"} == {"meta", "model"}
        and isinstance(content["meta"], dict)
    )


def facts(path: Path, content: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Check the schema and the parts of a model's content, and split it into facts and tensors.

    Raises UdasegError for another schema, a missing part, and tensors that are not finite.
    """
    schema = content["meta"].get("schema") if is_ours(content) else None
    if schema != MODEL_SCHEMA:
        raise UdasegError(
            f"{path} has schema {schema!r}, expected {MODEL_SCHEMA!r}",
            "foreign weights are read by model.weights=FILE; a model.pt of another version has to be trained again",
        )
    meta, tensors = content["meta"], content["model"]
    try:
        config.Model(**meta["model"], weights="none")
        names = meta["classes"]
        is_whole = isinstance(names, list) and bool(names) and isinstance(meta["stride_first"], bool)
        is_whole = (
            is_whole and isinstance(tensors, dict) and all(isinstance(value, Tensor) for value in tensors.values())
        )
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise damaged(path)
    check_finite(str(path), tensors)
    return meta, tensors


def check_finite(source: str, tensors: dict[str, Tensor]) -> None:
    """Raise UdasegError, naming the first tensor that holds NaN or infinite values."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UdasegError(
                f"{source}: {name} holds NaN or infinite values",
                "the training that wrote it diverged: lower its lr, or start from an earlier checkpoint",
            )
