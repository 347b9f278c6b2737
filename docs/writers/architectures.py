"""The page of the architectures, from the tests: each one named there has a tiny model that is compared."""

import ast
import json
from collections.abc import Iterable

from tunewright.job.export.graph import ARCHITECTURES
from tunewright.job.tasks import TASKS
from writers.house import ROOT

_IMAGES = "tests/job/tasks/test_image_classification.py"
_SOUNDS = "tests/job/tasks/test_audio_classification.py"
_PAIRS = "tests/job/tasks/test_image_text_classification.py"
_WRITING = "tests/reference/writing_models.py"
_INTRODUCTION = (
    "The architecture of a base model is the `model_type` of its `config.json`. These can be exported and served;\n"
    "others are refused before training. Each has a tiny model in the tests, which are where this list comes from.\n"
    "The last column: a checkpoint that transformers 4.57 has written is read as it was meant\n"
    "(`tests/job/model/test_configuration.py`).\n"
)
_GRAPHS = (
    "The graph is compared with torch at lengths it was not traced with, from 1 to 129 tokens, with padding\n"
    "(`tests/job/export/test_graph.py`, `tests/job/tasks/test_masked_language_modelling.py`)."
)
_TOKENS = (
    "The graph, with caches, is fed padded rows in pieces it was not traced with, past the window where there is one,\n"
    "and compared with torch on each row alone (`tests/job/export/test_generation.py`). Answers are those of\n"
    "`model.generate`, token for token, in eight kinds of search (`tests/serving/generation/test_loop.py`)."
)
_ANSWERS = "Taught, exported and served; the answers are those of torch on the weights\n"


def page() -> str:
    """Every architecture with its tasks, by what its tests compare."""
    groups: dict[str, tuple[Iterable[str], str]] = {
        "Encoders of texts": (ARCHITECTURES, _GRAPHS),
        "Decoders": (_keys(_WRITING, "CAUSAL"), _TOKENS),
        "Encoders with decoders": (_keys(_WRITING, "SEQ2SEQ"), _TOKENS),
        "Images": (_keys(_IMAGES, "FAMILIES"), f"{_ANSWERS}(`{_IMAGES}`)."),
        "Recordings": (_keys(_SOUNDS, "FAMILIES"), f"{_ANSWERS}(`{_SOUNDS}`)."),
        "Images with texts": (("clip",), f"{_ANSWERS}(`{_PAIRS}`)."),
    }
    parts = [f"\n## {title}\n\n{said}\n\n{_table(names)}" for title, (names, said) in groups.items()]
    return "".join([_INTRODUCTION, *parts])


def _table(names: Iterable[str]) -> str:
    recorded = _recorded()
    lines = ["| `model_type` | tasks | read as transformers 4.57 did |\n|---|---|---|\n"]
    for kind in sorted(names):
        tasks = ", ".join(name for name, task in TASKS.items() if kind in task.graph.architectures)
        # Some models stand there twice, the second time under a name of the test's own.
        if tasks:
            lines.append(f"| `{kind}` | {tasks} | {'yes' if kind in recorded else ''} |\n")
    return "".join(lines)


def _keys(path: str, name: str) -> list[str]:
    """The keys of a table in a test, read without importing it."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and ast.unparse(node.targets[0]) == name:
            return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise ValueError(f"{path} has no table {name}")


def _recorded() -> set[str]:
    """The architectures of the checkpoints that an earlier transformers wrote, whose answers must stay the same."""
    files = (ROOT / "tests" / "job" / "model" / "checkpoints").glob("*/config.json")
    return {str(json.loads(file.read_text())["model_type"]) for file in files}
