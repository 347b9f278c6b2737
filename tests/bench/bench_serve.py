"""`make bench-serve`: texts per second of `Predictor` against a bare ONNX Runtime loop over the same encoded rows.

Both use one registered version (the quickstart's by default), the same rows in the same runs of the same shapes, and
as many threads. What is compared is what the house adds: planning, padding, threads, putting answers in order.
The two take turns; the figure is the median of the ratios of the rounds. Printed, and written to var/bench/serve.json.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.runtime.capacity import TOKENS_PER_RUN, available_cpus
from tunewright.serving.runtime.runs import plan_runs
from tunewright.serving.tasks import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument(
        "--texts", type=Path, help="a file with one text a line; the version's golden texts when absent"
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    registry = RegistrySettings()
    table = {}
    for variant in ("fp32", "int8"):
        pulled, _ = fetch(open_store(registry.uri), asked.model, cache=registry.cache, variant=variant)
        predictor = open_predictor(pulled.folder, variant=variant)
        texts = _texts(predictor, asked.texts, asked.count)
        table[variant] = compare(predictor, pulled.folder, texts, asked.rounds)
        predictor.close()
    print(f"{'variant':8} {'texts/s':>9} {'bare':>9} {'ratio':>7}  with encoding")
    for variant, row in table.items():
        ratios = f"{row['ratio']:7.3f}  {row['ratio_with_encoding']:.3f}"
        print(f"{variant:8} {row['predictor']:9.0f} {row['bare']:9.0f} {ratios}")
    out = Path("var/bench/serve.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table, indent=2))


def compare(predictor: Predictor, folder: Path, texts: list, rounds: int) -> dict[str, float]:
    """Take turns; each round gives the rate of the predictor, of the bare loop, and of the predictor from raw text."""
    text = predictor.engine.text
    rows = text.encoder.encode(texts)
    variant = predictor.model.variants[predictor.variant]
    runs = plan_runs([len(row) for row in rows], TOKENS_PER_RUN if variant.batching == "padded" else 0)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(folder / variant.file), options, providers=["CPUExecutionProvider"])
    batches = [text.encoder.pad([rows[index] for index in run], text.session.inputs) for run in runs]
    pool = ThreadPoolExecutor(available_cpus())

    def bare() -> None:
        list(pool.map(lambda batch: session.run(None, batch)[0], batches))

    rates = {"predictor": [], "bare": [], "with_encoding": []}
    loops = {"predictor": lambda: text.run(rows), "bare": bare, "with_encoding": lambda: predictor.outputs(texts)}
    for turn in range(rounds + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop()
            if turn:  # the first round warms up
                rates[name].append(len(texts) / (time.perf_counter() - started))
    pool.shutdown()
    return {
        "predictor": statistics.median(rates["predictor"]),
        "bare": statistics.median(rates["bare"]),
        "ratio": statistics.median(np.divide(rates["predictor"], rates["bare"]).tolist()),
        "ratio_with_encoding": statistics.median(np.divide(rates["with_encoding"], rates["bare"]).tolist()),
        "texts": len(texts),
        "rounds": rounds,
    }


def _texts(predictor: Predictor, file: Path | None, count: int) -> list:
    read = TASKS[predictor.model.task].read_inputs
    golden = [read(case.inputs, predictor.model)[0][0] for case in predictor.model.golden]
    found = file.read_text().splitlines() if file else golden
    return (found * (count // len(found) + 1))[:count]


if __name__ == "__main__":
    main()
