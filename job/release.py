"""From trained weights to files that may be served: export, parity, thresholds, test, gates, golden cases."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from job.base_model import BaseModel
from job.encode import EncodedSplit
from job.evaluate import Evaluation, evaluate, logits_of
from job.export import export_fp32, quantize_int8
from job.gate import check_floor, drop_reason
from job.model import save_weights
from job.parity import Parity, compare, require
from job.prepare import Prepared
from job.progress import say, warn
from job.settings import JobSettings
from serving.bundle import MODEL_FILE, Golden, ModelFile, Variant
from serving.encoding import Encoder
from serving.predictor import Predictor, open_predictor

_PARITY_ROWS = 200
_GOLDEN_ROWS = 8
_TOLERANCE = {"fp32": 1e-3, "int8": 0.5}
"""Largest difference of a golden logit on another machine (of a regression: in standard deviations of the targets).
fp32 differs in the order of its sums. int8 differs where a processor saturates 16-bit sums (AVX2 without VNNI) or
rounds a scale the other way."""
_BATCHING = {"fp32": "padded", "int8": "alone"}


@dataclass(frozen=True)
class Release:
    """A bundle on disk, with what was measured of it."""

    folder: Path
    model: ModelFile
    evaluations: dict[str, Evaluation]
    """Every variant that was made, also one that was left out and is not in the folder any more."""
    parities: dict[str, Parity]
    headline: str
    sizes: dict[str, int]
    """Bytes of the ONNX file of every variant that was made."""


def release(
    model: nn.Module,
    prepared: Prepared,
    validation: EncodedSplit,
    encoder: Encoder,
    base: BaseModel,
    settings: JobSettings,
    folder: Path,
) -> Release:
    """Write the bundle of a trained model; GateFailed when its fp32 file is not good enough."""
    variants = list(dict.fromkeys(["fp32", *settings.export.variants]))
    # An earlier try of this run may have left files that would be published with the new ones.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(base.tokenizer, folder / "tokenizer.json")
    _export(model, variants, folder)
    _, unit = prepared.task.output_scale(prepared.train.targets)
    made: dict[str, Variant] = {name: _variant(folder, name, unit) for name in variants}
    draft = _model_file(prepared, encoder, settings, made)
    draft, parities = _check_parity(model, draft, validation, prepared, settings, folder, unit)
    evaluations = _measure(draft, prepared, folder)
    headline = prepared.task.headline(prepared.problem)
    check_floor(settings.gate, evaluations["fp32"])
    final = _choose(draft, evaluations, settings, headline)
    final = _with_golden(final, prepared, folder)
    _write(final, folder)
    for name in final.left_out:
        shutil.rmtree(folder / "onnx" / name)
    _keep_weights(model, base, folder)
    return Release(folder, final, evaluations, parities, headline, {name: one.bytes for name, one in made.items()})


def _export(model: nn.Module, variants: Sequence[str], folder: Path) -> None:
    export_fp32(model, _graph(folder, "fp32"))
    if "int8" in variants:
        quantize_int8(_graph(folder, "fp32"), _graph(folder, "int8"))
    sizes = ", ".join(f"{name} {_graph(folder, name).stat().st_size / 2**20:.1f} MiB" for name in variants)
    say("export", f"ONNX files: {sizes}")


def _graph(folder: Path, name: str) -> Path:
    return folder / "onnx" / name / "model.onnx"


def _variant(folder: Path, name: str, unit: float) -> Variant:
    graph = _graph(folder, name)
    return Variant(
        file=graph.relative_to(folder).as_posix(),
        batching=_BATCHING[name],  # type: ignore[arg-type]
        bytes=graph.stat().st_size,
        golden_tolerance=_TOLERANCE[name] * unit,
    )


def _model_file(prepared: Prepared, encoder: Encoder, settings: JobSettings, variants: dict[str, Variant]) -> ModelFile:
    return ModelFile(
        format=1,
        task=settings.task,
        problem=prepared.problem,  # type: ignore[arg-type]
        labels=prepared.labels,
        pair=len(prepared.roles.texts) == 2,
        max_length=encoder.max_length,
        cleaning=encoder.cleaning,
        padding=encoder.padding,
        variants=variants,
        default_variant="fp32",
    )


def _write(model: ModelFile, folder: Path) -> None:
    (folder / MODEL_FILE).write_text(model.model_dump_json(indent=2, exclude_defaults=False) + "\n")


def _open(draft: ModelFile, name: str, folder: Path) -> Predictor:
    _write(draft, folder)
    return open_predictor(folder, variant=name)


def _check_parity(
    model: nn.Module,
    draft: ModelFile,
    validation: EncodedSplit,
    prepared: Prepared,
    settings: JobSettings,
    folder: Path,
    unit: float,
) -> tuple[ModelFile, dict[str, Parity]]:
    """Refuse an fp32 file that does not compute what torch does; note how far int8 is. Tune thresholds on the way."""
    rows = [validation.row(index) for index in _spread(len(validation), _PARITY_ROWS)]
    parities = {}
    for name in draft.variants:
        predictor = _open(draft, name, folder)
        parities[name] = compare(model, predictor, rows, unit=unit)
        shown = f"largest difference {parities[name].largest:.2g}, same answer {parities[name].agreement:.1%}"
        say("parity", f"{name}: {shown} on {len(rows)} validation rows", variant=name, largest=parities[name].largest)
        if name == "fp32":
            require(parities[name], settings.export.parity_tolerance)
            draft = _with_thresholds(draft, predictor, prepared)
        predictor.close()
    return draft, parities


def _spread(length: int, count: int) -> list[int]:
    """Up to `count` positions of a split, evenly spread."""
    return [int(at) for at in np.unique(np.linspace(0, length - 1, min(length, count)).astype(int))]


def _with_thresholds(draft: ModelFile, predictor: Predictor, prepared: Prepared) -> ModelFile:
    if prepared.problem != "multi_label":
        return draft
    logits = logits_of(predictor, prepared.validation.data)
    thresholds = prepared.task.tune_thresholds(logits, prepared.validation.targets, prepared.problem)
    say(
        "thresholds",
        f"tuned on {len(prepared.validation):,} validation rows, one for each of {len(draft.labels)} labels",
    )
    return draft.model_copy(update={"thresholds": thresholds})


def _measure(draft: ModelFile, prepared: Prepared, folder: Path) -> dict[str, Evaluation]:
    """Every variant on the test split, which is read here for the first and only time."""
    evaluations = {}
    for name in draft.variants:
        predictor = _open(draft, name, folder)
        part = prepared.test
        evaluations[name] = evaluate(predictor, part.data, part.targets, prepared.task, draft.thresholds)
        shown = "  ".join(f"{metric} {value:.4f}" for metric, value in evaluations[name].metrics.items())
        say("test", f"{name}: {shown}", variant=name, **evaluations[name].metrics)
        predictor.close()
    return evaluations


def _choose(draft: ModelFile, evaluations: dict[str, Evaluation], settings: JobSettings, headline: str) -> ModelFile:
    """Leave out the variants that lose too much; serve the smallest of those that are left by default."""
    kept: dict[str, Variant] = {}
    left_out: dict[str, str] = {}
    for name, variant in draft.variants.items():
        measured = evaluations[name]
        reason = drop_reason(settings.gate, name, headline, evaluations["fp32"], measured)
        if reason:
            left_out[name] = reason
            warn("gate", f"{name} is left out: {reason}", variant=name)
            continue
        figures = {"metrics": measured.metrics, "intervals": measured.intervals, "ms_per_text": measured.ms_per_text}
        kept[name] = variant.model_copy(update=figures)
    smallest = min(kept, key=lambda name: kept[name].bytes)
    say("gate", f"passed: {', '.join(kept)}; served by default: {smallest}")
    return draft.model_copy(update={"variants": kept, "left_out": left_out, "default_variant": smallest})


def _with_golden(model: ModelFile, prepared: Prepared, folder: Path) -> ModelFile:
    """Record what each variant answers to a few validation texts, for servers to replay."""
    data = prepared.validation.data.select(_spread(len(prepared.validation), _GOLDEN_ROWS))
    texts = data.texts()
    logits: dict[str, list[list[float]]] = {}
    for name in model.variants:
        predictor = _open(model, name, folder)
        logits[name] = predictor.logits(texts).astype(float).tolist()
        predictor.close()
    golden = [
        Golden(inputs=text, logits={name: rows[index] for name, rows in logits.items()})
        for index, text in enumerate(texts)
    ]
    return model.model_copy(update={"golden": golden})


def _keep_weights(model: nn.Module, base: BaseModel, folder: Path) -> None:
    save_weights(model, folder / "weights")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / "weights" / name)
