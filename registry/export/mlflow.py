"""A version as a folder that `mlflow.pyfunc.load_model` loads: its files below `version/`, and what MLflow asks.

The loader is `tunewright.serving.pyfunc`, which answers with the graph that was measured: who loads the folder needs
`tunewright[answer]`, and neither torch nor transformers.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path

import yaml

from tunewright.registry.errors import BadReference
from tunewright.registry.export.folder import Exported, files_in, whole
from tunewright.registry.gates.evidence import LINEAGE, MODEL, Evidence, Json, evidence, listed, mapping
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.pull import Only, pull_into
from tunewright.registry.versions.record import Version

VERSION = "version"
_MEASURED_WITH = ("numpy", "onnxruntime", "tokenizers")
"""Packages that make the numbers; the folder asks for the releases that the version was measured with."""


def export_mlflow(store: Store, version: Version, target: Path, *, cache: Path) -> Exported:
    """Write the folder, with the variant that is served by default. Raises BadReference for a version that no job of
    this program has made, and one without an example of its inputs."""
    found = evidence(store, version, cache=cache, files=(MODEL, LINEAGE), rows=False)
    variant = found.served
    if variant is None or not isinstance(found.model.get("task"), str):
        raise BadReference(
            f"{version} carries no model.json with a task and a variant to serve: it was not made by a job of this "
            "program, so that nothing here can answer with it (tunewright pull)"
        )
    example = _example(found)
    with whole(target) as folder:
        pull_into(store, version, folder / VERSION, only=to_answer(variant))
        needs = _needs(found)
        _write(folder / "requirements.txt", "".join(f"{line}\n" for line in needs))
        python = _python(found)
        _write_yaml(folder / "python_env.yaml", {"python": python, "dependencies": ["-r requirements.txt"]})
        conda = {"name": "mlflow-env", "channels": ["conda-forge"]}
        _write_yaml(folder / "conda.yaml", conda | {"dependencies": [f"python={python}", "pip", {"pip": needs}]})
        table = {"columns": list(example), "data": [list(example.values())]}
        _write(folder / "input_example.json", json.dumps(table, ensure_ascii=False))
        _write(folder / "serving_input_example.json", json.dumps({"dataframe_split": table}, ensure_ascii=False))
        _write_yaml(folder / "MLmodel", _description(found, example, python))
        files = files_in(folder)
    return Exported(version, str(target.absolute()), files)


def to_answer(variant: str) -> Only:
    """Which files of a version answer: all but the weights, the report and the graphs of other variants."""
    left_out = ("weights/", "report/", "onnx/")
    return lambda path: path.startswith(f"onnx/{variant}/") or not path.startswith(left_out)


def _description(found: Evidence, example: Mapping[str, str], python: str) -> dict[str, object]:
    """`MLmodel`."""
    columns = [{"type": "string", "name": name, "required": True} for name in example]
    return {
        "flavors": {
            "python_function": {
                "loader_module": "tunewright.serving.pyfunc",
                "data": VERSION,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "python_version": python,
            }
        },
        "metadata": {
            "tunewright_version": str(found.version),
            "tunewright_digest": found.version.digest,
            "tunewright_variant": found.served,
            "task": found.model["task"],
        },
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
        },
        # An answer is what the server gives: labels with scores, texts, vectors.
        "signature": {"inputs": json.dumps(columns), "outputs": '[{"type": "any", "required": true}]', "params": None},
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def _example(found: Evidence) -> dict[str, str]:
    """The columns of an input, each with what the first golden case has there. BadReference where there is none."""
    first = next((mapping(one).get("inputs") for one in listed(found.model.get("golden"))), None)
    task, columns = str(found.model["task"]), dict[str, Json]()
    if words := listed(mapping(first).get("tokens")):
        first = " ".join(map(str, words))  # a caller may send the sentence
    if task == "masked-language-modelling" and isinstance(first, str):
        first = f"{first} {mapping(found.model.get('options')).get('mask_token')}"
    if isinstance(first, str):
        columns = {_NAMES.get(task.partition("-")[0], "text"): first}
    elif isinstance(first, list) and len(first) == 2:
        columns = dict(zip(("text", "text_pair"), first, strict=True))
    elif isinstance(first, dict):
        columns = first
    texts = {name: value for name, value in columns.items() if isinstance(value, str)}
    if not texts or len(texts) < len(columns):
        raise BadReference(
            f"model.json of {found.version} holds no golden case whose input is made of texts, of which the columns of "
            "a table could be told"
        )
    return texts


_NAMES = {"image": "image", "audio": "audio"}
"""What the only column is called; of files it holds base64."""


def _needs(found: Evidence) -> list[str]:
    packages = mapping(found.lineage.get("packages"))
    pins = [f"{name}=={packages[name]}" for name in _MEASURED_WITH if isinstance(packages.get(name), str)]
    plugins = [one for one in listed(found.model.get("requires")) if isinstance(one, str)]
    return [f"tunewright[answer]=={version_of('tunewright')}", *pins, *plugins]


def _python(found: Evidence) -> str:
    """The release of Python that the version was measured with, else the first that this program runs on."""
    told = mapping(found.lineage.get("hardware")).get("python")
    return told if isinstance(told, str) else "3.11"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_yaml(path: Path, value: Mapping[str, object]) -> None:
    _write(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
