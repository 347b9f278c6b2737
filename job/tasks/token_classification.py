"""Token classification, taught: one tag per word, for names (BIO, BIOES) or parts of speech (plain tags)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.faults import listed
from tunewright.job.errors import DataError
from tunewright.job.kinds.labels import LABEL_SETTINGS
from tunewright.job.kinds.options import TagOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Columns, Learner, Target, Task
from tunewright.job.kinds.texts import TEXT_SETTINGS, WORD_CHANGES
from tunewright.job.measure.metric import figures
from tunewright.job.progress.events import say
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.tasks.token_classification import OUTSIDE, Entity, Scheme, read_label
from tunewright.serving.text.cleaning import clean, is_visible
from tunewright.serving.text.windows import Windowed

if TYPE_CHECKING:
    from tunewright.job.measure.calibration import Outcomes
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor

_TAG = {"BIO": re.compile(r"O|[BI]-.+", re.DOTALL), "BIOES": re.compile(r"O|[BIES]-.+", re.DOTALL)}
WORDS = {"aggregation_strategy": "none", "ignore_labels": []}
"""Parameters of a request that is answered by one tag per word."""


class Words(Columns[Sequence[str]]):
    """Sentences of words."""

    subject = "a text"
    media = ""
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """There is one."""
        return tuple(Form(("tokens",), target=target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """Words."""
        return pa.list_(pa.large_string())

    def read(self, cells: Cells) -> list[str] | None:
        """Words, none of them empty."""
        return _words(cells)

    def served(self, value: Sequence[str]) -> list[str]:
        """A list of words."""
        return list(value)

    def request(self, value: Sequence[str]) -> dict[str, list[str]]:
        """Words, as a caller sends them."""
        return {"tokens": list(value)}


class Tags(Target[list[str], list[str]]):
    """One tag for each word."""

    roles = ("tags",)
    closed = True
    uses = LABEL_SETTINGS | {"train.label_smoothing", "train.loss", "train.r_drop", "train.distill"}

    def problem(self, role: str, options: Options) -> str:
        """Entities made of words, or plain tags."""
        return "tags" if cast(TagOptions, options).scheme == "plain" else "entities"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Over whole entities (micro average) and words; of plain tags accuracy and macro-F1."""
        return ("f1", "precision", "recall", "accuracy") if problem == "entities" else ("accuracy", "macro_f1")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """Entities or tags."""
        what = "Finds entities in" if model.problem == "entities" else "Gives a tag to each word of"
        return f"{what} {subject}"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """Tags."""
        return pa.list_(pa.string())

    def read(self, cells: Cells, value: list[str] | None) -> list[str] | None:
        """As many tags as words, that fit the scheme."""
        tags = cells.target(lambda found, role, settings: _tags(found, cells))
        if value is None or tags is None:
            return None
        if len(value) != len(tags):
            cells.fault(f"has {len(value)} tokens but {len(tags)} tags", "give one tag for each token")
            return None
        tags = _checked(tags, cells)
        return tags if cells.are_known(sorted(set(tags))) else None

    def strata(self, target: list[str]) -> list[str]:
        """The tags of the sentence but for O."""
        return sorted(set(target) - {OUTSIDE})

    def learn(self, targets: Sequence[list[str]], role: str) -> list[str]:
        """All tags of the training rows: O first, then by the kind of entity."""
        found = {tag for target in targets for tag in target}
        if len(found) < 2:
            raise DataError(f"the training rows hold {len(found)} tag ({', '.join(found)}); at least 2 are needed")
        return sorted(found, key=lambda tag: (tag != OUTSIDE, tag.partition("-")[2] or tag, tag))

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how many words and tags there are."""
        say("split", f"{len(labels)} tags: {listed(labels, 12)}")

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy over the words."""
        from tunewright.job.learners import tags

        return tags.objective(plan)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """The commonest training tag for every word."""
        counts = Counter(tag for tags in plan.prepared.train.data.targets() for tag in tags)
        commonest = max(sorted(counts), key=counts.__getitem__)
        truth = part.data.targets()
        found = [[commonest] * len(tags) for tags in truth]
        return figures(plan.prepared.metric_names, plan.prepared.problem, truth, found)

    def outcomes(self, predictor: "Predictor", part: Part, plan: Plan) -> "Outcomes":
        """The logits of the first token of each word beside its tag."""
        return _answered(predictor, part)[1]

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Tags as the server gives them, word by word."""
        from tunewright.job.measure.calibration import calibration
        from tunewright.job.measure.evaluation import evaluated, time_alone
        from tunewright.job.measure.rows.answers import TagAnswers
        from tunewright.job.measure.tags import details

        task, problem, names = plan.prepared.task, plan.prepared.problem, plan.prepared.metric_names
        truth = part.data.targets()
        found, outcomes = _answered(predictor, part)
        return evaluated(
            lambda rows: figures(names, problem, [truth[row] for row in rows], [found[row] for row in rows]),
            len(part),
            headline=task.headline(problem),
            details=details(truth, found, plan.prepared.labels, problem),
            ms_per_text=time_alone(predictor, part.data, task.columns.served),
            answers=TagAnswers([list(tags) for tags in truth], found),
            calibration=calibration(outcomes, predictor.temperature) if len(outcomes.rows) else None,
        )


def _learner() -> Learner:
    from tunewright.job.learners.tags import TAG_LEARNER

    return TAG_LEARNER


TOKEN_CLASSIFICATION = Task(
    about="Sentences of words to one tag per word.",
    columns=Words(),
    target=Tags(),
    learner=_learner,
    options=TagOptions,
    uses=frozenset({"train.max_length", "train.max_tokens", "adapt"}),
    augments=WORD_CHANGES,
)


def _answered(predictor: "Predictor", part: Part) -> tuple[list[list[str]], "Outcomes"]:
    """The tag of each word, as the server gives it, and the logits of which it is made beside the one that is true."""
    from tunewright.job.measure.calibration import Outcomes

    labels = predictor.model.labels
    number = {label: index for index, label in enumerate(labels)}
    checked = predictor.task.read_parameters(WORDS, predictor.model)
    found: list[list[str]] = []
    logits, truths, rows = [], [], []
    for sentences, targets in part.data.batches():
        prepared = cast(Sequence[Windowed], predictor.prepare([list(words) for words in sentences], checked))
        for row, output, tags in zip(prepared, predictor.engine.run(prepared), targets, strict=True):
            # A tokenizer may make no token of a word, which then has no tag.
            answer = cast(list[Entity], predictor.engine.answer(row, output, checked))
            given = {word["index"]: str(word["entity"]) for word in answer}
            found.append([given.get(at, OUTSIDE) for at in range(len(tags))])
            first = {token.word: at for at, token in reversed(list(enumerate(row.tokens)))}
            merged = row.merged(output) if output else np.zeros((0, len(labels)), dtype=np.float32)
            logits.append(merged[list(first.values())])
            truths += [number.get(tags[word], len(labels)) for word in first]
            rows += [len(found) - 1] * len(first)
    return found, Outcomes(np.concatenate(logits), np.array(truths, dtype=np.int64), np.array(rows, dtype=np.int64))


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


def _tags(value: object, cells: Cells) -> list[str] | None:
    """The tags of a sentence by their names; None where the row is left out. ValueError for what is no list of them."""
    names = cells.settings.label_names
    # Whole numbers are tags only with their names.
    kinds = str | int if names else str
    if not isinstance(value, list) or not all(isinstance(one, kinds) for one in value):
        numbers = isinstance(value, list) and all(isinstance(one, int) for one in value)
        raise ValueError("holds numbers; set data.label_names to say which tag each of them is" if numbers else _LISTS)
    return cells.names([cells.cleaned(one) for one in value])


def _checked(tags: list[str], cells: Cells) -> list[str]:
    """Tags of the scheme; an entity that goes on without having begun, or of BIOES breaks off, is refused or
    repaired."""
    options = cast(TagOptions, cells.options)
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
    return _ended(repaired, cells) if options.scheme == "BIOES" else repaired


def _ended(tags: list[str], cells: Cells) -> list[str]:
    """Tags whose entities end with E- or S-; one that breaks off is refused, or ended there."""
    ended = list(tags)
    for place, (tag, after) in enumerate(pairwise([*tags, OUTSIDE])):
        goes_on = after[:2] in ("I-", "E-") and after[2:] == tag[2:]
        if tag[:2] in ("B-", "I-") and not goes_on:
            if not cast(TagOptions, cells.options).repair:
                hint = (
                    "BIOES ends entities with E- (S- for one word); set options.scheme to BIO where the data does not, "
                    "or options.repair to true"
                )
                what = f"column {cells.column('tags')!r}: an entity breaks off"
                cells.fault(what, hint, value=f"{tag} {after}" if place + 1 < len(tags) else tag)
                return tags
            ended[place] = ("S" if tag[0] == "B" else "E") + tag[1:]
    return ended


def _goes_on_from_nothing(before: str, tag: str, scheme: Scheme) -> bool:
    if tag[:2] not in ("I-", "E-"):
        return False
    letter, kind = read_label(before, scheme)
    return before == OUTSIDE or kind != tag[2:] or letter in "ES"
