"""Good verdicts, kept by the digest of what was judged, so that a second start of one version costs nothing."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

Verdict = dict[str, int]

_KNOWN: dict[str, Verdict] = {}
"""Those of this process, by what was judged."""


def key_of(*parts: str) -> str:
    """What a verdict holds for: what was judged, and the programs it was judged with."""
    programs = [f"{name} {version(name)}" for name in ("onnxruntime", "tokenizers", "numpy", "jinja2")]
    return hashlib.sha256("\n".join([*parts, _this_program(), *programs]).encode()).hexdigest()


def verdict(key: str, folder: Path, judge: Callable[[], Verdict]) -> Verdict:
    """The verdict of this process, of the cache in the folder or of a trial."""
    if key not in _KNOWN:
        _KNOWN[key] = _kept(key, folder) or _keep(key, judge(), folder)
    return _KNOWN[key]


@cache
def _this_program() -> str:
    """A digest of serving: images hold it as files, without a version."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _kept(key: str, folder: Path) -> Verdict | None:
    with suppress(OSError, ValueError):
        found = json.loads((folder / "verdicts" / key).read_text())
        if isinstance(found, dict) and all(type(number) is int for number in found.values()):
            return found
    return None


def _keep(key: str, verdict: Verdict, folder: Path) -> Verdict:
    """Whole or not at all. A cache that cannot be written costs the next start its time, and no more."""
    with suppress(OSError):
        path = folder / "verdicts" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(verdict))
        new.replace(path)
    return verdict
