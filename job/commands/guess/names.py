"""How data sets call their columns, in lower case: the likelier names first."""

from collections.abc import Sequence

from tunewright.job.commands.guess.profile import Column
from tunewright.job.commands.guess.sample import Sample

TEXTS = "text sentence review content body comment tweet message utterance query sms post document".split()
LABELS = "label labels category class sentiment polarity intent emotion target gold y stance".split()
SCORES = "score similarity rating relatedness value".split()
LONG = "article document dialogue dialog abstract text source content body".split()
SHORT = "summary highlights tldr headline title target".split()
PROMPTS = "prompt instruction question input query".split()
RESPONSES = "response output completion answer reply".split()
PAIRS = (("premise", "hypothesis"), ("question", "sentence"), ("text", "text_pair"), ("query", "passage"))
LANGUAGES = frozenset(
    "ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv nl no pl pt ro ru sk sl sr sv sw th tr uk "
    "ur vi zh".split()
)


def named(columns: Sequence[Column], names: Sequence[str]) -> Column | None:
    """The column with the first of these names."""
    by_name = {column.name.lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def by_names(seen: Sample, first: Sequence[str], second: Sequence[str]) -> tuple[Column, Column] | None:
    """Two columns of texts that are called so; None where one of the two is not there."""
    texts = seen.of_kind("text")
    one, other = named(texts, first), named(texts, second)
    return (one, other) if one and other and one is not other else None
