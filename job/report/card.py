"""The report of a version: `metrics.json` for programs, a model card for people."""

import json
from dataclasses import asdict, replace
from typing import cast

import numpy as np

from tunewright.job.kinds.plan import Plan, Prepared
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.measure.metric import lower_is_better
from tunewright.job.measure.rows.outcomes import OUTCOMES_FILE, MeasuredRows, outcomes
from tunewright.job.report.metadata import front_matter
from tunewright.job.report.page import write_page
from tunewright.job.report.parts.certainty import told_of
from tunewright.job.report.parts.robustness import SAID, WAYS, flipped
from tunewright.job.report.parts.why import NO_BETTER
from tunewright.job.report.provenance import PROVENANCE, Facts, provenance
from tunewright.job.report.sbom import SBOM, sbom
from tunewright.job.report.subject import Holder
from tunewright.job.settings.search import Searched
from tunewright.job.steps.adapt import Adaptation, sentence
from tunewright.job.steps.release import Release
from tunewright.job.steps.remedies.rounding import sentence as rounding
from tunewright.job.steps.teachers.pseudo_labels import sentence as rounds
from tunewright.job.train.state import Trained
from tunewright.registry.versions.manifest import Layer
from tunewright.registry.versions.publish import describe
from tunewright.serving.bundle.model_file import ModelFile


def write_report(
    release: Release,
    plan: Plan,
    trained: Trained,
    lineage: dict[str, object],
    adaptation: Adaptation | None = None,
    holder: Holder | None = None,
) -> list[Layer]:
    """Write `report/` (`metrics.json`, `outcomes.jsonl.gz`, `README.md`, `report.html`), `lineage.json`, `sbom.json`
    and `provenance.json` into the bundle; gives the digests that the last is about, those of all files but itself.
    `holder`: the version at which the alias of the run points so far."""
    folder = release.folder / "report"
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(_json(_metrics(release, plan, trained, adaptation)))
    (folder / "README.md").write_text(front_matter(release, plan) + _card(release, plan, trained, adaptation))
    (release.folder / "lineage.json").write_text(_json(lineage))
    _keep_outcomes(release, plan)
    write_page(release, plan, trained, lineage, holder)
    facts = cast(Facts, lineage)
    (release.folder / SBOM).write_text(_json(sbom(facts)))
    hashed = describe({path: file for path, file in release.files.items() if path != PROVENANCE})
    (release.folder / PROVENANCE).write_text(_json(provenance(facts, hashed)))
    return hashed


def _keep_outcomes(release: Release, plan: Plan) -> None:
    """Write how each test row went, for the variant that is served by default and for fp32; of a task that keeps no
    answers nothing."""
    prepared, columns = plan.prepared, plan.settings.report.slices
    variants = dict.fromkeys([release.model.default_variant, "fp32"])
    answers = {name: held for name in variants if (held := release.evaluations[name].answers) is not None}
    if not answers:
        return
    values = zip(*prepared.test.data.kept(), strict=True) if columns else ()
    test = MeasuredRows(
        metric=release.headline,
        labels=release.model.labels,
        keys=prepared.test.keys,
        in_training=None if prepared.imported else int(np.isin(prepared.test.keys, prepared.train.keys).sum()),
        columns=dict(zip(columns, map(list, values), strict=True)),
    )
    (release.folder / OUTCOMES_FILE).write_bytes(outcomes(answers, test))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _metrics(release: Release, plan: Plan, trained: Trained, adaptation: Adaptation | None) -> dict[str, object]:
    searched = plan.settings.searched
    return {
        "headline": release.headline,
        "lower_is_better": lower_is_better(release.headline),
        "baseline": release.baseline,
        "short_of_baseline": release.short,
        "test": {name: _measured(measured) for name, measured in release.evaluations.items()},
        "validation": {"best_epoch": trained.best_epoch, **trained.figures},
        "history": trained.history,
        **({"training": {"seconds": round(trained.seconds, 2), **asdict(trained.pace)}} if trained.pace else {}),
        **({"search": searched.model_dump(mode="json")} if searched else {}),
        **({"adaptation": asdict(adaptation)} if adaptation else {}),
        **({"remedies": trained.remedies} if trained.remedies else {}),
        **({"pseudo_labels": trained.pseudo_labels} if trained.pseudo_labels else {}),
        **({"threshold": asdict(trained.decision)} if trained.decision else {}),
        **({"rounding": asdict(trained.rounding)} if trained.rounding else {}),
        "parity": {name: asdict(parity) for name, parity in release.parities.items()},
        **({"faithfulness": asdict(release.faithfulness)} if release.faithfulness else {}),
        **({"nearness": asdict(release.nearness)} if release.nearness else {}),
        **({"robustness": asdict(release.robustness)} if release.robustness else {}),
        **({"out_of_scope": asdict(release.scope)} if release.scope else {}),
        "left_out": release.model.left_out,
        "default_variant": release.model.default_variant,
    }


