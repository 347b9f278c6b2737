"""The bench of GPUs runs on a processor too, in a tiny size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import bench_gpu

    return bench_gpu


def test_each_way_learns_the_same_and_is_timed(bench):
    (encoder, _), ways = bench.gpu_cases.tiny(), {way.name: way for way in (*bench.LADDER, *bench.MORE)}
    plain, fast, again = (
        bench.trained(encoder, ways[name], {})
        for name in ("fp32, nothing else", "+ loss read every 16 steps", "gradient checkpointing")
    )
    assert plain["losses"] == fast["losses"] == again["losses"]
    assert min(way["tokens_per_second"] for way in (plain, fast, again)) > 0


@pytest.mark.slow
def test_all_of_it_runs_in_a_tiny_size(tmp_path):
    words = [sys.executable, HERE / "bench_gpu.py", "--tiny"]
    done = subprocess.run(words, env={"OUT": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {"tiny encoder", "tiny decoder"} < set(found)
    tried = [one for some in found.values() if isinstance(some, list) for one in some]
    assert [one for one in tried if "failed" in one] == []
    assert any(one["name"] == "NF4" for one in tried)
