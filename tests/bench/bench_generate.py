"""`make bench-generate`: milliseconds per token of `generate` against optimum's ORTModel, which lends the loop of
transformers.

The models have random weights and the sizes of small real ones: what is compared is mostly the loop around the graph,
which is the dearer the smaller the model is. Decoders are the same file on both sides; an encoder-decoder is what each
side writes of it, as optimum reads no other. The peer is a process with an environment of its own (var/bench/optimum).
Both get the same prompts and one thread, and must write the same tokens. They take turns, and open their models anew
each time, as of two sessions over one file one may be 5 % faster; the ratio is the median of the ratios of the rounds.
Time is the process's own on its processor. Printed, and written to var/bench/generate.json.
"""

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peers
import torch
import transformers

from tunewright.job.export.generation import export_generation
from tunewright.serving.generation.graph import CausalGraph, Seq2SeqGraph
from tunewright.serving.generation.loop import generate
from tunewright.serving.generation.settings import GenerationSettings

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


CASES = (Case(1, 1, 32, 64), Case(1, 1, 256, 64), Case(8, 1, 32, 48), Case(1, 4, 32, 48), Case(4, 4, 32, 32))


class Peer:
    """optimum's side, in a process that waits for its turn."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([peers.optimum(), PEER], **pipes)

    def turn(self, name: str, case: Case) -> tuple[list[list[int]], float]:
        """What it wrote, and the milliseconds of its processor."""
        asked = {
            **vars(case),
            "prompts": prompts(case),
            "folder": str(HERE / name / "optimum"),
            "seq2seq": is_seq2seq(name),
        }
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["written"], answer["milliseconds"]

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


def prompts(case: Case) -> list[list[int]]:
    return np.random.default_rng(0).integers(1, 16_000, (case.rows, case.prompt)).tolist()


if __name__ == "__main__":
    main()
