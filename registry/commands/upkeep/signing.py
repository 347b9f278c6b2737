"""`tunewright sign`: say with a key that a version or an image is what it is, and that an alias points there."""

import argparse
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference, NotFound
from tunewright.registry.oci.address import is_oci, parse_oci
from tunewright.registry.oci.sign import sign_image
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.keys import Signer, read_signer
from tunewright.registry.trust.trust import KEY, Trust, statement_of
from tunewright.registry.versions.alias import Move, held, history, last_move
from tunewright.registry.versions.canary import Trial, running
from tunewright.registry.versions.latest import Yank, said_of
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import Reference, name_and_alias, parse, resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made, "REF|OCI")
    said = f"PEM file of an ed25519 private key; without it that of {KEY}"
    names_a(made.add_argument("--key", metavar="FILE", help=said), "file")
    said = "of an alias only this entry of its history, whichever it is"
    made.add_argument("--entry", type=int, metavar="N", help=said)
    said = "of a version only what was said last about yanking it"
    made.add_argument("--yank", action="store_true", help=said)
    add_json(made)


def _sign(store: Store, options: argparse.Namespace) -> int:
    settings = RegistrySettings()
    if options.key == "":
        raise BadReference("--key is '': expected a file, or leave it out")
    path = Path(options.key) if options.key else settings.signing_key
    if path is None:
        raise BadReference(f"no key is named; say --key FILE, or set {KEY}")
    signer = read_signer(path, "--key" if options.key else KEY)
    if is_oci(options.reference):
        return _sign_image(options, signer)
    trust = Trust(signer)
    asked = _asked(options.reference)
    made: list[Version | Move | Trial | Yank] = []
    if options.yank:
        made = [_yank(store, options)]
    elif options.entry is not None:
        made = [_entry(store, options.reference, options.entry)]
    elif asked.alias:
        last, trial = last_move(store, asked.name, asked.alias), running(store, asked.name, asked.alias)
        made = [held(store, last), last, *([trial] if trial else [])]
    else:
        made = [resolve(store, options.reference)]
    if not store.single_writer:
        probe(store)
    keys = [trust.sign(store, one) for one in made]
    signed = [statement_of(one).what.rstrip(",") for one in made]
    facts = {"signed": signed, "signed_by": keys[0].id if keys[0] else None}
    answer(f"signed by {keys[0]}: {', and '.join(signed)}", facts, as_json=options.json)
    return 0


def _asked(reference: str) -> Reference:
    """Raises BadReference, which names the addresses of images too."""
    try:
        return parse(reference)
    except BadReference as error:
        raise BadReference(f"{error}; an image is named as oci://host/repository:tag") from None


def _sign_image(options: argparse.Namespace, signer: Signer) -> int:
    """What an OCI registry holds."""
    if options.yank or options.entry is not None:
        raise BadReference(
            f"--yank and --entry are about a registry of versions, and {options.reference} is no part of one"
        )
    done = str(sign_image(parse_oci(options.reference), signer))
    answer(
        f"signed by {signer.public}: {done}", {"signed": [done], "signed_by": signer.public.id}, as_json=options.json
    )
    return 0


def _entry(store: Store, reference: str, entry: int) -> Move:
    """One entry of the log of an alias. Raises BadReference, NotFound."""
    log = history(store, *name_and_alias(reference))
    if found := [move for move in log if move.entry == entry]:
        return found[0]
    raise NotFound(
        f"{reference} has no entry {entry} in {store.uri}; its entries are {log[0].entry} to {log[-1].entry}"
    )


def _yank(store: Store, options: argparse.Namespace) -> Yank:
    """The last entry of the log of a version. Raises BadReference, NotFound."""
    asked = parse(options.reference)
    if options.entry is not None or asked.number is None:
        raise BadReference(f"--yank is about a version alone; say it as in {asked.name}:7, and without --entry")
    if found := [yank for yank in said_of(store, asked.name) if yank.number == asked.number]:
        return found[-1]
    raise NotFound(f"nothing was said about yanking {asked} in {store.uri}")


SIGN = Command(_add, _sign)
