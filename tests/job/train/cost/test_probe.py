import numpy as np
import pytest

from tunewright.job.train.cost.probe import Peak, available, resident, summed


def test_many_loads_are_summed_from_a_few():
    """What costs a bit for each piece and a bit for each of its parts, as a forward pass does."""
    loads = np.random.default_rng(1).integers(100, 1000, 500).astype(np.float64)
    asked = []

    def measure(place):
        asked.append(place)
        return 50 + loads[place] + loads[place] ** 2 / 1000

    assert summed(loads, measure) == pytest.approx(sum(50 + loads + loads**2 / 1000), rel=0.02)
    assert len(asked) == 3
    assert summed(np.array([5.0]), lambda _: 2.0) == 2.0


def test_the_peak_of_memory_is_that_of_what_is_taken_meanwhile():
    with Peak("cpu") as peak:
        assert np.ones(8_000_000).sum()
    assert peak.bytes is None or 50e6 < peak.bytes < 200e6
    assert resident() > 50e6


@pytest.mark.parametrize("stat", ["inactive_file 300\n", "anon 7\n"])
def test_the_limit_of_a_cgroup_counts_without_what_files_are_cached_in(tmp_path, stat):
    for name, text in {"memory.max": "1000", "memory.current": "600", "memory.stat": stat}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 5 kB\n")
    left = available(tmp_path, tmp_path) - resident()
    assert left == pytest.approx(700 if "300" in stat else 400, abs=2e6)
    (tmp_path / "memory.max").write_text("max")
    assert available(tmp_path, tmp_path) - resident() == pytest.approx(5 * 1024, abs=2e6)
    assert available(tmp_path / "none", tmp_path / "none") is None
