"""A model and images that belong to no dataset: what is labelled, at which size, and what must not be written over."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from udaseg.errors import UdasegError, join_names
from udaseg.io.digests import file_digests, joint_digest
from udaseg.io.safetensors_file import SUFFIX
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import InputDigest, Job, conflicts
from udaseg.pipeline.trained_model import find_model, trained_size

if TYPE_CHECKING:
    from udaseg.config import HxW
    from udaseg.data.images.loose import LooseImages

OWN = "own"
STRETCHED = 1.25  # from this change of the aspect on, a word about it


@dataclass(frozen=True)
class Plan:
    """What is labelled, by which model, and at which size the model sees it."""

    model: Path
    place: Path  # that was named: a directory or a file
    images: LooseImages
    size: HxW | None
    pad: bool

    @property
    def root(self) -> Path:
        """The directory below which the images lie."""
        return self.place if self.place.is_dir() else self.place.parent


def plan_images(command: str, model: Path, place: Path, size: HxW | str | None, pad: bool | None) -> Plan:
    """Find a model and open images for a command; log what the user may not expect of them.

    `size` is OWN where images are seen at their own size, and None where they are seen as in training. Raises
    UdasegError where there is no model, or no image.
    """
    from udaseg.data.images.loose import open_loose_images

    model, images = find_model(model), open_loose_images(place)
    trained, kept = trained_size(model)
    at = trained if size is None else None if size == OWN else size
    if size is None:
        whose = "the size of its export" if model.suffix == SUFFIX else "as the model did in training"
        found = "each at its own size" if at is None else f"at {at[0]}x{at[1]}, {whose}"
        log(f"{command}: sees the images {found}; --size changes that")
    if images.folders:
        names = join_names([f"{name}/ ({count})" for name, count in images.folders.items()])
        log(f"{command}: {sum(images.folders.values())} of {len(images)} images are in sub-folders: {names}")
    if images.other_files:
        names = join_names(images.other_files)
        log(f"{command}: leaves out {len(images.other_files)} files that are no images: {names}")
    if images.video is not None:
        height, width = images.size(0)
        log(f"{command}: {place} has {len(images)} frames of {height}x{width}, {float(images.video.rate):.4g} a second")
    return Plan(model, place, images, None if at is None else (int(at[0]), int(at[1])), kept if pad is None else pad)


def digest_images(plan: Plan) -> tuple[InputDigest, dict[str, str]]:
    """Return the digest of the images of a plan, in their order, as an input, and that of each by stem."""
    images = plan.images
    files = list(dict.fromkeys(images.files))  # all frames of an animation have one
    digests = file_digests(files, plan.root)
    by_file = {file: digest for file, (_, digest) in zip(files, digests, strict=True)}
    each = {stem: by_file[file] for stem, file in zip(images.stems, images.files, strict=True)}
    return InputDigest(str(plan.place), joint_digest(digests)), each


def warn_of_stretching(command: str, plan: Plan) -> None:
    """Log a warning where many images have another aspect than the size at which the model sees them."""
    if plan.size is None or plan.pad:
        return
    sizes = []
    for i in range(len(plan.images)):
        with suppress(UdasegError):  # told when the image is read
            sizes.append(plan.images.size(i))
    aspects = [width / height for height, width in sizes]
    changes = [aspect * plan.size[0] / plan.size[1] for aspect in aspects]
    count = sum(max(change, 1 / change) > STRETCHED for change in changes)
    if count:
        size = "x".join(map(str, plan.size))
        some = f"{count} of {len(changes)} images"
        log(f"{command}: warning: {some} are stretched a lot to {size}; --pad keeps their aspect")


def require_outside(out: Path, *folders: Path) -> None:
    """Raise UdasegError where the results would lie among files that are read."""
    for folder in folders:
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise UdasegError(f"--out {out} lies in {folder}, whose files are read", "choose a place outside of it")


def refuse_to_overwrite(job: Job) -> None:
    """Raise UdasegError where labels of another model or of other settings would be written over."""
    if why := conflicts(job):
        raise UdasegError(
            f"{job.out} holds labels that would be overwritten: {'; '.join(why)}",
            "write somewhere else with --out, or label everything again with --force",
        )
