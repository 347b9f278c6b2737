"""Writes docs/reference/, the drawings, and the marked parts of README.md and docs/architecture.md: `make docs`.

The Helm chart too, where there is a kubectl. A test fails when they drift.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Annotated, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from tunewright.job import errors as job_errors
from tunewright.job.data.columns import Form
from tunewright.job.data.readers.formats import READERS
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.presets import PRESETS
from tunewright.job.settings.search import Range
from tunewright.job.settings.train import TrainSettings
from tunewright.job.tasks import TASKS
from tunewright.registry import command_line
from tunewright.registry import errors as registry_errors
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.variables import leaves
from tunewright.serving import errors as serving_errors
from tunewright.serving.meanings import described
from tunewright.serving.settings import ServingSettings
from writers import architecture, architectures, chart, house, http, model_json
from writers.marks import fill
from writers.schemas import kind, table

REFERENCE = house.ROOT / "docs" / "reference"
DRAWINGS = house.ROOT / "docs" / "drawings"
FILLED = ("README.md", "docs/architecture.md")
_NOTE = "<!-- written by docs/generate.py: run `make docs` -->\n\n"


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    return {
        "settings.md": _settings(),
        "tasks.md": _tasks(),
        "architectures.md": f"# Architectures\n{_NOTE}{architectures.page()}",
        "commands.md": _commands(),
        "http.md": f"# HTTP\n{_NOTE}{http.page()}",
        "model-json.md": f"# model.json\n{_NOTE}{model_json.page()}",
        "errors.md": _errors(),
        "exit-codes.md": _exit_codes(),
        "tree.md": f"# Every file\n{_NOTE}{house.page()}",
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
    for title, settings, prefix in (
        ("The job", JobSettings, ""),
        ("The registry", RegistrySettings, "REGISTRY_"),
        ("The server", described(ServingSettings), "SERVING_"),
    ):
        parts += [f"\n## {title}\n\n", "| setting | kind | default | meaning |\n|---|---|---|---|\n"]
        parts += [_row(path, field, prefix) for path, field in _fields(settings)]
        if settings is JobSettings:
            parts += [
                "\n### Presets\n\nWhat `train.preset` stands for; a value that is set beside it wins.\n\n",
                _presets(),
            ]
            parts += ["\n### Range\n\nA value of `search` that is no list:\n\n", table(Range.model_json_schema())]
    return "".join(parts)


def _tasks() -> str:
    parts = ["# Tasks\n", _NOTE]
    parts.append(
        "`task` chooses one; `data.columns` says which column plays which role, where a column is not named like its\n"
        "role. Roles in brackets may be absent. The first metric is the headline, which decides unless `train.metric`"
        "\nor `gate` name another. `options` are settings that only this task has.\n"
    )
    for name, task in TASKS.items():
        parts += [f"\n## {name}\n\n", f"{task.about}\n\n"]
        parts += [f"- columns: {_form(form)}\n" for form in task.forms]
        options = task.options.model_construct()
        problems = dict.fromkeys(task.target.problem(form.target, options) for form in task.forms)
        parts += [f"- metrics ({problem}): {', '.join(task.target.metric_names(problem))}\n" for problem in problems]
        parts.append(f"- architectures: {', '.join(task.graph.architectures)}\n")
        if task.options.model_fields:
            parts.append("\n| option | kind | default | meaning |\n|---|---|---|---|\n")
            parts += [_row(("options", option), field, "") for option, field in task.options.model_fields.items()]
    return "".join(parts)


def _form(form: Form) -> str:
    roles = [f"`{role}`" for role in form.inputs] + [f"[`{role}`]" for role in form.optional]
    return ", ".join(roles) + (f" -> `{form.target}`" if form.target else "")


def _presets() -> str:
    """A column a preset, a line a setting that one of them sets."""
    names = list(dict.fromkeys(name for preset in PRESETS.values() for name in preset))
    lines = [f"| setting | {' | '.join(PRESETS)} |\n", "|---" * (len(PRESETS) + 1) + "|\n"]
    for name in names:
        values = [_shown(getattr(TrainSettings(preset=preset), name)) for preset in PRESETS]
        lines.append(f"| `train.{name}` | {' | '.join(values)} |\n")
    return "".join(lines)


def _fields(settings: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for path in leaves(settings):
        model: type[BaseModel] = settings
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
    default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    # The names of formats are those of their readers, which the settings do not know.
    legal = ", ".join(f"`{one}`" for one in READERS) if path[-2:] == ("data", "format") else _legal(field)
    return f"| `{name}` | {legal} | {default} | {meaning} |\n"


def _legal(field: FieldInfo) -> str:
    """What a setting may be. That it may be absent is said by its default."""
    said = kind(TypeAdapter(Annotated[field.annotation, field]).json_schema())
    return (
        said.replace('"', "")
        .replace(" or null", "")
        .replace("](#", "](model-json.md#")
        .replace("](model-json.md#range)", "](#range)")
    )


def _shown(value: object) -> str:
    """A default as one writes it in YAML; that of a group of settings stands in the group's own table."""
    if isinstance(value, BaseModel):
        return "as there"
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else '`""`'


def _commands() -> str:
    parts = ["# Commands\n", _NOTE, f"```\n{_said('--help')}```\n\n`tunewright train --help` lists every setting"]
    parts.append(" of [a job](settings.md), `tunewright serve --help` every [variable of the server]")
    parts.append("(settings.md#the-server).\n")
    told = {name: _said(name, "--help").strip().split("\n\n") for name in _TOLD}
    shared = dict.fromkeys(text for texts in told.values() for text in texts if text.startswith(_SHARED))
    for name, texts in told.items():
        parts.append(f"\n## `tunewright {name}`\n\n```\n" + "\n\n".join(text for text in texts if text not in shared))
        parts.append("\n```\n")
    parts.append("\n## What the registry's commands share\n\n```\n" + "\n\n".join(shared) + "\n```\n")
    return "".join(parts)


_TOLD = ("init", "suggest", "predict", *command_line.GROUP.commands)
_SHARED = ("references:", "settings (environment):")
"""How paragraphs begin that several commands print."""


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


def _exit_codes() -> str:
    parts = ["# Exit codes\n", _NOTE, "Every command ends with one of these.\n\n| code | when |\n|---|---|\n"]
    lines = command_line.EXIT_CODES.splitlines()[1:]
    parts += [f"| {code} | {when} |\n" for code, when in (line.split(maxsplit=1) for line in lines)]
    parts.append(
        "\nWhich error of the job gives which is in [Errors](errors.md#job). In `k8s/job/job.yaml` 2, 3 and 4 end\n"
        "the Job at once, as the same again would end the same; 75 runs it again and is not counted.\n"
    )
    return "".join(parts)


def filled(name: str) -> str:
    """README.md or docs/architecture.md with what follows the code written anew."""
    page = (house.ROOT / name).read_text()
    return fill(page, {"wings": house.overview()} if name == "README.md" else architecture.parts())


if __name__ == "__main__":
    for folder, written in ((REFERENCE, pages()), (DRAWINGS, architecture.drawings())):
        folder.mkdir(exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text)
    for name in FILLED:
        (house.ROOT / name).write_text(filled(name))
    if chart.kubectl():
        chart.write()
