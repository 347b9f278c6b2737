"""What is different between two versions of a model, as their own files tell it.

Read are the small files that a job puts into a version: `model.json`, `lineage.json`, `report/metrics.json`, and how
each test row went. One of another program may lack them: then all files are compared by their digests, and what its
publisher has said of it (`tunewright publish --task --metric`). What only one of the two has is told as such.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from tunewright.registry.gates.comparison import Comparison, compare
from tunewright.registry.gates.evidence import FILES, LINEAGE, METRICS, Evidence, Json, evidence, listed, mapping
from tunewright.registry.gates.outcomes import OUTCOMES, Answer, Both, reached
from tunewright.registry.stores.store import Store
from tunewright.registry.variables import flat
from tunewright.registry.versions.record import Version

_WEIGHTS = ("onnx/", "weights/")
_ALPHA = 0.025
"""Of each end of an interval of 95 %."""


@dataclass(frozen=True)
class Change:
    """Something that two versions do not have alike."""

    about: str
    """settings, data, base model, made with, labels, config (what its publisher has said), figures, files (their bytes)
    or content (the digests of files of the same size)."""
    name: str
    before: Json
    """None: it has none."""
    after: Json


@dataclass(frozen=True)
class ChangedRow:
    """A test row to which two versions answer otherwise, or which one of them answers better."""

    row: int
    """In the order of the test side of the version after, from 0, as in its report."""
    key: str
    """A number of the input."""
    true: Answer
    before: Answer
    after: Answer
    change: Literal["worse", "better", "other"]
    gained: float
    """By how much its score rises; of a number by how much nearer to the truth its answer comes."""


@dataclass(frozen=True)
class Rows:
    """How the rows went on which both were measured."""

    shared: int
    retold: int
    """Rows of both of which something else is true now, which are not compared."""
    figure: str
    """What is compared, more is better."""
    difference: float
    interval: tuple[float, float]
    """Of 95 %."""
    p_value: float | None
    """Of McNemar's test, two-sided; None where rows are not right or wrong."""
    better: int
    worse: int
    other: int
    """Rows with another answer that is worth the same."""
    changed: Sequence[ChangedRow]
    """The worst first."""


@dataclass(frozen=True)
class Difference:
    """All changes from one version to another."""

    before: Version
    after: Version
    changes: Sequence[Change]
    rows: Rows | None
    """None where they share no rows whose answers both keep."""
    remarks: Sequence[str]
    """What to keep in mind while reading them."""


def differences(store: Store, before: Version, after: Version, *, cache: Path) -> Difference:
    """Read both and compare. Raises CorruptObject."""
    one, other = (evidence(store, version, cache=cache) for version in (before, after))
    first, second = _Parts(one), _Parts(other)
    files, content = _files(one, other)
    changes = [
        *_changed("base model", first.base, second.base),
        *_changed("settings", first.settings, second.settings),
        *_changed("data", first.data, second.data),
        *_changed("made with", first.made_with, second.made_with),
        *_changed("labels", first.labels, second.labels),
        *_changed("config", first.config, second.config),
        *_changed("figures", first.figures, second.figures),
        *files,
        *content,
    ]
    remarks = []
    if first.test_rows and second.test_rows and first.test_rows != second.test_rows:
        remarks.append("the test rows are not the same: figures that differ may do so for that alone")
    for of in (one, other):
        if missing := [name for name in FILES if name not in of.found]:
            remarks.append(f"{of.version} carries no {', '.join(missing)}: it was not made by a job of this program")
    if (one.outcomes is None) != (other.outcomes is None):
        bare = one if one.outcomes is None else other
        remarks.append(f"{bare.version} carries no {OUTCOMES}: single rows are not compared")
    found = compare(one.outcomes, other.outcomes, alpha=_ALPHA) if one.outcomes and other.outcomes else None
    return Difference(before, after, changes, _rows(found) if found else None, remarks)


def _rows(found: Comparison) -> Rows:
    shared, difference = found.rows, found.difference
    parts: dict[Literal["worse", "better", "other"], list[Both]]
    parts = {"worse": shared.worse, "better": shared.better, "other": shared.other}
    changed = [_row(one, change) for change, some in parts.items() for one in some]
    return Rows(
        shared=len(shared.rows),
        retold=shared.retold,
        figure=found.figure,
        difference=difference.value,
        interval=(difference.low, difference.high),
        p_value=found.either,
        **{change: len(some) for change, some in parts.items()},
        changed=sorted(changed, key=lambda one: (one.gained, one.row)),
    )


