"""Write what was chosen, or what was read back: a whole file or none."""

from collections.abc import Sequence
from pathlib import Path

from tunewright.job.commands.label.item import Item, Question
from tunewright.job.commands.label.tools import WRITERS, label_studio_config
from tunewright.job.data.sources.cache import write_whole
from tunewright.job.errors import SettingsError
from tunewright.job.progress.events import say

_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".json": ""}


def form_of(output: Path, tool: str | None) -> str:
    """How rows are written to a file of this name, for this tool; SettingsError where the two do not fit."""
    if tool:
        if output.suffix != ".json":
            raise SettingsError(f"--to {tool} writes JSON, and --output is {str(output)!r}; expected NAME.json")
        return tool
    form = _SUFFIXES.get(output.suffix)
    if not form:
        raise SettingsError(f"--output is {str(output)!r}; expected NAME.csv or NAME.jsonl, or with --to NAME.json")
    return form


def write_items(items: Sequence[Item], asked: Question, output: Path, form: str) -> None:
    """Write rows to be labelled, and what else their tool needs."""
    if form == "csv" and asked.role == "tags":
        raise SettingsError(
            f"a table cannot hold words and their tags; expected NAME.jsonl in place of {str(output)!r}"
        )
    write_whole(output, WRITERS[form](items, asked))
    text = f"written: {output}"
    if form == "label-studio":
        config = output.with_suffix(".xml")
        write_whole(config, label_studio_config(asked))
        text += f", and {config}, the labelling interface of the project"
    say("label", text, rows=len(items))
