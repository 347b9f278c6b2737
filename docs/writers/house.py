"""The wings in the README, and docs/reference/tree.md with a line a file."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("registry", "serving", "job")


def overview() -> str:
    """One line a wing, for the README; what a part of a wing is cut into stands in the tree."""
    folders = [folder for room in ROOMS for folder in (ROOT / room, *wings(room))]
    folders = [folder for folder in folders if len(folder.relative_to(ROOT).parts) <= 2]
    names = [_indented(folder) for folder in folders]
    width = max(map(len, names)) + 2
    lines = [f"{name:{width}}{purpose(folder)}\n" for name, folder in zip(names, folders, strict=True)]
    return "".join(["```\n", *lines, "```\n"])


def wings(room: str) -> list[Path]:
    """The folders of a room that hold modules."""
    return sorted(path.parent for path in (ROOT / room).rglob("__init__.py") if path.parent != ROOT / room)


def purpose(folder: Path) -> str:
    """What a wing or a room holds."""
    return _first_sentence(folder / "__init__.py")


def _indented(folder: Path) -> str:
    room, *rest = folder.relative_to(ROOT).parts
    return "  " + "/".join(rest) + "/" if rest else f"{room}/"


FILES = {
    "Dockerfile": "One file; its last stages are `job` and `serving`.",
    "docker/": "Programs that the Dockerfile runs: the root of Python alone, what is left out, whether all imports.",
    "Makefile": "Every command of the house; `make` alone lists them.",
    "pyproject.toml": "One distribution: the core is the registry's, extras `serving`, `job`, `quickstart`, `dev`.",
    "mkdocs.yml": "The site that `make site` makes of docs/.",
    "src/": "The package `tunewright`: a link to each room, so that nothing else is imported from outside.",
    "requirements/": "Every package pinned; with hashes for the images.",
    "job/examples/": "The bundled reviews and the settings that `make train` runs.",
    "k8s/": "The job and the server on Kubernetes: bases, components, overlays for two kinds of cluster, a Helm chart.",
    "docs/": "Getting started, guides, concepts, reference (written from the code), decisions.",
    "tests/": "The same tree again, tests of the whole, and `tests/bench/` for measurements.",
    ".ci/": "What continuous integration runs.",
}


def page() -> str:
    """The text below the title: one line a file."""
    parts = ["One line a file: the first sentence of its docstring.\n"]
    parts.append("\n## Beside the rooms\n\n")
    parts += [f"- `{name}`: {text}\n" for name, text in FILES.items()]
    for room in ROOMS:
        for folder in (ROOT / room, *wings(room)):
            depth = "##" if folder == ROOT / room else "###"
            parts.append(f"\n{depth} {folder.relative_to(ROOT)}\n\n{purpose(folder)}\n\n")
            files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            parts += [f"- `{path.name}`: {_first_sentence(path)}\n" for path in files]
    return "".join(parts)


def _first_sentence(path: Path) -> str:
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0]
    return " ".join(text.split())
