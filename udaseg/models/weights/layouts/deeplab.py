"""The published DeepLab-v2 networks: of the AdaptSegNet family, whose encoder comes from Caffe, of FADA and of ProDA.

AdaptSegNet calls the classifier layer5, or layer6 where layer5 is the auxiliary one; ADVENT and DADA have the same
names. Branches 0 to 3 of a classifier have the dilations 6, 12, 18, 24. DADA's depth head is enc4_1 to enc4_3; its
layer dec4 exists in no network here. FADA has torchvision's encoder. ProDA's classifier has normalised branches and a
bottleneck, which no network here has.
"""

import re

from udaseg import config
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors
from udaseg.models.weights.layouts.plain import RESNET_LAYERS

BRANCHES = {"0": 6, "1": 12, "2": 18, "3": 24}  # branch of a published classifier -> dilation
DEPTH_LAYERS = {"enc4_1": 0, "enc4_2": 2, "enc4_3": 4}  # layer of the published depth head (DADA) -> layer of ours


def is_caffe(tensors: Tensors) -> bool:
    """Return whether tensors include the classifier of a network of the AdaptSegNet family."""
    return any(name.startswith(("layer5.", "layer6.")) for name in tensors)


def rename_caffe(tensors: Tensors, settings: config.Model) -> Renamed:
    """Give the tensors of an AdaptSegNet, ADVENT or DADA file the names of udaseg's DeepLab."""
    classifiers = {"layer5": "classifier"}
    if any(name.startswith("layer6.") for name in tensors):
        classifiers = {"layer5": "auxiliary", "layer6": "classifier"}
    encoder, heads = {}, {}
    for name, value in tensors.items():
        match name.split("."):
            case [first, *_] if first in RESNET_LAYERS:
                encoder[name] = value
            case [first, "conv2d_list", branch, part] if first in classifiers and BRANCHES.get(branch) in settings.aspp:
                heads[f"{classifiers[first]}.{settings.aspp.index(BRANCHES[branch])}.{part}"] = value
            case [first, part] if first in DEPTH_LAYERS:
                heads[f"heads.depth.{DEPTH_LAYERS[first]}.{part}"] = value
            case [first, *_] if first != "fc":
                heads[name] = value
    return Renamed(encoder, heads, _describe_untrained(tensors, settings.aspp))


def is_fada(tensors: Tensors) -> bool:
    """Return whether tensors include the two parts of a network of FADA."""
    return any(name.startswith("classifier.conv2d_list.") for name in tensors)


def rename_fada(tensors: Tensors, settings: config.Model) -> Renamed:
    """Give the tensors of a FADA file the names of udaseg's DeepLab."""
    names = {name: re.sub(r"^classifier\.", "layer5.", name) for name in tensors}
    caution = "FADA's first blocks of layers 3 and 4 have the dilations 1 and 2, here 2 and 4: scores differ"
    return rename_caffe({names[name]: tensors[name] for name in tensors}, settings)._replace(caution=caution)


def is_proda(tensors: Tensors) -> bool:
    """Return whether tensors include the classifier of a network of ProDA."""
    return any(name.startswith("layer5.bottleneck.") for name in tensors)


def rename_proda(tensors: Tensors, settings: config.Model) -> Renamed:
    """Separate the encoder of a ProDA file from its classifier, which fits no network here."""
    caution = "ProDA's classifier has other layers than this one: only the encoder is loaded"
    return rename_caffe(tensors, settings)._replace(caution=caution)


def _describe_untrained(tensors: Tensors, aspp: tuple[int, ...]) -> str | None:
    """Return a caution where branches of `aspp` still follow N(0, 0.01) and others do not.

    AdaptSegNet's files hold four branches, of which its forward pass uses two.
    """
    is_initial: dict[int, list[bool]] = {}
    for name, value in tensors.items():
        match name.split("."):
            case ["layer5" | "layer6", "conv2d_list", branch, "weight"] if branch in BRANCHES:
                follows = abs(float(value.std()) - 0.01) < 1e-4 and abs(float(value.mean())) < 1e-4
                is_initial.setdefault(BRANCHES[branch], []).append(follows)
    untrained = {dilation for dilation, flags in is_initial.items() if all(flags)}
    if untrained == is_initial.keys() or not untrained & set(aspp):
        return None
    trained = ",".join(str(dilation) for dilation in aspp if dilation not in untrained)
    return (
        f"its ASPP branches {sorted(untrained & set(aspp))} still have their initial weights, "
        f"so it was trained without them: set model.aspp=[{trained}]"
    )


CAFFE = Layout("published DeepLabs", is_caffe, rename_caffe, "bgr-mean", stride_first=True)
FADA = Layout("FADA's DeepLabs", is_fada, rename_fada, "rgb-imagenet")
PRODA = Layout("ProDA's DeepLabs", is_proda, rename_proda, "rgb", stride_first=True)
