"""`tunewright export`, `site` and `storage-initializer`: what programs of others, and people, open."""

import argparse
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, counted, print_json, say, tell, warn
from tunewright.registry.commands.pulling import a_folder, refuse_ours
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference
from tunewright.registry.export.folder import Exported
from tunewright.registry.export.hub import export_hub
from tunewright.registry.export.initializer import Initialized, place_prefix, place_version, read_address
from tunewright.registry.export.kserve import Asked, export_kserve
from tunewright.registry.export.mlflow import export_mlflow
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.site.site import write_site
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.trust.yanks import signed_yanks


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    forms = made.add_mutually_exclusive_group(required=True)
    said = "a folder for Hugging Face's programs: transformers opens its weights, optimum its graphs"
    names_a(forms.add_argument("--hf", type=a_folder, metavar="DIR", help=said), "directory")
    said = "a folder that mlflow.pyfunc loads and scores, with the light predictor of the server"
    names_a(forms.add_argument("--mlflow", type=a_folder, metavar="DIR", help=said), "directory")
    said = "model/, which KServe hands to the server, and kserve.yaml, which tells it so"
    forms.add_argument("--kserve", metavar="DIR|s3://...", help=said)
    said = "with --kserve DIR: where a cluster will find its model/, as in pvc://models/reviews"
    made.add_argument("--storage-uri", metavar="URI", help=said)
    made.add_argument(
        "--image", help="with --kserve: the image of the server, as it is called where the cluster pulls it"
    )
    add_json(made)


def _export(store: Store, options: argparse.Namespace) -> int:
    done = _exported(store, options)
    if options.json:
        told = {"version": str(done.version), "place": done.place, "files": done.files, "remarks": done.remarks}
        print_json(told)
        return 0
    say(f"{done.version} is exported: {counted(len(done.files), 'file')}, in {done.place}")
    for remark in done.remarks:
        say(f"note: {remark}")
    return 0


def _exported(store: Store, options: argparse.Namespace) -> Exported:
    cache, place = RegistrySettings().cache, options.hf or options.mlflow
    for flag in ("image", "storage_uri"):
        if vars(options)[flag] is not None and options.kserve is None:
            raise BadReference(f"--{flag.replace('_', '-')} has no effect without --kserve")
    if place is None and not options.kserve.startswith("s3://"):
        place = _folder_of(options.kserve)
    if place is not None:
        refuse_ours(store, place)
    else:
        _refuse_bucket(store, options.kserve)
    trust = open_trust(RegistrySettings())
    version = trust.resolve(store, options.reference)
    warn(trust.warning_of(store, version))
    if options.hf:
        return export_hub(store, version, place, cache=cache)
    if options.mlflow:
        return export_mlflow(store, version, place, cache=cache)
    asked = Asked(image=options.image, storage_uri=options.storage_uri)
    return export_kserve(store, version, options.kserve, cache=cache, asked=asked)


def _refuse_bucket(store: Store, address: str) -> None:
    """BadReference for a prefix in the registry, or one that has the registry in it."""
    there, ours = (f"{uri}/" for uri in (open_store(address, foreign=True).uri, store.uri))
    if there.startswith(ours) or ours.startswith(there):
        word = "lies in" if there.startswith(ours) else "has in it"
        raise BadReference(
            f"{address} {word} the registry {store.uri}, which keeps objects of its own; choose another prefix"
        )


def _folder_of(text: str) -> Path:
    try:
        return a_folder(text)
    except argparse.ArgumentTypeError as error:
        raise BadReference(f"--kserve: {error}, or s3://bucket/prefix") from None


def _add_site(made: argparse.ArgumentParser) -> None:
    said = "a folder, new, empty or written by this command before"
    names_a(made.add_argument("folder", type=a_folder, metavar="DIR", help=said), "directory")
    add_json(made)


def _site(store: Store, options: argparse.Namespace) -> int:
    refuse_ours(store, options.folder)
    done = write_site(store, options.folder, cache=RegistrySettings().cache, counts=signed_yanks(store))
    said = f"{counted(done.models, 'model')} and {counted(done.versions, 'version')}, in {done.folder / 'index.html'}"
    facts = {"folder": str(done.folder), "models": done.models, "versions": done.versions, "faults": list(done.faults)}
    answer(said, facts, as_json=options.json)
    return tell(done.faults)


def _add_initializer(made: argparse.ArgumentParser) -> None:
    made.add_argument("uri", metavar="URI", help="tunewright://reviews@production, or s3://bucket/prefix")
    names_a(
        made.add_argument("folder", type=a_folder, metavar="DIR", help="the folder; made when missing"), "directory"
    )
    add_json(made)


def _initialize(store: Store, options: argparse.Namespace) -> int:
    refuse_ours(store, options.folder)
    done = _placed(store, options.uri, options.folder.absolute())
    said = f"{done.what}: {counted(done.files, 'file')}, {size_text(done.size)}, in {options.folder.absolute()}"
    facts = {"what": done.what, "files": done.files, "size": done.size, "folder": str(options.folder.absolute())}
    answer(said, facts, as_json=options.json)
    return 0


def _placed(store: Store, uri: str, folder: Path) -> Initialized:
    trust = open_trust(RegistrySettings())
    if (asked := read_address(uri)) is None:
        trust.require_none(uri)
        return place_prefix(uri, folder)
    version = trust.resolve(store, asked.reference)
    warn(trust.warning_of(store, version))
    return place_version(store, version, folder, variant=asked.variant)


EXPORT = Command(_add, _export)
SITE = Command(_add_site, _site)
STORAGE_INITIALIZER = Command(_add_initializer, _initialize)
