"""The two domains of an experiment, source and target, and the rendered world that can stand for both."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from udaseg.config.fields import Count, HxW, Positive, Section, Seed, SettingError
from udaseg.errors import did_you_mean, join_names


class Toytown(Section):
    """How much of toytown to render where the data directory holds none."""

    later: ClassVar[frozenset[str]] = frozenset({"depth", "frames"})

    source: Count = Field(300, description="Frames of each synthetic set, gta5/ and synthia/.")
    train: Count = Field(300, description="Frames of the training split of the real set, cityscapes/.")
    val: Count = Field(100, description="Frames of the labelled split of the real set.")
    frames: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="With 2 or more, each training frame of the real set ends a video of so many, with its flow."
    )
    size: HxW = Field((256, 512), description="Height and width of a frame, in pixels.")
    seed: Seed = Field(0, description="The seed of the rendered world.")
    depth: bool = Field(False, description="Depth for the training split of the real set too: disparity and relative.")


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
        None,
        description="The folder of the source dataset in the data directory, or an address such as s3://bucket/prefix; "
        "default: the dataset's name.",
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


class SharedSource(Source):
    """One of several labelled domains: how often it is drawn, and which classes its labels cannot have."""

    share: Positive | None = Field(
        None,
        description="How often this source is drawn, as a ratio to the others; default for all: its number of images.",
    )
    missing: tuple[str, ...] = Field(
        (), description="Classes of the space that this source cannot label: they are left out of its loss."
    )


def name_sources(sources: Sequence[SharedSource]) -> tuple[str, ...]:
    """Name each of several sources: by its dataset, and by its place in the list too where others have that dataset."""
    datasets = [source.dataset for source in sources]
    return tuple(
        dataset if datasets.count(dataset) == 1 else f"{dataset}-{place}" for place, dataset in enumerate(datasets, 1)
    )


def check_sources(sources: Sequence[SharedSource], classes: Sequence[str]) -> None:
    """Raise SettingError where sources do not go together, or name other classes than those of the class space."""
    if len(sources) < 2:
        raise SettingError(
            f"expected two sources or more, found {len(sources) or 'none'}",
            "one source is written as source: {dataset: gta5}, without sources",
        )
    names = name_sources(sources)
    images = [(one.dataset, one.root or one.dataset, one.split, one.list, one.limit) for one in sources]
    if twice := [name for name, one in zip(names, images, strict=True) if images.count(one) > 1]:
        raise SettingError(
            f"{' and '.join(twice)} are the same images", "leave one out, and give the other one a larger share"
        )
    without = [name for name, one in zip(names, sources, strict=True) if one.share is None]
    if 0 < len(without) < len(sources):
        raise SettingError(
            f"{join_names(without)} has no share, and others have one",
            "give every source a share, or none: then they are drawn by their numbers of images",
        )
    for name, source in zip(names, sources, strict=True):
        _check_missing(name, source.missing, classes)
    everywhere = [one for one in classes if all(one in source.missing for source in sources)]
    if everywhere:
        raise SettingError(
            f"no source can label {join_names(everywhere)}: every one lists it as missing",
            "take it out of `missing` and out of `space`",
        )


def _check_missing(name: str, missing: Sequence[str], classes: Sequence[str]) -> None:
    unknown = [one for one in missing if one not in classes]
    if unknown:
        raise SettingError(
            f"missing of {name}: the space has no class {', '.join(map(repr, unknown))}",
            f"{did_you_mean(unknown[0], classes)}the space has: {', '.join(classes)}",
        )
    if set(missing) == set(classes):
        raise SettingError(f"missing of {name}: all classes of the space are missing", "leave this source out")


class Target(Side):
    """The real domain: images to adapt to, and a labelled split that only evaluation opens."""

    dataset: str = Field("cityscapes", description="The target dataset: cityscapes, mapillary, bdd100k, folder, ...")
    root: str | None = Field(
        None,
        description="The folder of the target dataset in the data directory, or an address such as s3://bucket/prefix; "
        "default: the dataset's name.",
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
    # disparity: of a stereo camera, in Cityscapes' encoding; metric: in centimetres; relative: nearness without a unit
    depth: Literal["disparity", "metric", "relative"] | None = Field(
        None, description="What depth lies beside the target's images: disparity, metric or relative; default: none."
    )
    size: HxW | None = Field(None, description="Resize target images to this height and width before crops.")
    pad: bool = Field(
        False, description="Keep the aspect of target images within the size; the rest is black and ignored."
    )
