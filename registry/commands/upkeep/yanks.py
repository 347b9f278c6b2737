"""`tunewright yank` and `unyank`: nobody should begin to use a version, and who pulls it is warned."""

import argparse
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer
from tunewright.registry.errors import BadReference
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.alias import aliases_of
from tunewright.registry.versions.latest import unyank, yank
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import parse, resolve


def _add_yank(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("--why", default="", metavar="TEXT", help="kept with the version, and told to who uses it")
    add_json(made)


def _yank(store: Store, options: argparse.Namespace) -> int:
    if not options.why.strip():
        raise BadReference("--why TEXT is missing: who uses the version is told why it is yanked")
    version, trust = _named(store, options.reference), open_trust(RegistrySettings())
    trust.require_signer(version.name)
    made = yank(store, version, options.why, counts=trust.counts(store))
    key = trust.sign(store, made)
    holding = sorted(aliases_of(store, version))
    stays = f"; {', '.join(f'{version.name}@{one}' for one in holding)} still serves it" if holding else ""
    signed = f", signed by {key}" if key else ""
    said = f"{version} is {made}{signed}; latest passes over it{stays}"
    answer(said, asdict(made) | {"aliases": holding, "signed_by": key.id if key else None}, as_json=options.json)
    return 0


def _add_unyank(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("--why", default="", metavar="TEXT", help="kept with the version")
    add_json(made)


def _unyank(store: Store, options: argparse.Namespace) -> int:
    version, trust = _named(store, options.reference), open_trust(RegistrySettings())
    trust.require_signer(version.name)
    made = unyank(store, version, options.why, counts=trust.counts(store))
    if made:
        trust.sign(store, made)
    facts = asdict(made) if made else {"name": version.name, "number": version.number, "yanked": False}
    answer(f"{version} is {'not yanked any more' if made else 'not yanked'}", facts, as_json=options.json)
    return 0


def _named(store: Store, text: str) -> Version:
    """The version that is named. Said twice, `latest` would be another one."""
    version, asked = resolve(store, text), parse(text)
    if asked.alias is None and asked.number is None and asked.digest is None:
        raise BadReference(f"{text!r} would be another version once this is done; say {version}")
    return version


YANK = Command(_add_yank, _yank)
UNYANK = Command(_add_unyank, _unyank)
