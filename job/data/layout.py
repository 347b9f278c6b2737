"""Which format the files of the settings have and how they are laid out; a setting of another format is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tunewright.job.data.columns import Roles
from tunewright.job.data.faults import shown
from tunewright.job.data.readers.conll import positions_of
from tunewright.job.data.readers.formats import KNOWN_NAMES, READERS, format_of, told_format
from tunewright.job.data.readers.media_folder import MEDIA
from tunewright.job.data.readers.plain_text import TEXT
from tunewright.job.data.readers.reader import Layout, Reader
from tunewright.job.data.readers.tables.table import CSV
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.settings.data import DataSettings

_OF_FORMATS = {name: None for reader in READERS.built_in.values() for name in sorted(reader.settings)}
"""Settings that only some formats have."""


def format_faults(settings: DataSettings) -> list[str]:
    """What is wrong with `data.format`, or with other settings beside it, a sentence each; nothing without one."""
    if settings.format is None:
        return []
    if settings.format not in READERS:
        return [f"data.format is {shown(settings.format)}: expected {', '.join(map(repr, READERS))}"]
    reader = READERS[settings.format]
    useless = _useless(settings, reader.settings)
    faults = [f"data.{setting} has no meaning for {reader.name}; remove it" for setting in useless]
    try:
        _positions(settings, reader)
    except SettingsError as error:
        faults.append(str(error))
    return faults


def layout_of(
    name: str,
    settings: DataSettings,
    roles: Roles | None = None,
    path: Path | None = None,
    *,
    kept: tuple[str, ...] = (),
) -> Layout:
    """How to read a file of this name; DataError when its format is unknown, SettingsError for a useless setting.

    `roles`: the columns that are going to be used. `path`: the file, which is looked at where its name tells nothing.
    `kept`: columns that are kept beside those of the roles.
    """
    found = settings.format or format_of(name)
    if found is None and path:
        found = told_format(path, name, _layout(CSV, settings, roles))
    if found is None:
        raise DataError(f"{name}: the format is not told by the name ({KNOWN_NAMES}); rename it or set data.format")
    reader = READERS[found]
    for setting in _useless(settings, _settings_of(reader, name)):
        lacks = ", which has no table" if _is_bare_folder(reader, name) else ""
        what = f"data.{setting} has no meaning for {found} ({name}){lacks}"
        if settings.format is None and reader is TEXT and setting in CSV.settings:
            raise SettingsError(f"{what}; if this is a table, add `format: csv` under data:, else remove it")
        raise SettingsError(f"{what}; remove it")
    return replace(_layout(reader, settings, roles), kept=kept)


def _settings_of(reader: Reader, name: str) -> frozenset[str]:
    """The settings of a format; of a folder's files those of the table that stands beside them, if one does."""
    if _is_bare_folder(reader, name):
        return frozenset()
    table = format_of(name) if reader.name in MEDIA else None
    return READERS[table or reader.name].settings


def _is_bare_folder(reader: Reader, name: str) -> bool:
    """Whether these are files without a table beside them."""
    return reader.name in MEDIA and name.endswith("/")


def _useless(settings: DataSettings, legal: frozenset[str]) -> Iterator[str]:
    return (name for name in _OF_FORMATS if name in settings.model_fields_set and name not in legal)


def _positions(settings: DataSettings, reader: Reader) -> dict[str, int] | None:
    return positions_of(settings.columns, reader) if reader.positions else None


def _layout(reader: Reader, settings: DataSettings, roles: Roles | None) -> Layout:
    return Layout(
        format=reader.name,
        header=settings.header,
        delimiter=settings.delimiter,
        quoting=settings.quoting,
        quote=settings.quote,
        wanted=roles.columns if roles else (),
        roles=roles.names if roles else (),
        encoding=settings.encoding,
        # Names for numbers are the user's own; names for names come on top of the file's. A score is no name.
        use_names=not any(label.removeprefix("-").isdecimal() for label in settings.label_names)
        and (roles is None or roles.target_role != "score"),
        max_expansion=settings.max_expansion,
        positions=_positions(settings, reader),
        comment=settings.comment,
        sample_by=settings.sample_by,
    )
