"""Figures of the source that are kept: how long functions and files are, how much of it has no type, and how many quick
tests run a job of their own."""

import ast
import re
import statistics
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("registry", "serving", "job")
LONGEST_FUNCTION = 60
MOST_FUNCTIONS, MOST_FILES = 40, 250
"""Lines that nine of ten functions, and of ten files, do not pass."""
UNTYPED = {"registry": 20, "serving": 60, "job": 40}
"""How often `Any` may stand in the code of a room: in annotations, and in the names given to types."""
OWN_JOBS = 11
"""Quick tests that run a job of their own, of ten seconds and more each; CONTRIBUTING.md says what others do."""


@cache
def trees(room: str) -> dict[str, ast.Module]:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def nine_of_ten(values: list[int]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def functions(room: str) -> dict[str, int]:
    """Lines of each function, from its `def` to its end."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in trees(room).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("room", ROOMS)
def test_functions_fit_on_a_screen(room):
    lengths = functions(room)
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}
    assert nine_of_ten(list(lengths.values())) <= MOST_FUNCTIONS


@pytest.mark.parametrize("room", ROOMS)
def test_files_are_read_in_one_go(room):
    lengths = [len((ROOT / path).read_text().splitlines()) for path in trees(room)]
    assert nine_of_ten(lengths) <= MOST_FILES


@pytest.mark.parametrize("room", ROOMS)
def test_types_are_named(room):
    untyped = {
        path: lines
        for path, tree in trees(room).items()
        if (lines := [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "Any"])
    }
    assert sum(map(len, untyped.values())) < UNTYPED[room], untyped


def runs_a_job(node: ast.AST) -> bool:
    """Whether `run` is called, but for where it is to be refused."""
    if isinstance(node, ast.With) and any("raises" in ast.unparse(one) for one in node.items):
        return False
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run"
    return called or any(map(runs_a_job, ast.iter_child_nodes(node)))


def quick(test: ast.stmt) -> bool:
    """A test that `make test` runs, at least in some of its cases."""
    if not (isinstance(test, ast.FunctionDef) and test.name.startswith("test_")):
        return False
    return "pytest.mark.slow" not in map(ast.unparse, test.decorator_list)


def test_few_quick_tests_run_a_job_of_their_own():
    found = []
    for path in sorted((ROOT / "tests/job").rglob("test_*.py")):
        text = path.read_text()
        if (
            re.search(r"^from tunewright\.job\.recipe import .*\brun$", text, re.M)
            and "pytestmark = pytest.mark.slow" not in text
        ):
            found += [f"{path.name} {one.name}" for one in ast.parse(text).body if quick(one) and runs_a_job(one)]
    assert len(found) <= OWN_JOBS, found
