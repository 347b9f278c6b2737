"""Models that read files, decoded as many at a time as a batch has, and kept as far as there is room; images above
all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tunewright.job.batches.decoded import Decoded
from tunewright.job.batches.side import Array, Batch, HeldTargets, Rows
from tunewright.job.errors import BaseModelError
from tunewright.job.kinds.files import File
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Inputs
from tunewright.job.learners import texts
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.objective import Objective
from tunewright.serving.engines.media import Batch as Arrays
from tunewright.serving.engines.media import MediaRow
from tunewright.serving.media.image_file import decode
from tunewright.serving.media.image_pixels import pixels
from tunewright.serving.media.image_processor import read_preprocessing
from tunewright.serving.tasks.image_classification import collate
from tunewright.serving.text.encoding import Encoder

PREPROCESSING = ("preprocessor_config.json",)
"""What a base model of files cannot do without."""


@dataclass(frozen=True)
class MediaEncoder:
    """From the bytes of files to the tensors of the model, in training as in serving."""

    options: dict[str, dict[str, object]]
    """The preprocessing, as `model.json` says it."""
    load: Callable[[Any], MediaRow[Any]]
    collate: Callable[[Sequence[Any]], Arrays]
    texts: Encoder | None = None
    """What reads the texts beside the files, where there are any."""

    def arrays(self, inputs: Sequence[object]) -> Batch:
        """Tensors `[B, ...]` of inputs as they are served."""
        return self.batch([self.load(one).features for one in inputs])

    def batch(self, features: Sequence[object]) -> Batch:
        """Tensors `[B, ...]` of what inputs were loaded to."""
        arrays = self.collate(features)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class MediaRows:
    """Files as the training loop reads them: decoded when a batch is put together, each once if there is room."""

    def __init__(
        self,
        sizes: Sequence[int],
        targets: HeldTargets,
        load: Callable[[int], object],
        arrays: Callable[[Sequence[object]], Batch],
    ) -> None:
        """`load`: a row to what `arrays` puts together."""
        self._targets, self._arrays = targets, arrays
        self.lengths = np.array(sizes, dtype=np.int64)
        self.truncated = 0
        self.decoded = Decoded(len(sizes), load)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The tensors and targets of these rows."""
        batch = self._arrays(self.decoded.of(rows))
        return {**batch, "targets": torch.from_numpy(self._targets[list(rows)])}


Open = Callable[[dict[str, object], str, JobSettings, BaseCheckpoint], MediaEncoder]
"""The content of `preprocessor_config.json`, the `model_type`, the settings and the base to an encoder; ValueError
says what is not known of them."""


@dataclass(frozen=True)
class FileInputs(Inputs):
    """Files as tensors."""

    open: Open
    room: int
    """Sum of the sizes of the rows of a validation batch."""
    needs: tuple[str, ...] = PREPROCESSING  # type: ignore[misc]
    file: Callable[[Any], File] = lambda value: value
    """The file of a checked input."""
    tell: Callable[[Plan, str], None] = lambda plan, side: None
    """Says what is worth knowing of the files of a side."""

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> MediaEncoder:
        """The preprocessing that the base model was trained with."""
        try:
            return self.open(base.preprocessing(), str(base.config()["model_type"]), settings, base)
        except ValueError as error:
            raise BaseModelError(f"base model {base.address!r}: {error}") from error

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Where the files are."""
        self.tell(plan, side)
        part, served = plan.prepared.part(side), plan.prepared.task.columns.served
        inputs = part.data.inputs()
        on_rows(len(inputs))
        sizes = [self.file(one)["size"] for one in inputs]
        encoder = plan.opened(MediaEncoder)
        return MediaRows(sizes, part.targets, lambda row: encoder.load(served(inputs[row])).features, encoder.batch)

    def bounded(self, objective: Objective) -> Objective:
        """A batch goes through the model whole: some models look at all of its rows."""
        return replace(objective, validation_tokens=self.room, divisible=False)

    def described(self, plan: Plan) -> dict[str, object]:
        """The preprocessing, and what the texts need where there are any."""
        encoder = plan.opened(MediaEncoder)
        return {"options": encoder.options, **(texts.described(encoder.texts) if encoder.texts else {})}

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[object]) -> list[Array]:
        """Logits, one input at a time."""
        served = plan.prepared.task.columns.served
        alone = (plan.opened(MediaEncoder).arrays([served(one)]) for one in inputs)
        return [np.asarray(model(**batch)["logits"][0].float().numpy()) for batch in alone]


IMAGE_ARCHITECTURES = ("beit", "convnext", "dinov2", "resnet", "swin", "swinv2", "vit")
"""Those whose graph was compared with torch."""
IMAGES_AT_ONCE = 32
"""Images of a validation batch."""


def open_images(
    config: dict[str, object], model_type: str, settings: JobSettings, base: BaseCheckpoint
) -> MediaEncoder:
    """Resize, crop and normalize as the base model's processor does."""
    image = read_preprocessing(config, model_type=model_type)

    def load(data: bytes) -> MediaRow[Array]:
        return MediaRow(pixels(decode(data), image))

    return MediaEncoder({"image": image.model_dump(mode="json")}, load, collate)


IMAGE_INPUTS = FileInputs(open_images, IMAGES_AT_ONCE)


def two_rows(plan: Plan) -> Batch:
    """The tensors of two training rows."""
    inputs, served = plan.prepared.train.data.select([0, 1]).inputs(), plan.prepared.task.columns.served
    return plan.opened(MediaEncoder).arrays([served(one) for one in inputs])
