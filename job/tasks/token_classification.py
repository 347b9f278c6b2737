"""Token classification, taught: one tag per word, for names (BIO, BIOES) or parts of speech (plain tags).

Loss: cross-entropy at the first token of each word. A sentence longer than a row is read in overlapping windows.
Axes: B windows of a batch, T tokens, L tags.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn.metrics import precision_recall_fscore_support
from torch import nn
from transformers import AutoModelForTokenClassification

from tunewright.job.batches.side import Array
from tunewright.job.batches.text import NO_LABEL, SplitWriter, TokenRows
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.faults import listed
from tunewright.job.errors import DataError
from tunewright.job.kinds.classification import make_loss, make_weight
from tunewright.job.kinds.task import Part, Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.measure.evaluation import Evaluation, evaluated, time_alone
from tunewright.job.model.build import build_headed
from tunewright.job.progress import say
from tunewright.job.train.objective import Objective, Scored
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.token_classification import OUTSIDE, Scheme, read_label
from tunewright.serving.text.cleaning import clean, is_visible
from tunewright.serving.text.windows import Cut, Windowed, Windower

_TAG = {"BIO": re.compile(r"O|[BI]-.+", re.DOTALL), "BIOES": re.compile(r"O|[BIES]-.+", re.DOTALL)}
_STRANGER = "B-?"
"""Any tag that no training row has, where such tags count as wrong."""
_WORDS = {"aggregation_strategy": "none", "ignore_labels": []}
"""Parameters of a request that is answered by one tag per word."""


class TagOptions(Options):
    """`options:` of token-classification."""

    scheme: Scheme = "BIO"
    """How tags are spelt: BIO, BIOES, or plain (any tag a word, such as parts of speech)."""
    repair: bool = False
    """Begin an entity where a tag goes on with one that was never begun, instead of refusing the data."""


class TokenClassification(TextTask):
    """Sentences of words to one tag per word."""

    FORMS = (Form(("tokens",), target="tags"),)
    CLOSED = True
    OPTIONS = TagOptions
    EXPORT_TASK = "token-classification"

    def problem(self, target_role: str, options: TagOptions) -> str:
        """Entities made of words, or plain tags."""
        return "tags" if options.scheme == "plain" else "entities"

    def headline(self, problem: str) -> str:
        """F1 of whole entities; accuracy of plain tags."""
        return self.metric_names(problem)[0]

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Over entities (micro average) and words."""
        return ("f1", "precision", "recall", "accuracy") if problem == "entities" else ("accuracy", "macro_f1")

    def purpose(self, model: ModelFile) -> str:
        """Entities or tags."""
        return "Finds entities in a text" if model.problem == "entities" else "Gives a tag to each word of a text"

    # Data

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Words and their tags."""
        return pa.list_(pa.large_string()), pa.list_(pa.string())

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """Words, none of them empty, and as many tags that fit the scheme."""
        words = _words(cells)
        tags = cells.target(lambda value, role, settings: _tags(value, cells))
        if words is None or tags is None:
            return None
        if len(words) != len(tags):
            cells.fault(f"has {len(words)} tokens but {len(tags)} tags", "give one tag for each token")
            return None
        tags = _checked(tags, cells)
        return (words, tags) if cells.are_known(sorted(set(tags))) else None

    def served(self, value: Any) -> Any:
        """A list of words."""
        return list(value)

    def request(self, value: Any) -> Any:
        """Words, as a caller sends them."""
        return {"tokens": list(value)}

    def strata(self, target: list[str]) -> list[str]:
        """The tags of the sentence but for O."""
        return sorted(set(target) - {OUTSIDE})

    def learn_labels(self, targets: Sequence[list[str]], role: str) -> list[str]:
        """All tags of the training rows: O first, then by the kind of entity."""
        found = {tag for target in targets for tag in target}
        if len(found) < 2:
            raise DataError(f"the training rows hold {len(found)} tag ({', '.join(found)}); at least 2 are needed")
        return sorted(found, key=lambda tag: (tag != OUTSIDE, tag.partition("-")[2] or tag, tag))

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how many words and tags there are."""
        say("split", f"{len(labels)} tags: {listed(labels, 12)}")

    # Learning

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> TokenRows:
        """Windows of token ids, the tag of a word at its first token."""
        number = {label: index for index, label in enumerate(plan.prepared.labels)}
        windower, cut = _windower(plan)
        part: Part = getattr(plan.prepared, side)
        writer = SplitWriter(folder)
        for sentences, targets in part.data.batches():
            for words, tags in zip(sentences, targets, strict=True):
                numbers = [number.get(tag, len(number)) for tag in tags]
                for row, labels in _labelled(windower.words(words, cut), numbers):
                    writer.add(row, labels)
            on_rows(len(sentences))
        return TokenRows(writer.close(), plan.encoder, self.graph_inputs(plan))

    def build_model(self, plan: Plan) -> nn.Module:
        """The base with a new head at each token."""
        return build_headed(AutoModelForTokenClassification, plan.base, plan.prepared.labels, plan.settings.train)

    def objective(self, plan: Plan) -> Objective:
        """Cross-entropy over the words; figures over the words of the validation windows."""
        prepared, settings = plan.prepared, plan.settings.train
        numbers = np.zeros(0, dtype=np.int64)
        if settings.class_weights == "balanced":
            place = {label: index for index, label in enumerate(prepared.labels)}
            numbers = np.array([place[tag] for tags in prepared.train.data.targets() for tag in tags])
        by_word = make_loss(settings, prepared.labels, numbers, "single_label")
        weight = make_weight(settings, prepared.labels, numbers, "single_label")

        def loss(logits_BTL: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
            words = targets_BT != NO_LABEL
            return by_word(logits_BTL[words], targets_BT[words])

        return Objective(
            loss=loss,
            weight=lambda targets_BT: weight(targets_BT[targets_BT != NO_LABEL]),
            measure=lambda scored: figures(*_sequences(scored, prepared.labels), prepared.problem),
            metric=settings.metric or self.headline(prepared.problem),
        )

    # Release

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """The scheme besides what every text model has."""
        options: TagOptions = plan.prepared.options  # type: ignore[assignment]
        return super().model_file(plan, variants).model_copy(update={"options": {"scheme": options.scheme}})

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Logits of all windows of each sentence."""
        windower, cut = _windower(plan)
        return [
            np.concatenate(self.torch_rows(model, plan, [window.row for window in windower.words(words, cut).windows]))
            for words in inputs
        ]

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """The commonest training tag for every word."""
        counts = Counter(tag for tags in plan.prepared.train.data.targets() for tag in tags)
        commonest = max(sorted(counts), key=counts.__getitem__)
        truth = part.data.targets()
        return figures(truth, [[commonest] * len(tags) for tags in truth], plan.prepared.problem)

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Tags as the server gives them, word by word."""
        truth = part.data.targets()
        found: list[list[str]] = []
        for sentences, _ in part.data.batches():
            inputs = [self.served(words) for words in sentences]
            for words, answer in zip(inputs, predictor.predict(inputs, _WORDS), strict=True):
                # A tokenizer may make no token of a word, which then has no tag.
                tags = {word["index"]: word["entity"] for word in answer}
                found.append([tags.get(number, OUTSIDE) for number in range(len(words))])
        problem = plan.prepared.problem
        return evaluated(
            lambda rows: figures([truth[row] for row in rows], [found[row] for row in rows], problem),
            len(part),
            headline=self.headline(problem),
            details=details(truth, found, plan.prepared.labels, problem),
            ms_per_text=time_alone(predictor, part.data, self.served),
        )


Tags = Sequence[Sequence[str]]


def figures(truth: Tags, found: Tags, problem: str) -> dict[str, float]:
    """Precision, recall and F1 of entities, as conlleval counts them, and the accuracy of words; or of plain tags."""
    flat_truth, flat_found = ([tag for tags in side for tag in tags] for side in (truth, found))
    accuracy = float(np.mean(np.array(flat_truth) == np.array(flat_found)))
    if problem == "tags":
        _, _, f1, _ = precision_recall_fscore_support(flat_truth, flat_found, average="macro", zero_division=0)
        return {"accuracy": accuracy, "macro_f1": float(f1)}
    sides = [[list(tags) for tags in side] for side in (truth, found)]
    precision, recall, f1, _ = entity_scores(*sides, average="micro", zero_division=0)
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall), "accuracy": accuracy}


