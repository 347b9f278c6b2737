"""Versions whose test rows are told on the fingers, written by hand as a job would write them."""

import gzip
import json

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish


def _outcomes_of(rows, *, score="share that is right", metric="accuracy", columns=(), in_training=0):
    """The bytes of outcomes; `rows`: of each its key, what is true, the answer, the score and values of the columns."""
    head = {
        "format": 1,
        "metric": metric,
        "score": score,
        "variants": ["int8"],
        "columns": list(columns),
        "test_rows": len(rows),
        "in_training": in_training,
    }
    lines = [head]
    for key, true, answer, reached, *values in rows:
        lines.append({"row": f"{key:016x}", "true": true, "int8": [answer, reached], "of": values})
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0)


def _rights(text):
    """A row for each letter: `+` is right, `-` is wrong."""
    return [(n, "good", "good" if sign == "+" else "bad", int(sign == "+")) for n, sign in enumerate(text)]


def _metrics_of(accuracy=0.9, fp32=0.92):
    return {
        "headline": "accuracy",
        "lower_is_better": False,
        "baseline": {"accuracy": 0.5},
        "short_of_baseline": None,
        "test": {
            "int8": {"metrics": {"accuracy": accuracy, "mcc": 0.8}, "ms_per_text": 3.0},
            "fp32": {"metrics": {"accuracy": fp32, "mcc": 0.8}, "ms_per_text": 9.0},
        },
        "parity": {"fp32": {"largest": 2e-6, "agreement": 1.0}},
        "robustness": {"variant": "int8", "rows": 50, "kinds": {"typos": {"rows": 40, "share": 0.1}}},
        "left_out": {},
        "default_variant": "int8",
    }


MODEL = {"default_variant": "int8", "labels": ["bad", "good"], "variants": {"int8": {"bytes": 2 << 20}}}


@pytest.fixture
def outcomes_of():
    return _outcomes_of


@pytest.fixture
def rights():
    return _rights


@pytest.fixture
def metrics_of():
    return _metrics_of


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    return open_store(str(tmp_path / "registry"))


@pytest.fixture
def make(store, tmp_path):
    """make(rows, metrics) publishes the next version of `reviews`; `rows` as `outcomes_of` takes them, or its bytes."""
    made = []

    def publish_one(rows=None, metrics=None, model=MODEL, test_rows="aa"):
        made.append(None)
        files = {"model.json": json.dumps(model).encode()}
        if metrics != {}:
            files["report/metrics.json"] = json.dumps(metrics or _metrics_of()).encode()
            files["lineage.json"] = b'{"base_model": {"licence": "apache-2.0"}}'
        if rows is not None:
            files["report/outcomes.jsonl.gz"] = rows if isinstance(rows, bytes) else _outcomes_of(rows)
        paths = {}
        for name, data in files.items():
            paths[name] = tmp_path / f"{len(made)}-{name.replace('/', '-')}"
            paths[name].write_bytes(data)
        config = {"test_rows": {"digest": test_rows, "rows": 872}} if test_rows else {}
        return publish(store, "reviews", paths, run_id=f"run-{len(made)}", config=config)

    return publish_one
