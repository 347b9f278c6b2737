"""A registry with a history: three versions, an alias rolled back, notes, and text that would like to be markup."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import describe, tag
from tunewright.registry.versions.alias import move, rollback
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import summarize

_BROWSER = Path(__file__).parents[2] / "serving/page/conftest.py"
_spec = spec_from_file_location("browsers", _BROWSER)
_browsers = module_from_spec(_spec)
_spec.loader.exec_module(_browsers)
browser = _browsers.browser

HOSTILE = '<script>alert(1)</script> & "more" \'\u202e'


@pytest.fixture
def store(tmp_path, write, monkeypatch):
    """The registry in a folder, that commands go to."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    made = open_store(str(tmp_path / "registry"))
    for number, accuracy in enumerate((0.8, 0.9, 0.85), 1):
        measured = {"metrics": {"accuracy": accuracy}, "intervals": {"accuracy": [accuracy - 0.1, accuracy + 0.05]}}
        files = {
            "model.json": {"task": "text-classification", "labels": [HOSTILE], "default_variant": "int8"},
            "lineage.json": {"settings": {"train": {"epochs": number}, "why": HOSTILE}, "base_model": {"address": "b"}},
            "report/metrics.json": {"headline": "accuracy", "test": {"int8": measured}},
        }
        texts = {path: json.dumps(content) for path, content in files.items()}
        texts["report/report.html"] = f"<!doctype html><html lang='en'><title>x</title>{HOSTILE}</html>"
        written = {path: write(f"v{number}/{path}", text.encode()) for path, text in texts.items()}
        summary = summarize("text-classification", "accuracy", accuracy, (accuracy - 0.1, accuracy + 0.05))
        version = publish(made, "reviews", written, run_id=f"run-{number}", config={}, summary=summary)
        move(made, "reviews", "production", number)
    rollback(made, "reviews", "production", reason=HOSTILE.replace("\u202e", ""))
    tag(made, version, "released")
    describe(made, version, HOSTILE.replace("\u202e", ""))
    trees = {"trees.bin": write("forest/trees.bin", b"trees")}
    publish(
        made, "churn", trees, run_id="ci", config={"metrics": {"auc": 0.91}}, summary=summarize("x", "auc", 0.9, None)
    )
    return made
