"""Everything before training: read, check, split, encode; each step says what it found."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.base_model import BaseModel
from job.check import Checked, Roles, check, read_roles
from job.dataset import Dataset
from job.encode import EncodedSplit, TokenizerFit, encode, percentiles, tokenizer_fit
from job.errors import DataError
from job.faults import listed
from job.progress import bar, say, warn
from job.settings import JobSettings
from job.source import fetch
from job.split import split
from job.tasks import TASKS
from job.tasks.task import Targets, Task
from job.tokenizer import choose_length, length_limit, padding_of
from serving.bundle import Padding
from serving.encoding import Encoder, load_tokenizer

_RARE = 8
"""Rows under which a label is called rare."""


@dataclass(frozen=True)
class Part:
    """One side of the data: its rows and what is to be learned of them."""

    data: Dataset
    targets: Targets
    keys: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to be learned from."""

    task: Task
    roles: Roles
    labels: list[str]
    train: Part
    validation: Part
    test: Part
    facts: dict[str, Any]
    """What was found, for the report and the lineage."""

    @property
    def problem(self) -> str:
        """`single_label`, `multi_label` or `regression`."""
        return self.task.problem(self.roles.target_role)


def prepare(settings: JobSettings, cache: Path, work: Path) -> Prepared:
    """Read, check and split the data of a job; DataError tells all that is wrong with it."""
    task = TASKS[settings.task]
    roles = read_roles(settings.data, task)
    work.mkdir(parents=True, exist_ok=True)
    checked, labels = _read(settings, task, roles, cache, work)
    parts = _sides(checked, task, labels, roles, settings)
    problem = task.problem(roles.target_role)
    _warn_overlaps(parts)
    _say_parts(parts, labels, problem)
    facts: dict[str, Any] = {
        "files": {name: _fingerprint(part) for name, part in checked.items()},
        "rows": {name: len(part) for name, part in parts.items()},
        "split_digests": {name: _digest(part.keys) for name, part in parts.items()},
        "dropped_empty_rows": sum(part.dropped for part in checked.values()),
    }
    return Prepared(task, roles, labels, parts["train"], parts["validation"], parts["test"], facts)


def _read(
    settings: JobSettings, task: Task, roles: Roles, cache: Path, work: Path
) -> tuple[dict[str, Checked], list[str]]:
    """What the settings name, checked, and the labels of the training rows; the other rows may have no others."""
    checked: dict[str, Checked] = {}
    labels: list[str] | None = None
    for name in ("train", "validation", "test"):
        source = getattr(settings.data, name)
        if source is None:
            continue
        allowed = None if task.problem(roles.target_role) == "regression" else labels
        checked[name] = check(fetch(source, cache), task, roles, settings.data, work / f"{name}.arrow", labels=allowed)
        _say_read(name, checked[name])
        if labels is None:
            labels = task.learn_labels(checked[name].data.targets(), roles.target_role)
    return checked, labels or []


def _digest(keys: NDArray[np.uint64]) -> str:
    """Equal for the same texts in any order."""
    return hashlib.blake2b(np.sort(keys).tobytes(), digest_size=8).hexdigest()


def _say_read(name: str, part: Checked) -> None:
    files = listed((file.address for file in part.files), 3)
    dropped = f", {part.dropped:,} without text left out" if part.dropped else ""
    say("data", f"{name}: {len(part.data):,} rows from {files}{dropped}", rows=len(part.data))


def _fingerprint(part: Checked) -> list[dict[str, Any]]:
    return [{"address": file.address, "sha256": file.sha256, "bytes": file.size} for file in part.files]


def _sides(
    checked: dict[str, Checked], task: Task, labels: list[str], roles: Roles, settings: JobSettings
) -> dict[str, Part]:
    """The three sides: as given, or split off from train."""
    given = checked["train"]
    rows = _limited(len(given.data), settings.data.limit, settings.train.seed)
    strata = [task.strata(target) for target in given.data.select(rows).targets()]
    shares = {
        name: 0.0 if name in checked else float(getattr(settings.data, f"{name}_fraction"))
        for name in ("validation", "test")
    }
    cut = split(given.keys[rows], strata, seed=settings.train.seed, **shares)
    sides = {}
    for name in ("train", "validation", "test"):
        data, keys = _side(name, checked, rows[getattr(cut, name)])
        if not len(data):
            raise DataError(
                f"no rows are left for {name}; give data.{name}, more rows, or a larger data.{name}_fraction"
            )
        sides[name] = Part(data, task.encode_targets(data.targets(), labels, task.problem(roles.target_role)), keys)
    _refuse_unlearnable(sides["train"].targets, labels, task.problem(roles.target_role))
    return sides


