"""Metrics: what a figure is, and all that can be measured.

Truths and answers, by the problem:

| problem | truths | answers |
|---|---|---|
| `single_label`, `multi_label` | `[N]` label numbers, `[N, L]` zeros and ones | `Answered` |
| `regression`, `similarity` | `[N]` numbers | `[N]` numbers |
| `entities`, `tags` | the tags of each sentence | the tags of each sentence |
| `extractive` | the right answers to each question, [""] where there is none | one answer to each |
| `text_to_text` | the text to be written for each row | the text that was |
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewright.job.measure import labels, numbers, squad, tags
from tunewright.registry.errors import PluginError
from tunewright.registry.plugins import Catalogue

Figure = Callable[[Any, Any], float]
"""Truths and answers of some rows to one number."""


@dataclass(frozen=True)
class Metric:
    """A figure of some rows."""

    name: str
    of: Mapping[str, Figure] = field(default_factory=dict)
    """By the problem; empty for what a learner measures by itself, such as perplexity."""
    lower_is_better: bool = False
    """Whether it is an error."""
    is_share: bool = True
    """Whether it is 1 at most."""


_BUILT_IN = (
    Metric(
        "accuracy",
        {"single_label": labels.accuracy, "multi_label": labels.accuracy, "entities": tags.accuracy,
         "tags": tags.accuracy},
    ),
    Metric("macro_f1", {"single_label": labels.macro_f1, "multi_label": labels.macro_f1, "tags": tags.macro_f1}),
    Metric("micro_f1", {"multi_label": labels.micro_f1}),
    Metric("mcc", {"single_label": labels.mcc}),
    Metric("spearman", {"regression": numbers.spearman, "similarity": numbers.spearman}),
    Metric("pearson", {"regression": numbers.pearson, "similarity": numbers.pearson}),
    Metric("rmse", {"regression": numbers.rmse}, lower_is_better=True, is_share=False),
    Metric("f1", {"entities": tags.f1, "extractive": squad.mean_f1}),
    Metric("precision", {"entities": tags.precision}),
    Metric("recall", {"entities": tags.recall}),
    Metric("exact_match", {"extractive": squad.mean_exact_match}),
    Metric("perplexity", lower_is_better=True, is_share=False),
    *(Metric(name) for name in ("masked_accuracy", "fidelity", "bleu", "chrf", "rouge1", "rouge2", "rougeL")),
)  # fmt: skip
METRICS = Catalogue("metric", "tunewright.metrics", Metric, {one.name: one for one in _BUILT_IN})
"""Every metric by its name."""


def figures(names: Iterable[str], problem: str, truths: object, answers: object) -> dict[str, float]:
    """These metrics of some rows."""
    return {name: _figure(name, problem, truths, answers) for name in names}


def _figure(name: str, problem: str, truths: object, answers: object) -> float:
    figure = METRICS[name].of[problem]
    try:
        return float(figure(truths, answers))
    except Exception as error:  # a plug-in raises whatever its code raises
        package = METRICS.requirement(name)
        if not package:
            raise
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(f"the metric {name!r} of {package} cannot measure: {said}") from error


def lower_is_better(name: str) -> bool:
    """Whether a figure of this name is an error."""
    return name in METRICS and METRICS[name].lower_is_better
