"""stats.json: the classes in the labels of the source."""

from typing import Annotated

from pydantic import Field

from udaseg.io.documents.read import (
    CLASS_ORDER,
    ClassCounts,
    ClassNames,
    Count,
    Document,
    Part,
    Shape,
    conditional,
)

OWN_COUNTS = "always; optional to read"


class SourceCounts(Part):
    """The classes in the labels of one of several sources."""

    pixels: ClassCounts = Field(description="pixels in all images of one source")
    images: Annotated[list[Count], Shape("C")] = Field(description="its images that show the class")


class ClassStatistics(Document):
    """The classes in the labels of the source."""

    file = "stats.json"
    where = "`stats`, which `udaseg data stats` writes"

    classes: ClassNames = Field(description=CLASS_ORDER)
    pixels: ClassCounts = Field(description="pixels in all images; ignored pixels are not counted")
    images: Annotated[list[Count] | None, Shape("C")] = conditional(OWN_COUNTS, "images that show the class")
    per_image: dict[str, ClassCounts] | None = conditional(OWN_COUNTS, "the pixels of one image, by class")
    sources: dict[str, SourceCounts] | None = conditional("with several sources", "the same by source")
