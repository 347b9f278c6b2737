"""`tunewright diff`."""

import argparse
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import print_json, print_table, say, short
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import disk_full, is_disk_full
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.difference import Difference, differences
from tunewright.registry.upkeep.difference_page import HEADS, cells_of, cells_of_change, page, summary
from tunewright.registry.versions.reference import resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("other", metavar="REF", help="the version that the first one is compared with")
    made.add_argument("--rows", action="store_true", help="tell each test row that went otherwise, the worst first")
    file = made.add_argument("--html", type=Path, metavar="FILE", help="write all of it into a page, rows too")
    names_a(file, "file")
    add_json(made)


def _diff(store: Store, options: argparse.Namespace) -> int:
    if options.html and (not options.html.name or str(options.html) == "-"):
        raise BadReference(f"--html takes a file to write to, not {str(options.html)!r}, as in --html diff.html")
    before, after = (resolve(store, reference) for reference in (options.reference, options.other))
    found = differences(store, before, after, cache=RegistrySettings().cache)
    if options.html:
        _write(page(found), options.html)
    if options.json:
        print_json(asdict(found) | {"before": str(before), "after": str(after)})
    else:
        _tell(found, with_rows=options.rows)
    return 0


def _tell(found: Difference, *, with_rows: bool) -> None:
    before, after = str(found.before), str(found.after)
    if found.changes:
        cells = [[short(cell) for cell in cells_of_change(one)] for one in found.changes]
        print_table(("ABOUT", "WHAT", before, after), cells)
    else:
        say(f"{before} and {after} differ in nothing that their files tell")
    if found.rows:
        say(f"rows: {summary(found.rows)}")
        if with_rows and found.rows.changed:
            heads = (*(head.upper() for head in HEADS), before, after, "CHANGE", "BY")
            print_table(heads, cells_of(found.rows.changed))
    elif with_rows:
        say("rows: the two share no test rows whose answers both keep")
    for remark in found.remarks:
        say(f"note: {remark}")


def _write(text: str, path: Path) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        if is_disk_full(error):
            raise disk_full(path.parent) from None
        raise BadReference(
            f"{path} cannot be written ({error.strerror}); name a file in a folder where you may write"
        ) from None


DIFF = Command(_add, _diff)
