"""`make bench-generate`: milliseconds per token of `generate` against optimum's ORTModel, which lends the loop of
transformers.

The models have random weights and the sizes of small real ones: what is compared is mostly the loop around the graph,
which is the dearer the smaller the model is. Decoders are the same file on both sides; an encoder-decoder is what each
side writes of it, as optimum reads no other. The peer is a process with an environment of its own (var/bench/optimum).
Both get the same prompts and one thread, and must write the same tokens. They take turns, and open their models anew
each time, as of two sessions over one file one may be 5 % faster; the ratio is the median of the ratios of the rounds.
Time is the process's own on its processor. A second table has streams: each asked for by a thread of its own, through
the engine that a server has, against a batch of as many rows of optimum, both with all processors, by the clock and by
the processor; and when the first token of each stream came. Printed, and written to var/bench/generate.json.
"""

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peers
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tunewright.job.export.generation import export_generation
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.engines.generation import GenerationEngine
from tunewright.serving.generation.graph import CausalGraph, Seq2SeqGraph
from tunewright.serving.generation.loop import generate
from tunewright.serving.generation.settings import CallerSettings, GenerationSettings
from tunewright.serving.runtime.capacity import Capacity, available_cpus

HERE = Path("var/bench/generate")
PEER = Path(__file__).with_name("peer_generate.py")
MODELS = ("gpt2", "qwen2", "t5-small")
START = 0


@dataclass(frozen=True)
class Case:
    """What is written in one round."""

    rows: int
    beams: int
    prompt: int
    """Tokens of each prompt."""
    tokens: int
    """Tokens written for each prompt."""
    threads: int = 1
    """Of one run."""


STREAMS = (1, 8)
CASES = (Case(1, 1, 32, 64), Case(1, 1, 256, 64), Case(8, 1, 32, 48), Case(1, 4, 32, 48), Case(4, 4, 32, 32))


class Peer:
    """optimum's side, in a process that waits for its turn."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([peers.optimum(), PEER], **pipes)

    def turn(self, name: str, case: Case) -> tuple[list[list[int]], float]:
        """What it wrote, and the milliseconds of its processor."""
        answer = self.ask(name, case)
        return answer["written"], answer["milliseconds"]

    def ask(self, name: str, case: Case) -> dict:
        """What it wrote, and how long that took."""
        asked = {
            **vars(case),
            "prompts": prompts(case),
            "folder": str(HERE / name / "optimum"),
            "seq2seq": is_seq2seq(name),
        }
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    export()
    peer, table = Peer(), []
    print(f"{'model':10} {'rows':>4} {'beams':>5} {'prompt':>6} {'ms/token':>9} {'optimum':>9} {'ratio':>7}")
    for name in asked.models:
        for case in CASES:
            row = {"model": name, **vars(case), **compare(peer, name, case, asked.rounds)}
            table.append(row)
            figures = f"{row['ours']:9.3f} {row['optimum']:9.3f} {row['ratio']:7.3f}"
            print(f"{name:10} {case.rows:4} {case.beams:5} {case.prompt:6} {figures}", flush=True)
    table += streams(peer, asked.models, asked.rounds)
    peer.close()
    (HERE.parent / "generate.json").write_text(json.dumps(table, indent=2))


def export() -> None:
    """The models, our graphs of them, and what optimum opens: made once."""
    if (HERE / ".made").exists():
        return
    shutil.rmtree(HERE, ignore_errors=True)
    subprocess.run([peers.optimum(), PEER, "--make", HERE], check=True)
    for name in MODELS:
        kind = transformers.AutoModelForSeq2SeqLM if is_seq2seq(name) else transformers.AutoModelForCausalLM
        export_generation(kind.from_pretrained(HERE / name / "weights").eval(), HERE / name, ["fp32"])
        if not is_seq2seq(name):
            shutil.copytree(HERE / name / "onnx" / "fp32", HERE / name / "optimum")
            shutil.copyfile(HERE / name / "weights" / "config.json", HERE / name / "optimum" / "config.json")
    (HERE / ".made").touch()


def compare(peer: Peer, name: str, case: Case, rounds: int) -> dict[str, float]:
    """Take turns; milliseconds for each token of the answers."""
    sides = {"ours": our_turn, "optimum": peer.turn}
    costs: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        written = {}
        for side in sorted(sides, reverse=bool(turn % 2)):
            written[side], milliseconds = sides[side](name, case)
            costs[side].append(milliseconds / (case.rows * case.tokens))
        if written["ours"] != written["optimum"]:
            raise SystemExit(f"{name}: the two did not write the same tokens for {case}")
    ratios = np.divide(costs["ours"], costs["optimum"]).tolist()
    medians = {side: statistics.median(values) for side, values in costs.items()}
    return {**medians, "ratio": statistics.median(ratios), "rounds": rounds}


def streams(peer: Peer, names: Sequence[str], rounds: int) -> list[dict]:
    """Streams at once, and optimum's batch of as many rows."""
    table = []
    heads = ("ms/token", "optimum", "cpu", "optimum", "first", "last")
    print(f"{'model':10} {'streams':>7} " + " ".join(f"{head:>9}" for head in heads))
    for name in names:
        engine = open_engine(name)
        for count in STREAMS:
            case = Case(count, 1, 32, 48, available_cpus())
            figures = np.median([stream_turn(peer, engine, name, case, turn) for turn in range(rounds)], axis=0)
            named = ("ours", "optimum", "cpu", "optimum_cpu", "first_ms", "last_first_ms")
            table.append({"model": name, "streams": count, **dict(zip(named, figures.tolist(), strict=True))})
            print(f"{name:10} {count:7} " + " ".join(f"{figure:9.3f}" for figure in figures), flush=True)
        engine.close()
    return table


