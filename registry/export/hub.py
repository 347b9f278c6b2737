"""A version as a folder of the Hugging Face hub: `transformers` opens its weights, `optimum.onnxruntime` its graphs.

At the top stand the files of `weights/`: `config.json` and what says how inputs become numbers, with what the programs
take for granted filled in, and `model.safetensors` where its architecture is one of transformers. fp32 is
`onnx/model.onnx`, int8 `onnx/model_quantized.onnx`, or `onnx/int8/model.onnx` where its weights are in a file of their
own, as two of one name cannot lie side by side. `README.md` is the card of the version, and says how it is opened.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tunewright.registry.errors import BadReference
from tunewright.registry.export.folder import Exported, files_in, whole
from tunewright.registry.gates.evidence import MODEL, Evidence, Json, evidence, listed, mapping
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.document import parse
from tunewright.registry.versions.pull import pull_into
from tunewright.registry.versions.record import Version


@dataclass(frozen=True)
class _Opened:
    """How those programs open a task."""

    pipeline: str
    auto: str
    """Class of transformers."""
    ort: str | None
    """Class of optimum; None where it knows no graph of this shape."""


_SEQUENCE = _Opened("text-classification", "AutoModelForSequenceClassification", "ORTModelForSequenceClassification")
_IMAGE = _Opened("image-classification", "AutoModelForImageClassification", "ORTModelForImageClassification")
_AUDIO = _Opened("audio-classification", "AutoModelForAudioClassification", "ORTModelForAudioClassification")
TASKS = {
    "text-classification": _SEQUENCE,
    "text-regression": _SEQUENCE,
    "token-classification": _Opened(
        "token-classification", "AutoModelForTokenClassification", "ORTModelForTokenClassification"
    ),
    "question-answering": _Opened(
        "question-answering", "AutoModelForQuestionAnswering", "ORTModelForQuestionAnswering"
    ),
    "masked-language-modelling": _Opened("fill-mask", "AutoModelForMaskedLM", "ORTModelForMaskedLM"),
    "text-generation": _Opened("text-generation", "AutoModelForCausalLM", "ORTModelForCausalLM"),
    "image-classification": _IMAGE,
    "image-regression": _IMAGE,
    "audio-classification": _AUDIO,
    "audio-regression": _AUDIO,
    # One decoder graph serves every token, and a vector is pooled within the graph: optimum knows neither.
    "translation": _Opened("translation", "AutoModelForSeq2SeqLM", None),
    "summarization": _Opened("summarization", "AutoModelForSeq2SeqLM", None),
    "feature-extraction": _Opened("feature-extraction", "AutoModel", None),
}
NOT_OF_TRANSFORMERS = frozenset({"MeanPooledClassifier", "PairClassifier"})
"""Architectures of this program's own: no class of transformers makes the same numbers of these weights."""
_PROBLEMS = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
_WEIGHTS = "model.safetensors"


def export_hub(store: Store, version: Version, target: Path, *, cache: Path) -> Exported:
    """Write the folder. Raises BadReference for a version that these programs cannot open."""
    found = evidence(store, version, cache=cache, files=(MODEL,), rows=False)
    opened = _opened(found)
    with whole(target) as folder:
        kept = folder / ".version"
        pull_into(store, version, kept, only=lambda path: path.startswith(("weights/", "onnx/", "report/README.md")))
        has_weights = _put_weights(kept / "weights", folder, found.model, str(version))
        graphs = _put_graphs(kept, folder, found.model) if opened.ort else {}
        if not (has_weights or graphs):
            raise BadReference(f"{version} has neither weights nor a graph that transformers or optimum could open")
        remarks = tuple(_remarks(found, opened, has_weights=has_weights))
        card = kept / "report/README.md"
        told = card.read_text(encoding="utf-8") if card.is_file() else f"# {version.name}\n"
        (folder / "README.md").write_text(
            told + _how(found, opened, graphs, remarks, has_weights=has_weights), encoding="utf-8"
        )
        shutil.rmtree(kept)
        files = files_in(folder)
    return Exported(version, str(target.absolute()), files, remarks)


def _opened(found: Evidence) -> _Opened:
    task, version = found.model.get("task"), found.version
    paths = {layer.path for layer in found.manifest.layers}
    if not isinstance(task, str) or "weights/config.json" not in paths:
        raise BadReference(
            f"{version} carries no model.json with weights/config.json: it was imported as an ONNX graph, or not made "
            "by a job of this program, and its files are whatever its publisher has put there (tunewright pull)"
        )
    if task not in TASKS:
        raise BadReference(
            f"{version} is of the task {task}, which neither transformers nor optimum opens; expected one of "
            f"{', '.join(sorted(TASKS))}"
        )
    return TASKS[task]


