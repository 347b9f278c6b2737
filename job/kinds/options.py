"""Settings that only one task has (`options:` of a job)."""

from typing import Literal

from pydantic import Field

from tunewright.job.data.columns import Options
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.tasks.token_classification import Scheme

Pooling = Literal["mean", "cls"]


class AnswerOptions(Options):
    """`options:` of question-answering."""

    drop_wrong: bool = False
    """Leave out rows whose answer does not stand in the context, instead of refusing the data."""


class TagOptions(Options):
    """`options:` of token-classification."""

    scheme: Scheme = "BIO"
    """How tags are spelt: BIO, BIOES, or plain (any tag a word, such as parts of speech)."""
    repair: bool = False
    """Begin an entity where a tag goes on with one that was never begun, and end one that BIOES leaves open, instead of
    refusing the data."""


class EmbeddingOptions(Options):
    """`options:` of feature-extraction."""

    pooling: Literal["auto"] | Pooling = "auto"
    """Tokens to one vector: their mean, the first token's (cls), or as the base model was pretrained (auto)."""
    normalize: bool = True
    """Whether an answer is scaled to the length 1 where a caller does not say."""
    learn: bool = True
    """Whether the vectors learn from the scores; when false the base model is only measured by them."""


class MaskingOptions(Options):
    """`options:` of masked-language-modelling."""

    mask: float = Field(default=0.15, gt=0, le=0.5)
    """Share of the tokens to be found."""
    whole_words: bool = False
    """Hide all tokens of a word together."""
    pack: bool = False
    """Fill each row with as many texts as it holds; when false each text has rows of its own."""


class TextToTextOptions(Options):
    """`options:` of translation and summarization."""

    source_prefix: str = ""
    """Put before each text, such as "translate English to German: " for a T5."""
    source_lang: str | None = None
    """Multilingual models (mBART, NLLB): the token for the language of the source, such as en_XX."""
    target_lang: str | None = None
    """Multilingual models: the token for the language of the target."""
    max_target_length: int = Field(default=128, ge=2)
    """Longest target in tokens; a longer one is cut in training, and an answer ends there."""
    generation: GenerationSettings = GenerationSettings()
    """How the model writes when a caller says nothing; 4 beams where it does not say."""


class WritingOptions(Options):
    """`options:` of text-generation."""

    chat_template: str | None = None
    """Jinja template of a conversation, or a file that holds one; the base model's own, else ChatML, when absent."""
    generation: GenerationSettings = GenerationSettings()
    """How the model writes when a caller says nothing: greedy, up to 256 tokens, where it does not say."""
    generated_rows: int = Field(default=200, ge=1)
    """Test rows whose answer is written and compared with the reference by ROUGE-L."""
