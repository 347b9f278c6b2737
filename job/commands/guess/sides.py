"""Which files of a data set are for training, validation and test: told from their names, and said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tunewright.job.data.faults import listed
from tunewright.job.data.readers.formats import format_of
from tunewright.job.data.readers.media_folder import METADATA, SUFFIXES
from tunewright.job.data.sources.hub_files import SCHEME
from tunewright.job.data.sources.names import SPLITS
from tunewright.job.errors import SettingsError
from tunewright.registry.address import shown_address

_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![a-z])")
"""`stsb-en-train.csv`, `wnut17train.conll`, `test_2016.en`; not `latest.csv`."""
_NOTES = re.compile(r"(readme|license|licence|copying|changelog|notice|sha256sums|md5sums)\b.*", re.IGNORECASE)
_NO_DATA = tuple(".md .rst .html .htm .pdf .yaml .yml .toml .ini .py .ipynb .sh .log .lock .sha256 .md5".split())


@dataclass(frozen=True)
class Sides:
    """The address of every file, or folder of media, by the setting that names it."""

    train: list[str]
    validation: list[str]
    test: list[str]
    media: str = ""
    """imagefolder or audiofolder, where the addresses are folders of such files."""
    notes: tuple[str, ...] = ()
    """What was decided, and from what."""

    @property
    def others(self) -> dict[str, list[str]]:
        """Validation and test, where they are given."""
        return {name: files for name in ("validation", "test") if (files := getattr(self, name))}


def side_of(name: str) -> str | None:
    """The side that a file's name tells, or that of its folder; None where neither does."""
    for part in reversed(PurePosixPath(name).parts):
        if found := _WORD.search(part.lower()):
            return SPLITS[found[1]]
    return None


def divide(files: Mapping[str, int], asked: str) -> Sides:
    """The sides of these files (address to bytes) below the place that was asked for."""
    names = {address: _below(address, asked) for address in files}
    kind = _media_kind(list(names.values()))
    if kind:
        return _folders(names, asked, kind)
    data = _data_files(names)
    if not data:
        raise SettingsError(
            f"{shown_address(asked)} holds no data file ({listed(names.values(), 5)}); "
            "data files are tables, JSON, Parquet, plain text, CoNLL columns, or folders of images or recordings"
        )
    sides: dict[str | None, list[str]] = {}
    for address in data:
        sides.setdefault(side_of(names[address]), []).append(address)
    notes: list[str] = []
    _choose_train(sides, files, notes)
    # Files that a table may name are no data of their own.
    media = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    kept = {address for some in sides.values() for address in some}
    left = [name for address, name in names.items() if address not in kept and not name.lower().endswith(media)]
    if left:
        notes.append(f"not read: {listed(left, 5)}")
    return Sides(sides.get("train", []), sides.get("validation", []), sides.get("test", []), notes=tuple(notes))


def _below(address: str, asked: str) -> str:
    if asked.startswith(SCHEME):
        # hf://org/name@commit/path: what was asked for has another revision, or none.
        return address.split("/", 4)[-1]
    start = asked.rstrip("/") + "/"
    return address.removeprefix(start) if address.startswith(start) else PurePosixPath(address).name


def _media_kind(names: Sequence[str]) -> str:
    """imagefolder or audiofolder, where most of the files are such, or are named by a metadata table."""
    for kind, suffixes in SUFFIXES.items():
        media = [name for name in names if name.lower().endswith(suffixes)]
        tables = [name for name in names if PurePosixPath(name).name in METADATA]
        if media and (tables or (len(media) > len(names) / 2 and not _are_named(media, names))):
            return kind
    return ""


def _are_named(media: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a table beside the files names them: there is one, and their folders tell no labels."""
    tables = [name for name in names if format_of(PurePosixPath(name).name) not in (None, "text")]
    labels = {folder for name in media if (folder := PurePosixPath(name).parent.name) and folder.lower() not in SPLITS}
    return bool(tables) and len(labels) < 2


def _folders(names: Mapping[str, str], asked: str, kind: str) -> Sides:
    """The folders train, validation and test where these are the first level, else the one folder."""
    first = {PurePosixPath(name).parts[0] for name in names.values() if len(PurePosixPath(name).parts) > 1}
    sides = {SPLITS[folder.lower()]: folder for folder in sorted(first) if folder.lower() in SPLITS}
    root = asked.rstrip("/")
    if "train" not in sides:
        return Sides([root], [], [], kind)
    given = {side: [f"{root}/{folder}"] for side, folder in sides.items()}
    notes = (f"the sides are the folders {listed(sides.values())}",)
    return Sides(given["train"], given.get("validation", []), given.get("test", []), kind, notes)


def _data_files(names: Mapping[str, str]) -> list[str]:
    """The files that are data: tables before plain text, and files of unknown names where nothing else is, or where
    they are the only ones of their side."""
    usable = {
        address: name
        for address, name in names.items()
        if not _NOTES.fullmatch(PurePosixPath(name).name) and not name.lower().endswith(_NO_DATA)
    }
    known = {address: format_of(PurePosixPath(name).name) for address, name in usable.items()}
    tables = [address for address, kind in known.items() if kind not in (None, "text")]
    data = tables or [address for address, kind in known.items() if kind]
    sides = {side_of(usable[address]) for address in data}
    return [address for address in usable if address in data or _is_missing(known[address], usable[address], sides)]


def _is_missing(kind: str | None, name: str, sides: set[str | None]) -> bool:
    """Whether a file of no known name is data all the same."""
    return kind is None and (not sides or (side_of(name) is not None and side_of(name) not in sides))


def _choose_train(sides: dict[str | None, list[str]], files: Mapping[str, int], notes: list[str]) -> None:
    """Have files for training: those named so, else those of no side, else the largest for validation or test."""
    bare = sides.pop(None, [])
    if "train" in sides:
        notes.append("the sides are told by the names of the files")
    elif bare:
        sides["train"] = _of_one_format(bare, files)
        notes.append(f"no name says train: {_short(sides['train'])} is taken for it")
    else:
        # What is named test stays what is measured last.
        name = "validation" if "validation" in sides else "test"
        largest = max(sides[name], key=lambda address: files[address])
        sides[name] = [address for address in sides[name] if address != largest]
        sides["train"] = [largest]
        notes.append(f"no name says train: {_short([largest])} is taken for it")


def _of_one_format(addresses: list[str], files: Mapping[str, int]) -> list[str]:
    """Those whose format has the most bytes."""
    sizes: dict[str | None, int] = {}
    for address in addresses:
        kind = format_of(PurePosixPath(address).name)
        sizes[kind] = sizes.get(kind, 0) + files[address]
    most = max(sizes, key=lambda kind: sizes[kind])
    return [address for address in addresses if format_of(PurePosixPath(address).name) == most]


def _short(addresses: Sequence[str]) -> str:
    return listed((PurePosixPath(address).name for address in addresses), 3)
