"""Three rooms, one rule: registry knows nobody, serving knows registry, job knows both, nobody knows job."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_KNOW = {"registry": set(), "serving": {"registry"}, "job": {"registry", "serving"}}
HEAVY = set("torch transformers datasets accelerate optimum peft sklearn scipy pandas pyarrow onnx".split())


def imports(path: Path) -> set[str]:
    """The first word of everything a file imports, also inside functions; relative imports as '.'."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module).partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {str(word.value).partition(".")[0] for word in node.args if isinstance(word, ast.Constant)}
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_KNOW)
def test_imports_go_one_way(room):
    assert files(room)
    for path in files(room):
        forbidden = imports(path) & (set(MAY_KNOW) - MAY_KNOW[room] - {room} | {"."})
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


@pytest.mark.parametrize("room", ["registry", "serving"])
def test_a_light_room_never_imports_a_training_library(room):
    for path in files(room):
        assert not imports(path) & HEAVY, f"{path.relative_to(ROOT)} imports {imports(path) & HEAVY}"


@pytest.mark.parametrize("module", ["registry.__main__", "serving.__main__"])
def test_a_light_program_starts_without_a_training_library(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


def test_onnxruntime_is_imported_where_its_telemetry_is_off():
    for path in (path for room in MAY_KNOW for path in files(room) if path.name != "onnx_runtime.py"):
        body = ast.parse(path.read_text()).body
        names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}
        assert not [name for name in names if name.partition(".")[0] == "onnxruntime"], path.relative_to(ROOT)


def test_an_init_file_holds_a_docstring_and_no_code():
    for path in (path for room in MAY_KNOW for path in files(room) if path.name == "__init__.py"):
        rest = ast.parse(path.read_text()).body[1:]
        if path.parent.name == "tasks":
            # The one exception: the literal dict of tasks and the imports it is made of.
            rest = [node for node in rest if not isinstance(node, ast.ImportFrom | ast.AnnAssign)]
        assert not rest, f"{path.relative_to(ROOT)} holds code"


def test_every_task_has_its_twin():
    taught, answered = (
        {path.name for path in files(room) if path.parent.name == "tasks"} for room in ("job", "serving")
    )
    # What a task must bring stands beside the tasks that are answered; of those that are taught in job/task.py.
    assert taught == answered - {"task.py"}


def test_no_file_is_a_drawer():
    drawers = {"utils", "helpers", "common", "misc", "base"}
    for room in MAY_KNOW:
        for path in files(room):
            assert path.stem not in drawers, f"{path.relative_to(ROOT)}: name the idea"
