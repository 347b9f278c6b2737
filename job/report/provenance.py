"""Provenance: how a version came about, as an in-toto Statement v1 with SLSA's provenance v1.

It is what `lineage.json` tells, in the form that other tools read. A job says it of itself, which SLSA calls level 1.
"""

from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict

from tunewright.registry.versions.manifest import Layer
from tunewright.registry.versions.record import moment

PROVENANCE = "provenance.json"
_BUILD_TYPE = "urn:tunewright:job:1"
_BUILDER = "urn:tunewright:job"


class Base(TypedDict):
    """A base model."""

    address: str
    digest: str
    licence: NotRequired[str]


class Imported(TypedDict):
    """A model that was taught elsewhere."""

    address: str
    files: Mapping[str, str]
    """sha256 of each of its files, as they were found."""


class File(TypedDict):
    """A file of rows."""

    address: str
    sha256: str


class Data(TypedDict):
    """The rows of a run."""

    files: Mapping[str, Iterable[File]]


class Times(TypedDict):
    """When a run began, in seconds since 1970, and how many it took."""

    started: float
    seconds: float


class Facts(TypedDict):
    """What is needed of that which `lineage` gives."""

    run_id: str
    settings: Mapping[str, object]
    base_model: Base
    imported: NotRequired[Imported]
    data: Data
    plug_ins: Mapping[str, str]
    hardware: Mapping[str, object]
    packages: Mapping[str, str | None]
    code: str | None
    times: NotRequired[Times]


def provenance(lineage: Facts, files: Iterable[Layer]) -> dict[str, object]:
    """The statement about files of a version."""
    subject = [{"name": one.path, "digest": {"sha256": one.digest.removeprefix("sha256:")}} for one in files]
    definition = {
        "buildType": _BUILD_TYPE,
        "externalParameters": {"settings": lineage["settings"]},
        "internalParameters": {"hardware": lineage["hardware"], "plug_ins": lineage["plug_ins"]},
        "resolvedDependencies": [*_base(lineage), *_data(lineage["data"]), *_code(lineage["code"])],
    }
    times = lineage.get("times")
    when = (
        {"startedOn": moment(times["started"]), "finishedOn": moment(times["started"] + times["seconds"])}
        if times
        else {}
    )
    run = {
        "builder": {"id": _BUILDER, "version": {"tunewright": lineage["packages"]["tunewright"] or "unknown"}},
        "metadata": {"invocationId": lineage["run_id"], **when},
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": definition, "runDetails": run},
    }


def _base(lineage: Facts) -> list[dict[str, object]]:
    base, imported = lineage["base_model"], lineage.get("imported")
    said = {"role": "imported model" if imported else "base model"}
    said |= {"digest": "sha256 over the names and digests of its files"}
    said |= {"licence": base["licence"]} if "licence" in base else {}
    files: list[dict[str, object]] = [
        {"name": f"{base['address']}/{name}", "digest": {"sha256": digest}, "annotations": {"role": said["role"]}}
        for name, digest in (imported["files"] if imported else {}).items()
    ]
    digest = {"sha256": base["digest"].removeprefix("sha256:")}
    return [{"name": base["address"], "digest": digest, "annotations": said}, *files]


def _data(data: Data) -> list[dict[str, object]]:
    return [
        {"name": file["address"], "digest": {"sha256": file["sha256"]}, "annotations": {"role": side}}
        for side, files in data["files"].items()
        for file in files
    ]


def _code(commit: str | None) -> list[dict[str, object]]:
    return [{"name": "tunewright", "digest": {"gitCommit": commit}}] if commit else []
