"""What translation and summarization share: a text into an encoder, another text out of a decoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.generation import GenerationEngine
from tunewright.serving.errors import BundleError
from tunewright.serving.generation.graph import Seq2SeqGraph
from tunewright.serving.generation.settings import GenerationSettings, read_settings
from tunewright.serving.generation.written import Finish, OnText
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.text.encoding import Encoded, Encoder, Text, load_tokenizer
from tunewright.serving.text.spacing import without_spaces_before_punctuation


class Options(BaseModel):
    """What `model.json` says for these tasks alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    generation: GenerationSettings
    """What holds when a caller says nothing."""
    source_prefix: str = ""
    """Put before each text, as in training."""
    context: int | None = Field(default=None, ge=1)
    """Most tokens of an answer that the decoder's positions reach."""


class Parameters(GenerationSettings):
    """What a caller may set."""

    clean_up_tokenization_spaces: bool = False
    """Take out the spaces before punctuation."""


def read_settings_over(model: ModelFile, parameters: Mapping[str, Any]) -> Parameters:
    """A caller's parameters over what the bundle says."""
    return read_settings(parameters, read_options(Options, model).generation, model.task, Parameters)


class TextToTextEngine:
    """One variant of a bundle: an encoder and a decoder."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity, key: str) -> None:
        if model.max_length is None:
            raise BundleError(f"model.json of {folder} names no max_length, which a model of texts needs")
        self._options, self._key = read_options(Options, model), key
        path = folder / "tokenizer.json"
        self._encoder = Encoder(path, max_length=model.max_length, padding=model.padding, cleaning=model.cleaning)
        self._tokenizer = load_tokenizer(path)
        graph = Seq2SeqGraph((folder / model.variants[variant].file).parent, context=self._options.context)
        self.writer = GenerationEngine(graph, self._tokenizer, model, variant, capacity)

    def prepare(self, inputs: Sequence[Text], wanted: Parameters) -> list[Encoded]:
        """Tokenize; a text longer than what the model was trained with is cut."""
        return self._encoder.encode([f"{self._options.source_prefix}{text}" for text in inputs])

    def answers(
        self, rows: Sequence[Encoded], wanted: Parameters, *, limit: TimeLimit | None = None
    ) -> list[dict[str, str]]:
        """One text per row."""
        written = self.writer.write([row.ids for row in rows], wanted, limit=limit)
        return [{self._key: self._text(one.ids, wanted)} for one in written]

    def stream(self, row: Encoded, wanted: Parameters, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """The text piece by piece."""
        return self.writer.stream(row.ids, wanted, on_text, limit=limit)

    def outputs(self, inputs: Sequence[Text]) -> list[Array]:
        """Log-probabilities `[2, K]`; see `GenerationEngine.outputs`."""
        rows = self.prepare(inputs, Parameters())
        return self.writer.outputs([row.ids for row in rows], self._options.generation)

    def close(self) -> None:
        """End the threads."""
        self.writer.close()

    def _text(self, ids: list[int], wanted: Parameters) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return without_spaces_before_punctuation(text) if wanted.clean_up_tokenization_spaces else text
