"""`tunewright show`."""

import argparse
import os
import sys
import webbrowser
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import metric_of, print_json, print_pairs, print_table, say, short
from tunewright.registry.errors import NotFound
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.signature import of_version, signers
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.trust.yanks import signed_yanks
from tunewright.registry.upkeep.notes import note_on
from tunewright.registry.versions.alias import aliases_of
from tunewright.registry.versions.latest import Passed, Unread, yank_of
from tunewright.registry.versions.pull import pull, read_manifest
from tunewright.registry.versions.record import REPORT, Version, deletion_of
from tunewright.registry.versions.reference import resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    add_json(made)
    made.add_argument("--open", action="store_true", help="show the report of the version in a browser")


def _show(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    if options.open:
        return _open(store, version)
    manifest = read_manifest(store, version)
    if options.json:
        layers = [asdict(layer) for layer in manifest.layers]
        note = note_on(store, version)
        said: dict[str, object] = {"tags": note.tags if note else (), "description": note.description if note else ""}
        gone = _gone(store, version)
        said |= {"yanked": asdict(gone) if gone else None}
        said |= {"signatures": signers(store, of_version(version))}
        print_json(asdict(version) | said | {"config": dict(manifest.config), "files": layers})
        return 0
    print_pairs(_facts(store, version) + [(k, short(v)) for k, v in sorted(manifest.config.items())])
    say("")
    print_table(("FILE", "SIZE", "DIGEST"), [(x.path, size_text(x.size), x.digest) for x in manifest.layers])
    return 0


def _open(store: Store, version: Version) -> int:
    """Fetch the page of a version and show it; where there is no screen its path is all that is told."""
    open_trust(RegistrySettings()).require_version(store, version)
    pulled = pull(store, version, cache=RegistrySettings().cache, only=lambda path: path == REPORT)
    path = pulled.folder / REPORT
    if not path.is_file():
        raise NotFound(
            f"{version} carries no page ({REPORT}): an earlier release or another program made it; `tunewright show "
            f"{version}` lists what it carries"
        )
    say(str(path))
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.as_uri())
    return 0


def _facts(store: Store, version: Version) -> list[tuple[str, str]]:
    return [
        ("version", str(version)),
        ("aliases", ", ".join(aliases_of(store, version)) or "-"),
        ("digest", version.digest),
        ("created", version.created),
        ("by", version.who or "-"),
        ("run", version.run_id),
        ("size", size_text(version.size)),
        ("metric", metric_of(version)),
        ("before", version.previous or "-"),
        *_deleted(store, version),
        *_yanked(store, version),
        *_said(store, version),
        *[("signature", key) for key in signers(store, of_version(version))],
    ]


def _said(store: Store, version: Version) -> list[tuple[str, str]]:
    note = note_on(store, version)
    told = [("tags", ", ".join(note.tags)), ("about", short(note.description))] if note else []
    return [(name, text) for name, text in told if text]


def _deleted(store: Store, version: Version) -> list[tuple[str, str]]:
    gone = deletion_of(store, version.name, version.number)
    return [("deleted", " ".join([gone.deleted, gone.who, gone.reason]).strip())] if gone else []


def _gone(store: Store, version: Version) -> Passed | None:
    """Of yanks those that count; of one that no trusted key has signed it is warned."""
    return yank_of(store, version, counts=signed_yanks(store))


def _yanked(store: Store, version: Version) -> list[tuple[str, str]]:
    gone = _gone(store, version)
    if isinstance(gone, Unread):
        return [("yanked", str(gone))]
    return [("yanked", " ".join([gone.written, gone.who, gone.reason]).strip())] if gone else []


SHOW = Command(_add, _show)
