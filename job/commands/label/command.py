"""`tunewright label`: from words of a command line to a file."""

import argparse
import json
import tempfile
from pathlib import Path

from pydantic import ValidationError

from tunewright.job.commands.label.choose import Asked, choose
from tunewright.job.commands.label.read_back import read_export
from tunewright.job.commands.label.write import form_of, write_items
from tunewright.job.data.sources.cache import write_whole
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.progress.events import say
from tunewright.job.settings.data import DataSettings
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.tasks.token_classification import Scheme


def label(words: argparse.Namespace, columns: dict[str, str], registry: RegistrySettings) -> None:
    """Choose rows, and write them."""
    if not words.model or not words.data:
        raise SettingsError("label needs a version and rows: tunewright label MODEL --data FILE, or --read FILE")
    if words.other and words.by != "disagreement":
        raise SettingsError(f"--and would have no effect with --by {words.by}; remove it, or say --by disagreement")
    form = form_of(words.output, words.to)
    try:
        data = DataSettings(train=words.data, columns=dict(columns), drop_empty=True)
    except ValidationError as error:
        raise SettingsError(f"--data: {error.errors(include_url=False)[0]['msg']}") from error
    asked = Asked(words.model, words.by, words.take, data, words.other, tuple(words.labelled), words.seed)
    with tempfile.TemporaryDirectory(prefix="tunewright-") as work:
        items, question = choose(asked, registry, Path(work))
    write_items(items, question, words.output, form)


def read_back(export: Path, output: Path, scheme: Scheme) -> None:
    """Turn an export into rows that `data.train` reads."""
    if output.suffix != ".jsonl":
        raise SettingsError(f"--read writes JSON lines, and --output is {str(output)!r}; expected NAME.jsonl")
    found = read_export(export, scheme)
    if not found.rows:
        raise DataError(f"{export}: none of its {found.unlabelled + found.disputed:,} records is labelled")
    write_whole(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows))
    left = f"; left out: {found.unlabelled:,} that nobody has labelled" if found.unlabelled else ""
    left += f"; left out: {found.disputed:,} on which as many people say one thing as another" if found.disputed else ""
    say("label", f"written: {output}, {len(found.rows):,} rows{left}", rows=len(found.rows))
