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
from tunewright.registry.transfer.compacted import Compacted
from tunewright.registry.trust.yanks import signed_yanks
from tunewright.registry.upkeep.notes import Note, by_noted, check_tag, describe, notes_in, tag, untag
from tunewright.registry.versions.latest import Passed, all_yanked
from tunewright.registry.versions.layout import versions_prefix
from tunewright.registry.versions.record import (
    Summary,
    Version,
    below,
    by_model,
    numbers_given,
    read_versions,
)
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
    found: list[tuple[Version, Note | None, Passed | None]] = []
    models = sorted(by_model(store, on_fault=faults.append).items())
    noted = by_noted(store)
    out = all_yanked(store, on_fault=faults.append, counts=signed_yanks(store))
    those = [stat for name, listed in models for stat in [*below(listed, versions_prefix(name)), *noted.get(name, ())]]
    reader = Compacted(store, "search", those)
    for name, listed in models:
        records = below(listed, versions_prefix(name))
        there, deleted = numbers_given(reader, name, records, on_fault=faults.append)
        read = read_versions(reader, name, [one for one in there if one not in deleted], faults.append)
        said = notes_in(reader, name, noted.get(name, ()), faults.append)
        for number, version in read.items():
            if version is None:
                continue
            summary, note = version.summary or Summary(), said.get(number)
            tags = note.tags if note else ()
            if options.task in (None, summary.task) and (not options.tag or options.tag in tags) and holds(summary):
                found.append((version, note, out.get(name, {}).get(number)))
    reader.keep()
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


def _row(version: Version, note: Note | None, gone: Passed | None) -> tuple[str, ...]:
    task = version.summary.task if version.summary else None
    said = [*(note.tags if note else ()), *([f"yanked: {gone.reason}"] if gone else [])]
    return (str(version), version.created, task or "-", metric_of(version), ", ".join(said))


TAG = Command(_add_tags, _tag)
UNTAG = Command(_add_tags, _untag)
DESCRIBE = Command(_add_describe, _describe)
SEARCH = Command(_add_search, _search)
