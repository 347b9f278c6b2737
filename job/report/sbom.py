"""What a version was made of, as a bill of materials: CycloneDX 1.6, in JSON.

The model stands in the middle; below it the base model, the data, and each package that is installed beside the job.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from urllib.parse import quote

from tunewright.job.report.provenance import Data, Facts
from tunewright.registry.versions.record import moment

SBOM = "sbom.json"
_MODEL = "model"
_LONGEST = 100
"""Characters of what a package says of its licence, where that is a name; some put the whole text there."""

Component = dict[str, object]


def sbom(lineage: Facts) -> dict[str, object]:
    """The document of a run."""
    settings, times = lineage["settings"], lineage.get("times")
    used = [_base(lineage), *_data(lineage["data"])]
    packages = _packages()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'urn:tunewright:run:' + lineage['run_id'])}",
        "version": 1,
        "metadata": {
            **({"timestamp": moment(times["started"] + times["seconds"])} if times else {}),
            "component": {"type": "machine-learning-model", "bom-ref": _MODEL, "name": settings["model_name"]},
        },
        "components": [*used, *packages],
        "dependencies": [{"ref": _MODEL, "dependsOn": [one["bom-ref"] for one in (*used, *packages)]}],
    }


def _base(lineage: Facts) -> Component:
    base, imported = lineage["base_model"], lineage.get("imported")
    what = "the model that was imported" if imported else "the base model"
    found: Component = {
        "type": "machine-learning-model",
        "bom-ref": "base-model",
        "name": base["address"],
        "description": f"{what}; its hash is over the names and digests of its files",
        "hashes": _hashes(base["digest"].removeprefix("sha256:")),
    }
    if imported:
        digests = imported["files"].items()
        found["properties"] = [{"name": f"tunewright:sha256:{name}", "value": digest} for name, digest in digests]
    return found | ({"licenses": [{"license": {"name": base["licence"]}}]} if "licence" in base else {})


def _data(data: Data) -> Iterator[Component]:
    for side, files in data["files"].items():
        for place, file in enumerate(files):
            yield {
                "type": "data",
                "bom-ref": f"data-{side}-{place}",
                "name": file["address"],
                "description": f"rows for {side}",
                "hashes": _hashes(file["sha256"]),
            }


@cache
def _packages() -> tuple[Component, ...]:
    """Each installed distribution, sorted by name; of two of one name that which is imported."""
    found: dict[str, Component] = {}
    for one in metadata.distributions():
        told = one.metadata  # read anew whenever it is asked for
        if "Name" in told and "Version" in told:
            name = re.sub(r"[-_.]+", "-", told["Name"]).lower()
            found.setdefault(name, _package(name, told, one.read_text("RECORD")))
    return tuple(found[name] for name in sorted(found))


def _package(name: str, told: metadata.PackageMetadata, record: str | None) -> Component:
    address = f"pkg:pypi/{name}@{quote(told['Version'])}"
    made: Component = {
        "type": "library",
        "bom-ref": address,
        "name": told["Name"],
        "version": told["Version"],
        "purl": address,
    }
    if record:
        # The list of its files with their digests, as they were installed.
        said = {"name": "tunewright:record-sha256", "value": hashlib.sha256(record.encode()).hexdigest()}
        made["properties"] = [said]
    if licence := _licence(told):
        made["licenses"] = [{"license": {"name": licence}}]
    return made


def _licence(told: metadata.PackageMetadata) -> str | None:
    """What a package says, in a line."""
    for field in ("License-Expression", "License"):
        text = str(told[field] or "") if field in told else ""
        if text and len(text) <= _LONGEST and "\n" not in text and text != "UNKNOWN":
            return text
    kinds = [kind.rpartition(" :: ")[2] for kind in told.get_all("Classifier") or [] if kind.startswith("License :: ")]
    return kinds[0] if kinds else None


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
