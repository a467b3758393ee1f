"""The two domains of an experiment, source and target, and the rendered world that can stand for both."""

from typing import Self

from pydantic import Field, model_validator

from udaseg.config.fields import Count, HxW, Section, Seed


class Toytown(Section):
    """How much of toytown to render where the data directory holds none."""

    source: Count = Field(300, description="Frames of each synthetic set, gta5/ and synthia/.")
    train: Count = Field(300, description="Frames of the training split of the real set, cityscapes/.")
    val: Count = Field(100, description="Frames of the labelled split of the real set.")
    size: HxW = Field((256, 512), description="Height and width of a frame, in pixels.")
    seed: Seed = Field(0, description="The seed of the rendered world.")


class LabelNames(Section):
    """How the names of label files differ from those of their images."""

    suffix: str | None = Field(
        None,
        pattern=r"^[^/\\\x00]+$",
        description="What label names add to image names, such as _mask; for `folder`; default: found.",
    )


class TargetLabelNames(LabelNames):
    """How the names of label files differ from those of the target's images: its true labels, and predicted ones."""

    predicted_suffix: str | None = Field(
        None,
        pattern=r"^[^/\\\x00]+$",
        description="What the names of labels of another tool add to image names, such as _pred; default: found.",
    )


class Side(Section):
    """What Source and Target share: a padded side needs a size."""

    @model_validator(mode="after")
    def _require_size_of_padding(self) -> Self:
        if self.pad and self.size is None:
            raise ValueError("pad=true keeps the aspect of images within `size`, and there is no size")
        return self


class Source(Side):
    """The labelled, synthetic domain."""

    dataset: str = Field("gta5", description="The source dataset: gta5, synthia, cityscapes, folder, ...")
    root: str | None = Field(
        None, description="The folder of the source dataset in the data directory; default: the dataset's name."
    )
    split: str = Field("train", description="The split of the source dataset to train on.")
    list: str | None = Field(
        None, description="A text file that names the source images to use; default: all of the split."
    )
    limit: Count | None = Field(None, description="Use only so many source images; default: all.")
    coding: str | None = Field(
        None, description="The coding of the source's label ids; only `folder` datasets leave it open."
    )
    labels: LabelNames = Field(LabelNames(), description="The names of the source's labels, in `folder` datasets.")
    size: HxW | None = Field(None, description="Resize source images and labels to this height and width before crops.")
    pad: bool = Field(
        False, description="Keep the aspect of source images within the size; the rest is black and ignored."
    )


class Target(Side):
    """The real domain: images to adapt to, and a labelled split that only evaluation opens."""

    dataset: str = Field("cityscapes", description="The target dataset: cityscapes, mapillary, bdd100k, folder, ...")
    root: str | None = Field(
        None, description="The folder of the target dataset in the data directory; default: the dataset's name."
    )
    split: str = Field("train", description="The split of the target dataset to adapt to.")
    val: str = Field("val", description="The labelled split of the target dataset to evaluate on.")
    list: str | None = Field(
        None, description="A text file that names the target images to use; default: all of the split."
    )
    limit: Count | None = Field(None, description="Use only so many target images; default: all.")
    coding: str | None = Field(
        None, description="The coding of the target's label ids; only `folder` datasets leave it open."
    )
    labels: TargetLabelNames = Field(
        TargetLabelNames(), description="The names of the target's labels: in `folder` datasets, and of other tools."
    )
    size: HxW | None = Field(None, description="Resize target images to this height and width before crops.")
    pad: bool = Field(
        False, description="Keep the aspect of target images within the size; the rest is black and ignored."
    )
