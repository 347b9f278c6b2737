"""`tunewright list|show|pull|promote|...`: look at the registry, fetch from it, move its aliases."""

import argparse
import json
import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TextIO

from tunewright.registry.arguments import parser
from tunewright.registry.command_line import found
from tunewright.registry.completion import script
from tunewright.registry.errors import (
    AccessDenied,
    AddressError,
    BadReference,
    Conflict,
    CorruptObject,
    NotFound,
    RegistryError,
    SettingsError,
)
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.upkeep.difference import differences
from tunewright.registry.upkeep.repair import open_source, repair
from tunewright.registry.upkeep.verify import sharers, verify, verify_model
from tunewright.registry.versions.alias import aliases, current, history, move, remove, rollback
from tunewright.registry.versions.canary import begin, end, running
from tunewright.registry.versions.layout import check_name
from tunewright.registry.versions.pull import pull, pull_into, read_manifest
from tunewright.registry.versions.record import (
    REPORT,
    Version,
    delete_version,
    deletion_of,
    model_names,
    no_model,
    read_version,
    version_numbers,
)
from tunewright.registry.versions.reference import parse, resolve

_USER_ERRORS = (AccessDenied, AddressError, BadReference, Conflict, NotFound, SettingsError)


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; the exit code."""
    options = parser(arguments[0]).parse_args(arguments[1:])
    try:
        if arguments[0] == "completion":
            sys.stdout.write(script(options.shell, found()))
            return 0
        settings = RegistrySettings()
        return _COMMANDS[arguments[0]](open_store(settings.uri, single_writer=settings.single_writer), options)
    except RegistryError as error:
        _say(f"error: {error}", sys.stderr)
        return 2 if isinstance(error, _USER_ERRORS) else 1
    except KeyboardInterrupt:
        _say("error: interrupted", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (`| head`) has seen enough
        sys.stderr.close()
        return 0


def _list(store: Store, options: argparse.Namespace) -> int:
    return _list_versions(store, options) if options.name else _list_models(store, options)


def _list_models(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    rows, cells = [], []
    for name in model_names(store, on_fault=faults.append):
        known = version_numbers(store, name, on_fault=faults.append)
        pointing = aliases(store, name, on_fault=faults.append)
        if known:
            latest = _read_or_tell(store, name, known[-1], faults)
            summary = asdict(latest.summary) if latest and latest.summary else None
            rows.append({"name": name, "latest": known[-1], "aliases": pointing, "summary": summary})
            cells.append((name, known[-1], _metric(latest), ", ".join(f"{a} -> {n}" for a, n in pointing.items())))
    if options.json:
        _print_json(rows)
    elif rows:
        _print_table(("MODEL", "LATEST", "METRIC", "ALIASES"), cells)
    else:
        _say(f"there are no models in {store.uri} yet")
    return _tell(faults)


def _list_versions(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    name = parse(options.name).name
    known = version_numbers(store, name, on_fault=faults.append)
    if not known:
        raise no_model(store, name)
    pointing = aliases(store, name, on_fault=faults.append)
    rows = {number: _read_or_tell(store, name, number, faults) for number in known}
    names = {number: sorted(a for a, to in pointing.items() if to == number) for number in known}
    if options.json:
        _print_json([asdict(version) | {"aliases": names[n]} for n, version in rows.items() if version])
    else:
        cells = [_row(f"{name}:{number}", rows[number], ", ".join(names[number])) for number in reversed(known)]
        _print_table(("VERSION", "CREATED", "SIZE", "METRIC", "ALIASES", "RUN"), cells)
    return _tell(faults)


def _row(spoken: str, version: Version | None, pointing: str) -> tuple[str, ...]:
    if version is None:
        return (spoken, "damaged", "-", "-", pointing, "-")
    return (spoken, version.created, size_text(version.size), _metric(version), pointing, version.run_id)


def _metric(version: Version | None) -> str:
    return str(version.summary) if version and version.summary else "-"


def _read_or_tell(store: Store, name: str, number: int, faults: list[str]) -> Version | None:
    """The version; None, and one sentence more among the faults, where its record cannot be read."""
    try:
        return read_version(store, name, number)
    except CorruptObject as error:
        faults.append(str(error))
        return None


def _tell(faults: Sequence[str]) -> int:
    """Say what was found that does not belong there; the exit code."""
    for fault in dict.fromkeys(faults):
        _say(f"error: {fault}", sys.stderr)
    return 1 if faults else 0


def _show(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    if options.open:
        return _open(store, version)
    manifest = read_manifest(store, version)
    if options.json:
        layers = [asdict(layer) for layer in manifest.layers]
        _print_json(asdict(version) | {"config": dict(manifest.config), "files": layers})
        return 0
    _print_pairs(_facts(store, version) + [(k, _short(v)) for k, v in sorted(manifest.config.items())])
    _say("")
    _print_table(("FILE", "SIZE", "DIGEST"), [(x.path, size_text(x.size), x.digest) for x in manifest.layers])
    return 0


def _diff(store: Store, options: argparse.Namespace) -> int:
    before, after = (resolve(store, reference) for reference in (options.reference, options.other))
    changes, remarks = differences(store, before, after, cache=RegistrySettings().cache)
    if options.json:
        versions = {"before": str(before), "after": str(after)}
        _print_json(versions | {"changes": [asdict(one) for one in changes], "remarks": remarks})
        return 0
    if changes:
        cells = [(one.about, one.name, _short(one.before), _short(one.after)) for one in changes]
        _print_table(("ABOUT", "WHAT", str(before), str(after)), cells)
    else:
        _say(f"{before} and {after} differ in nothing that their files tell")
    for remark in remarks:
        _say(f"note: {remark}")
    return 0


def _open(store: Store, version: Version) -> int:
    """Fetch the page of a version and show it; where there is no screen its path is all that is told."""
    pulled = pull(store, version, cache=RegistrySettings().cache, only=lambda path: path == REPORT)
    path = pulled.folder / REPORT
    if not path.is_file():
        raise NotFound(
            f"{version} carries no page ({REPORT}): an earlier release or another program made it; `tunewright show "
            f"{version}` lists what it carries"
        )
    _say(str(path))
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.as_uri())
    return 0


def _pull(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    layers = read_manifest(store, version).layers
    only = _only(options.variant, version, [layer.path for layer in layers])
    pulled = pull_into(store, version, options.to, only=only)
    files = [layer for layer in layers if only(layer.path)]
    _say(f"{version}: {len(files)} files, {size_text(sum(x.size for x in files))}, in {pulled.folder}")
    return 0


def _promote(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    made = move(store, version.name, options.alias, version.number, reason=options.why, force=options.force)
    _say(f"{made.name}@{made.alias} -> {made.number} (before: {made.previous or 'nothing'})")
    return 0


def _rollback(store: Store, options: argparse.Namespace) -> int:
    name, alias = _name_and_alias(options.reference)
    made = rollback(store, name, alias, reason=options.why, holder=options.holder, to=options.to)
    _say(f"{made.name}@{made.alias}: {made.previous or 'nothing'} -> {made.number}")
    return 0


def _unalias(store: Store, options: argparse.Namespace) -> int:
    made = remove(store, *_name_and_alias(options.reference), reason=options.why)
    _say(f"{made.name}@{made.alias}: {made.number} -> nothing")
    return 0


def _canary(store: Store, options: argparse.Namespace) -> int:
    name, alias = _name_and_alias(options.reference)
    if options.end and options.version:
        raise BadReference("--end is given with a version; say one of the two")
    if options.end:
        if end(store, name, alias, reason=options.reason) is None:
            raise Conflict(f"nothing is tried beside {name}@{alias}: there is nothing to end")
    elif options.version:
        if options.percent is None:
            raise BadReference(f"no percentage is given; say {options.version} 10 for a tenth of the requests")
        version = resolve(store, options.version)
        if version.name != name:
            raise BadReference(f"{version} is no version of {name}, which {options.reference} is about")
        begin(store, name, alias, version.number, options.percent, reason=options.reason)
    trial = running(store, name, alias)
    weights = trial.weights if trial else {current(store, name, alias): 100.0}
    _say(f"{name}@{alias} -> " + ", ".join(f"{number}: {percent:g} %" for number, percent in weights.items()))
    return 0


def _history(store: Store, options: argparse.Namespace) -> int:
    moves = history(store, *_name_and_alias(options.reference))
    if options.json:
        _print_json([asdict(m) for m in moves])
    else:
        rows = [
            (m.moved, m.number if m.points else "-", m.previous or "", m.kind, m.who or "-", m.reason)
            for m in reversed(moves)
        ]
        _print_table(("MOVED", "TO", "FROM", "KIND", "WHO", "WHY"), rows)
    return 0


def _delete(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    if pointing := _pointing(store, version):
        raise Conflict(
            f"{version.name}@{pointing[0]} points at version {version.number}: promote another version to "
            f"{pointing[0]}, or `tunewright unalias {version.name}@{pointing[0]}`, before this one is deleted"
        )
    made = delete_version(store, version, reason=options.why)
    _say(f"{version} is deleted by {made.who} ({made.deleted}); its number is not given again, and its files stay")
    return 0


def _verify(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    if options.reference is None or not set("@:") & set(options.reference):
        names = [check_name(options.reference)] if options.reference else model_names(store, on_fault=faults.append)
        if options.reference and not version_numbers(store, options.reference):
            raise no_model(store, options.reference)
        known: dict[str, str | None] = {}
        found = [one for name in names for one in verify_model(store, name, known=known, on_fault=faults.append)]
    else:
        found = [verify(store, options.reference)]
    damaged = {digest for one in found for digest in one.damaged}
    shared = sharers(store, damaged) if damaged else {}
    for one in found:
        for problem in one.problems:
            _say(problem)
        verdict = f"{len(one.problems)} problems" if one.problems else "all digests match"
        _say(f"{one.version}: {one.files} files, {size_text(one.size)}: {verdict}")
    for digest, versions in sorted(shared.items()):
        if len(versions) > 1:
            _say(f"{digest} is part of {', '.join(versions)}")
    return max(_tell(faults), 1 if damaged else 0)


def _repair(store: Store, options: argparse.Namespace) -> int:
    done = repair(store, resolve(store, options.reference), open_source(options.source))
    for sentence in done.left:
        _say(sentence)
    if done.mended:
        _say(f"{done.version}: put back {', '.join(done.mended)}")
    elif not done.left:
        _say(f"{done.version}: all digests match, there is nothing to mend")
    return 1 if done.left else 0


def _only(variant: str | None, version: Version, paths: Sequence[str]) -> Callable[[str], bool]:
    """Which files to fetch: everything, or everything but the other variants. Raises NotFound."""
    if variant is None:
        return lambda _: True
    variants = sorted({path.split("/")[1] for path in paths if path.startswith("onnx/")})
    if variant not in variants:
        raise NotFound(f"{version} has no variant {variant!r}; it has {', '.join(variants) or 'none'}")
    return lambda path: not path.startswith("onnx/") or path.startswith(f"onnx/{variant}/")


def _name_and_alias(text: str) -> tuple[str, str]:
    reference = parse(text)
    if reference.alias is None:
        raise BadReference(f"{text!r} names no alias; expected name@alias, as in reviews@production")
    return reference.name, reference.alias


def _facts(store: Store, version: Version) -> list[tuple[str, str]]:
    return [
        ("version", str(version)),
        ("aliases", ", ".join(_pointing(store, version)) or "-"),
        ("digest", version.digest),
        ("created", version.created),
        ("by", version.who or "-"),
        ("run", version.run_id),
        ("size", size_text(version.size)),
        ("metric", _metric(version)),
        ("before", version.previous or "-"),
        *_deleted(store, version),
    ]


def _pointing(store: Store, version: Version) -> list[str]:
    """The aliases of a version."""
    return [alias for alias, number in aliases(store, version.name).items() if number == version.number]


def _deleted(store: Store, version: Version) -> list[tuple[str, str]]:
    gone = deletion_of(store, version.name, version.number)
    return [("deleted", " ".join([gone.deleted, gone.who, gone.reason]).strip())] if gone else []


def _short(value: object) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


def _print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        _say(f"{name.ljust(width)}  {value}")


def _print_json(value: object) -> None:
    _say(json.dumps(value, indent=2, ensure_ascii=False))


def _say(text: str, stream: TextIO | None = None) -> None:
    # What a publisher wrote may hold control sequences for the terminal.
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    (stream or sys.stdout).write(clean + "\n")


_COMMANDS: dict[str, Callable[[Store, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "diff": _diff,
    "pull": _pull,
    "promote": _promote,
    "rollback": _rollback,
    "unalias": _unalias,
    "canary": _canary,
    "history": _history,
    "verify": _verify,
    "repair": _repair,
    "delete": _delete,
}
