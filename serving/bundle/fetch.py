"""From a reference to the folder of a version, with the files of one variant only."""

from pathlib import Path, PurePosixPath

from tunewright.registry.stores.store import Store
from tunewright.registry.versions.pull import Pulled, pull
from tunewright.registry.versions.record import REPORT, Version
from tunewright.serving.bundle.model_file import choose_variant, read_model_file

_HEAVY = ("onnx/", "weights/", "report/", "sbom.json", "provenance.json")
"""Not needed to choose a variant, and of `onnx/` only the chosen one to serve it."""


def fetch(
    store: Store, wanted: str | Version, *, cache: Path, variant: str | None = None, report: bool = False
) -> tuple[Pulled, str]:
    """The version in a folder of the cache, and the name of its variant: the one asked for, else the default.

    Of a version that is resolved already nothing is read but its manifest and its blobs.
    `report`: with the page of its run, where it has one."""

    def is_light(path: str) -> bool:
        return path == REPORT if report and path.startswith("report/") else not path.startswith(_HEAVY)

    pulled = pull(store, wanted, cache=cache, only=is_light)
    model = read_model_file(pulled.folder)
    name = choose_variant(model, variant)
    inside = f"{PurePosixPath(model.variants[name].file).parent}/"
    # The same version: an alias may have moved since the line above.
    return pull(store, pulled.version, cache=cache, only=lambda path: path.startswith(inside)), name