def open_engine(name: str) -> GenerationEngine:
    """What a server has for a model."""
    kind = Seq2SeqGraph if is_seq2seq(name) else CausalGraph
    graph = kind(HERE / name / "onnx" / "fp32", threads=available_cpus())
    words = Tokenizer(models.WordLevel({f"w{word}": word for word in range(graph.vocabulary)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    variant = Variant(file="model.onnx", batching="padded", bytes=1, golden_tolerance=0.01)
    described = {"task": "text-generation", "problem": "text_generation", "max_length": 512}
    model = ModelFile(format=1, **described, variants={"fp32": variant}, default_variant="fp32")
    return GenerationEngine(graph, words, model, "fp32", Capacity())


@dataclass(frozen=True)
class Asked:
    """One row."""

    ids: list[int]
    settings: CallerSettings
    top: None = None


def stream_turn(peer: Peer, engine: GenerationEngine, name: str, case: Case, turn: int) -> list[float]:
    """Milliseconds a token of both, by the clock and by the processor; and to the first and to the last first token."""
    if turn % 2:
        theirs = peer.ask(name, case)
    start = START if is_seq2seq(name) else None
    settings = CallerSettings(max_new_tokens=case.tokens, decoder_start_token_id=start)
    # New prompts each time: what was read before would be read no more.
    streamed(engine, case, settings, 2 * turn)
    clock, processor, waits = streamed(engine, case, settings, 2 * turn + 1)
    if not turn % 2:
        theirs = peer.ask(name, case)
    costs = np.array([clock, theirs["clock"], processor, theirs["milliseconds"]]) / (case.rows * case.tokens)
    return [*costs, waits[0], waits[-1]]


def streamed(
    engine: GenerationEngine, case: Case, settings: CallerSettings, seed: int
) -> tuple[float, float, list[float]]:
    """Milliseconds of the clock and the processor for all streams, and those to each first token."""
    firsts: list[float] = []
    together = threading.Barrier(case.rows + 1)

    def stream(prompt: list[int]) -> None:
        came: list[float] = []
        together.wait()
        engine.stream(Asked(prompt, settings), lambda _: came.append(time.perf_counter()))
        firsts.append(came[0])

    threads = [threading.Thread(target=stream, args=(prompt,)) for prompt in prompts(case, seed)]
    for thread in threads:
        thread.start()
    together.wait()
    begun, started = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    clock, processor = 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - started)
    return clock, processor, [1000 * (first - begun) for first in sorted(firsts)]


def our_turn(name: str, case: Case) -> tuple[list[list[int]], float]:
    graph = (Seq2SeqGraph if is_seq2seq(name) else CausalGraph)(HERE / name / "onnx" / "fp32")
    start = START if is_seq2seq(name) else None
    settings = GenerationSettings(max_new_tokens=case.tokens, num_beams=case.beams, decoder_start_token_id=start)
    for _ in range(2):  # the first one warms up
        started = time.process_time()
        written = [answer.ids for answer in generate(graph, prompts(case), settings)]
        milliseconds = 1000 * (time.process_time() - started)
    return written, milliseconds


def is_seq2seq(name: str) -> bool:
    return name.startswith("t5")


def prompts(case: Case, seed: int = 0) -> list[list[int]]:
    return np.random.default_rng(seed).integers(1, 16_000, (case.rows, case.prompt)).tolist()


if __name__ == "__main__":
    main()
