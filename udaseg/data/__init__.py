"""Datasets, images, training batches and styles; every dataset is opened as an ImageSet or a LabelledSet."""

from udaseg.data.datasets.registry import DATASETS, open_images, open_labelled
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet
from udaseg.data.images.read import read_depth, read_image, read_label_ids, read_train_ids, write_label

__all__ = [
    "DATASETS",
    "Image",
    "ImageSet",
    "Labelled",
    "LabelledSet",
    "open_images",
    "open_labelled",
    "read_depth",
    "read_image",
    "read_label_ids",
    "read_train_ids",
    "write_label",
]
