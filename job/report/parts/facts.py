"""What it was made of: data and lineage."""

from collections.abc import Mapping

import numpy as np

from tunewright.job.kinds.plan import Part
from tunewright.job.report.html import Cell, Html, Number, Section, facts, joined, paragraph, table
from tunewright.job.report.subject import Subject, count
from tunewright.registry.variables import flat
from tunewright.registry.versions.record import moment

_LABELS = 60
_LETTERS = {
    "unknown_letters": "Letters that the tokenizer does not know",
    "single_letters": "Letters that are tokens of their own",
}


def data(subject: Subject) -> Section:
    """Rows of each side, labels, what was left out or cut, and the files."""
    found, prepared = subject.plan.prepared.facts, subject.plan.prepared
    parts = [facts([(side, f"{rows:,} rows") for side, rows in found["rows"].items()])]
    if prepared.labels and subject.release.model.problem in ("single_label", "multi_label"):
        parts.append(_label_counts(subject))
    said: list[tuple[str, str]] = []
    if dropped := found.get("dropped_empty_rows"):
        said.append(("Empty rows left out", f"{dropped:,}"))
    for side, reasons in found.get("left_out_rows", {}).items():
        said += [(f"Left out of {side}", f"{rows:,}: {reason}") for reason, rows in reasons.items() if rows]
    if cut := found.get("truncated_rows"):
        longest = subject.release.model.max_length
        said.append(("Texts that are cut", f"{cut:,}, to {longest} tokens" if longest else f"{cut:,}"))
    fit = found.get("tokenizer_fit", {})
    said += [(told, f"{fit[name]:.1%}") for name, told in _LETTERS.items() if name in fit]
    parts.append(facts(said) if said else Html(""))
    cells: list[list[Cell]] = [
        [side, file["address"], f"sha256 {file['sha256'][:16]}"]
        for side, held in found["files"].items()
        for file in held
    ]
    parts.append(table("Files that were read", ["side", "file", "digest"], cells, folded=len(cells) > 12))
    return Section("Data", joined(parts))


def _label_counts(subject: Subject) -> Html:
    prepared, names = subject.plan.prepared, subject.labels
    counts = {side: _counted(prepared.part(side), len(names)) for side in prepared.sides if len(prepared.part(side))}
    first = next(iter(counts.values()))
    order = sorted(range(len(names)), key=lambda place: -first[place])
    cells: list[list[Cell]] = [[names[at], *(count(held[at]) for held in counts.values())] for at in order[:_LABELS]]
    caption = "Rows by label" + (f", the {_LABELS} commonest of {len(names)}" if len(names) > _LABELS else "")
    return table(caption, ["label", *counts], cells, folded=len(cells) > 12)


def _counted(part: Part, size: int) -> list[int]:
    targets = part.targets
    if isinstance(targets, np.ndarray) and targets.ndim == 1:
        return np.bincount(targets, minlength=size)[:size].tolist()  # type: ignore[no-any-return]
    return [int(one) for one in np.asarray(targets.sum(axis=0))[:size]]


def lineage(subject: Subject) -> Section:
    """Base model, code, packages, machine and times; all of it stands in `lineage.json`."""
    held, settings = subject.lineage, subject.plan.settings
    base, times = _inside(held, "base_model"), _inside(held, "times")
    machine, parameters = _inside(held, "hardware"), _inside(held, "parameters")
    pairs = [
        ("Run", str(held.get("run_id"))),
        ("Task", settings.task),
        (
            "Imported from" if "imported" in held else "Base model",
            f"{base.get('address')} ({str(base.get('digest'))[:19]})",
        ),
        ("Weights", _weights(parameters, learned="imported" not in held)),
        ("Begun", moment(started) if isinstance(started := times.get("started"), float) else "–"),
        ("Seconds until this page", str(times.get("seconds", "–"))),
        ("Code", str(held.get("code") or "unknown")),
        (
            "Machine",
            f"{machine.get('machine')}, {machine.get('processors')} processors, GPU: {machine.get('gpu') or 'none'}",
        ),
        ("Python", str(machine.get("python"))),
    ]
    packages = _inside(held, "packages")
    cells: list[list[Cell]] = [[name, str(version)] for name, version in packages.items() if version]
    sizes: list[list[Cell]] = [
        [name, Number(f"{subject.release.sizes[name] / 2**20:.1f}"), Number(f"{one.ms_per_text:.2f}")]
        for name, one in subject.release.evaluations.items()
    ]
    return Section(
        "Lineage",
        joined([
            facts(pairs),
            table("Files of the model", ["variant", "MiB", "ms for one input alone"], sizes),
            _settings(subject),
            table("Packages", ["package", "version"], cells, folded=True),
            paragraph("lineage.json of the version holds every setting, digest and version.", "quiet"),
        ]),
    )  # fmt: skip


def _settings(subject: Subject) -> Html:
    """What was set, as it is written in a job file."""
    given = subject.plan.settings.model_dump(mode="json", exclude_unset=True)
    cells: list[list[Cell]] = [[name, str(value)] for name, value in flat(given) if name != "searched" and value != {}]
    return table("Settings that were given", ["setting", "value"], cells, folded=True)


def _inside(held: Mapping[str, object], name: str) -> Mapping[str, object]:
    inner = held.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _weights(held: Mapping[str, object], *, learned: bool) -> str:
    total = _count(held.get("total"))
    return f"{total}, of which {_count(held.get('learning'))} learned" if learned else total


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown"
