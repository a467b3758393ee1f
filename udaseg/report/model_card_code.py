"""The code in a model card: how a program builds the network from its folder, and labels an image."""

import json
from collections.abc import Mapping
from typing import Any

from udaseg.models.export_folder import Exported
from udaseg.models.smp_layout import PACKAGE

_IMAGE = """\
import numpy as np
import torch
from PIL import Image

height, width = {size}
image = Image.open("street.png").convert("RGB").resize((width, height))
values = (np.asarray(image, np.float32)[..., {order}] - {mean}) / {std}
batch = torch.from_numpy(values.transpose(2, 0, 1)[None]).float()
"""
_LABEL = """\
with torch.inference_mode():
    logits = network(batch){logits}
full = torch.nn.functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners={align_corners})
label = full.argmax(1)[0].numpy()  # the index of the class of each pixel
"""
_SMP = f'import {PACKAGE} as smp\n\nnetwork = smp.from_pretrained(".").eval()  # this folder\n'
_UDASEG = """\
from pathlib import Path

from udaseg.models import checkpoint

network, facts = checkpoint.load(Path("model.safetensors"))  # in this folder
"""
_TIMM = """\
import json
from pathlib import Path

import timm
from safetensors.torch import load_file

config = json.loads(Path("config.json").read_text())  # in this folder
encoder = timm.create_model(config["architecture"], num_classes=0, **config["model_args"])
{prune}encoder.load_state_dict(load_file("model.safetensors"))
encoder.eval()
"""
_MAPS = """\
with torch.inference_mode():
    maps = encoder.forward_intermediates(batch, indices={indices}, norm={norm}, intermediates_only=True)
"""


def usage(exported: Exported) -> str:
    """Return the section about the use of a folder: blocks that run in it, on an image `street.png`."""
    facts = exported.facts
    image = _IMAGE.format(
        size=tuple(facts["size"]), order=list(facts["order"]), mean=_rounded(facts["mean"]), std=_rounded(facts["std"])
    )
    label = _LABEL.format(
        align_corners=facts["align_corners"], logits=".logits" if exported.library == "udaseg" else ""
    )
    if exported.encoder is not None:
        maps = _MAPS.format(indices=exported.encoder.indices, norm=exported.encoder.is_normalised)
        text = "timm builds the encoder, and every name has to fit:"
        return f"{text}\n\n{_block(_timm(exported), image, maps)}\n\n{_features(exported)}"
    command, end = _apply(facts), ""
    if "window" in facts:  # the network alone sees windows, not whole images
        window, stride = _window(facts)
        label = ""
        end = f"The network sees windows of {window}, {stride} apart: cut them from `batch`, and average their logits."
        end = f"\n\n{end}"
    if exported.library == PACKAGE:
        code = f"segmentation_models_pytorch builds the network:\n\n{_block(_SMP, image, label)}{end}"
        return f"{code}\n\nSo does udaseg, which labels a folder of images:\n\n{command}"
    text = f"This command labels a folder of images with it:\n\n{command}\n\nIn Python:"
    return f"{text}\n\n{_block(_UDASEG, image, label)}{end}"


def _apply(facts: Mapping[str, Any]) -> str:
    windows = " --window {} --window-stride {}".format(*_window(facts)) if "window" in facts else ""
    return f"```sh\nudaseg apply . ../photos --out ../labelled{windows}\n```"


def _window(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Return the size and the stride of the windows, as HEIGHTxWIDTH."""
    window, stride = ("x".join(map(str, facts[key])) for key in ("window", "window_stride"))
    return window, stride


def _timm(exported: Exported) -> str:
    encoder = exported.encoder
    assert encoder is not None
    prune = (
        f"encoder.prune_intermediate_layers(prune_norm={not encoder.is_normalised}, prune_head=True)  # not trained\n"
    )
    return _TIMM.format(prune=prune if encoder.is_pruned else "")


def _features(exported: Exported) -> str:
    """Say how timm loads the folder by itself, and how a training of udaseg starts from it."""
    short = 'timm.create_model("local-dir:.", pretrained=True, features_only=True)'
    return (
        f"`{short}` loads it too, without a complaint about names that do not fit. A training of udaseg starts from it "
        "with `model.weights` set to the path of `model.safetensors`."
    )


def _rounded(values: Any) -> str:
    return json.dumps([round(value, 6) for value in values])


def _block(*parts: str) -> str:
    """Return a block of code with the imports of all parts at its head."""
    lines = [line for part in parts for line in [*part.splitlines(), ""]]
    is_import = [line.startswith(("import ", "from ")) for line in lines]
    imports = sorted({line for line, at_head in zip(lines, is_import, strict=True) if at_head})
    code = "\n".join(line for line, at_head in zip(lines, is_import, strict=True) if not at_head)
    while "\n\n\n" in code:
        code = code.replace("\n\n\n", "\n\n")
    return "```py\n" + "\n".join(imports) + f"\n\n{code.strip()}\n```"
