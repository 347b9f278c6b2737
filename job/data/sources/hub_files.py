"""Which files of a data set of the hub are meant: told by their names alone, never by a README or a script."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tunewright.job.data.faults import listed
from tunewright.job.data.readers.formats import READERS, format_of
from tunewright.job.data.sources.hidden import is_hidden
from tunewright.job.data.sources.names import SPLITS
from tunewright.job.errors import DataError, SettingsError
from tunewright.registry.address import shown_address

SCHEME = "hf://"
_FORMATS = ("parquet", "csv", "tsv", "json", "jsonl")
_SUFFIXES = tuple(suffix for name in _FORMATS for suffix in READERS[name].suffixes)
_READ = "*" + ", *".join(_SUFFIXES)
_ADDRESS = re.compile(
    r"hf://(?P<name>[\w.-]+/[\w.-]+)"
    r"(@(?P<revision>refs/convert/[\w.-]+|refs/pr/\d+|[^/:@]+))?(:(?P<config>[^/:@]+))?(/(?P<inside>.+))?"
)
_ENDING = re.compile(rf"({'|'.join(map(re.escape, _SUFFIXES))})(\.gz)?$", re.IGNORECASE)
_SHARD = re.compile(r"(?P<stem>.*?)[-_.]?(?P<number>\d{4,6})-of-(?P<total>\d{4,6})(-[0-9a-f]{8,40})?")
"""`train-00000-of-00002`, as `datasets` and many programs number the parts of a split."""
_NUMBERED = re.compile(r"((part|data|chunk|shard|file|batch)?[-_]?\d+([-_].*)?|data)?", re.IGNORECASE)
"""A name that tells no split: `0000`, `part-00000-1f2e`."""
_NO_CONFIG = "default"
"""How the configuration is called whose files stand in no folder of its own."""


@dataclass(frozen=True)
class HubAddress:
    """What an address of the hub asks for: `hf://org/name[@revision][:config][/split or file]`."""

    source: str
    name: str
    revision: str
    """Empty where none is asked for."""
    config: str
    inside: str
    """A split, or the path of a file."""


@dataclass(frozen=True)
class _Group:
    """The files of one split of one configuration."""

    config: str
    split: str
    names: tuple[str, ...]


def hub_address(source: str) -> HubAddress:
    """The parts of an address. SettingsError for one that is not in the form."""
    found = _ADDRESS.fullmatch(source)
    if found is None or found["name"].startswith("datasets/"):
        raise SettingsError(
            f"data source {shown_address(source)!r} is not in the form hf://org/name[@revision][:config][/split]"
        )
    return HubAddress(source, found["name"], found["revision"] or "", found["config"] or "", found["inside"] or "")


def choose(names: Sequence[str], address: HubAddress, *, every_split: bool = False) -> list[str]:
    """The files that the address means, in the order of their names.

    DataError where that is none, or can be meant in several ways. `every_split`: all of one configuration.
    """
    data = sorted(name for name in names if format_of(name) in _FORMATS and not is_hidden(name))
    if not data:
        raise _without_data(names, address)
    if address.inside in data:
        return [address.inside]
    groups = _of_config(_groups(data), address)
    if not address.inside and every_split:
        return sorted(name for group in groups for name in group.names)
    chosen = _of_split(groups, address)
    _refuse_doubles(chosen, address)
    return list(chosen.names)


def _without_data(names: Iterable[str], address: HubAddress) -> DataError:
    scripts = [name for name in names if name.endswith(".py")]
    if scripts:
        return DataError(
            f"data source {address.source!r} has its rows only by a script ({listed(scripts, 3)}), which is never run; "
            f"its files converted to Parquet are often at hf://{address.name}@refs/convert/parquet"
        )
    return DataError(
        f"data source {address.source!r} has no file that is read from the hub ({_READ}); "
        f"it holds {listed(sorted(names), 5) or 'nothing'}"
    )


def _groups(data: Iterable[str]) -> list[_Group]:
    found: dict[tuple[str, str], list[str]] = {}
    for name in data:
        found.setdefault(_place(name), []).append(name)
    return [_Group(*place, tuple(names)) for place, names in sorted(found.items())]


def _place(name: str) -> tuple[str, str]:
    """The configuration and the split that a path tells: `data/en/train-00000-of-00002.parquet` is en, train."""
    path = PurePosixPath(name)
    folders = [folder for folder in path.parts[:-1] if folder.lower() != "data"]
    stem = _stem(path.name)
    if not stem and folders:
        return "/".join(folders[:-1]) or _NO_CONFIG, folders[-1]
    sides = [place for place, folder in enumerate(folders) if folder.lower() in SPLITS]
    if sides and not _side(stem):
        return "/".join(folders[: sides[-1]]) or _NO_CONFIG, folders[sides[-1]]
    return "/".join(folders) or _NO_CONFIG, stem or "train"


def _stem(file: str) -> str:
    """What a file is called without its number and its ending; empty where the number is all."""
    stem = _ENDING.sub("", file)
    shard = _SHARD.fullmatch(stem)
    stem = shard["stem"] if shard else stem
    return "" if _NUMBERED.fullmatch(stem) else stem


def _side(name: str) -> str | None:
    """train, validation or test, where the first word that is a split's says so: `dev`, `test_matched`."""
    words = (SPLITS.get(word) for word in re.split(r"[-_.\s]", name.lower()))
    return next(filter(None, words), None)


