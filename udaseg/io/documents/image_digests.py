"""images.json: the content of each image that a stage works on by itself."""

from pydantic import Field

from udaseg.io.documents.read import Document


class ImageDigests(Document):
    """With images added, mended or removed, the stage does those alone."""

    file = "images.json"
    where = "`predict`, `apply`"

    images: dict[str, str] = Field(description="the digest of each image by its stem")
