"""Read the tensors of a weights file, and take the wrappers of training programs off."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from udaseg.errors import UdasegError
from udaseg.io.safetensors_file import SUFFIX
from udaseg.models import tensorfile
from udaseg.models.weights import mxnet
from udaseg.models.weights.layouts import Tensors

# Where training programs keep the weights in their checkpoints: the student before averages of it.
STUDENTS = ("state_dict", "model", "model_state_dict", "model_state", "student")
AVERAGES = ("teacher", "model_ema", "state_dict_ema", "ema_state_dict", "ema")
# Prefix of the student in a checkpoint that holds several networks -> prefixes of the others
BRANCHES = {
    "model.": ("ema_model.", "imnet_model.", "teacher_model."),  # DAFormer, HRDA, MIC
    "network.": ("network_ema.", "network_feature_extractor."),  # VFM-UDA
}
WRAPPERS = ("module.", "Scale.")  # of DataParallel, and of DeepLabs from Caffe
COMMON = ("model.", "network.", "teacher.", "student.", "ema_model.")  # prefixes that all names may share
ENCODERS = ("segformer.encoder.", "backbone.model.", "backbone.", "encoder.model.", "encoder.")


class Unwrapped(NamedTuple):
    """The tensors of a file by name, without the prefixes of wrappers, and a remark where there was a choice."""

    tensors: Tensors
    remark: str | None = None


def read_content(path: Path) -> Any:
    """Read a PyTorch file of tensors and plain values, a safetensors file, or a parameter file of MXNet.

    Raises UdasegError for a file that is missing or damaged, or could run code.
    """
    if path.suffix == mxnet.SUFFIX:
        return mxnet.read_params(path)
    return tensorfile.read_safetensors(path) if path.suffix == SUFFIX else tensorfile.read(path)


def unwrap(content: Any, path: Path) -> Unwrapped:
    """Return the tensors of a foreign file by name, without the prefixes of wrappers.

    Of a checkpoint with several networks, the student is taken; the remark says so. Raises UdasegError where the
    content is no dictionary of dense, real tensors.
    """
    state, remark = _take_state(content)
    if not (
        isinstance(state, dict) and state and all(isinstance(k, str) and _is_dense_real(v) for k, v in state.items())
    ):
        raise UdasegError(
            f"{path} is not a dictionary of dense, real tensors by name", "save model.state_dict() with torch.save"
        )
    names = {name: strip_wrappers(name) for name in state}
    for student, others in BRANCHES.items():
        left = [prefix for prefix in others if any(name.startswith(prefix) for name in names.values())]
        if left and any(name.startswith(student) for name in names.values()):
            names = {old: name for old, name in names.items() if name.startswith(student)}
            remark = f"took the student ({student}), left {', '.join(left)}"
    while prefix := next((one for one in COMMON if all(name.startswith(one) for name in names.values())), None):
        if prefix in ("teacher.", "ema_model."):
            remark = f"took {prefix}, an average of the student's weights"
        names = {old: name.removeprefix(prefix) for old, name in names.items()}
    if prefix := next((one for one in ENCODERS if any(name.startswith(one) for name in names.values())), None):
        names = {old: name.removeprefix(prefix) for old, name in names.items()}
    if len(set(names.values())) < len(names):
        raise UdasegError(
            f"{path} holds several networks whose tensors have the same names",
            "save the state_dict() of one network with torch.save",
        )
    return Unwrapped({name: state[old] for old, name in names.items()}, remark)


def strip_wrappers(name: str) -> str:
    """Return the name of a tensor without the prefixes of wrappers."""
    for prefix in WRAPPERS:
        name = name.removeprefix(prefix)
    return name


def _take_state(content: Any, remark: str | None = None, depth: int = 4) -> tuple[Any, str | None]:
    """Return the dictionary of tensors inside the content of a checkpoint, and a remark where there was a choice.

    It is looked for in `depth` levels of dictionaries.
    """
    if not (isinstance(content, dict) and depth) or any(isinstance(value, Tensor) for value in content.values()):
        return content, remark
    parts = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, dict)}
    if {"feature_extractor", "classifier"} <= parts.keys():  # FADA saves its two parts
        heads = {f"classifier.{strip_wrappers(str(name))}": value for name, value in parts["classifier"].items()}
        return {strip_wrappers(str(name)): value for name, value in parts["feature_extractor"].items()} | heads, remark
    averages = [key for key in AVERAGES if key in parts]
    students = [key for key in STUDENTS if key in parts]
    # ProDA saves each network under the name of its class; the segmentation network is the first.
    networks = [key for key, part in parts.items() if isinstance(part.get("model_state"), dict)]
    if taken := [*students[:1], *networks[:1], *averages[:1]][:1]:
        left = [key for key in (*averages, *networks) if key not in taken]
        if taken[0] in averages:
            remark = f"took {taken[0]}, an average of the student's weights"
        elif left:
            remark = f"took the student ({taken[0]}), left {', '.join(left)}"
        return _take_state(parts[taken[0]], remark, depth - 1)
    return content, remark


def _is_dense_real(value: Any) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_complex())
    )
