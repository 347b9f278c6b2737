"""The pages of a catalogue: all models, one model, one version, and what is different from the version before."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from tunewright.registry.gates.evidence import Evidence, Json, listed, mapping, number
from tunewright.registry.site.catalogue import Model
from tunewright.registry.site.html import Html, facts, folded, joined, link, page, section, table, text
from tunewright.registry.site.plot import Point, course, fits
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.upkeep.difference import Difference
from tunewright.registry.upkeep.difference_page import HEADS, MOST_ROWS, cells_of, cells_of_change, summary
from tunewright.registry.variables import flat
from tunewright.registry.versions.alias import Move
from tunewright.registry.versions.document import as_text
from tunewright.registry.versions.numbered import OnFault
from tunewright.registry.versions.record import Version

_HOME = "Models"


def home(registry: str, models: Sequence[Model], made: str, faults: Sequence[str]) -> str:
    """The models there are."""
    rows = [
        (
            link(f"models/{one.name}/index.html", one.name),
            _task(one.latest),
            len(one.versions),
            one.latest.number,
            one.latest.created,
            _figure(one.latest),
            ", ".join(f"{alias} -> {moves[-1].number}" for alias, moves in one.logs.items() if moves[-1].points),
        )
        for one in models
    ]
    heads = ("model", "task", "versions", "latest", "made", "figure of the latest", "aliases")
    listed_models = table(f"{len(rows):,} models", heads, rows) if rows else text("There are no models yet.")
    told = Html("<ul>" + "".join(f"<li>{text(one)}</li>" for one in faults) + "</ul>") if faults else Html("")
    about = f"The registry {registry}, as it was at {made}"
    return page(_HOME, about, (), [section(_HOME, listed_models), section("What could not be read", told)])


def model_page(model: Model, on_fault: OnFault) -> str:
    """One model: its figures over its versions, where its aliases have been, and all versions. `on_fault`: told of a
    figure that cannot be drawn."""
    versions = [
        (
            link(f"{one.number}/index.html", f"{one.number}"),
            one.created,
            one.who or "-",
            _figure(one),
            size_text(one.size),
            _called(model, one),
            model.notes[one.number].description if one.number in model.notes else "",
        )
        for one in reversed(model.versions)
    ]
    heads = ("version", "made", "by", "figure (95 % interval)", "size", "aliases and tags", "description")
    plots = [*_figures(model, on_fault), *_ways(model)]
    about = f"{len(model.versions):,} versions, the latest {model.latest.number} of {model.latest.created}"
    content = [
        section("Over time", Html(f'<div class="figures">{joined(plots)}</div>') if plots else Html("")),
        section("Versions", table("All versions, the latest first", heads, versions)),
        *(section(f"Alias {alias}", _moves(alias, moves)) for alias, moves in model.logs.items()),
    ]
    return page(model.name, about, [("../../index.html", _HOME)], content)


def version_page(model: Model, version: Version, found: Evidence | None, *, report: bool, before: int | None) -> str:
    """One version. `found`: None where its files cannot be read; `before`: the version that it is compared with."""
    note = model.notes.get(version.number)
    told = facts(
        [
            ("yanked", str(out).removeprefix("yanked ") if (out := model.yanks.get(version.number)) else ""),
            ("task", _task(version)),
            ("figure", _figure(version)),
            ("aliases", ", ".join(model.aliases_at(version.number))),
            ("tags", ", ".join(note.tags) if note else ""),
            ("description", note.description if note else ""),
            ("made", version.created),
            ("by", version.who),
            ("run", version.run_id),
            ("digest", version.digest),
            ("signed under the keys", ", ".join(model.signatures.get(version.number, ()))),
            ("size", size_text(version.size)),
        ]
    )
    ways = [link("report.html", "Report of its run")] if report else []
    ways += [link("difference.html", f"What is different from version {before}")] if before is not None else []
    more = Html("<ul>" + "".join(f"<li>{one}</li>" for one in ways) + "</ul>") if ways else Html("")
    content = [section("What it is", told, more)]
    if found is None:
        content.append(section("Files", text("Its files cannot be read; the first page tells why.")))
    else:
        content += [section("Figures", _measured(found)), section("Made of", *_made_of(found)), _files(found)]
    above = [("../../../index.html", _HOME), ("../index.html", model.name)]
    return page(str(version), f"Version {version.number} of {model.name}", above, content)


def difference_page(found: Difference) -> str:
    """What is different between a version and the one before it."""
    before, after = str(found.before), str(found.after)
    changes = text("They differ in nothing that their files tell.")
    if found.changes:
        changes = table("What is not alike", ("about", "what", before, after), map(cells_of_change, found.changes))
    content = [section("What changed", *(Html(f"<p>Note: {text(one)}.</p>") for one in found.remarks), changes)]
    if found.rows:
        said = summary(found.rows)
        parts = [Html(f"<p>{text(said[0].upper() + said[1:])}.</p>")]
        if shown := found.rows.changed[:MOST_ROWS]:
            rows = cells_of(shown)
            parts.append(
                table("Rows that went otherwise, the worst first", (*HEADS, before, after, "change", "by"), rows)
            )
        content.append(section("Test rows", *parts))
    above = [("../../../index.html", _HOME), ("../index.html", found.after.name), ("index.html", after)]
    return page(f"{before} and {after}", "What is different between two versions", above, content)


def _figures(model: Model, on_fault: OnFault) -> Iterator[Html]:
    """The headline figure over the versions, one drawing for each name that it has had."""
    known = [one for one in model.versions if one.summary and one.summary.metric and one.summary.value is not None]
    by_name = sorted(known, key=lambda one: (str(one.summary and one.summary.metric), one.number))
    for name, group in groupby(by_name, key=lambda one: str(one.summary and one.summary.metric)):
        points = [
            Point(str(one.number), one.summary.value, one.summary.interval)
            for one in group
            if one.summary and one.summary.value is not None
        ]
        if len(points) < 2:
            continue
        if not fits(points):
            said = f"from {min(one.value for one in points):g} to {max(one.value for one in points):g}"
            on_fault(f"{name} of {model.name} goes {said}, which no drawing can show; it is left out")
            continue
        whiskers = ", with its interval of 95 %" if any(one.interval for one in points) else ""
        yield course(
            f"{name} by version", f"The figure of each version{whiskers}; the table tells the numbers.", points
        )


def _ways(model: Model) -> Iterator[Html]:
    """Where each alias has pointed, move after move."""
    for alias, moves in model.logs.items():
        days = len({one.moved[:10] for one in moves})
        points = [Point(one.moved[:10] if days > 1 else one.moved[11:16], one.number) for one in moves if one.points]
        if len(points) > 1:
            said = "The version it pointed at after each move; the table tells who moved it, and why."
            yield course(f"Where {alias} has pointed", said, points, steps=True)


def _moves(alias: str, moves: Sequence[Move]) -> Html:
    rows = [
        (
            one.entry,
            one.moved,
            {"move": "moved", "rollback": "rolled back", "remove": "removed"}[one.kind],
            link(f"{one.number}/index.html", one.number) if one.points else "nowhere",
            one.who or one.run_id or "-",
            one.reason,
        )
        for one in reversed(moves)
    ]
    return table(f"Every move of {alias}, the latest first", ("entry", "when", "what", "to version", "by", "why"), rows)


def _measured(found: Evidence) -> Html:
    """The figures of each variant on the test rows."""
    rows = []
    for variant, measured in mapping(found.metrics.get("test")).items():
        intervals = mapping(mapping(measured).get("intervals"))
        name = f"{variant} (served by default)" if variant == found.served else variant
        for metric, value in mapping(mapping(measured).get("metrics")).items():
            ends = [number(one) for one in listed(intervals.get(metric))]
            low_high = " to ".join(f"{one:.4f}" for one in ends if one is not None)
            rows.append((name, metric, _number(value), low_high or "-"))
        rows.append((name, "ms per input", _number(mapping(measured).get("ms_per_text")), "-"))
    if not rows:
        rows = [("-", name, _number(value), "-") for name, value in _said(found)]
    heads = ("variant", "metric", "value", "95 % interval")
    return table("Measured on its test rows", heads, rows) if rows else Html("")


def _said(found: Evidence) -> list[tuple[str, Json]]:
    """The figures that a publisher of another framework has given."""
    return list(mapping(found.manifest.config.get("metrics")).items())


def _made_of(found: Evidence) -> Iterator[Html]:
    """Data, base model and settings, as the lineage tells them."""
    base = mapping(found.lineage.get("base_model"))
    rows = mapping(mapping(found.lineage.get("data")).get("rows"))
    named = [("base model", base.get("address")), *((f"{side} rows", count) for side, count in rows.items())]
    if any(value is not None for _, value in named):
        yield facts((name, as_text(value)) for name, value in named if value is not None)
    settings = [(name, as_text(value)) for name, value in flat(mapping(found.lineage.get("settings")))]
    if settings:
        yield folded("Its settings", table("Settings of the job", ("setting", "value"), settings))


def _files(found: Evidence) -> Html:
    rows = [(layer.path, size_text(layer.size), layer.digest) for layer in found.manifest.layers]
    return section("Files", folded(f"{len(rows):,} files", table("Files", ("path", "size", "digest"), rows)))


def _number(value: Json) -> str:
    known = number(value)
    return as_text(value) if known is None else f"{known:.4g}"


def _task(version: Version) -> str:
    return (version.summary.task if version.summary else None) or "-"


def _figure(version: Version) -> str:
    return str(version.summary) if version.summary else "-"


def _called(model: Model, version: Version) -> str:
    note, out = model.notes.get(version.number), model.yanks.get(version.number)
    told = [f"yanked: {out.reason}"] if out else []
    return ", ".join([*model.aliases_at(version.number), *(f"#{tag}" for tag in (note.tags if note else ())), *told])
