"""`make bench-quantized`: what int8 costs in answers and in time, with one scale a row and with one scale a run.

Four data sets, each learned once and briefly from MiniLM-L6 (what int8 changes can be seen early). Of each fp32 file
both forms are made: `row` as this version writes it, `run` by ONNX Runtime's dynamic quantization, as versions before.
Over the test rows, through the predictor: how far outputs are from those of fp32, how many rows (or words) keep their
first label, how far an answer alone is from that in padded runs, and processor time for each row, alone and in runs of
so many padded tokens; the forms take turns, and a figure is the median of the rounds. Printed, and written to
var/bench/int8.json.

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from cases import CASES
from onnxruntime import quantization

from tunewright.job.export.int8 import quantize_int8
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.begin import get_ready
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.runtime.capacity import Capacity

HERE = Path("var/bench/int8")
LEARNED = {"sst2": (1600, 2), "stsb": (1600, 2), "wnut17": (1000, 2), "banking77": (3000, 3)}
"""Rows and epochs."""
FORMS = ("fp32", "run", "row")
ALONE = 1
"""Tokens of a run that no two rows share."""
BUDGETS = (ALONE, 128, 256, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=", ".join(LEARNED))
    parser.add_argument("--rows", type=int, default=600, help="test rows of each set")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)  # a quantizer that wants graphs prepared
    found = []
    print(
        f"{'data':10} {'form':5} {'MB':>5} {'mean':>8} {'of run':>6} {'largest':>8} {'same':>7} {'batch':>8}  ms a row"
    )
    for name in asked.names or LEARNED:
        settings, bundle = train(name, Path(os.environ["TUNEWRIGHT_DATA"]))
        folder = make_forms(bundle)
        inputs = test_inputs(settings, asked.rows)
        answers = compare(folder, inputs)
        times = measure(folder, inputs, asked.rounds)
        for form in FORMS:
            row = {"data": name, "form": form, "rows": len(inputs), **answers[form], "ms": times[form]}
            found.append(row)
            show(row, answers["run"]["mean"])
    HERE.with_suffix(".json").write_text(json.dumps(found, indent=2))


def train(name: str, data: Path) -> tuple[dict, Path]:
    """The settings and the bundle of a set, learned once."""
    here = HERE / name
    bundle = here / "runs" / name / "bundle"
    if (bundle / "model.json").exists():
        return yaml.safe_load((here / "job.yaml").read_text()), bundle
    shutil.rmtree(here, ignore_errors=True)
    (here / "data").mkdir(parents=True)
    case = CASES[name]
    rows, epochs = LEARNED[name]
    sides = {side: str(here / "data" / file) for side, file in case.source(data, here / "data").items()}
    settings = {"model_name": name, **case.settings, "data": {**case.settings["data"], **sides, "limit": rows}}
    settings["train"] = {**settings["train"], "epochs": epochs}
    (here / "job.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    more = {"REGISTRY_URI": str(here / "registry"), "JOB_OUTPUT": str(here / "runs"), "JOB_RUN_ID": name}
    more["JOB_KEEP_BUNDLE"] = "true"
    with (here / "log").open("w") as log:
        command = [sys.executable, "-m", "tunewright", "train", "--config", str(here / "job.yaml")]
        subprocess.run(command, env={**os.environ, **more}, check=True, stdout=log, stderr=subprocess.STDOUT)
    return settings, bundle


def make_forms(bundle: Path) -> Path:
    """A folder with both int8 forms of the fp32 file of a bundle, beside that file."""
    folder = bundle.parent / "forms"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("weights", "report", "int8"))
    graphs = {form: folder / "onnx" / form / "model.onnx" for form in FORMS}
    graphs["run"].parent.mkdir()
    kinds = {"op_types_to_quantize": ["MatMul", "Gather"], "per_channel": True}
    quantization.quantize_dynamic(graphs["fp32"], graphs["run"], weight_type=quantization.QuantType.QInt8, **kinds)
    quantize_int8(graphs["fp32"], graphs["row"])
    model = json.loads((folder / "model.json").read_text())
    model |= {"golden": [], "left_out": {}, "default_variant": "fp32"}
    model["variants"] = {
        form: {
            **model["variants"]["fp32"],
            "file": graph.relative_to(folder).as_posix(),
            "batching": "alone" if form == "run" else "padded",
            "bytes": graph.stat().st_size,
        }
        for form, graph in graphs.items()
    }
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def test_inputs(settings: dict, count: int) -> list[object]:
    """Inputs of the test rows, evenly spread, as a caller sends them."""
    work = HERE / settings["model_name"] / "work"
    registry = RegistrySettings(uri=str(work), cache=work)
    with contextlib.redirect_stderr(io.StringIO()):
        prepared = get_ready(JobSettings.model_validate(settings), registry, work).prepared
    data = prepared.test.data
    chosen = data.select([int(at) for at in np.unique(np.linspace(0, len(data) - 1, count).astype(int))])
    return [prepared.task.columns.served(value) for value in chosen.inputs()]


def opened(folder: Path, form: str, tokens: int) -> Predictor:
    return open_predictor(folder, variant=form, capacity=Capacity(threads=1, tokens_per_run=tokens))


def compare(folder: Path, inputs: Sequence[object]) -> dict[str, dict[str, float]]:
    """Of each form: how far its outputs are from those of fp32, and alone from those in padded runs."""
    alone = {form: opened(folder, form, ALONE).outputs(inputs) for form in FORMS}
    padded = {form: opened(folder, form, BUDGETS[-1]).outputs(inputs) for form in FORMS}
    found = {}
    for form in FORMS:
        apart = [np.abs(one - truth).ravel() for one, truth in zip(alone[form], alone["fp32"], strict=True)]
        pairs = zip(alone[form], alone["fp32"], strict=True)
        same = [np.atleast_1d(one.argmax(axis=-1) == truth.argmax(axis=-1)) for one, truth in pairs]
        batch = [np.abs(one - other).max() for one, other in zip(alone[form], padded[form], strict=True)]
        found[form] = {
            "mean": float(np.concatenate(apart).mean()),
            "largest": float(np.concatenate(apart).max()),
            "same": float(np.concatenate(same).mean()),
            "batch": float(max(batch)),
            "megabytes": (folder / "onnx" / form / "model.onnx").stat().st_size / 1e6,
        }
    return found


def measure(folder: Path, inputs: Sequence[object], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a processor for each row of each form, alone and in runs of so many tokens."""
    cases = [(form, tokens) for form in FORMS for tokens in BUDGETS if form != "run" or tokens == ALONE]
    predictors = {case: opened(folder, *case) for case in cases}
    costs: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for case in cases[:: -1 if turn % 2 else 1]:
            started = time.process_time()
            predictors[case].outputs(inputs)
            if turn:  # the first one warms up
                costs[case].append(1000 * (time.process_time() - started) / len(inputs))
    for predictor in predictors.values():
        predictor.close()
    named = {form: {} for form in FORMS}
    for (form, tokens), values in costs.items():
        named[form]["alone" if tokens == ALONE else str(tokens)] = statistics.median(values)
    return named


def show(row: dict, run: float) -> None:
    figures = f"{row['megabytes']:5.1f} {row['mean']:8.4f} {row['mean'] / run:6.2f} {row['largest']:8.3f}"
    times = "  ".join(f"{tokens} {value:.2f}" for tokens, value in row["ms"].items())
    print(f"{row['data']:10} {row['form']:5} {figures} {row['same']:7.2%} {row['batch']:8.0e}  {times}", flush=True)


if __name__ == "__main__":
    main()
