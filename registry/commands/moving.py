"""`tunewright publish` and `copy`: how a version comes into a registry without a job."""

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, warn
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference, Conflict
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.trust.keys import PublicKey
from tunewright.registry.trust.signature import carry
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.upkeep.copying import copy
from tunewright.registry.upkeep.folder import files_of, refuse_registry, run_id_of
from tunewright.registry.versions.layout import check_line, check_name, check_run_id
from tunewright.registry.versions.publish import find_run, publish
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Summary, Version, deletion_of
from tunewright.registry.webhook import check_webhook, tell_published

_WORD = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
"""The name of a task or of a figure."""


def _add_publish(made: argparse.ArgumentParser) -> None:
    folder = made.add_argument("folder", type=Path, metavar="DIR", help="all files below it become the version")
    names_a(folder, "directory")
    made.add_argument("--name", required=True, metavar="MODEL", help="the model that it is a version of")
    said = "who says it again gets the same version; the digest of the files without it"
    made.add_argument("--run-id", metavar="ID", help=said)
    made.add_argument("--task", metavar="TASK", help="what it can do, as in text-classification")
    said = "a figure of it, as in accuracy=0.93; lists tell the first one"
    made.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE", help=said)
    made.add_argument("--why", default="", metavar="TEXT", help="kept with the version")
    add_json(made)


def _publish(store: Store, options: argparse.Namespace) -> int:
    name, metrics = check_name(options.name), _metrics(options.metric)
    if options.task is not None and not _WORD.fullmatch(options.task):
        raise BadReference(
            f"--task {options.task!r} is not a task; expected 1 to 256 characters without blanks, as in "
            "text-classification"
        )
    check_line(options.why, "--why")
    refuse_registry(store, options.folder)
    files = files_of(options.folder)
    run_id = run_id_of(files) if options.run_id is None else check_run_id(options.run_id)
    said = {"task": options.task, "metrics": metrics, "why": options.why}
    settings = RegistrySettings()
    trust = open_trust(settings)
    trust.require_signer(name)
    check_webhook(settings)
    if done := find_run(store, name, run_id):
        return _tell_before(store, _not_deleted(store, done), said, options, trust.sign(store, done))
    headline = next(iter(metrics.items()), (None, None))
    version = publish(
        store,
        name,
        files,
        run_id=run_id,
        config={key: value for key, value in said.items() if value},
        summary=Summary(options.task, *headline),
    )
    key = trust.sign(store, version)
    warn(tell_published(settings, version))
    return _tell(store, version, "is published", options, made=True, key=key)


def _metrics(texts: Sequence[str]) -> dict[str, float]:
    """The figures that are given. Raises BadReference."""
    metrics: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            figure = float(value)
        except ValueError:
            figure = math.nan
        if not _WORD.fullmatch(name) or not math.isfinite(figure):
            form = "expected NAME=VALUE, the name without blanks, as in accuracy=0.93"
            raise BadReference(f"--metric {text!r} is not a figure; {form}")
        if name in metrics:
            raise BadReference(f"--metric {name} is given twice, as {metrics[name]:g} and {figure:g}; say it once")
        metrics[name] = figure
    return metrics


def _not_deleted(store: Store, done: Version) -> Version:
    if gone := deletion_of(store, done.name, done.number):
        raise Conflict(
            f"{done} has these files (run {done.run_id}) and was deleted by {gone.who} ({gone.deleted}); with another "
            "--run-id they are published anew"
        )
    return done


def _tell_before(
    store: Store, version: Version, said: Mapping[str, object], options: argparse.Namespace, key: PublicKey | None
) -> int:
    """Tell of what was published before, and what is said of it now and was not then."""
    given = {key: value for key, value in said.items() if value}
    config = read_manifest(store, version).config if given else {}
    lost = [key for key, value in given.items() if config.get(key) != value]
    flags = ", ".join(f"--{key.removesuffix('s')}" for key in lost)
    what = "was published before" + (f", and what {flags} says now is not kept: versions never change" if lost else "")
    return _tell(store, version, what, options, made=False, not_kept=lost, key=key)


def _tell(
    store: Store,
    version: Version,
    what: str,
    options: argparse.Namespace,
    *,
    made: bool,
    not_kept: Sequence[str] = (),
    key: PublicKey | None,
) -> int:
    said = f"{version} {what}: {size_text(version.size)}, {version.digest}, run {version.run_id}, in {store.uri}"
    said += f", signed by {key}" if key else ""
    facts = {"made": made, "registry": store.uri} | ({"not_kept": not_kept} if not_kept else {})
    facts |= {"signed_by": key.id} if key else {}
    answer(said, asdict(version) | facts, as_json=options.json)
    return 0


def _add_copy(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    place = "the other registry: s3://bucket/prefix or a folder"
    names_a(made.add_argument("--to", required=True, metavar="REGISTRY", help=place), "directory")
    said = "of the AWS configuration: its keys, region and endpoint are those of the other registry"
    made.add_argument("--to-profile", metavar="PROFILE", help=said)
    made.add_argument("--as", dest="name", metavar="MODEL", help="the model there; without it, of the same name")
    add_json(made)


def _copy(store: Store, options: argparse.Namespace) -> int:
    target, trust = open_store(options.to, profile=options.to_profile), open_trust(RegistrySettings())
    asked = trust.resolve(store, options.reference)
    version, made = copy(store, asked, target, name=options.name)
    if said := trust.warning_of(store, asked):
        warn(f"{said}; {version} in {target.uri} does not carry that: `tunewright yank` says it there")
    carry(store, asked, target, version)
    key = trust.sign(target, version)
    return _tell(target, version, "is copied" if made else "is there already", options, made=made, key=key)


PUBLISH = Command(_add_publish, _publish)
COPY = Command(_add_copy, _copy)
