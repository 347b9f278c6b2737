"""What this machine gives."""

import pytest

from tunewright.serving.runtime.capacity import _cgroup_quota, available_cpus


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 0),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 0),
        ({}, 0),
    ],
)
def test_the_quota_of_a_container_bounds_the_processors(tmp_path, files, processors):
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    assert _cgroup_quota(tmp_path) == processors


def test_there_is_at_least_one_processor():
    assert available_cpus() >= 1
