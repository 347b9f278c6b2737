"""Image classification, taught: files of images to one label or several."""

from typing import Any

from transformers import AutoModelForImageClassification

from tunewright.job.batches.side import Array
from tunewright.job.data.columns import Form
from tunewright.job.kinds.media import MediaEncoder, MediaTask
from tunewright.job.model.base_model import BaseModel
from tunewright.job.settings.job import JobSettings
from tunewright.serving.engines.media import MediaRow
from tunewright.serving.media.images import decode, pixels, read_preprocessing
from tunewright.serving.tasks.image_classification import collate


class ImageClassification(MediaTask):
    """Images to labels."""

    FORMS = (Form(("image",), target="label"), Form(("image",), target="labels"))
    MEDIA = "image"
    SUBJECT = "an image"
    EXPORT_TASK = "image-classification"
    AUTO_CLASS = AutoModelForImageClassification
    ROOM = 32

    def architectures(self) -> tuple[str, ...]:
        """Those whose graph was compared with torch."""
        return ("convnext", "resnet", "swin", "vit")

    def size(self, data: bytes) -> int:
        """All images are brought to one size."""
        decode(data)
        return 1

    def make_encoder(
        self, config: dict[str, Any], model_type: str, settings: JobSettings, base: BaseModel
    ) -> MediaEncoder:
        """Resize, crop and normalize as the base model's processor does."""
        image = read_preprocessing(config, model_type=model_type)

        def load(data: bytes) -> MediaRow[Array]:
            return MediaRow(pixels(decode(data), image))

        return MediaEncoder({"image": image.model_dump(mode="json")}, load, collate)
