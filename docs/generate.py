"""Writes docs/reference/ and the wings in README.md from the code: `make docs`.

A test fails when they drift.
"""

import ast
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunewright.job import errors as job_errors
from tunewright.job.data.columns import Form
from tunewright.job.settings.job import JobSettings
from tunewright.job.tasks import TASKS
from tunewright.registry import command_line
from tunewright.registry import errors as registry_errors
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.variables import leaves
from tunewright.serving import errors as serving_errors
from tunewright.serving.settings import ServingSettings

ROOT = Path(__file__).parents[1]
ROOMS = ("registry", "serving", "job")
REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- written by docs/generate.py: run `make docs` -->\n\n"


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    return {
        "settings.md": _settings(),
        "tasks.md": _tasks(),
        "commands.md": _commands(),
        "errors.md": _errors(),
        "tree.md": _tree(),
    }


def _settings() -> str:
    parts = ["# Settings\n", _NOTE]
    parts.append(
        "The job reads a YAML file (`--config`, local or `s3://`), then the environment, then flags; later wins.\n"
        "In the file and in flags a setting is `train.epochs`, in the environment `JOB_TRAIN__EPOCHS`. An unknown\n"
        "name is refused, and all mistakes are told at once. Those of registry and server are variables.\n\n"
        "A setting that is a mapping can be given key by key: `--data.columns.text sentence`,\n"
        "`--data.label_names.0 negative`, `--train.class_weights.spam 2.0`, `--gate.min.accuracy 0.8`,\n"
        "`--gate.max_drop.int8 0.02`, `--options.stride 64`, or `JOB_DATA__COLUMNS__TEXT=sentence`; or whole, as\n"
        """JSON: `--data.columns '{"text": "sentence"}'`. Keys that are not given again stay. In\n"""
        "a variable a key is taken in lower case, as roles and options are written; a label or a metric with capital\n"
        "letters (`rougeL`) needs a flag or the file. A value of `options` is read as JSON where it is JSON.\n\n"
        "Credentials and endpoint of S3 are the ecosystem's own: `AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`,\n"
        "`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_CA_BUNDLE`, profiles and roles; of the hub `HF_HOME`,\n"
        "`HF_TOKEN`, `HF_HUB_OFFLINE`.\n"
    )
    for title, kind, prefix in (
        ("The job", JobSettings, ""),
        ("The registry", RegistrySettings, "REGISTRY_"),
        ("The server", ServingSettings, "SERVING_"),
    ):
        parts += [f"\n## {title}\n\n", "| setting | default | meaning |\n|---|---|---|\n"]
        parts += [_row(path, field, prefix) for path, field in _fields(kind)]
    return "".join(parts)


def _tasks() -> str:
    parts = ["# Tasks\n", _NOTE]
    parts.append(
        "`task` chooses one; `data.columns` says which column plays which role, where a column is not named like its\n"
        "role. Roles in brackets may be absent. The first metric is the headline, which decides unless `train.metric`"
        "\nor `gate` name another. `options` are settings that only this task has.\n"
    )
    for name, task in TASKS.items():
        parts += [f"\n## {name}\n\n", f"{(type(task).__doc__ or '').strip()}\n\n"]
        parts += [f"- columns: {_form(form)}\n" for form in task.FORMS]
        options = task.OPTIONS.model_construct()
        problems = dict.fromkeys(task.problem(form.target, options) for form in task.FORMS)
        parts += [f"- metrics ({problem}): {', '.join(task.metric_names(problem))}\n" for problem in problems]
        parts.append(f"- architectures: {', '.join(task.architectures())}\n")
        if task.OPTIONS.model_fields:
            parts.append("\n| option | default | meaning |\n|---|---|---|\n")
            parts += [_row(("options", option), field, "") for option, field in task.OPTIONS.model_fields.items()]
    return "".join(parts)


def _form(form: Form) -> str:
    roles = [f"`{role}`" for role in form.inputs] + [f"[`{role}`]" for role in form.optional]
    return ", ".join(roles) + (f" -> `{form.target}`" if form.target else "")


