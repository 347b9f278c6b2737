"""The data before anything is learned: read, checked, split; each step says what it found.

Nothing here needs torch: what is wrong with settings or data is told within a second or two.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.data.check import Checked, check
from tunewright.job.data.columns import Options, Roles
from tunewright.job.data.dataset import Dataset
from tunewright.job.data.doctor.spellings import alike, respelled
from tunewright.job.data.faults import listed
from tunewright.job.data.readers.formats import READERS, format_of
from tunewright.job.data.readers.media_folder import MEDIA
from tunewright.job.data.reuse import check_or_reuse
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.data.sources.media import Fingerprint, find_folders
from tunewright.job.data.split import shares, split
from tunewright.job.errors import DataError
from tunewright.job.kinds.balance import advice
from tunewright.job.kinds.plan import DataFacts, Part, Prepared
from tunewright.job.kinds.task import Task
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings, used
from tunewright.job.steps.teachers.unlabelled import Unlabelled, read_unlabelled
from tunewright.job.tasks import TASKS
from tunewright.serving.runtime.free_memory import give_back

_FEW = 16
"""Rows a label up to which pairs are ahead of plain fine-tuning: measured in docs/guides/few-labels.md."""
_MANY = 64
"""Rows a label from which the lead is about gone (Tunstall et al. 2022, figure 2)."""
_AFTERWARDS = set("train validation test unlabelled out_of_scope limit validation_fraction test_fraction gate".split())
"""Settings of the data that say which rows are used, not what they are."""


def prepare(settings: JobSettings, cache: Path, work: Path) -> Prepared:
    """Read, check and split the data of a job; DataError tells all that is wrong with it."""
    task = TASKS[settings.task]
    options, roles = check_settings(settings)
    problem = task.target.problem(roles.target_role, options)
    work.mkdir(parents=True, exist_ok=True)
    checked, labels = _read(settings, task, options, roles, cache, work)
    parts = _sides(checked, task, labels, problem, settings)
    _warn_overlaps(parts)
    _say_unheld(parts)
    unlabelled = read_unlabelled("unlabelled", settings, task, roles, parts, (cache, work))
    strange = read_unlabelled("out_of_scope", settings, task, roles, parts, (cache, work))
    say("split", ", ".join(f"{name} {len(part):,}" for name, part in parts.items()), **_sizes(parts))
    task.target.check_sides(parts, labels, problem)
    if "train.few_shot" in used(task) and problem == "single_label":
        _advise(settings, parts["train"], labels)
    if problem in ("single_label", "multi_label", "entities", "tags"):
        counts = Counter(chain.from_iterable(map(task.target.strata, parts["train"].data.targets())))
        if others := respelled(counts):
            warn("data", alike(counts, others))
        if said := advice(counts, len(parts["train"]), settings.train, problem):
            warn("split", said)
    facts = facts_of(checked, parts, unlabelled=unlabelled, out_of_scope=strange)
    # A row was a dozen small objects while it was read: what is left of them would be kept as long as the job lasts.
    pa.default_memory_pool().release_unused()
    give_back()
    return Prepared(
        task,
        options,
        roles,
        labels,
        parts["train"],
        parts["validation"],
        parts["test"],
        facts,
        tuple(settings.metrics),
        TASKS.requirement(settings.task),
        unlabelled.part if unlabelled else None,
        strange.part if strange else None,
    )


def _advise(settings: JobSettings, train: Part, labels: Sequence[str]) -> None:
    """Recommend few-shot learning, or plain fine-tuning, by the middle number of training rows of a label."""
    middle = float(np.median(np.bincount(train.targets, minlength=len(labels))))
    shown = f"half of the labels have at most {middle:g} training rows"
    if settings.train.few_shot is None and middle <= _FEW:
        warn("split", f"{shown}: with so few, train.few_shot learns more than plain fine-tuning", rows=middle)
    if settings.train.few_shot is not None and middle >= _MANY:
        shown = f"half of the labels have {middle:g} training rows or more"
        warn("split", f"{shown}: with so many, plain fine-tuning is about as good; consider removing train.few_shot")


def facts_of(checked: dict[str, Checked], parts: dict[str, Part], **bare: Unlabelled | None) -> DataFacts:
    """What was found: files, rows of each side, what was left out. `checked`: by the settings, `parts`: by the sides,
    `bare`: rows without labels, by the settings."""
    given = {name: rows for name, rows in bare.items() if rows}
    return {
        "files": {name: _fingerprint(part) for name, part in checked.items()}
        | {name: _fingerprint(rows.checked) for name, rows in given.items()},
        "rows": _sizes(parts) | {name: len(rows.part) for name, rows in given.items()},
        "split_digests": {name: _digest(part.keys) for name, part in parts.items()},
        "dropped_empty_rows": sum(part.dropped for part in checked.values()),
        "left_out_rows": {name: dict(part.left_out) for name, part in checked.items() if +Counter(part.left_out)},
    }


def _sizes(parts: dict[str, Part]) -> dict[str, int]:
    return {name: len(part) for name, part in parts.items()}


def _read(
    settings: JobSettings, task: Task, options: Options, roles: Roles, cache: Path, work: Path
) -> tuple[dict[str, Checked], list[str]]:
    """What the settings name, checked, and the labels of the training rows; the other rows may have no others."""
    checked: dict[str, Checked] = {}
    labels: list[str] | None = None
    side = SideReader(settings, task, options, roles, cache, work)
    for name in ("train", "validation", "test"):
        if getattr(settings.data, name) is None:
            continue
        allowed = labels if task.target.closed else None
        checked[name] = side.read(name, allowed, checked["train"].classes if checked else ())
        if labels is None:
            labels = task.target.learn(checked[name].data.targets(), roles.target_role)
    refuse_same_bytes(checked)
    return checked, labels or []


@dataclass(frozen=True)
class SideReader:
    """Reads and checks what the settings name as one side of the data."""

    settings: JobSettings
    task: Task
    options: Options
    roles: Roles
    cache: Path
    work: Path
    of_model: bool = False
    """Whether the labels are those of a model that was taught elsewhere."""

    def read(self, name: str, labels: list[str] | None, classes: tuple[str, ...] = ()) -> Checked:
        """The rows of `train`, `validation` or `test`. `labels`: those that are allowed, None: all; `classes`: the
        names that the training files give the numbers of their labels."""
        settings, kind = self.settings, self.settings.data.format or ""
        source = getattr(settings.data, name)
        tested = "train" if settings.data.test is None else "test"
        kept = tuple(settings.report.slices) if name == tested else ()
        files = find_folders(source, kind, self.cache) if kind in MEDIA else fetch(source, self.cache)
        read = partial(
            check,
            files,
            self.task,
            self.roles,
            settings.data,
            labels=labels,
            classes=classes,
            options=self.options,
            cache=self.cache,
            kept=kept,
            of_model=self.of_model,
        )
        if _is_reusable(files, self.task, settings):
            asked = _asked(settings, self.options) | {"labels": labels, "classes": classes, "kept": kept}
            asked |= {"of_model": True} if self.of_model else {}
            checked = check_or_reuse(read, files, asked, self.cache / "rows")
        else:
            checked = read(target=self.work / f"{name}.arrow")
        _say_read(name, checked)
        return checked


def _is_reusable(files: Sequence[SourceFile], task: Task, settings: JobSettings) -> bool:
    """Whether the bytes of the tables and our code alone decide what the rows are: no other files, no plug-ins."""
    formats = {settings.data.format or format_of(file.address) for file in files} - {None}
    return not task.media and not TASKS.requirement(settings.task) and formats <= set(READERS.built_in)


def _asked(settings: JobSettings, options: Options) -> dict[str, object]:
    """The settings that checked rows depend on: those that are given, as some mean another thing where they are not."""
    data = settings.data.model_dump(mode="json", exclude=_AFTERWARDS, exclude_unset=True)
    return {"task": settings.task, "data": data, "options": options.model_dump(mode="json")}


def refuse_same_bytes(checked: dict[str, Checked]) -> None:
    """Rows that choose the best epoch and then measure it prove nothing."""
    one, other = (checked.get(name) for name in ("validation", "test"))
    if one is None or other is None:
        return
    if {fact["sha256"] for fact in _fingerprint(one)} == {fact["sha256"] for fact in _fingerprint(other)}:
        raise DataError(
            f"data.test ({listed((file.address for file in other.files), 3)}) holds the same bytes as data.validation "
            f"({listed((file.address for file in one.files), 3)}); leave one of the two out: rows are split off for it"
        )


def _digest(keys: NDArray[np.uint64]) -> str:
    """Equal for the same texts in any order."""
    return hashlib.blake2b(np.sort(keys).tobytes(), digest_size=8).hexdigest()


def _say_read(name: str, part: Checked) -> None:
    files = listed((file.address for file in part.files), 3)
    left = {"without text": part.dropped, **part.left_out}
    left_out = "".join(f", {count:,} {why} left out" for why, count in left.items() if count)
    say("data", f"{name}: {len(part.data):,} rows from {files}{left_out}", rows=len(part.data))


def _fingerprint(part: Checked) -> list[Fingerprint]:
    tables = [Fingerprint(address=file.address, sha256=file.sha256, bytes=file.size) for file in part.files]
    return tables + part.media


def _sides(
    checked: dict[str, Checked], task: Task, labels: list[str], problem: str, settings: JobSettings
) -> dict[str, Part]:
    """The three sides: as given, or split off from train."""
    given = checked["train"]
    rows = _limited(len(given.data), settings.data.limit, settings.train.seed)
    strata = map(task.target.strata, chain.from_iterable(given.data.select(rows).target_parts()))
    spent = shares(settings.data, few_shot=settings.train.few_shot is not None)
    cut = split(given.keys[rows], strata, seed=settings.train.seed, **spent)
    sides = {}
    for name in ("train", "validation", "test"):
        data, keys = _side(name, checked, rows[getattr(cut, name)])
        if not len(data) and not (name == "validation" and not spent[name] and name not in checked):
            raise DataError(
                f"no rows are left for {name}; give data.{name}, more rows, or a larger data.{name}_fraction"
            )
        sides[name] = Part(data, task.target.encode(data.targets(), labels, problem), keys)
    return sides


def _side(name: str, checked: dict[str, Checked], split_off: NDArray[np.int64]) -> tuple[Dataset, NDArray[np.uint64]]:
    if name != "train" and name in checked:
        return checked[name].data, checked[name].keys
    return checked["train"].data.select(split_off), checked["train"].keys[split_off]


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
    shared = int(np.isin(parts["test"].keys, parts["validation"].keys).sum())
    if shared:
        warn("data", f"{shared:,} of {len(parts['test']):,} test texts also stand in validation: the figures flatter")
    keys = parts["train"].keys
    repeated = len(keys) - len(np.unique(keys))
    if repeated:
        say("data", f"{repeated:,} training rows repeat the text of another row")
        _warn_contradictions(parts["train"])


def _warn_contradictions(part: Part) -> None:
    """Equal texts with different labels: no model can be right about all of them."""
    if not isinstance(part.targets, np.ndarray) or part.targets.dtype.kind != "i" or part.targets.ndim != 1:
        return
    both = np.unique(np.stack([part.keys, part.targets.astype(np.uint64)]), axis=1)[0]
    texts, labels = np.unique(both, return_counts=True)
    rows = int(np.isin(part.keys, texts[labels > 1]).sum())
    if rows:
        warn(
            "data", f"{rows:,} training rows have the text of another row but not its label: they contradict each other"
        )


def _say_unheld(parts: dict[str, Part]) -> None:
    if not len(parts["validation"]):
        say("split", "no rows are held out for validation: the last epoch is kept, training rows prove the export")
