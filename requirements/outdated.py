"""Lists the locked packages with newer releases: `make outdated`. Standard input: `pip list --outdated --format json`.

locked   the version in this folder
allowed  the newest one that pyproject.toml lets in (a compilation without a lock, in the file that is named)
newest   the newest one there is
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
PIN = re.compile(r"^([a-z0-9._-]+)==([^\s+\\;]+)", re.MULTILINE)


def pins(*files: Path) -> dict[str, str]:
    """Package and version of each line that pins one."""
    return {name: version for file in files for name, version in PIN.findall(file.read_text())}


def main() -> None:
    """One line a package, `-` where nothing newer is."""
    locks = [file for file in sorted(HERE.glob("*.txt")) if file.stem not in ("airflow", "optimum", "build")]
    locked, allowed = pins(*locks), pins(Path(sys.argv[1]))
    listed = json.load(sys.stdin)
    newest = {one["name"].lower().replace("_", "-"): one["latest_version"].partition("+")[0] for one in listed}
    rows = [("package", "locked", "allowed", "newest")]
    for name, version in sorted(locked.items()):
        found = [
            other if other != version else "-" for other in (allowed.get(name, version), newest.get(name, version))
        ]
        if found != ["-", "-"]:
            rows.append((name, version, *found))
    for row in rows:
        sys.stdout.write("  ".join(f"{word:{width}}" for word, width in zip(row, (26, 16, 16, 0), strict=True)) + "\n")


if __name__ == "__main__":
    main()
