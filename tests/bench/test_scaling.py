"""What is told of several processes, by hand."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import scaling

    yield scaling
    sys.modules.pop("scaling")


def test_a_step_is_its_share_of_the_rows_and_the_way_round_the_ring(scaling):
    work, network = scaling.Work(0.1, 0.01, 1000.0), scaling.Network(10_000.0, 0.002)
    assert scaling.step(work, network, 32, 1) == pytest.approx(0.1 + 0.32)
    # Of 1,000 bytes each of four sends 1,500, in six messages.
    assert scaling.step(work, network, 32, 4) == pytest.approx(0.1 + 0.08 + 0.15 + 0.012)
    # The slowest process has one row more than the others.
    assert scaling.step(work, network, 33, 4) == pytest.approx(0.1 + 0.09 + 0.15 + 0.012)


def test_what_travels_beside_the_work_takes_no_time_of_its_own(scaling):
    work = scaling.Work(0.0, 0.01, 1000.0)
    assert scaling.step(work, scaling.Network(10_000.0, 0.0, 0.5), 40, 2) == pytest.approx(0.2)
    assert scaling.step(work, scaling.Network(10_000.0, 0.0, 0.25), 40, 2) == pytest.approx(0.2 + 0.1 - 0.05)


def test_speed_and_cost_are_those_beside_one_process_as_far_as_there_are_rows(scaling):
    work, network = scaling.Work(0.0, 0.01, 0.0), scaling.Network(1.0, 0.0)
    found = list(scaling.scaled(work, network, 6))
    assert [(one.processes, one.speed, one.cost) for one in found] == [
        (1, 1.0, 1.0),
        (2, pytest.approx(2), pytest.approx(1)),
        (4, pytest.approx(3), pytest.approx(4 / 3)),
    ]
