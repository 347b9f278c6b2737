"""Image classification, taught: files of images to one label or several."""

from functools import cache

from tunewright.job.kinds.files import IMAGE_CHANGES, Files, image_size
from tunewright.job.kinds.labels import Labels
from tunewright.job.kinds.task import Learner, Task


@cache
def image_learner() -> Learner:
    """Models of images."""
    from transformers import AutoModelForImageClassification

    from tunewright.job.learners.files import IMAGE_ARCHITECTURES, IMAGE_INPUTS, two_rows
    from tunewright.job.learners.heads import Headed

    auto, kinds = AutoModelForImageClassification, IMAGE_ARCHITECTURES
    return Learner(IMAGE_INPUTS, Headed(auto, "image-classification", kinds, rows=two_rows))


IMAGE_CLASSIFICATION = Task(
    about="Images to labels.",
    columns=Files("image", "an image", image_size),
    target=Labels(),
    learner=image_learner,
    augments=IMAGE_CHANGES,
)
