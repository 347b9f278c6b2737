"""`tunewright tag`, `untag`, `describe` and `search`: what people say of versions, and how they are found again."""

import argparse
import operator
import re
from collections.abc import Callable
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, metric_of, print_json, print_table, say, tell
from tunewright.registry.errors import BadReference
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.notes import Note, check_tag, describe, notes, tag, untag
from tunewright.registry.versions.latest import Yank, yanked
from tunewright.registry.versions.record import Summary, Version, model_names, read_or_tell, version_numbers
from tunewright.registry.versions.reference import resolve

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def _add_tags(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("tags", nargs="+", metavar="TAG", help="a word, as in released")
    add_json(made)


def _tag(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    return _tell(version, tag(store, version, *options.tags), options)


def _untag(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    return _tell(version, untag(store, version, *options.tags), options)


def _add_describe(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("text", metavar="TEXT", help="in place of what was said of the version; '' says nothing")
    add_json(made)


def _describe(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    return _tell(version, describe(store, version, options.text), options)


def _tell(version: Version, note: Note | None, options: argparse.Namespace) -> int:
    tags, description = (list(note.tags), note.description) if note else ([], "")
    said = f"{version}: {', '.join(tags) or 'no tags'}{f'; {description}' if description else ''}"
    facts = {"name": version.name, "number": version.number, "tags": tags, "description": description}
    answer(said, facts, as_json=options.json)
    return 0


def _add_search(made: argparse.ArgumentParser) -> None:
    made.add_argument("--task", metavar="TASK", help="as in text-classification")
    said = "a bound of the figure that lists tell, as in 'accuracy>=0.9'; also <=, > and <"
    made.add_argument("--metric", metavar="BOUND", help=said)
    made.add_argument("--tag", metavar="TAG", help="as in released")
    add_json(made)


def _search(store: Store, options: argparse.Namespace) -> int:
    if not (options.task or options.metric or options.tag):
        raise BadReference("nothing is searched for; say --task, --metric or --tag")
    if options.tag:
        check_tag(options.tag)
    holds = _bound(options.metric) if options.metric else lambda _: True
    faults: list[str] = []
    found: list[tuple[Version, Note | None, Yank | None]] = []
    for name in model_names(store, on_fault=faults.append):
        said, out = notes(store, name, on_fault=faults.append), yanked(store, name, on_fault=faults.append)
        for number in version_numbers(store, name, on_fault=faults.append):
            version, note = read_or_tell(store, name, number, faults.append), said.get(number)
            if version is None:
                continue
            summary = version.summary or Summary()
            tags = note.tags if note else ()
            if options.task in (None, summary.task) and (not options.tag or options.tag in tags) and holds(summary):
                found.append((version, note, out.get(number)))
    if options.json:
        rest = [{"tags": note.tags if note else (), "yanked": gone.reason if gone else None} for _, note, gone in found]
        print_json([asdict(one) | more for (one, *_), more in zip(found, rest, strict=True)])
    elif found:
        print_table(("VERSION", "CREATED", "TASK", "METRIC", "TAGS"), [_row(*one) for one in found])
    else:
        say(f"no version in {store.uri} is so")
    return tell(faults)


def _bound(text: str) -> Callable[[Summary], bool]:
    told = re.fullmatch(r"\s*(\S+?)\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*", text)
    try:
        value = float(told[3]) if told else None
    except ValueError:
        value = None
    if told is None or value is None:
        raise BadReference(f"--metric {text!r} is not a bound; expected NAME>=VALUE, as in 'accuracy>=0.9'")
    name, compare, least = told[1], _COMPARE[told[2]], value
    return lambda one: one.metric == name and one.value is not None and compare(one.value, least)


def _row(version: Version, note: Note | None, gone: Yank | None) -> tuple[str, ...]:
    task = version.summary.task if version.summary else None
    said = [*(note.tags if note else ()), *([f"yanked: {gone.reason}"] if gone else [])]
    return (str(version), version.created, task or "-", metric_of(version), ", ".join(said))


TAG = Command(_add_tags, _tag)
UNTAG = Command(_add_tags, _untag)
DESCRIBE = Command(_add_describe, _describe)
SEARCH = Command(_add_search, _search)
