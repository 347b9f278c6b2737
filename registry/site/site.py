"""A registry as a folder of pages. A second run takes the place of the first."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.export.folder import whole
from tunewright.registry.gates.evidence import Evidence, evidence
from tunewright.registry.site.catalogue import Model, models
from tunewright.registry.site.html import POLICY
from tunewright.registry.site.pages import difference_page, home, model_page, version_page
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.difference import differences
from tunewright.registry.versions.latest import Counts
from tunewright.registry.versions.numbered import OnFault
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import REPORT, Version, now, require_registry

MARK = ".tunewright-site"
"""Lists the pages, and tells them from files of somebody's."""
_GUARD = f'<!doctype html>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
"""Before a report, which is a page of whoever has published the version: no script of it runs, and it asks nobody."""

_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a record that is valid may come to nevertheless."""


@dataclass(frozen=True)
class Written:
    """A catalogue."""

    folder: Path
    models: int
    versions: int
    faults: Sequence[str]
    """What could not be read, and is left out."""


def write_site(store: Store, target: Path, *, cache: Path, counts: Counts = None) -> Written:
    """Write the pages of all models. Raises NotFound where there is no registry, BadReference for a folder that holds
    other files. `counts`: which yanks do."""
    require_registry(store)
    faults: list[str] = []
    with whole(target, mark=MARK) as folder:
        found = [
            one
            for one in models(store, faults.append, counts)
            if _write_model(store, one, folder / "models" / one.name, cache, faults.append)
        ]
        faults = list(dict.fromkeys(faults))
        _write(folder / "index.html", home(store.uri, found, now(), faults))
    return Written(target.absolute(), len(found), sum(len(one.versions) for one in found), faults)


def _write_model(store: Store, model: Model, folder: Path, cache: Path, on_fault: OnFault) -> bool:
    """Whether its pages are there: what one publisher has written stops none of the others."""
    folder.mkdir(parents=True)
    try:
        _write(folder / "index.html", model_page(model, on_fault))
        for before, version in zip([None, *model.versions], model.versions, strict=False):
            (folder / str(version.number)).mkdir()
            _write_version(store, model, version, before, folder / str(version.number), cache, on_fault)
    except _UNFORESEEN as error:
        shutil.rmtree(folder)
        on_fault(f"{model.name} is left out: what it holds makes no page ({type(error).__name__}: {error})")
        return False
    return True


def _write_version(
    store: Store,
    model: Model,
    version: Version,
    before: Version | None,
    folder: Path,
    cache: Path,
    on_fault: OnFault,
) -> None:
    found, report, compared = None, False, None
    try:
        found = evidence(store, version, cache=cache, rows=False)
        report = _write_report(store, found, folder, cache)
        if before:
            _write(folder / "difference.html", difference_page(differences(store, before, version, cache=cache)))
            compared = before.number
    except (CorruptObject, NotFound) as error:
        on_fault(str(error))
    _write(folder / "index.html", version_page(model, version, found, report=report, before=compared))


def _write_report(store: Store, found: Evidence, folder: Path, cache: Path) -> bool:
    """Whether the version has one."""
    if not any(layer.path == REPORT for layer in found.manifest.layers):
        return False
    pulled = pull(store, found.version, cache=cache, only=lambda path: path == REPORT)
    (folder / "report.html").write_bytes(_GUARD.encode() + (pulled.folder / REPORT).read_bytes())
    return True


def _write(path: Path, content: str) -> None:
    # What a publisher wrote may hold half of a character, which no file can.
    path.write_text(content, encoding="utf-8", errors="replace")
