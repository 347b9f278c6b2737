"""ONNX Runtime with nothing around it, for `bench_serve.py`: encoded rows, one row a run, a thread for each processor.

Reads a number of seconds a line, and answers each by the rows it ran, the seconds and the processor seconds it took.
"""

import argparse
import itertools
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from tunewright.serving.runtime.session import has_vnni


def encoded(folder, texts):
    """Texts to the tensors of a run each, by the tokenizer of a version."""
    model = json.loads((folder / "model.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(model["max_length"])
    rows = []
    for encoding in tokenizer.encode_batch(texts):
        arrays = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        rows.append({name: np.array([values], np.int64) for name, values in arrays.items()})
    return rows


def open_session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "0" if has_vnni() else "1")
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_for(session, rows, seconds, threads):
    """How many rows were run in so many seconds."""
    until, counts = time.perf_counter() + seconds, []

    def work(offset):
        count = 0
        for row in itertools.islice(itertools.cycle(rows), offset, None):
            if time.perf_counter() >= until:
                break
            session.run(None, row)
            count += 1
        counts.append(count)

    workers = [threading.Thread(target=work, args=(number * 11,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", help="the graph, within the folder")
    parser.add_argument("texts", type=Path, help="a JSON list")
    asked = parser.parse_args()
    session = open_session(asked.folder / asked.file)
    names = {node.name for node in session.get_inputs()}
    rows = encoded(asked.folder, json.loads(asked.texts.read_text()))
    rows = [{name: array for name, array in row.items() if name in names} for row in rows]
    print("ready", flush=True)
    for line in iter(input, "end"):
        seconds, threads = json.loads(line)
        cpu, begun = time.process_time(), time.perf_counter()
        count = run_for(session, rows, seconds, threads or len(os.sched_getaffinity(0)))
        took = time.perf_counter() - begun
        print(json.dumps({"rows": count, "seconds": took, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
