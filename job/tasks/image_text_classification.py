"""Image and text together, taught: a CLIP-like pair of encoders, and one linear layer over both and their product."""

import base64
from collections.abc import Sequence
from functools import cache
from typing import TypedDict

import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.kinds.files import FILE_TYPE, IMAGE_CHANGES, File, content, image_size, read_file
from tunewright.job.kinds.labels import Labels
from tunewright.job.kinds.task import Columns, Learner, Task
from tunewright.job.kinds.texts import TEXT_SETTINGS


class ImageWithText(TypedDict):
    """A checked input."""

    image: File
    text: str


class ImagesWithTexts(Columns[ImageWithText]):
    """An image and a text in each row."""

    subject = "an image with a text"
    media = "image"
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """Both with a target."""
        return tuple(Form(("image", "text"), target=target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A file and a text."""
        return pa.struct([("image", FILE_TYPE), ("text", pa.large_string())])

    def read(self, cells: Cells) -> ImageWithText | None:
        """An image that decodes, and a text."""
        text = cells.text("text")
        image = read_file(cells, "image", image_size) if cells.has("image") else None
        return None if image is None or text is None else {"image": image, "text": text}

    def identity(self, value: ImageWithText) -> str:
        """Equal images with equal texts."""
        return f"{value['image']['sha256']}\0{value['text'].casefold()}"

    def served(self, value: ImageWithText) -> tuple[bytes, str]:
        """The bytes of the image, and the text."""
        return content(value["image"]), value["text"]

    def request(self, value: ImageWithText) -> dict[str, str]:
        """As a caller sends it."""
        return {"image": base64.b64encode(content(value["image"])).decode(), "text": value["text"]}


@cache
def _learner() -> Learner:
    from tunewright.job.learners.pair import PAIR_LEARNER

    return PAIR_LEARNER


IMAGE_TEXT_CLASSIFICATION = Task(
    about="Images, each with a text, to labels.",
    columns=ImagesWithTexts(),
    target=Labels(),
    learner=_learner,
    uses=frozenset({"train.max_length"}),
    augments=IMAGE_CHANGES,
)
