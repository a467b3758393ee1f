"""Reading and writing PyTorch files: tensors and plain values only, damage told from danger."""

import errno
import hashlib
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.io.documents.tables import MODEL_SCHEMA


def read(path: Path, device: str | torch.device = "cpu") -> Any:
    """Read tensors and plain values from a PyTorch file; whatever would run code is refused.

    Raises UdasegError for a file that is missing, damaged, or holds other Python objects.
    """
    try:
        # PyTorch writes sums and does not look at them; files of before its 1.6 are no archives and have none.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
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


def write(content: Any, file: BinaryIO) -> None:
    """Write what `read` reads. Raises OSError where there is no space, KeyboardInterrupt where it is told to stop.

    PyTorch hides both behind an error of its own.
    """
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError | KeyboardInterrupt):
            raise error.__context__ from None
        raise


def digest(meta: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a model's facts and tensors, whatever file they lie in.

    PyTorch does not look at the sums in its files when it reads them: one flipped byte can turn a tensor
    into uninitialised memory.
    """
    facts_and_bytes = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        facts_and_bytes.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        facts_and_bytes.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return facts_and_bytes.hexdigest()


def damaged(path: Path) -> UdasegError:
    """Make the error for a file that is not what it should be."""
    return UdasegError(
        f"{path} is truncated, damaged, or not a PyTorch file", "copy it again, or run the stage that wrote it"
    )


def is_ours(content: Any) -> bool:
    """Tell whether what was read is a `model.pt` of any version."""
    return (
        isinstance(content, dict)
        and content.keys() == {"meta", "model", "digest"}
        and isinstance(content["meta"], dict)
    )


def facts(path: Path, content: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Check that what was read (on the CPU) has our schema and is whole, and split it into facts and tensors."""
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
        whole = isinstance(names, list) and bool(names) and isinstance(meta["stride_first"], bool)
        whole = whole and isinstance(tensors, dict) and all(isinstance(value, Tensor) for value in tensors.values())
        whole = whole and content["digest"] == digest(meta, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError):
        whole = False
    if not whole:
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
