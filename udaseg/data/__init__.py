"""Datasets: one file a dataset, all read into the same two kinds of sets."""

from udaseg.data.pictures import read_depth, read_image, read_label_ids, read_train_ids, write_label
from udaseg.data.records import Image, ImageSet, Labelled, LabelledSet
from udaseg.data.sets import DATASETS, open_images, open_labelled

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
