"""The licence of a base model: what its card says above the text (`license:`), as on the hub."""

import json
import re
from pathlib import Path

from tunewright.job.inside import leaves

CARD = "README.md"
LINEAGE = "lineage.json"
_LARGEST_CARD = 64 * 1024
_LARGEST_LINEAGE = 8 * 1024 * 1024
_HEAD = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*$", re.DOTALL | re.MULTILINE)
_NAME = r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}"
_LINE = re.compile(rf"^license:[ \t]*(['\"]?)({_NAME})\1[ \t]*\r?$", re.MULTILINE)


def licence_of(folder: Path) -> str | None:
    """What the card in the folder of a base model says, or the lineage of the version that the folder is of; None where
    neither does."""
    card = folder / CARD
    head = None if leaves(folder, card) else _HEAD.match(_read(card, _LARGEST_CARD).replace("\r\n", "\n"))
    line = _LINE.search(head[1]) if head else None
    return line[2] if line else _inherited(folder.parent / LINEAGE) if folder.name == "weights" else None


def _inherited(lineage: Path) -> str | None:
    """That of the base model of a version."""
    try:
        told = json.loads(_read(lineage, _LARGEST_LINEAGE))["base_model"]["licence"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return told if isinstance(told, str) and re.fullmatch(_NAME, told) else None


def _read(path: Path, most: int) -> str:
    """The beginning of a file; empty where there is none. What else a file is called is no matter of a licence."""
    try:
        if not path.is_file():  # of a pipe nobody may ever say anything
            return ""
        with path.open("rb") as file:
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