def details(truth: Tags, found: Tags, labels: Sequence[str], problem: str) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of each kind of entity, or of each tag."""
    if problem == "tags":
        kinds = list(labels)
        flat = [[tag for tags in side for tag in tags] for side in (truth, found)]
        table = precision_recall_fscore_support(*flat, labels=kinds, zero_division=0)
    else:
        sides = [[list(tags) for tags in side] for side in (truth, found)]
        kinds = sorted({tag.partition("-")[2] for side in sides for tags in side for tag in tags} - {""})
        table = entity_scores(*sides, average=None, zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(kinds, *table, strict=True)
    ]


_LISTS = "is no list of texts; give lists of texts (JSON, Parquet) or set data.format to conll"


def _words(cells: Cells) -> list[str] | None:
    """The words of a sentence, cleaned; None where a fault was counted or the row is left out."""
    if not cells.has("tokens"):
        return None
    value, column = cells.value("tokens"), f"column {cells.column('tokens')!r}"
    given = [] if value is None or value == "" else value
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        cells.fault(f"{column} {_LISTS}", value=value)
        return None
    words = [clean(word, cells.settings.cleaning) for word in given]
    if not any(map(is_visible, words)):
        cells.empty("tokens")
    elif "" in words:
        cells.fault(f"{column} holds an empty token ({words.index('') + 1} of {len(words)})", "remove it with its tag")
    return words


def _tags(value: Any, cells: Cells) -> list[str] | None:
    """The tags of a sentence by their names; None where the row is left out. ValueError for what is no list of them."""
    names = cells.settings.label_names
    # Whole numbers are tags only with their names.
    kinds = str | int if names else str
    if not isinstance(value, list) or not all(isinstance(one, kinds) for one in value):
        numbers = isinstance(value, list) and all(isinstance(one, int) for one in value)
        raise ValueError("holds numbers; set data.label_names to say which tag each of them is" if numbers else _LISTS)
    return cells.names([cells.cleaned(one) for one in value])


def _checked(tags: list[str], cells: Cells) -> list[str]:
    """Tags of the scheme; an entity that goes on without having begun is refused, or begun there."""
    options: TagOptions = cells.options  # type: ignore[assignment]
    pattern = _TAG.get(options.scheme)
    if pattern is None:
        return tags
    column = cells.column("tags")
    for tag in tags:
        if not pattern.fullmatch(tag):
            hint = f"{options.scheme} has O and {', '.join(options.scheme.replace('O', ''))} before a kind, as in B-LOC"
            what = f"column {column!r} holds a tag that is not {options.scheme}"
            cells.fault(what, f"{hint}; or set options.scheme", value=tag)
            return tags
    repaired = list(tags)
    for place, (before, tag) in enumerate(pairwise([OUTSIDE, *tags])):
        if _goes_on_from_nothing(repaired[place - 1] if place else OUTSIDE, tag, options.scheme):
            if not options.repair:
                hint = "begin entities with B- (S- for one word), or set options.repair to true"
                cells.fault(
                    f"column {column!r}: a tag goes on with an entity that was not begun", hint, value=f"{before} {tag}"
                )
                return tags
            repaired[place] = f"B-{tag[2:]}"
    return repaired


def _goes_on_from_nothing(before: str, tag: str, scheme: Scheme) -> bool:
    if tag[:2] not in ("I-", "E-"):
        return False
    letter, kind = read_label(before, scheme)
    return before == OUTSIDE or kind != tag[2:] or letter in "ES"


def _windower(plan: Plan) -> tuple[Windower, Cut]:
    length = plan.encoder.max_length
    return Windower(plan.base.tokenizer, plan.encoder.cleaning), Cut(length, None, length // 4)


def _labelled(sentence: Windowed, numbers: Sequence[int]) -> Iterator[tuple[Any, list[int]]]:
    """The rows of a sentence, each with a label at the first token of every word in it."""
    seen: set[int | None] = set()
    labels = []
    for token in sentence.tokens:
        labels.append(NO_LABEL if token.word is None or token.word in seen else numbers[token.word])
        seen.add(token.word)
    for window in sentence.windows:
        row = [NO_LABEL] * len(window.row)
        row[sentence.lead : sentence.lead + window.end - window.first] = labels[window.first : window.end]
        yield window.row, row


def _sequences(scored: Scored, labels: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Tags and predicted tags of the words of each window."""
    truth, found = [], []
    names = [*labels, _STRANGER]
    for _, batch, logits in scored:
        for target, best in zip(batch["targets"].cpu().numpy(), logits.argmax(-1).cpu().numpy(), strict=True):
            words = target != NO_LABEL
            truth.append([names[number] for number in target[words]])
            found.append([labels[number] for number in best[words]])
    return truth, found
