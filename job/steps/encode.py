"""The rows as arrays: how long they are, and how well the base model's tokenizer knows them, is said."""

from pathlib import Path

from tunewright.job.batches.side import NoRows, Rows
from tunewright.job.batches.text import TokenizerFit, percentiles, tokenizer_fit
from tunewright.job.kinds.plan import Plan, Prepared
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.progress.events import bar, say, warn
from tunewright.serving.text.encoding import Encoder, load_tokenizer


def encode_sides(plan: Plan, work: Path) -> tuple[Rows, Rows]:
    """Train and validation as arrays; says how long the rows are and, of texts, how well the tokenizer knows them."""
    prepared, encoder = plan.prepared, plan.encoder
    if isinstance(encoder, Encoder):
        _judge_tokenizer(prepared, plan.base)
    with bar("encode", len(prepared.train) + len(prepared.validation)) as advance:
        train, validation = (
            prepared.task.inputs.encode(plan, side, work / side, on_rows=advance) if len(part) else NoRows()
            for side, part in (("train", prepared.train), ("validation", prepared.validation))
        )
    middle, most, longest = percentiles(train.lengths)
    limit = getattr(encoder, "max_length", None)
    if limit:
        say("encode", f"tokens per row: median {middle}, 95 % up to {most}, longest {longest}; limit {limit}")
    cut = train.truncated + validation.truncated
    if cut:
        rows = len(train) + len(validation)
        warn("encode", f"{cut:,} of {rows:,} rows are longer than {limit} tokens and are cut", truncated=cut)
    prepared.facts["truncated_rows"] = cut
    return train, validation


def _judge_tokenizer(prepared: Prepared, base: BaseCheckpoint) -> None:
    fit = tokenizer_fit(prepared.train.data, load_tokenizer(base.tokenizer))
    _warn_poor_fit(fit)
    prepared.facts["tokenizer_fit"] = {"unknown_letters": fit.unknown, "single_letters": fit.single}


def _warn_poor_fit(fit: TokenizerFit) -> None:
    if not fit.poor:
        return
    figures = f"{fit.unknown:.0%} of the letters become the unknown token and {fit.single:.0%} tokens of one letter"
    if fit.foreign:
        advice = "this tokenizer does not know the language of the data; choose a base model that was trained on it"
    else:
        advice = "that is right for a base model made so (many Chinese ones), else choose one of the data's language"
    warn("encode", f"{figures}: {advice}", unknown=fit.unknown, single=fit.single)
