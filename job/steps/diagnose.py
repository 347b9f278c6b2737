"""What is odd about rows that can be read: facts of each side, findings, and the bounds that the settings set them.

Nothing is imported here that needs torch: what a task is looked at for is asked before there is any data.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunewright.job.data.dataset import strings
from tunewright.job.data.doctor.duplicates import can_be_near, contradicting, near, repeated
from tunewright.job.data.doctor.finding import Diagnosis, Finding, Lengths, SideFacts
from tunewright.job.data.doctor.label_noise import FEWEST, mislabelled
from tunewright.job.data.doctor.leaks import leaked
from tunewright.job.data.doctor.lengths import foreign, measure, outlying
from tunewright.job.data.doctor.personal import masked, personal
from tunewright.job.data.doctor.side import Side, Texts
from tunewright.job.data.doctor.spellings import spellings
from tunewright.job.errors import DataError
from tunewright.job.kinds.plan import Plan, Prepared
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.data import FindingKind
from tunewright.serving.text.encoding import Encoder, load_tokenizer

if TYPE_CHECKING:
    from tunewright.job.batches.side import Rows
    from tunewright.job.kinds.task import Task

SIDES = ("train", "validation", "test")
EXTRA = "pip install 'tunewright[doctor]'"
_OF_ROWS: tuple[FindingKind, ...] = ("repeats", "overlap")
_OF_TEXTS: tuple[FindingKind, ...] = (
    "near_repeats",
    "near_overlap",
    "personal",
    "outliers",
    "scripts",
    "cut",
    "unknown_tokens",
)
NEAR = ("near_repeats", "near_overlap")
_UNKNOWN, _MANY_UNKNOWN = 0.01, 0.05
"""Share of unknown tokens from which it is told, and from which it is a warning."""
_MANY_CUT = 0.2
"""Share of the rows that are cut from which it is more than a note."""
_LABELS = 1000
"""Labels whose counts are kept."""
_READ, _WORK = 10_000, 1_000_000
"""Training rows whose labels are held against the others, spread over all: the base model reads them. Of many labels
fewer rows: both numbers make the work."""


def looked_for(task: "Task", role: str, problem: str) -> tuple[FindingKind, ...]:
    """The findings that the rows of a task can give. `role`: of the column to be learned."""
    kinds = _OF_ROWS if task.media else _OF_ROWS + _OF_TEXTS
    if problem == "single_label":
        kinds += ("contradictions",)
    if problem in ("single_label", "multi_label"):
        kinds += ("spellings",)
    if not task.media and role == "label" and problem == "single_label":
        kinds += ("label_noise",)
    if not task.media and role in ("label", "labels", "score"):
        kinds += ("leaks",)
    return kinds


def diagnose(plan: Plan, rows: "Mapping[str, Rows]", work: Path, *, noise: bool = False) -> Diagnosis:
    """Look at the rows of all sides, of which `rows` are those that are arrays already.

    `noise`: whether to look for wrong labels where `data.gate` does not name them.
    """
    prepared = plan.prepared
    kinds = looked_for(prepared.task, prepared.roles.target_role, prepared.problem)
    sides = [_side(prepared, name) for name in SIDES if len(prepared.part(name))]
    findings, facts = list(repeated(sides)), {}
    if "contradictions" in kinds:
        for side in sides:
            findings += contradicting(side, np.asarray(prepared.part(side.name).targets[:], dtype=np.int64))
    if "spellings" in kinds:
        findings += spellings(sides[0])
    for side in sides:
        facts[side.name], found = _look(plan, side, kinds, rows.get(side.name), work)
        findings += found
    if "near_repeats" in kinds:
        if can_be_near():
            findings += near(sides)
        else:
            say("doctor", f"rows that nearly repeat another are not looked for: {EXTRA}")
    if noise or "label_noise" in plan.settings.data.gate:
        findings += _noise(plan, sides[0], rows["train"])
    order = ("serious", "warning", "note")
    findings.sort(key=lambda one: (order.index(one.severity), -one.share))
    return Diagnosis(facts, findings)


def _side(prepared: Prepared, name: str) -> Side:
    files = prepared.facts["files"].get(name) or prepared.facts["files"]["train"]
    part = prepared.part(name)
    task = prepared.task
    is_labelled = prepared.problem in ("single_label", "multi_label")
    return Side(
        name,
        part.data,
        part.keys,
        _no_texts if task.media else partial(_texts, "tokens" in prepared.roles.inputs),
        task.target.strata if is_labelled else _no_labels,
        [file["address"] for file in files],
    )


def _texts(are_words: bool, value: object) -> Texts:
    return (" ".join(strings(value)),) if are_words else tuple(strings(value))


def _no_texts(value: object) -> Texts:
    return ()


def _no_labels(target: object) -> Sequence[str]:
    return ()


def _look(
    plan: Plan, side: Side, kinds: Sequence[FindingKind], rows: "Rows | None", work: Path
) -> tuple[SideFacts, list[Finding]]:
    """The facts of one side, and what is found in it alone."""
    labels = _counted(plan.prepared, side)
    if "personal" not in kinds:
        return SideFacts(len(side), labels), []
    texts = measure(side)
    middle, most, longest = (int(value) for value in np.percentile(texts.lengths, (50, 95, 100)))
    findings = [*personal(side), *outlying(side, texts), *foreign(side, texts)]
    if "leaks" in kinds:
        findings += leaked(side)
    tokens, unknown = _tokens(plan, side, rows, work)
    findings += [*_cut(side, tokens), *_unknown(side, unknown)]
    return SideFacts(len(side), labels, (middle, most, longest), texts.shares, tokens, unknown), findings


def _noise(plan: Plan, side: Side, rows: "Rows") -> Iterator[Finding]:
    """Training rows whose label is likely wrong, by the vectors of the base model as it is."""
    from tunewright.job.batches.sample import Sample
    from tunewright.job.model.build import build_classifier
    from tunewright.job.model.head import embed

    some = Sample(rows, min(_READ, _WORK // len(plan.prepared.labels)))
    if len(some) < FEWEST:
        say("doctor", f"whether labels are wrong cannot be told from {len(some)} rows: it takes {FEWEST}")
        return
    say("doctor", f"the base model reads {len(some):,} {side.name} rows to hold their labels against each other")
    train = plan.settings.train.model_copy(update={"pooling": "mean"})
    vectors = embed(build_classifier(plan.base, plan.prepared.labels, train), some)
    labels = np.asarray(plan.prepared.train.targets[:], dtype=np.int64)[some.numbers]
    yield from mislabelled(side, some.numbers, vectors, labels)


def _counted(prepared: Prepared, side: Side) -> dict[str, int]:
    counts = Counter[str]()
    for _, targets in side.data.batches():
        for target in targets:
            counts.update(set(prepared.task.target.strata(target)))
    return {masked(label): count for label, count in counts.most_common(_LABELS)}


def _tokens(plan: Plan, side: Side, rows: "Rows | None", work: Path) -> tuple[Lengths | None, float | None]:
    """How long the rows are in tokens, and the share of unknown ones; None where inputs are not texts to a model."""
    from tunewright.job.batches.text import percentiles, tokenizer_fit

    if not isinstance(plan.encoder, Encoder):
        return None, None
    if rows is None:
        rows = plan.prepared.task.inputs.encode(plan, side.name, work / f"doctor-{side.name}", lambda done: None)
    median, most, longest = percentiles(rows.lengths)
    cut = rows.truncated / max(len(rows), 1)
    lengths = Lengths(median, most, longest, plan.encoder.max_length, cut)
    return lengths, tokenizer_fit(side.data, load_tokenizer(plan.base.tokenizer)).unknown_tokens


def _cut(side: Side, tokens: Lengths | None) -> Iterator[Finding]:
    if tokens and tokens.cut:
        rows = round(tokens.cut * len(side))
        yield Finding(
            "cut",
            "warning" if tokens.cut >= _MANY_CUT else "note",
            side.name,
            rows,
            tokens.cut,
            f"{tokens.cut:.1%} of the {side.name} rows are longer than {tokens.limit:,} tokens and are cut",
            "raise train.max_length as far as the base model allows, or put first what matters",
            said=side.name != "test",
        )


def _unknown(side: Side, share: float | None) -> Iterator[Finding]:
    if share is not None and share >= _UNKNOWN:
        yield Finding(
            "unknown_tokens",
            "warning" if share >= _MANY_UNKNOWN else "note",
            side.name,
            0,
            share,
            f"{share:.1%} of the tokens of {side.name} are unknown to the tokenizer of the base model",
            "choose a base model of the language of the data: tunewright suggest compares some",
        )


def tell(diagnosis: Diagnosis) -> None:
    """Say what was found and has not been told yet."""
    for one in diagnosis.findings:
        if one.said:
            continue
        where = f" ({', '.join(row.text for row in one.examples)}{', ...' if one.rows > len(one.examples) else ''})"
        facts = {"finding": one.kind, "severity": one.severity, "share": round(one.share, 6)}
        report = say if one.severity == "note" else warn
        report("doctor", f"{one.text}{where if one.examples else ''}: {one.advice}", **facts)


def hold_back(diagnosis: Diagnosis, gate: Mapping[FindingKind, float]) -> None:
    """DataError where a finding concerns more rows than `data.gate` allows."""
    faults = []
    for kind, bound in gate.items():
        found = [one for one in diagnosis.findings if one.kind == kind and one.share > bound]
        if found:
            most = max(found, key=lambda one: one.share)
            faults.append(f"data.gate.{kind} is {bound:g}, but {most.text} ({most.share:.2%}); {most.advice}")
    if faults:
        raise DataError("\n".join(faults))
