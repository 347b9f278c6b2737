"""Image regression, taught: one number per image, in the unit of the data."""

from tunewright.job.kinds.files import IMAGE_CHANGES, Files, image_size
from tunewright.job.kinds.number import Number
from tunewright.job.kinds.task import Task
from tunewright.job.tasks.image_classification import image_learner

IMAGE_REGRESSION = Task(
    about="Images to numbers.",
    columns=Files("image", "an image", image_size),
    target=Number(),
    learner=image_learner,
    augments=IMAGE_CHANGES,
)
