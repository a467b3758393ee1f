"""flow.json: which frames the optical flow beside it connects."""

from pydantic import Field

from udaseg.io.documents.read import Count, Document, Share


class FlowPairs(Document):
    """The frames between which the flow in `flows/` leads. An image without a frame before it has no flow."""

    file = "flow.json"
    where = "`flow`"

    method: str = Field(description="dis, farneback or files")
    step: Count = Field(description="how many frames back the flow leads")
    valid: Share = Field(description="the share of the pixels whose flow is valid")
    previous: dict[str, str] = Field(description="the stem of the frame to which the flow of each image leads, by stem")
