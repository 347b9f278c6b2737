"""What translation and summarization share: a text into an encoder, another text out of a decoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.generation import GenerationEngine
from tunewright.serving.engines.text import open_encoder
from tunewright.serving.generation.graph import Seq2SeqGraph
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.generation.settings import CallerSettings, GenerationSettings, read_settings
from tunewright.serving.generation.writing import Generated
from tunewright.serving.runtime.capacity import Capacity, available_cpus
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.text.encoding import Encoded, Text, load_tokenizer
from tunewright.serving.text.spacing import without_spaces_before_punctuation

Pair = tuple[Sequence[int], Sequence[int]]
Taken = TypeVar("Taken")


class Options(BaseModel):
    """What `model.json` says for these tasks alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    generation: GenerationSettings
    """What holds when a caller says nothing."""
    source_prefix: str = ""
    """Put before each text, as in training."""
    context: int | None = Field(default=None, ge=1)
    """Most tokens of an answer that the decoder's positions reach."""


class Parameters(CallerSettings):
    """What a caller may set."""

    clean_up_tokenization_spaces: bool = False
    """Take out the spaces before punctuation."""


def read_settings_over(model: ModelFile, parameters: Mapping[str, object]) -> Parameters:
    """A caller's parameters over what the bundle says."""
    return read_settings(parameters, read_options(Options, model).generation, model.task, Parameters)


@dataclass(frozen=True, slots=True)
class Source:
    """A text as the encoder reads it, and how the other text is written."""

    ids: list[int]
    truncated: bool
    settings: Parameters
    top: None = None
    """No token is told."""


class TextToTextEngine:
    """One variant of a bundle: an encoder and a decoder."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity, key: str) -> None:
        self._options, self._key = read_options(Options, model), key
        self._encoder = open_encoder(folder, model)
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        files, threads = (folder / model.variants[variant].file).parent, capacity.threads or available_cpus()
        graph = Seq2SeqGraph(files, context=self._options.context, threads=threads, provider=capacity.provider)
        self._writer = GenerationEngine(graph, self._tokenizer, model, variant, capacity)

    def prepare(
        self, inputs: Sequence[Text], parameters: Parameters, *, limit: TimeLimit | None = None
    ) -> list[Source]:
        """Tokenize; a text longer than what the model was trained with is cut."""
        return [Source(row.ids, row.truncated, parameters) for row in self._encoded(inputs)]

    def run(self, rows: Sequence[Source], *, limit: TimeLimit | None = None) -> list[Generated]:
        """What is written for each row."""
        return self._writer.write(rows, limit=limit)

    def answer(self, row: Source, output: Generated, parameters: Parameters) -> dict[str, str]:
        """The text."""
        text: str = self._tokenizer.decode(output.ids, skip_special_tokens=True)
        tidy = parameters.clean_up_tokenization_spaces
        return {self._key: without_spaces_before_punctuation(text) if tidy else text}

    def stream(self, row: Source, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """The text piece by piece."""
        return self._writer.stream(row, on_text, limit=limit)

    def outputs(self, inputs: Sequence[Text]) -> list[Array]:
        """Log-probabilities `[2, K]`; see `GenerationEngine.outputs`."""
        return self._writer.outputs([row.ids for row in self._encoded(inputs)], self._options.generation)

    def scores(self, rows: Sequence[Pair], take: Callable[[int, Array], Taken]) -> list[Taken]:
        """What `take` keeps, given a row's number, of the scores `[T, V]` of what follows each token of a target.

        `rows`: the tokens of a source and of its target, which begins with the decoder's first token.
        """
        return self._writer.scores(rows, lambda pair: self._writer.graph.scores(*pair), take)

    def close(self) -> None:
        """End the threads."""
        self._writer.close()

    def _encoded(self, inputs: Sequence[Text]) -> list[Encoded]:
        return self._encoder.encode([f"{self._options.source_prefix}{text}" for text in inputs])
