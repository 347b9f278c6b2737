"""What a step takes with several processes, told from one process and a network.

A step has the same rows whatever the processes (as in a job): each takes its share of them, then gradients go round a
ring, in which a process sends and receives 2 (n - 1) / n times their bytes (Patarasuk and Yuan 2009, "Bandwidth optimal
all-reduce algorithms for clusters of workstations").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PROCESSES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Work:
    """What a process does in a step: seconds of it, and bytes of the gradient."""

    fixed: float
    """However many rows there are: the optimizer above all."""
    per_row: float
    gradient: float


@dataclass(frozen=True)
class Network:
    """What lies between each process and the next."""

    bandwidth: float
    """Bytes a second, both ways at once."""
    latency: float
    """Seconds of one message."""
    overlap: float = 0.0
    """Share of the work on the rows beside which gradients travel."""


@dataclass(frozen=True)
class Scaled:
    """A step with so many processes, beside that of one."""

    processes: int
    seconds: float
    speed: float
    """Times as fast as one process."""
    cost: float
    """Times the processor seconds, or the price, of one process."""


def step(work: Work, network: Network, rows: int, processes: int) -> float:
    """Seconds of a step of so many rows."""
    alone = work.per_row * -(-rows // processes)
    links = processes - 1
    exchange = 2 * links / processes * work.gradient / network.bandwidth + 2 * links * network.latency
    return work.fixed + alone + max(0.0, exchange - network.overlap * alone)


def scaled(work: Work, network: Network, rows: int, counts: Sequence[int] = PROCESSES) -> Iterator[Scaled]:
    """What each number of processes gives, as far as a step has rows for them."""
    alone = step(work, network, rows, 1)
    for count in counts:
        if count <= rows:
            seconds = step(work, network, rows, count)
            yield Scaled(count, seconds, alone / seconds, count * seconds / alone)