def _put_weights(weights: Path, folder: Path, model: Mapping[str, Json], name: str) -> bool:
    """Everything of `weights/` at the top; whether transformers can open the weights themselves."""
    for path in sorted(weights.iterdir()):
        path.replace(folder / path.name)
    config = parse((folder / "config.json").read_bytes(), f"weights/config.json of {name}")
    is_open = not NOT_OF_TRANSFORMERS & set(map(str, listed(config.get("architectures"))))
    if not is_open:
        (folder / _WEIGHTS).unlink(missing_ok=True)
        config.pop("architectures")
    if (problem := _PROBLEMS.get(str(model.get("problem")))) and str(model.get("task")).endswith(_HEADED):
        config["problem_type"] = problem
    _write(folder / "config.json", config)
    said, length = folder / "tokenizer_config.json", model.get("max_length")
    if said.is_file() and isinstance(length, int):
        # What is longer was cut in training, and is when served.
        _write(said, {**parse(said.read_bytes(), f"weights/{said.name} of {name}"), "model_max_length": length})
    return is_open and (folder / _WEIGHTS).is_file()


_HEADED = ("-classification", "-regression")


def _put_graphs(kept: Path, folder: Path, model: Mapping[str, Json]) -> dict[str, str]:
    """The graphs below `onnx/`; where each variant is, by its name."""
    (folder / "onnx").mkdir()
    places = {}
    for variant, told in mapping(model.get("variants")).items():
        graph = kept / str(mapping(told).get("file"))
        beside = sorted(path for path in graph.parent.iterdir() if path != graph)
        if variant != "fp32" and beside:
            (folder / "onnx" / variant).mkdir()
            place = f"onnx/{variant}/model.onnx"
        else:
            place = f"onnx/{_GRAPHS.get(variant, f'model_{variant}')}.onnx"
        graph.replace(folder / place)
        for path in beside:  # a graph names it, so it keeps its name
            path.replace((folder / place).with_name(path.name))
        places[variant] = place
    return places


_GRAPHS = {"fp32": "model", "int8": "model_quantized"}


def _remarks(found: Evidence, opened: _Opened, *, has_weights: bool) -> Iterator[str]:
    """What these programs do not do by themselves."""
    model, served = found.model, mapping(mapping(found.model.get("variants")).get(found.served or ""))
    if not has_weights:
        yield (
            "the pooling of this model is of Tunewright, and no class of transformers: there is no model.safetensors, "
            f"and only {opened.ort} of optimum opens the folder"
        )
    if opened.ort is None:
        yield "optimum knows no graph of this shape: there is no onnx/, and transformers opens the weights"
    if model.get("task") == "feature-extraction":
        yield (
            "transformers gives a vector for each token; that of a text is their mean, or the first one, as "
            "tunewright_pooling in config.json says"
        )
    if steps := [name for name, is_on in mapping(model.get("cleaning")).items() if is_on is True]:
        yield f"the server cleans texts first ({', '.join(steps)}), these programs take them as they come"
    temperature = served.get("temperature")
    if isinstance(temperature, int | float) and temperature != 1:
        yield f"the server divides logits by {temperature:g} before they become scores, these programs do not"
    if thresholds := listed(model.get("thresholds")):
        named = zip(listed(model.get("labels")), thresholds, strict=False)
        yield f"a label is predicted from its own threshold on ({', '.join(f'{one} {at}' for one, at in named)})"
    if opened.ort and "int8" in mapping(model.get("variants")):
        yield "without VNNI the int8 graph is exact with the session option session.x64quantprecision=1 alone"


def _how(
    found: Evidence, opened: _Opened, graphs: Mapping[str, str], remarks: tuple[str, ...], *, has_weights: bool
) -> str:
    """The section of the card that says how the folder is opened."""
    parts = [f"\n## Open this folder\n\nExported from `{found.version}` ({found.version.digest})."]
    if has_weights:
        lines = f'from transformers import pipeline\n\nmodel = pipeline("{opened.pipeline}", model="this/folder")'
        if opened.pipeline in ("translation", "summarization"):  # of which transformers 5 has no pipeline
            lines = (
                f"from transformers import {opened.auto}, AutoTokenizer\n\n"
                f'model = {opened.auto}.from_pretrained("this/folder")\n'
                'tokenizer = AutoTokenizer.from_pretrained("this/folder")'
            )
        parts.append(f"```python\n{lines}\n```")
    for variant, place in graphs.items():
        path = PurePosixPath(place)
        parts.append(
            f"{variant}, with optimum-onnx:\n\n```python\nfrom optimum.onnxruntime import {opened.ort}\n\n"
            f'model = {opened.ort}.from_pretrained("this/folder", subfolder="{path.parent}", file_name="{path.name}")\n'
            "```"
        )
    if remarks:
        parts.append("What differs from the server of Tunewright:\n\n" + "\n".join(f"- {one}" for one in remarks))
    return "\n\n".join(parts) + "\n"


def _write(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
