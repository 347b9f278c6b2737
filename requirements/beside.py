"""Of a lock with hashes (stdin) what another one (the argument) does not have: `make lock`."""

import re
import sys
from pathlib import Path


def blocks(lock: str) -> list[str]:
    """Each package with its hashes; without comments, and without the project itself."""
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    found = re.split(r"\n(?=\S)", "\n".join(lines))
    return [block for block in found if not block.startswith("tunewright")]


if __name__ == "__main__":
    there = {block.partition(" ")[0] for block in blocks(Path(sys.argv[1]).read_text())}
    sys.stdout.writelines(block + "\n" for block in blocks(sys.stdin.read()) if block.partition(" ")[0] not in there)