def _side(name: str, checked: dict[str, Checked], split_off: NDArray[np.int64]) -> tuple[Dataset, NDArray[np.uint64]]:
    if name != "train" and name in checked:
        return checked[name].data, checked[name].keys
    return checked["train"].data.select(split_off), checked["train"].keys[split_off]


def _refuse_unlearnable(targets: Targets, labels: list[str], problem: str) -> None:
    """A label can lose all its training rows to data.limit or to a side."""
    if problem == "regression":
        return
    lost = [label for label, count in zip(labels, _counts(targets, labels), strict=True) if not count]
    if lost:
        raise DataError(
            f"label {lost[0]!r} has no training row left after data.limit and the split"
            + (f" (so have {len(lost) - 1} more)" if lost[1:] else "")
            + "; raise data.limit, add rows, or give data.validation and data.test"
        )


def _counts(targets: Targets, labels: list[str]) -> NDArray[np.int64]:
    """Rows of each label."""
    if targets.ndim == 1:
        return np.bincount(targets, minlength=len(labels))
    return np.asarray(targets.sum(axis=0).astype(np.int64))


def _limited(rows: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    if limit is None or limit >= rows:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:limit]).astype(np.int64)


def _warn_overlaps(parts: dict[str, Part]) -> None:
    """Equal texts on two sides that were given make the figures too good; sides split off from train share none."""
    for name in ("validation", "test"):
        shared = int(np.isin(parts[name].keys, parts["train"].keys).sum())
        if shared:
            warn("data", f"{shared:,} of {len(parts[name]):,} {name} texts also stand in train: the figures flatter")
    keys = parts["train"].keys
    repeated = len(keys) - len(np.unique(keys))
    if repeated:
        say("data", f"{repeated:,} training rows repeat the text of another row")


def _say_parts(parts: dict[str, Part], labels: list[str], problem: str) -> None:
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    say("split", sizes, **{name: len(part) for name, part in parts.items()})
    train = parts["train"].targets
    if problem == "regression":
        say("split", f"targets from {train.min():g} to {train.max():g}, mean {train.mean():.3g}")
        return
    counts = _counts(train, labels)
    order = np.argsort(-counts, kind="stable")
    say("split", f"{len(labels)} labels: {listed((f'{labels[i]} {counts[i]:,}' for i in order), 6)}")
    rare = [labels[i] for i in order if counts[i] < _RARE]
    if rare:
        warn(
            "split",
            f"labels with under {_RARE} training rows: {len(rare)}, such as {rare[-1]!r}; expect little of them",
        )
    if problem == "single_label" and counts.max() > 0.99 * counts.sum():
        warn("split", f"{counts.max() / counts.sum():.1%} of the rows have one label: accuracy says nothing here")


def make_encoder(settings: JobSettings, base: BaseModel) -> Encoder:
    """The encoder that training and serving share."""
    config = base.config()
    length = choose_length(settings.train.max_length, length_limit(base.folder, config), base.address)
    padding: Padding = padding_of(base.folder, config)
    return Encoder(base.tokenizer, max_length=length, padding=padding, cleaning=settings.data.cleaning)


def encode_parts(
    prepared: Prepared, encoder: Encoder, base: BaseModel, work: Path
) -> tuple[EncodedSplit, EncodedSplit]:
    """Train and validation as token ids; says how long the rows are and how well the tokenizer knows the words."""
    fit = tokenizer_fit(prepared.train.data, load_tokenizer(base.tokenizer))
    _warn_poor_fit(fit)
    prepared.facts["tokenizer_fit"] = {"unknown_letters": fit.unknown, "single_letters": fit.single}
    encoded = []
    with bar("encode", len(prepared.train) + len(prepared.validation)) as advance:
        for name in ("train", "validation"):
            part: Part = getattr(prepared, name)
            encoded.append(encode(part.data, encoder, part.targets, work / name, on_rows=advance))
    middle, most, longest = percentiles(encoded[0].lengths)
    say("encode", f"tokens per row: median {middle}, 95 % up to {most}, longest {longest}; limit {encoder.max_length}")
    cut = sum(part.truncated for part in encoded)
    if cut:
        rows = sum(len(part) for part in encoded)
        warn(
            "encode", f"{cut:,} of {rows:,} rows are longer than {encoder.max_length} tokens and are cut", truncated=cut
        )
    prepared.facts["truncated_rows"] = cut
    return encoded[0], encoded[1]


def _warn_poor_fit(fit: TokenizerFit) -> None:
    if not fit.poor:
        return
    figures = f"{fit.unknown:.0%} of the letters become the unknown token and {fit.single:.0%} tokens of one letter"
    if fit.foreign:
        advice = "this tokenizer does not know the language of the data; choose a base model that was trained on it"
    else:
        advice = "that is right for a base model made so (many Chinese ones), else choose one of the data's language"
    warn("encode", f"{figures}: {advice}", unknown=fit.unknown, single=fit.single)
