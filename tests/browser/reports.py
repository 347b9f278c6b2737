"""`python tests/browser/reports.py FOLDER`: the reports of runs that lie below it, in a real browser.

Two of each task, the largest and the smallest, as tests have left them: wide in the light and narrow in the dark.
Nothing may be said on the console or asked of anybody, nothing stick out of the window, and axe, where TUNEWRIGHT_AXE
names it, find nothing. Ends with 1 and says where something does, or which of EACH has no report.
"""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from chromium import PROGRAMS, Browser, program

WINDOWS = ((1280, False), (360, True))
EACH = (
    "text-classification",
    "text-regression",
    "translation",
    "text-generation",
    "image-classification",
    "image-text-classification",
    "audio-classification",
)
"""Tasks of which each run of CI leaves a report; those of others are left by slow tests, where these ran."""


def main() -> None:
    (folder,) = sys.argv[1:]
    found = program()
    if found is None:
        sys.exit(f"there is no browser: none of {', '.join(PROGRAMS)} is installed")
    reports = by_task(Path(folder))
    faults = [f"{task}: no run has left a report" for task in EACH if task not in reports]
    with tempfile.TemporaryDirectory() as work:
        browser = Browser(found, Path(work) / "profile")
        try:
            for task, paths in reports.items():
                for path in {min(paths, key=size): None, max(paths, key=size): None}:
                    seen = list(looked_at(browser, path, task))
                    sys.stdout.write(f"{task}: {size(path) / 1024:.0f} KiB, {len(seen)} faults\n")
                    faults += seen
        finally:
            browser.close()
    if faults:
        sys.exit("\n".join(faults))


def by_task(folder: Path) -> dict[str, list[Path]]:
    """The reports below a folder that lie in a version, by the name of its task; tests write other pages there too."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("report/report.html")):
        model = path.parents[1] / "model.json"
        if model.is_file() and ": Tunewright</title>" in path.read_text():
            found[json.loads(model.read_text())["task"]].append(path)
    return dict(found)


def size(path: Path) -> int:
    """Its bytes."""
    return path.stat().st_size


def looked_at(browser, path, task):
    """What is wrong with one report."""
    for width, dark in WINDOWS:
        where = f"{task}, {path}, {width} wide, {'dark' if dark else 'light'}"
        browser.open(path.as_uri(), width=width, dark=dark)
        for kind, what in browser.said:
            if (kind, what) != ("asked", path.as_uri()) and not what.startswith("data:"):
                yield f"{where}: {kind} {what}"
        if not browser.run("document.documentElement.scrollWidth <= innerWidth"):
            yield f"{where}: wider than the window"
        for rule, grave, places in browser.barriers():
            yield f"{where}: {rule}, {grave}: {places[0]}"
        browser.shot(f"report-{task}-{width}{'-dark' if dark else ''}")


if __name__ == "__main__":
    main()
