"""A CLIP-like pair of encoders, and one linear layer over the vectors of an image and a text and their product."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from torch import nn

from tunewright.job.export.graph import describe_variant, export_traced
from tunewright.job.export.int8 import quantize_int8
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Graph, Learner
from tunewright.job.learners.files import IMAGES_AT_ONCE, PREPROCESSING, FileInputs, MediaEncoder, two_rows
from tunewright.job.learners.texts import TOKENIZER
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_pair
from tunewright.job.model.tokenizer import choose_length, length_limit, padding_of
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.media.image_processor import read_preprocessing
from tunewright.serving.tasks.image_text_classification import collate, load
from tunewright.serving.text.encoding import Encoder

_AXES = {
    "input_ids": ["batch", "tokens"],
    "attention_mask": ["batch", "tokens"],
    "pixel_values": ["batch", "", "", ""],
}


def open_pair(config: dict[str, object], model_type: str, settings: JobSettings, base: BaseCheckpoint) -> MediaEncoder:
    """The preprocessing and the tokenizer that the base model was trained with."""
    image = read_preprocessing(config, model_type=model_type)
    stated = base.config()
    of_text = {**stated, **(cast("dict[str, object]", stated.get("text_config") or {}))}
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


class PairGraph(Graph):
    """Both encoders and a head over them."""

    architectures = ("clip",)

    def build(self, plan: Plan) -> nn.Module:
        """Both encoders and a new head."""
        return build_pair(plan.base, plan.prepared.labels, plan.settings.train)

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant, traced with a training row."""
        made = {name: folder / "onnx" / name / "model.onnx" for name in variants}
        example = two_rows(plan)
        export_traced(model, {name: example[name] for name in _AXES}, _AXES, made["fp32"])
        if "int8" in made:
            quantize_int8(made["fp32"], made["int8"])
        return {name: describe_variant(folder, graph, name) for name, graph in made.items()}


PAIR_LEARNER = Learner(
    FileInputs(open_pair, IMAGES_AT_ONCE, (*PREPROCESSING, *TOKENIZER), lambda value: value["image"]), PairGraph()
)