def _row(one: Both, change: Literal["worse", "better", "other"]) -> ChangedRow:
    gained = reached(one.after) - reached(one.before)
    true = one.before.true if one.after.true is None else one.after.true
    return ChangedRow(one.number, one.after.key, true, one.before.answer, one.after.answer, change, gained)


class _Parts:
    """What is compared of a version, each part as names with what stands for them."""

    def __init__(self, of: Evidence) -> None:
        data = mapping(of.lineage.get("data"))
        self.base = _flat(of.lineage.get("base_model"))
        self.settings = _flat(of.lineage.get("settings"))
        left_out = _flat({"left out": data.get("left_out_rows")})
        self.data = {**_flat({"rows": data.get("rows")}), **_sources(data), **left_out}
        self.made_with = {**_flat(of.lineage.get("packages")), **_flat(of.lineage.get("hardware"))}
        self.labels = {str(name): "there" for name in listed(of.model.get("labels"))}
        self.config = {} if LINEAGE in of.found else _config(of)
        self.figures = _figures(of) if METRICS in of.found else _said(of)
        self.test_rows = mapping(data.get("split_digests")).get("test")


def _figures(of: Evidence) -> dict[str, Json]:
    """Of each variant on the test rows, with the intervals that were measured."""
    told: dict[str, Json] = {"served by default": of.model.get("default_variant")}
    for variant, measured in mapping(of.metrics.get("test")).items():
        held = mapping(measured)
        intervals = mapping(held.get("intervals"))
        for name, value in mapping(held.get("metrics")).items():
            told[f"{variant} {name}"] = _with_ends(value, intervals.get(name))
        told[f"{variant} ms_per_text"] = held.get("ms_per_text")
    return {name: value for name, value in told.items() if value is not None}


def _said(of: Evidence) -> dict[str, Json]:
    """The figures that the publisher has given: all of them in the manifest, or the one of the record."""
    if metrics := mapping(of.manifest.config.get("metrics")):
        return _flat(dict(metrics))
    summary = of.version.summary
    return {summary.metric: summary.value} if summary and summary.metric and summary.value is not None else {}


def _config(of: Evidence) -> dict[str, Json]:
    """What the publisher has said beside the figures."""
    task = of.version.summary.task if of.version.summary else None
    said: dict[str, Json] = {"task": task, **of.manifest.config}
    return _flat({name: value for name, value in said.items() if name != "metrics" or not mapping(value)})


def _changed(about: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[Change]:
    """In the order of the first, then what only the second has."""
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(about, name, before.get(name), after.get(name))


def _flat(value: Json) -> dict[str, Json]:
    return cast(dict[str, Json], dict(flat(mapping(value))))


def _sources(data: Mapping[str, Json]) -> dict[str, Json]:
    """The digests of the files of each side, by their addresses."""
    found: dict[str, Json] = {}
    for side, files in mapping(data.get("files")).items():
        for file in map(mapping, listed(files)):
            found[f"{side} {file.get('address')}"] = file.get("sha256")
    return found


def _files(one: Evidence, other: Evidence) -> tuple[list[Change], list[Change]]:
    """Files of other sizes, and those of the same size with other bytes.

    Of two versions that jobs have made only the weights are told, by their sizes: their other files always differ, and
    the parts above tell in what.
    """
    by_jobs = LINEAGE in one.found and LINEAGE in other.found
    before, after = (
        {layer.path: layer for layer in of.manifest.layers if not by_jobs or layer.path.startswith(_WEIGHTS)}
        for of in (one, other)
    )
    sizes = ({path: layer.size for path, layer in layers.items()} for layers in (before, after))
    same = [path for path in before if path in after and before[path].size == after[path].size and not by_jobs]
    digests = ({path: layers[path].digest for path in same} for layers in (before, after))
    return list(_changed("files", *sizes)), list(_changed("content", *digests))


def _with_ends(value: Json, ends: Json) -> Json:
    if not isinstance(value, int | float):
        return value
    shown = f"{value:.4f}"
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends):
        return f"{shown} ({ends[0]:.4f} to {ends[1]:.4f})"
    return shown
