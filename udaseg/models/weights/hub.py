"""Find or download the ImageNet weights of timm's encoders, which are on the model hub of Hugging Face."""

import threading
import urllib.request
from pathlib import Path
from typing import NamedTuple

import timm
import torch

from udaseg.errors import UdasegError
from udaseg.models.encoders.names import timm_name

PATIENCE = 4  # seconds until the hub has to answer
FILE = "model.safetensors"


class HubFile(NamedTuple):
    """A file on the hub, and the path where a user may put it by hand."""

    repository: str
    revision: str | None
    name: str
    path: Path

    @property
    def url(self) -> str:
        """The address of the file."""
        import huggingface_hub

        return huggingface_hub.hf_hub_url(self.repository, self.name, revision=self.revision)


def find_hub_file(encoder: str) -> HubFile:
    """Return the file on the hub with an encoder's weights; raise UdasegError where timm has none."""
    name, arguments = timm_name(encoder)
    settings = timm.get_pretrained_cfg(name, allow_unregistered=False) if timm.is_model_pretrained(name) else None
    # mit_b5 has the very layers of pvt_v2_b5. The smaller ones have other shapes than their counterparts in timm.
    if settings is None or not settings.hf_hub_id or (arguments and name != "pvt_v2_b5"):
        raise UdasegError(
            f"timm has no ImageNet weights of {encoder}",
            "name a file of weights with --set model.weights=FILE, or set model.weights=none",
        )
    repository, _, revision = settings.hf_hub_id.partition("@")
    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{repository.rpartition('/')[2]}.safetensors"
    return HubFile(repository, revision or None, settings.hf_hub_filename or FILE, path)


def cached_path(file: HubFile) -> Path | None:
    """Return the path of a file of the hub on this machine: put there by hand, or in the hub's cache."""
    import huggingface_hub

    if file.path.is_file():
        return file.path
    path = huggingface_hub.try_to_load_from_cache(file.repository, file.name, revision=file.revision)
    return Path(path) if isinstance(path, str) else None


def download_from_hub(encoder: str) -> Path:
    """Return the path of an encoder's ImageNet weights, after a download where they are not on this machine.

    Raises UdasegError where timm has none, where the hub does not answer within PATIENCE seconds, and where the
    download fails.
    """
    import huggingface_hub

    file = find_hub_file(encoder)
    if path := cached_path(file):
        return path
    try:
        _require_answer(file.url)
        return Path(huggingface_hub.hf_hub_download(file.repository, file.name, revision=file.revision))
    except Exception as error:  # the hub's client lets the errors of its own transport through, of several libraries
        reason = str(getattr(error, "reason", error)).strip().partition("\n")[0] or type(error).__name__
        raise UdasegError(
            f"cannot download the ImageNet weights of {encoder}: {reason}",
            f"download {file.url} elsewhere and copy it to {file.path}, name a file of weights with "
            "--set model.weights=FILE, or train from random weights with --set model.weights=none",
        ) from None


def _require_answer(url: str) -> None:
    """Raise OSError where there is no answer from an address within PATIENCE seconds.

    The hub's own client tries for 49 seconds. The look-up of a name has no timeout, so it runs in a thread.
    """
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise OSError("the hub is switched off by HF_HUB_OFFLINE")
    errors: list[Exception | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PATIENCE):
                errors.append(None)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not errors:
        raise OSError(f"no answer within {PATIENCE} seconds")
    if errors[0] is not None:
        raise errors[0]
