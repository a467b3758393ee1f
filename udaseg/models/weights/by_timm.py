"""Convert the tensors of an encoder with timm's own converter: older names, and position embeddings of another size."""

import sys

from udaseg.models.encoders import Encoder
from udaseg.models.weights.layouts import Tensors


def convert_by_timm(tensors: Tensors, encoder: Encoder) -> Tensors:
    """Convert tensors that do not fit an encoder of timm with the converter of its family; return others unchanged.

    The converter renames the tensors of older files, and resamples position embeddings to another number of patches.
    """
    expected = encoder.state_dict()
    if all(name in tensors and tensors[name].shape == value.shape for name, value in expected.items()):
        return tensors
    for family in type(encoder).__mro__:
        if family.__module__.startswith("timm.models."):
            convert = getattr(sys.modules[family.__module__], "checkpoint_filter_fn", None)
            break
    else:
        return tensors
    if convert is None:
        return tensors
    try:
        return dict(convert(dict(tensors), encoder))
    except (KeyError, AttributeError, AssertionError, IndexError, RuntimeError, TypeError, ValueError):
        return tensors  # the file is of another family, as the check of names and shapes will tell
