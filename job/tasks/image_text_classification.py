"""Image and text together, taught: a CLIP-like pair of encoders, and one linear layer over both and their product."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Roles
from tunewright.job.export.graph import describe_variant, export_traced, quantize_int8, strip
from tunewright.job.kinds.media import FILE_TYPE, MediaEncoder, MediaTask, content
from tunewright.job.kinds.task import Plan
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_pair
from tunewright.job.model.tokenizer import choose_length, length_limit, padding_of
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.media.images import decode, read_preprocessing
from tunewright.serving.tasks.image_text_classification import collate, load
from tunewright.serving.text.encoding import Encoder

_AXES = {
    "input_ids": ["batch", "tokens"],
    "attention_mask": ["batch", "tokens"],
    "pixel_values": ["batch", "", "", ""],
}


class ImageTextClassification(MediaTask):
    """Images, each with a text, to labels."""

    FORMS = (Form(("image", "text"), target="label"), Form(("image", "text"), target="labels"))
    NEEDS = ("preprocessor_config.json", "tokenizer.json")
    MEDIA = "image"
    SUBJECT = "an image with a text"
    ROOM = 32

    def architectures(self) -> tuple[str, ...]:
        """Those whose graph was compared with torch."""
        return ("clip",)

    def size(self, data: bytes) -> int:
        """All images are brought to one size."""
        decode(data)
        return 1

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """A file and a text, and the labels."""
        return pa.struct([("image", FILE_TYPE), ("text", pa.large_string())]), pa.list_(pa.string())

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """An image that decodes, a text, and the labels."""
        text = cells.text("text")
        image = self.read_file(cells) if cells.has("image") else None
        labels = cells.labels()
        if image is None or text is None or labels is None:
            return None
        return {"image": image, "text": text}, labels

    def file(self, value: Any) -> dict[str, Any]:
        """The image."""
        return dict(value["image"])

    def identity(self, value: Any) -> str:
        """Equal images with equal texts."""
        return f"{value['image']['sha256']}\0{value['text'].casefold()}"

    def served(self, value: Any) -> Any:
        """The bytes of the image, and the text."""
        return content(value["image"]), value["text"]

    def request(self, value: Any) -> Any:
        """As a caller sends it."""
        return {"image": base64.b64encode(content(value["image"])).decode(), "text": value["text"]}

    def make_encoder(
        self, config: dict[str, Any], model_type: str, settings: JobSettings, base: BaseModel
    ) -> MediaEncoder:
        """The preprocessing and the tokenizer that the base model was trained with."""
        image = read_preprocessing(config, model_type=model_type)
        stated = base.config()
        of_text = {**stated, **(stated.get("text_config") or {})}
        length = choose_length(settings.train.max_length, length_limit(base.folder, of_text), base.address)
        texts = Encoder(
            base.tokenizer,
            max_length=length,
            padding=padding_of(base.folder, of_text),
            cleaning=settings.data.cleaning,
        )
        return MediaEncoder(
            {"image": image.model_dump(mode="json")},
            lambda one: load(one, texts, image),
            lambda rows: collate(rows, texts),
            texts,
        )

    def build_model(self, plan: Plan) -> nn.Module:
        """Both encoders and a new head."""
        return build_pair(plan.base, plan.prepared.labels, plan.settings.train)

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant, traced with a training row."""
        made = {name: folder / "onnx" / name / "model.onnx" for name in variants}
        example = plan.encoder.arrays([self.served(one) for one in plan.prepared.train.data.select([0, 1]).inputs()])
        export_traced(model, {name: example[name] for name in _AXES}, _AXES, made["fp32"])
        if "int8" in made:
            quantize_int8(made["fp32"], made["int8"])
        for graph in made.values():
            strip(graph.parent)
        return {name: describe_variant(folder, graph, name) for name, graph in made.items()}

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """What the texts need besides the images."""
        texts: Encoder = plan.encoder.texts
        update = {"max_length": texts.max_length, "cleaning": texts.cleaning, "padding": texts.padding}
        return super().model_file(plan, variants).model_copy(update=update)