def _fields(kind: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for path in leaves(kind):
        model: type[BaseModel] = kind
        for part in path[:-1]:
            annotation = model.model_fields[part].annotation
            # A group of settings that may be absent: `LoraSettings | None`.
            inner = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
            annotation = next(one for one in inner if issubclass(one, BaseModel))
            assert issubclass(annotation, BaseModel)
            model = annotation
        yield path, model.model_fields[path[-1]]


def _row(path: tuple[str, ...], field: FieldInfo, prefix: str) -> str:
    name = prefix + "__".join(path).upper() if prefix else ".".join(path)
    default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {default} | {meaning} |\n"


def _shown(value: object) -> str:
    if value is None or value is False or value is True:
        return {None: "none", False: "false", True: "true"}[value]
    return str(value) if value != "" else '""'


def _commands() -> str:
    parts = ["# Commands\n", _NOTE, f"```\n{_said('--help')}```\n\n`tunewright train --help` lists every setting"]
    parts.append(" of [a job](settings.md), `tunewright serve --help` every [variable of the server]")
    parts.append("(settings.md#the-server).\n")
    for name in ("suggest", "predict", *command_line.GROUP.commands):
        parts.append(f"\n## `tunewright {name}`\n\n```\n{_said(name, '--help')}```\n")
    return "".join(parts)


def _said(*words: str) -> str:
    """What a command prints, as argparse folds it for a terminal of 100 columns."""
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        command_line.main(words)
    return text.getvalue()


def _errors() -> str:
    parts = [
        "# Errors\n",
        _NOTE,
        "What can go wrong, by room. Each error is one sentence on stderr, after `error: `; of the server, where no\n"
        "person reads, a JSON line of the level `error`.\n",
    ]
    for module in (registry_errors, serving_errors, job_errors):
        assert module.__doc__
        _, room, _ = module.__name__.split(".")
        parts.append(f"\n## {room}\n\n```\n{module.__doc__.strip()}\n```\n")
    return "".join(parts)


def with_wings(readme: str) -> str:
    """The README with one line a wing, written anew between the two marks."""
    before, _, rest = readme.partition(_WINGS_BEGIN)
    _, _, after = rest.partition(_WINGS_END)
    lines = [_line(folder) for room in ROOMS for folder in (ROOT / room, *wings(room))]
    return f"{before}{_WINGS_BEGIN}\n```\n" + "\n".join(lines) + f"\n```\n{_WINGS_END}{after}"


_WINGS_BEGIN, _WINGS_END = "<!-- wings: written by `make docs` -->", "<!-- end of wings -->"


def wings(room: str) -> list[Path]:
    """The folders of a room that hold modules."""
    return sorted(path.parent for path in (ROOT / room).rglob("__init__.py") if path.parent != ROOT / room)


def _line(folder: Path) -> str:
    inside = folder.relative_to(ROOT)
    name = f"{inside}/" if len(inside.parts) == 1 else "  " + "/".join(inside.parts[1:]) + "/"
    return f"{name:16} {_first_sentence(folder / '__init__.py')}"


_FILES = {
    "Dockerfile": "One file; its last stages are `job` and `serving`.",
    "Makefile": "Every command of the house; `make` alone lists them.",
    "pyproject.toml": "One distribution: the core is the registry's, extras `serving`, `job`, `quickstart`, `dev`.",
    "mkdocs.yml": "The site that `make site` makes of docs/.",
    "src/": "The package `tunewright`: a link to each room, so that nothing else is imported from outside.",
    "requirements/": "Every package pinned; with hashes for the images.",
    "job/examples/": "The bundled reviews and the settings that `make train` runs.",
    "k8s/": "The job and the server on Kubernetes: a base, and overlays for a CPU cluster and a GPU node.",
    "docs/": "Getting started, guides, concepts, reference (written from the code), decisions.",
    "tests/": "The same tree again, tests of the whole, and `tests/bench/` for measurements.",
    ".ci/": "What continuous integration runs.",
}


def _tree() -> str:
    parts = ["# Every file\n", _NOTE, "One line a file: the first sentence of its docstring.\n"]
    parts.append("\n## Beside the rooms\n\n")
    parts += [f"- `{name}`: {text}\n" for name, text in _FILES.items()]
    for room in ROOMS:
        for folder in (ROOT / room, *wings(room)):
            depth = "##" if folder == ROOT / room else "###"
            parts.append(f"\n{depth} {folder.relative_to(ROOT)}\n\n{_first_sentence(folder / '__init__.py')}\n\n")
            files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            parts += [f"- `{path.name}`: {_first_sentence(path)}\n" for path in files]
    return "".join(parts)


def _first_sentence(path: Path) -> str:
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0]
    return " ".join(text.split())


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
    readme = ROOT / "README.md"
    readme.write_text(with_wings(readme.read_text()))
