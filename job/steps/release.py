"""From trained weights to files that may be served: export, parity, thresholds, test, gates, golden cases."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from torch import nn

from tunewright.job.checkpoints.files import of_the_system
from tunewright.job.errors import JobError
from tunewright.job.export.given import GivenGraph
from tunewright.job.export.parity import Parity, compare, require
from tunewright.job.kinds.plan import Part, Plan, Prepared
from tunewright.job.kinds.temperature import calibrated
from tunewright.job.learners.heads import keeps_neighbours
from tunewright.job.measure.calibration import Calibration
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.measure.faithfulness import Faithfulness, measure_faithfulness, spread
from tunewright.job.measure.neighbours import Nearness, choose_rows, keep_rows, measure_nearness
from tunewright.job.measure.rows.answers import LabelAnswers, from_json, to_json
from tunewright.job.measure.rows.robustness import Robustness, measure_robustness
from tunewright.job.measure.rows.scope import Scope, measure_scope
from tunewright.job.measure.rows.vector_map import VectorMap, map_vectors
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.classifiers import vectors_seen
from tunewright.job.model.find import FILES_OF_ENCODERS
from tunewright.job.model.load import save_weights
from tunewright.job.progress.events import say, warn
from tunewright.job.steps.gate import (
    check_bounds,
    check_budget,
    check_flips,
    drop_reason,
    is_altered,
    short_of_baseline,
)
from tunewright.job.steps.run.stages import Form, Stages
from tunewright.job.train.objective import Objective
from tunewright.registry.errors import NoSpace
from tunewright.registry.stores.disk_space import check_room, disk_full, is_disk_full
from tunewright.serving.bundle.model_file import MODEL_FILE, Golden, ModelFile, Variant
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.profile.observation import read_unknown_id
from tunewright.serving.profile.profile import PROFILE_FILE, profile_of
from tunewright.serving.profile.rows import observations
from tunewright.serving.runtime.scores import normalized

_PARITY_ROWS = 200
_GOLDEN_ROWS = 8
_PROFILE_ROWS = 500


_MADE = Form[dict[str, Variant]](
    lambda made: {name: one.model_dump_json() for name, one in made.items()},
    lambda kept: {name: Variant.model_validate_json(one) for name, one in kept.items()},
)
_PROVEN = Form[tuple[ModelFile, dict[str, Parity]]](
    lambda proven: [proven[0].model_dump_json(), {name: asdict(one) for name, one in proven[1].items()}],
    lambda kept: (ModelFile.model_validate_json(kept[0]), {name: Parity(**one) for name, one in kept[1].items()}),
)
_MEASURED = Form[dict[str, Evaluation]](
    lambda measured: {name: _dumped(one) for name, one in measured.items()},
    lambda kept: {name: _evaluation(**one) for name, one in kept.items()},
)
"""What the stages of a release find, as JSON says it."""
_Found = TypeVar("_Found", Faithfulness, Robustness, VectorMap, Scope)


def _maybe(kind: type[_Found]) -> Form[_Found | None]:
    """Figures that a release has, or has not."""
    return Form(
        lambda found: None if found is None else asdict(found),
        lambda kept: None if kept is None else TypeAdapter(kind).validate_python(kept),
    )


@dataclass(frozen=True)
class Release:
    """A bundle on disk, with what was measured of it."""

    folder: Path
    """Variants that were left out still lie in it; `files` are those of the version."""
    model: ModelFile
    evaluations: dict[str, Evaluation]
    """Every variant that was made, also one that was left out."""
    parities: dict[str, Parity]
    headline: str
    baseline: dict[str, float]
    """Test figures of an answer without a model, such as always the commonest label; empty for a task without one."""
    short: str | None
    """Why the file that is served is not surely better than that, where it is not."""
    sizes: dict[str, int]
    """Bytes of the ONNX files of every variant that was made."""
    faithfulness: Faithfulness | None = None
    """How well explanations of the variant served by default do; None where there are none."""
    nearness: Nearness | None = None
    """How far its answers agree with the training rows nearest to them; None where the version carries none."""
    robustness: Robustness | None = None
    """Which of its answers stay where texts are only written otherwise; None where no labels of texts are told."""
    vectors: VectorMap | None = None
    """Where the vectors of test rows lie; None where answers are no vectors."""
    scope: Scope | None = None
    """How well its scores tell rows out of scope from test rows; None where no such rows are given."""

    @property
    def files(self) -> dict[str, Path]:
        """The files of the version, by their paths in it."""
        left_out = tuple(f"onnx/{name}/" for name in self.model.left_out)
        paths = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        named = {path.relative_to(self.folder).as_posix(): path for path in paths}
        return {name: path for name, path in named.items() if not name.startswith(left_out)}


def release(model: nn.Module, plan: Plan, objective: Objective, folder: Path, stages: Stages | None = None) -> Release:
    """Write the bundle of a trained model; GateFailed when its fp32 file is not good enough.

    With `stages` what an earlier try has made and measured of the same weights is used again.
    """
    with _room(folder, 2 * _bytes_of(model)):
        return _release(model, plan, objective, folder, stages or Stages())


def _bytes_of(model: nn.Module) -> int:
    if isinstance(model, GivenGraph):
        return model.bytes
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def _release(model: nn.Module, plan: Plan, objective: Objective, folder: Path, stages: Stages) -> Release:
    settings, task = plan.settings, plan.prepared.task
    variants = list(dict.fromkeys(["fp32", *settings.export.variants]))
    asked: list[object] = [variants, keeps_neighbours(plan)]
    made = stages.once("export", _MADE, lambda: _export(model, plan, folder, variants), of=asked, files=True)
    unit, tolerance = float(objective.scale[1]), settings.export.parity_tolerance
    draft, parities = stages.once(
        "parity",
        _PROVEN,
        lambda: _check_parity(model, task.model_file(plan, made), plan, folder, unit),
        of=[unit, tolerance, settings.export.abstain],
    )
    headline = task.headline(plan.prepared.problem)
    # The test rows are read once and decide nothing between variants.
    chosen = _choose(draft, plan, folder, headline, stages)
    evaluations = stages.once("test", _MEASURED, lambda: _measure(draft, plan, plan.prepared.test, folder, "test"))
    baseline = _baseline(plan)
    check_bounds(settings.gate, evaluations["fp32"])
    served = chosen.default_variant
    check_budget(settings.gate, served, mib=made[served].bytes / 2**20, ms_per_text=evaluations[served].ms_per_text)
    robustness = stages.once("robustness", _maybe(Robustness), lambda: _altered(chosen, plan, folder), of=served)
    if robustness:
        check_flips(settings.gate, robustness)
    final = _with_golden(_with_figures(chosen, evaluations), plan.prepared, folder)
    _keep_profile(final, plan.prepared, folder)
    short = short_of_baseline(headline, evaluations[final.default_variant], baseline)
    asked = [final.default_variant, settings.export.explained_rows]
    faithfulness = stages.once("explain", _maybe(Faithfulness), lambda: _explained(final, plan, folder), of=asked)
    nearness = _with_neighbours(final, plan, folder)
    vectors = stages.once("vectors", _maybe(VectorMap), lambda: _mapped(final, plan, folder), of=final.default_variant)
    scope = stages.once(
        "scope", _maybe(Scope), lambda: _scope(final, plan, folder, evaluations), of=final.default_variant
    )
    _write(final, folder)
    if not isinstance(model, GivenGraph):
        _keep_weights(model, plan.base, folder)
    made_bytes = {name: one.bytes for name, one in made.items()}
    found = (faithfulness, nearness, robustness, vectors, scope)
    return Release(folder, final, evaluations, parities, headline, baseline, short, made_bytes, *found)


def _export(model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
    # An earlier try of this run may have left files that would be published with the new ones.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _copy_encoder(plan.base, folder)
    start = time.monotonic()
    made = plan.prepared.task.graph.export(model, plan, folder, variants)
    seconds = time.monotonic() - start
    sizes = ", ".join(f"{name} {variant.bytes / 2**20:.1f} MiB" for name, variant in made.items())
    say("export", f"ONNX files: {sizes}, in {seconds:.1f} s", seconds=round(seconds, 1))
    return made


@contextmanager
def _room(folder: Path, needed: int) -> Iterator[None]:
    """Say in one sentence where a bundle of at least so many bytes does not fit; what the run has learned is kept."""
    kept = "nothing is lost: the same command goes on where this one ended"
    try:
        check_room(folder, needed)
        yield
    except NoSpace as error:
        raise JobError(f"{error}; {kept}") from error
    except (OSError, SafetensorError, JobError) as error:
        reason = error.__cause__ if isinstance(error, JobError) else error
        if isinstance(reason, OSError | SafetensorError) and _is_full(of_the_system(reason), folder):
            raise JobError(f"{disk_full(folder, needed)}; {kept}") from error
        raise


def _is_full(error: OSError, folder: Path) -> bool:
    # numpy says how many bytes were not written, and not why.
    return is_disk_full(error) or (error.errno is None and shutil.disk_usage(folder).free < 2**20)


def _dumped(measured: Evaluation) -> dict[str, object]:
    return asdict(replace(measured, answers=None)) | {"answers": to_json(measured.answers)}


def _evaluation(
    intervals: Mapping[str, tuple[float, float]],
    answers: Mapping[str, object] | None,
    calibration: object,
    **others: object,
) -> Evaluation:
    """From JSON, which knows no tuples and no arrays."""
    pairs = {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
    found = TypeAdapter[Calibration | None](Calibration | None).validate_python(calibration)
    return Evaluation(intervals=pairs, answers=from_json(answers), calibration=found, **others)  # type: ignore[arg-type]


def _copy_encoder(base: BaseCheckpoint, folder: Path) -> None:
    """What the server needs to read inputs as the base model does."""
    for name in ("tokenizer.json", "preprocessor_config.json"):
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / name)


def _write(model: ModelFile, folder: Path) -> None:
    (folder / MODEL_FILE).write_text(model.model_dump_json(indent=2, exclude_defaults=False) + "\n")


def _open(draft: ModelFile, name: str, folder: Path) -> Predictor:
    _write(draft, folder)
    return open_predictor(folder, variant=name)


def _check_parity(
    model: nn.Module, draft: ModelFile, plan: Plan, folder: Path, unit: float
) -> tuple[ModelFile, dict[str, Parity]]:
    """Refuse an fp32 file that does not compute what torch does; note how far int8 is. On the way find temperatures and
    thresholds."""
    samples = plan.prepared.samples.data
    inputs = samples.select(spread(len(samples), _PARITY_ROWS)).inputs()
    watching: AbstractContextManager[list[torch.Tensor]]
    watching = vectors_seen(model) if keeps_neighbours(plan) else nullcontext([])
    with watching as vectors:
        expected = plan.prepared.task.inputs.torch_outputs(model, plan, inputs)
    origin = "the graph that was given, row by row," if isinstance(model, GivenGraph) else "torch"
    parities = {}
    for name in draft.variants:
        predictor = _open(draft, name, folder)
        served = [plan.prepared.task.columns.served(value) for value in inputs]
        parities[name] = compare(expected, predictor.outputs(served), unit=unit, origin=origin)
        shown = f"largest difference {parities[name].largest:.2g}, same answer {parities[name].agreement:.1%}"
        say("parity", f"{name}: {shown} on {len(inputs)} rows", variant=name, largest=parities[name].largest)
        if name == "fp32":
            require(parities[name], plan.settings.export.parity_tolerance, origin)
            if vectors:
                given = normalized(np.stack(predictor.vectors(served)))
                same = compare(list(normalized(torch.cat(vectors).float().numpy())), list(given))
                require(same, plan.settings.export.parity_tolerance)
        draft = calibrated(draft, predictor, plan)
        if name == "fp32" and len(plan.prepared.validation):
            draft = plan.prepared.task.target.tune(draft, predictor, plan)
        predictor.close()
    return draft, parities


def _measure(draft: ModelFile, plan: Plan, part: Part, folder: Path, side: str) -> dict[str, Evaluation]:
    """Every variant on the rows of one side."""
    evaluations = {}
    for name in draft.variants:
        predictor = _open(draft, name, folder)
        evaluations[name] = plan.prepared.task.target.evaluate(predictor, part, plan)
        say(side, f"{name}: {_shown(evaluations[name].metrics)}", variant=name, **evaluations[name].metrics)
        predictor.close()
    return evaluations


def _explained(final: ModelFile, plan: Plan, folder: Path) -> Faithfulness | None:
    predictor, test = _open(final, final.default_variant, folder), plan.prepared.test.data
    served, rows = plan.prepared.task.columns.served, plan.settings.export.explained_rows
    found = measure_faithfulness(predictor, test, served, rows)
    predictor.close()
    if found:
        say(
            "explain",
            f"{found.variant}: score while parts are hidden {found.deletion:.3f} (in random order "
            f"{found.random_deletion:.3f}), while they are shown {found.insertion:.3f} ({found.random_insertion:.3f}), "
            f"{found.rows} test rows",
        )
    return found


def _altered(chosen: ModelFile, plan: Plan, folder: Path) -> Robustness | None:
    prepared = plan.prepared
    if not is_altered(prepared.task, prepared.problem):
        return None
    predictor = _open(chosen, chosen.default_variant, folder)
    found = measure_robustness(predictor, prepared.test.data, prepared.task.columns.served)
    predictor.close()
    shares = {kind: one.share for kind, one in found.kinds.items() if one.rows}
    shown = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    told = f"{found.variant}: other answers to {found.rows} test rows written otherwise: {shown or 'no row changes'}"
    say("robustness", told, variant=found.variant, **shares)
    return found


def _scope(final: ModelFile, plan: Plan, folder: Path, evaluations: Mapping[str, Evaluation]) -> Scope | None:
    part, answers = plan.prepared.out_of_scope, evaluations[final.default_variant].answers
    if part is None or not isinstance(answers, LabelAnswers):
        return None
    predictor, least = _open(final, final.default_variant, folder), final.variants[final.default_variant].min_score
    found = measure_scope(predictor, part.data, answers.sure, plan.prepared.task.columns.served, least)
    predictor.close()
    usual = found.usual
    told = f"{found.variant}: a test row has the higher score than a row out of scope in {found.auroc:.1%} of pairs; "
    told += (
        f"from the score that {usual.inside:.0%} of the test rows reach, {usual.outside:.1%} of {found.rows:,} rows "
    )
    say("scope", told + "out of scope are answered too", auroc=found.auroc, answered=usual.outside)
    return found


def _mapped(final: ModelFile, plan: Plan, folder: Path) -> VectorMap | None:
    if final.task != "feature-extraction":
        return None
    predictor = _open(final, final.default_variant, folder)
    found = map_vectors(predictor, plan.prepared.test.data, plan.prepared.task.columns.served)
    predictor.close()
    return found


def _with_neighbours(final: ModelFile, plan: Plan, folder: Path) -> Nearness | None:
    """Put training rows into the bundle where the settings ask for it, and hold answers against the nearest ones."""
    if not keeps_neighbours(plan):
        return None
    train, served = plan.prepared.train, plan.prepared.task.columns.served
    chosen = train.data.select(choose_rows(train.keys, train.data.targets(), plan.settings.export.neighbours))
    predictor = _open(final, final.default_variant, folder)
    keep_rows(folder, predictor, chosen, served)
    found = measure_nearness(predictor, plan.prepared.test.data, served)
    predictor.close()
    told = f"{len(chosen):,} training rows travel with the version"
    if found:
        told += f"; {found.figure} of answers with the {found.compared} nearest {found.nearest:.3f}, "
        told += f"with others {found.random:.3f}, {found.rows} test rows"
    say("explain", told)
    return found


def _baseline(plan: Plan) -> dict[str, float]:
    baseline = plan.prepared.task.target.baseline(plan.prepared.test, plan)
    if baseline:
        say("test", f"an answer without a model: {_shown(baseline)}", variant="baseline", **baseline)
    return baseline


def _shown(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())


def _choose(draft: ModelFile, plan: Plan, folder: Path, headline: str, stages: Stages) -> ModelFile:
    """Leave out the variants that lose too much; serve the smallest of those that are left by default."""
    limited = [name for name in draft.variants if name in plan.settings.gate.max_drop]
    evaluations: dict[str, Evaluation] = {}
    if limited:
        samples = plan.prepared.samples
        evaluations = stages.once("compare", _MEASURED, lambda: _measure(draft, plan, samples, folder, "compare"))
    left_out: dict[str, str] = {}
    for name in limited:
        reason = drop_reason(plan.settings.gate, name, headline, evaluations["fp32"], evaluations[name])
        if reason:
            left_out[name] = reason
            warn("gate", f"{name} is left out: {reason}", variant=name)
    kept = {name: variant for name, variant in draft.variants.items() if name not in left_out}
    smallest = min(kept, key=lambda name: kept[name].bytes)
    say("gate", f"kept: {', '.join(kept)}; served by default: {smallest}")
    return draft.model_copy(update={"variants": kept, "left_out": left_out, "default_variant": smallest})


def _with_figures(model: ModelFile, evaluations: dict[str, Evaluation]) -> ModelFile:
    """What was measured of each variant, in the file that describes it."""
    variants = {}
    for name, variant in model.variants.items():
        measured = evaluations[name]
        figures = {"metrics": measured.metrics, "intervals": measured.intervals, "ms_per_text": measured.ms_per_text}
        variants[name] = variant.model_copy(update=figures)
    return model.model_copy(update={"variants": variants})


def _with_golden(model: ModelFile, prepared: Prepared, folder: Path) -> ModelFile:
    """Record what each variant answers to a few rows that no test has seen, for servers to replay."""
    inputs = prepared.samples.data.select(spread(len(prepared.samples), _GOLDEN_ROWS)).inputs()
    served = [prepared.task.columns.served(value) for value in inputs]
    outputs: dict[str, list[list[float]]] = {}
    for name in model.variants:
        predictor = _open(model, name, folder)
        outputs[name] = [output.astype(float).ravel().tolist() for output in predictor.outputs(served)]
        predictor.close()
    golden = [
        Golden(
            inputs=prepared.task.columns.request(value), outputs={name: rows[index] for name, rows in outputs.items()}
        )
        for index, value in enumerate(inputs)
    ]
    return model.model_copy(update={"golden": golden})


def _keep_profile(model: ModelFile, prepared: Prepared, folder: Path) -> None:
    """Write what the test rows and their answers look like, for servers to compare what they meet with."""
    inputs = prepared.test.data.select(spread(len(prepared.test), _PROFILE_ROWS)).inputs()
    served = [prepared.task.columns.served(value) for value in inputs]
    predictor = _open(model, model.default_variant, folder)
    profile = profile_of(observations(predictor, served, unknown_id=read_unknown_id(folder)))
    predictor.close()
    (folder / PROFILE_FILE).write_text(profile.model_dump_json(indent=2) + "\n")


def _keep_weights(model: nn.Module, base: BaseCheckpoint, folder: Path) -> None:
    save_weights(model, folder / "weights")
    for name in FILES_OF_ENCODERS:
        # A task may have written one of its own.
        if (base.folder / name).is_file() and not (folder / "weights" / name).exists():
            shutil.copyfile(base.folder / name, folder / "weights" / name)
    _tell_inputs(folder)


_TEXT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def _tell_inputs(folder: Path) -> None:
    """Write which tensors the model reads into the configuration of its tokenizer, without which transformers 5 gives
    no token types and a pair is answered wrongly."""
    path = folder / "weights" / "tokenizer_config.json"
    if not path.with_name("tokenizer.json").is_file():
        return
    graphs = [onnx.load(one, load_external_data=False).graph for one in sorted((folder / "onnx/fp32").glob("*.onnx"))]
    read = {value.name for graph in graphs for value in graph.input}
    settings = json.loads(path.read_text()) if path.is_file() else {}
    settings["model_input_names"] = [name for name in _TEXT_INPUTS if name in read]
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
