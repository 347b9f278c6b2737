"""What a version's own files tell of it: the small ones that a job puts there. One of another program may lack them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tunewright.registry.errors import CorruptObject
from tunewright.registry.gates.outcomes import OUTCOMES, Outcomes, read_outcomes
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.manifest import Manifest
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import Version

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MODEL, LINEAGE, METRICS = FILES = ("model.json", "lineage.json", "report/metrics.json")
_LARGEST = 32 << 20
"""Bytes of a file that is read: its figures are few."""


@dataclass(frozen=True)
class Evidence:
    """The parts of a version that can be judged or compared."""

    version: Version
    manifest: Manifest
    found: Mapping[str, Json]
    """What each file holds that is there."""
    outcomes: Outcomes | None
    """How each test row went; None where the version does not keep that."""

    @property
    def model(self) -> Mapping[str, Json]:
        """`model.json`, empty where there is none."""
        return mapping(self.found.get(MODEL))

    @property
    def lineage(self) -> Mapping[str, Json]:
        """`lineage.json`."""
        return mapping(self.found.get(LINEAGE))

    @property
    def metrics(self) -> Mapping[str, Json]:
        """`report/metrics.json`."""
        return mapping(self.found.get(METRICS))

    @property
    def served(self) -> str | None:
        """The variant that is served by default."""
        told = self.model.get("default_variant")
        return told if isinstance(told, str) else None

    @property
    def headline(self) -> str | None:
        """The metric that decides."""
        told = self.metrics.get("headline")
        return told if isinstance(told, str) else None

    @property
    def test_rows(self) -> tuple[str | None, int | None]:
        """The digest of the test rows and how many they are."""
        told = mapping(self.manifest.config.get("test_rows"))
        digest, rows = told.get("digest"), told.get("rows")
        return (digest if isinstance(digest, str) else None), (rows if isinstance(rows, int) else None)

    def measured(self, variant: str | None) -> Mapping[str, Json]:
        """What was measured of a variant on the test rows."""
        return mapping(mapping(self.metrics.get("test")).get(variant or ""))

    def figure(self, variant: str | None, name: str) -> float | None:
        """A metric of a variant on the test rows; None where there is none."""
        return number(mapping(self.measured(variant).get("metrics")).get(name))


def evidence(
    store: Store, version: Version, *, cache: Path, files: Sequence[str] = FILES, rows: bool = True
) -> Evidence:
    """Fetch and read these files; `rows`: the outcomes too. Raises CorruptObject."""
    wanted = {*files, OUTCOMES} if rows else set(files)
    pulled = pull(store, version, cache=cache, only=wanted.__contains__)
    there = {layer.path for layer in pulled.manifest.layers} & wanted
    found = {name: _parsed(pulled.folder / name, version) for name in files if name in there}
    kept = read_outcomes(pulled.folder / OUTCOMES, str(version)) if OUTCOMES in there else None
    return Evidence(version, pulled.manifest, found, kept)


def _parsed(path: Path, version: Version) -> Json:
    if path.stat().st_size > _LARGEST:
        raise CorruptObject(f"{path.name} of {version} has over {_LARGEST >> 20} MiB: it is no such file")
    try:
        return cast(Json, json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"{path.name} of {version} is no JSON: {error}") from None


def mapping(value: Json) -> Mapping[str, Json]:
    """The value, or nothing where it is no mapping."""
    return value if isinstance(value, dict) else {}


def listed(value: Json) -> list[Json]:
    """The value, or nothing where it is no list."""
    return value if isinstance(value, list) else []


def number(value: Json) -> float | None:
    """The value, where it is a number that has room in 64 bits."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None
