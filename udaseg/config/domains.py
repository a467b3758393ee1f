"""The two sides of an experiment: the labelled source, the target, and the embedded world that can be both."""

from typing import Self

from pydantic import model_validator

from udaseg.config.fields import Count, HxW, Section, Seed


class Toytown(Section):
    """How much of the embedded world to render where the data root holds none."""

    source: Count = 300
    train: Count = 300
    val: Count = 100
    size: HxW = (256, 512)
    seed: Seed = 0


class Side(Section):
    @model_validator(mode="after")
    def _pad_needs_a_size(self) -> Self:
        if self.pad and self.size is None:
            raise ValueError("pad=true keeps the aspect of images within `size`, and there is no size")
        return self


class Source(Side):
    """The labelled, synthetic side."""

    dataset: str = "gta5"
    root: str | None = None  # relative to the data root; the dataset's name when absent
    split: str = "train"
    list: str | None = None  # a text file that names the images to take, all of the split when absent
    limit: Count | None = None
    coding: str | None = None  # of the label ids; only `folder` datasets leave it open
    size: HxW | None = None  # images and labels are resized to this before crops
    pad: bool = False  # keep the aspect within `size`; the rest is black and ignored


class Target(Side):
    """The real side: images to adapt to, and a labelled split that only evaluation opens."""

    dataset: str = "cityscapes"
    root: str | None = None
    split: str = "train"
    val: str = "val"
    list: str | None = None  # of the images of `split`
    limit: Count | None = None
    coding: str | None = None
    size: HxW | None = None
    pad: bool = False
