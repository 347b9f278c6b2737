"""What is different between two versions of a model, as their own files tell it.

Read are the small files that a job puts into a version: `model.json`, `lineage.json` and `report/metrics.json`. One of
another program may lack them; what only one of the two has is told as such.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.store import Store
from tunewright.registry.variables import flat
from tunewright.registry.versions.manifest import Manifest
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import Version

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_MODEL, _LINEAGE, _METRICS = _READ = ("model.json", "lineage.json", "report/metrics.json")
_LARGEST = 32 << 20
"""Bytes of a file that is read: its figures are few."""


@dataclass(frozen=True)
class Change:
    """Something that two versions do not have alike."""

    about: str
    """settings, data, base model, made with, labels, figures or files."""
    name: str
    before: Json
    """None: it has none."""
    after: Json


def differences(store: Store, before: Version, after: Version, *, cache: Path) -> tuple[list[Change], list[str]]:
    """All changes from one version to another, and what to keep in mind while reading them. CorruptObject."""
    one, other = (_Read(store, version, cache) for version in (before, after))
    changes = [
        *_changed("base model", one.base, other.base),
        *_changed("settings", one.settings, other.settings),
        *_changed("data", one.data, other.data),
        *_changed("made with", one.made_with, other.made_with),
        *_changed("labels", one.labels, other.labels),
        *_changed("figures", one.figures, other.figures),
        *_changed("files", one.files, other.files),
    ]
    remarks = []
    if one.test_rows != other.test_rows:
        remarks.append("the test rows are not the same: figures that differ may do so for that alone")
    for version, read in ((before, one), (after, other)):
        if missing := [name for name in _READ if name not in read.found]:
            remarks.append(f"{version} carries no {', '.join(missing)}: it was not made by a job of this program")
    return changes, remarks


class _Read:
    """The parts of a version that are compared, each as names with what stands for them."""

    def __init__(self, store: Store, version: Version, cache: Path) -> None:
        pulled = pull(store, version, cache=cache, only=lambda path: path in _READ)
        self.found = {
            layer.path: _parsed(pulled.folder / layer.path, version)
            for layer in pulled.manifest.layers
            if layer.path in _READ
        }
        lineage, model = self._file(_LINEAGE), self._file(_MODEL)
        data = _mapping(lineage.get("data"))
        self.base = _flat(lineage.get("base_model"))
        self.settings = _flat(lineage.get("settings"))
        left_out = _flat({"left out": data.get("left_out_rows")})
        self.data = {**_flat({"rows": data.get("rows")}), **_sources(data), **left_out}
        self.made_with = {**_flat(lineage.get("packages")), **_flat(lineage.get("hardware"))}
        self.labels = {str(name): "there" for name in _list(model.get("labels"))}
        self.figures = self._figures(model)
        self.files = _sizes(pulled.manifest)
        self.test_rows = _mapping(data.get("split_digests")).get("test")

    def _file(self, name: str) -> Mapping[str, Json]:
        return _mapping(self.found.get(name))

    def _figures(self, model: Mapping[str, Json]) -> dict[str, Json]:
        """Of each variant on the test rows, with the intervals that were measured."""
        told: dict[str, Json] = {"served by default": model.get("default_variant")}
        for variant, measured in _mapping(self._file(_METRICS).get("test")).items():
            held = _mapping(measured)
            intervals = _mapping(held.get("intervals"))
            for name, value in _mapping(held.get("metrics")).items():
                told[f"{variant} {name}"] = _with_ends(value, intervals.get(name))
            told[f"{variant} ms_per_text"] = held.get("ms_per_text")
        return {name: value for name, value in told.items() if value is not None}


def _parsed(path: Path, version: Version) -> Json:
    if path.stat().st_size > _LARGEST:
        raise CorruptObject(f"{path.name} of {version} has over {_LARGEST >> 20} MiB: it is no such file")
    try:
        return cast(Json, json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"{path.name} of {version} is no JSON: {error}") from None


def _changed(about: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[Change]:
    """In the order of the first, then what only the second has."""
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(about, name, before.get(name), after.get(name))


def _flat(value: Json) -> dict[str, Json]:
    return cast(dict[str, Json], dict(flat(_mapping(value))))


def _sources(data: Mapping[str, Json]) -> dict[str, Json]:
    """The digests of the files of each side, by their addresses."""
    found: dict[str, Json] = {}
    for side, files in _mapping(data.get("files")).items():
        for file in map(_mapping, _list(files)):
            found[f"{side} {file.get('address')}"] = file.get("sha256")
    return found


def _sizes(manifest: Manifest) -> dict[str, Json]:
    """Bytes of the files; those that only changed their content are told by the parts above."""
    return {layer.path: layer.size for layer in manifest.layers if layer.path.startswith(("onnx/", "weights/"))}


def _with_ends(value: Json, ends: Json) -> Json:
    if not isinstance(value, int | float):
        return value
    shown = f"{value:.4f}"
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends):
        return f"{shown} ({ends[0]:.4f} to {ends[1]:.4f})"
    return shown


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
