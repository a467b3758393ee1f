"""The layouts of weights files: how each family of published networks names its tensors, one file each family."""

from udaseg.models.weights.layouts import deeplab, dinov2, efficientnet_lite, mit, plain, vgg, wide_resnet
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

__all__ = ["LAYOUTS", "Layout", "Renamed", "Tensors", "find_layout"]

# The first layout that matches is taken. The last one matches everything.
LAYOUTS: tuple[Layout, ...] = (
    efficientnet_lite.LITE,
    mit.MIT,
    mit.HUGGING_FACE,
    dinov2.DINOV2,
    wide_resnet.MXNET,
    wide_resnet.AFFINITYNET,
    wide_resnet.MAPILLARY,
    vgg.VGG,
    deeplab.PRODA,
    deeplab.FADA,
    deeplab.CAFFE,
    plain.IMAGENET,
    plain.TORCHVISION,
    plain.PLAIN,
)


def find_layout(tensors: Tensors) -> Layout:
    """Return the layout of a file's tensors, whose names have no prefixes of wrappers."""
    return next(layout for layout in LAYOUTS if layout.matches(tensors))