def _of_config(groups: Sequence[_Group], address: HubAddress) -> list[_Group]:
    configs = list(dict.fromkeys(group.config for group in groups))
    asked = address.config or (configs[0] if len(configs) == 1 else "")
    found = [group for group in groups if group.config.lower() == asked.lower()]
    if found:
        return found
    if address.config:
        raise DataError(
            f"data source {address.source!r} has no configuration {address.config!r} in the names of its folders; "
            f"it has {listed(configs)}"
        )
    raise DataError(
        f"data source {address.source!r} has several configurations ({listed(configs)}); "
        f"name one, such as {_pinned(address)}:{configs[0]}{'/' + address.inside if address.inside else ''}"
    )


def _pinned(address: HubAddress) -> str:
    return SCHEME + address.name + (f"@{address.revision}" if address.revision else "")


def _of_split(groups: Sequence[_Group], address: HubAddress) -> _Group:
    asked = address.inside.lower()
    found = [group for group in groups if group.split.lower() == asked] if asked else list(groups)
    if not found:
        side = SPLITS.get(asked)
        found = [group for group in groups if side and _side(group.split) == side]
    if len(found) == 1:
        return found[0]
    splits = listed(group.split for group in (found or groups))
    if asked and not found:
        raise DataError(
            f"data source {address.source!r} has no split {address.inside!r} in the names of its files; it has {splits}"
        )
    start = _pinned(address) + (f":{address.config}" if address.config else "")
    raise DataError(
        f"data source {address.source!r} has several splits ({splits}); name one, such as {start}/{found[0].split}"
    )


def _refuse_doubles(group: _Group, address: HubAddress) -> None:
    """A split that is there in two forms, or of which a numbered part is not there."""
    forms: dict[tuple[str | None, str], set[str]] = {}
    for name in group.names:
        shard = _SHARD.fullmatch(_ENDING.sub("", PurePosixPath(name).name))
        forms.setdefault((format_of(name), shard["total"] if shard else ""), set()).add(
            shard["number"] if shard else ""
        )
    if len(forms) > 1:
        raise DataError(
            f"data source {address.source!r} has {group.split} in several forms ({listed(group.names, 5)}); "
            f"name the files, such as {_pinned(address)}/{group.names[0]}"
        )
    for (_, total), numbers in forms.items():
        if total and len(numbers) != int(total):
            raise DataError(
                f"data source {address.source!r} has {len(numbers):,} of the {int(total):,} parts of {group.split}; "
                "take another revision, or name its files one by one"
            )