def _measured(measured: Evaluation) -> dict[str, object]:
    """The figures of a variant, without what it answers to single rows."""
    whole = asdict(replace(measured, answers=None))
    return {name: value for name, value in whole.items() if name != "answers"}


def _card(release: Release, plan: Plan, trained: Trained, adaptation: Adaptation | None) -> str:
    model, prepared, settings = release.model, plan.prepared, plan.settings
    sections = [
        f"# {settings.model_name}\n\n{_sentence(plan, model, trained)}",
        "## Quality\n\n"
        f"Measured on {len(prepared.test):,} test rows, read once, through the code that serves it.\n\n"
        + _variants(release),
        _labels(release),
        _calibration(release),
        _robustness(release),
        f"## Out of scope\n\n{told_of(release.scope)}" if release.scope else "",
        _explanations(release),
        _neighbours(release),
        _data(prepared),
        ("## Origin" if prepared.imported else "## Training") + "\n\n" + _training(plan, trained),
        _search(settings.searched),
        f"## Adaptation\n\nThe base model read unlabelled text first: {sentence(adaptation)}." if adaptation else "",
        _uneven(trained),
        _changed(prepared),
        _self_taught(plan, trained),
        "## Limits\n\nThe figures hold for inputs like the test rows. "
        + (f"Texts are cut to {model.max_length} tokens. " if model.max_length else "")
        + f"The licence of the {'imported' if prepared.imported else 'base'} model and of the data apply to these "
        "weights.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _search(searched: Searched | None) -> str:
    if searched is None:
        return ""
    return (
        f"## Search\n\n{', '.join(searched.settings)}: the best of {searched.trials} trials (`{searched.study}`), by "
        f"{searched.metric} on validation, {searched.value:.4f}. The trials looked {searched.looks} times at the "
        "validation rows, so the figures of that side flatter; none has read the test rows."
    )


def _training(plan: Plan, trained: Trained) -> str:
    train = plan.settings.train
    if train.few_shot:
        taught = f"was taught by pairs of texts: {_course(plan, trained)}" if trained.history else "stayed as it was."
        return f"The head is logistic regression on the vectors of all training rows; the encoder {taught}"
    if plan.prepared.imported:
        return "It was taught elsewhere, nobody here knows of which rows; `lineage.json` has the digests of its files."
    if not trained.history:
        return "Nothing was trained: the weights are those of the base model. Every setting stands in `lineage.json`."
    return _course(plan, trained)


def _uneven(trained: Trained) -> str:
    """What was done about uneven labels."""
    parts = []
    if tried := trained.remedies:
        names = [name for name in tried[0] if name not in ("remedy", "kept")]
        lines = [f"| tried | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for one in tried:
            figures = " | ".join(f"{one[name]:.4f}" for name in names)
            lines.append(f"| {one['remedy']}{' (kept)' if one['kept'] else ''} | {figures} |")
        parts.append("Figures of the validation rows, which chose the remedy.\n\n" + "\n".join(lines))
    if found := trained.decision:
        parts.append(
            f"`{_cell(found.label)}` begins elsewhere (its logit {found.shift:+.3f}): on validation precision "
            f"{found.precision_before:.3f} -> {found.precision:.3f}, recall {found.recall_before:.3f} -> "
            f"{found.recall:.3f}."
        )
    return "## Uneven labels\n\n" + "\n\n".join(parts) if parts else ""


def _changed(prepared: Prepared) -> str:
    """What the training rows were changed to in the first epoch, for some of them."""
    samples = prepared.facts.get("augmented_samples", [])
    lines = "\n".join(f"- {_cell(sample)}" for sample in samples)
    return f"## Changed training rows\n\nIn each epoch otherwise; in the first one:\n\n{lines}" if samples else ""


def _self_taught(plan: Plan, trained: Trained) -> str:
    """What the model has labelled by itself, and what that bought."""
    metric = plan.prepared.task.objective(plan).metric
    lines = "\n".join(f"- {_cell(rounds(one, metric))}" for one in trained.pseudo_labels)
    return f"## Pseudo-labels\n\nUnlabelled rows that it was sure of:\n\n{lines}" if lines else ""


def _course(plan: Plan, trained: Trained) -> str:
    train = plan.settings.train
    return (
        f"{len(trained.history)} epochs, the weights of epoch {trained.best_epoch} kept; learning rate "
        f"{train.learning_rate:g}, {train.batch_size} rows a batch, seed {train.seed}, {trained.precision} on "
        f"{trained.device}. Every setting stands in `lineage.json`."
        + (f" It learned from {trained.pace.text}." if trained.pace else "")
        + (f" Int8: {rounding(trained.rounding)}." if trained.rounding else "")
    )


def _sentence(plan: Plan, model: ModelFile, trained: Trained) -> str:
    base, made = plan.base, "Fine-tuned" if trained.history or plan.settings.train.few_shot else "Exported"
    made = "Imported" if plan.prepared.imported else made
    purpose = plan.prepared.task.purpose(model)
    return f"{purpose}. {made} by Tunewright from `{base.address}` ({base.digest[:19]})."


def _variants(release: Release) -> str:
    names = list(next(iter(release.evaluations.values())).metrics)
    lines = [f"| variant | {' | '.join(names)} | 95 % interval of {release.headline} | MiB | ms/text |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for name, measured in release.evaluations.items():
        low, high = measured.intervals[release.headline]
        figures = " | ".join(f"{measured.metrics[metric]:.4f}" for metric in names)
        size = release.sizes[name] / 2**20
        note = " (left out)" if name in release.model.left_out else ""
        lines.append(
            f"| {name}{note} | {figures} | {low:.4f} to {high:.4f} | {size:.1f} | {measured.ms_per_text:.2f} |"
        )
    if release.baseline:
        figures = " | ".join(f"{release.baseline[one]:.4f}" if one in release.baseline else "" for one in names)
        lines.append(f"| no model | {figures} | | | |")
    lines += [f"\n{name} is left out: {reason}." for name, reason in release.model.left_out.items()]
    lines += [f"\nNot surely better than no model: {release.short}."] if release.short else []
    return "\n".join(lines)


def _labels(release: Release) -> str:
    rows = release.evaluations[release.model.default_variant].details
    if not rows:
        return ""
    lines = ["| label | precision | recall | F1 | test rows |", "|---|---|---|---|---|"]
    for row in rows:
        figures = f"{row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['rows']:,}"
        lines.append(f"| {_cell(row['label'])} | {figures} |")
    return "## By label\n\n" + "\n".join(lines)


def _calibration(release: Release) -> str:
    lines = [
        f"| {name} | {found.temperature:.3f} | {found.before.ece:.4f} | {found.after.ece:.4f} "
        f"| {found.after.interval[0]:.4f} to {found.after.interval[1]:.4f} | {found.after.chance:.4f} "
        f"| {found.before.nll:.4f} | {found.after.nll:.4f} |"
        for name, measured in release.evaluations.items()
        if (found := measured.calibration) is not None
    ]
    if not lines:
        return ""
    heads = ("temperature", "ECE before", "ECE", "95 % interval", "chance", "log loss before", "log loss")
    head = f"| variant | {' | '.join(heads)} |\n{'|---' * (len(heads) + 1)}|\n"
    return (
        "## Calibration\n\nHow far a score is from how often it is right (ECE), before the temperature divides the "
        "logits and as it is served. `chance`: what scores that are true would show on so few rows.\n\n"
        + head
        + "\n".join(lines)
    )


def _robustness(release: Release) -> str:
    if (found := release.robustness) is None:
        return ""
    lines = [f"| {way} | {one.rows:,} | {flipped(one)} |" for kind, way in WAYS.items() if (one := found.kinds[kind])]
    return (
        f"## Robustness\n\n{SAID} {found.rows:,} test rows ({found.variant}).\n\n"
        "| test texts | rows that this changes | other answers |\n|---|---|---|\n" + "\n".join(lines)
    )


def _explanations(release: Release) -> str:
    if (found := release.faithfulness) is None:
        return ""
    return (
        "## Explanations\n\n"
        f"`POST /explain` was held against random orders on {found.rows} test rows ({found.variant}): the mean score "
        "while the parts of an input are hidden one after the other, or shown, those first that are said to carry "
        "it.\n\n"
        "| order | hidden (lower is better) | shown (higher is better) |\n|---|---|---|\n"
        f"| explained | {found.deletion:.3f} | {found.insertion:.3f} |\n"
        f"| random | {found.random_deletion:.3f} | {found.random_insertion:.3f} |"
        + ("" if found.is_better else f"\n\n{NO_BETTER}")
    )


def _neighbours(release: Release) -> str:
    if (found := release.nearness) is None:
        return ""
    said = {
        "agreement": "the share of the answers that are the labels of most of these rows",
        "error": "the mean distance of an answer to the mean of these rows",
    }[found.figure]
    better = found.nearest > found.random if found.figure == "agreement" else found.nearest < found.random
    warning = "" if better else "\n\nThe nearest rows tell no more than any others: show them to nobody."
    return (
        f"## Nearest training rows\n\nThe version carries {found.kept:,} training rows, which whoever may ask the "
        f"server can read. {found.rows} test rows were compared with {found.compared} of them each ({found.variant}): "
        f"{said}.\n\n| rows | {found.figure} |\n|---|---|\n| nearest | {found.nearest:.3f} |\n"
        f"| drawn at random | {found.random:.3f} |{warning}"
    )


def _cell(label: str) -> str:
    """A label as the cell of a table: whatever is in it stays one cell of one line."""
    return " ".join(label.replace("\\", "\\\\").replace("|", "\\|").split())


def _data(prepared: Prepared) -> str:
    lines = ["## Data", "", "| side | rows |", "|---|---|"]
    lines += [f"| {name} | {rows:,} |" for name, rows in prepared.facts["rows"].items()]
    lines.append("")
    for name, files in prepared.facts["files"].items():
        lines += [f"- {name}: `{file['address']}` (sha256 {file['sha256'][:12]}...)" for file in files]
    return "\n".join(lines)
