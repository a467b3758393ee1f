"""Read the metadata of a safetensors file that udaseg has written: facts about a network, each as JSON."""

import json
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError

SUFFIX = ".safetensors"
FORMAT = "format"  # an entry of the metadata that is "pt", for programs that look whose tensors they are
MODEL = f"model{SUFFIX}"  # its name in a folder, as timm and segmentation_models_pytorch expect it


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts in a safetensors file; empty where another program has written it.

    Raises UdasegError for a file that is damaged, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        raise damaged(path) from None
    if "schema" not in metadata:
        return {}
    try:
        return {key: json.loads(value) for key, value in metadata.items() if key != FORMAT}
    except ValueError:
        raise damaged(path) from None


def damaged(path: Path) -> UdasegError:
    """Return the error for a file that is damaged, or of another format."""
    return UdasegError(f"{path} is truncated, damaged, or not a safetensors file", "copy it again")
