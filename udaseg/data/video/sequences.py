"""Which image of a set is the frame before another one."""

from collections.abc import Sequence

from udaseg.data.image_sets import Image


def previous_frames(records: Sequence[Image], step: int = 1) -> dict[str, str]:
    """Return the stem of the frame `step` before each image that has one in its video, by stem."""
    by_number = {(one.sequence, one.frame): one.stem for one in records if one.frame is not None}
    found = {one.stem: by_number.get((one.sequence, one.frame - step)) for one in records if one.frame is not None}
    return {stem: before for stem, before in found.items() if before is not None}
