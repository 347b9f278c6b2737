"""Tokenizers, chat templates and graphs are programs of others: they are judged by running them, in a child process.

The child may take so much processor time, wall time and memory and no more. Whatever the program does there, such as a
panic, a recursion without end or a constant of gigabytes, comes back as one sentence.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tunewright.serving.trial.bounds import Bounds
from tunewright.serving.trial.parent import tried
from tunewright.serving.trial.verdicts import key_of, verdict


@dataclass(frozen=True)
class Made:
    """What a tokenizer makes of texts."""

    largest_id: int
    largest_type: int
    added: int
    """Special tokens that it puts around a text or a pair of texts, the larger number of the two."""


@dataclass(frozen=True)
class Tried:
    """What a bundle has shown."""

    cases: int
    """Golden cases that were replayed."""
    memory: int
    """Bytes that it took at most, to be loaded and to answer."""


def try_bundle(folder: Path, variant: str, *, digest: str, cache: Path, bounds: Bounds | None = None) -> Tried:
    """Load one variant of a bundle, replay its golden cases and answer the task's example, at other lengths as well.
    BundleError where that fails.

    `digest`: that of the version. `cache`: where the verdict is kept.
    """
    size = sum(path.stat().st_size for path in (folder / "onnx" / variant).rglob("*") if path.is_file())
    what, bounds = f"version {digest[:19]}", bounds or Bounds.of(size)
    key = key_of("bundle", digest, variant)
    found = Tried(**verdict(key, cache, lambda: tried("bundle", [str(folder), variant], what, bounds)))
    # Where the system does not tell, or other things of the trial took more before.
    return replace(found, memory=max(found.memory, size))


@dataclass(frozen=True)
class Answers:
    """What a graph of texts gives."""

    per_token: bool
    """Whether it answers each token; else each row."""
    labels: int
    """Numbers of an answer."""


def try_graph(path: Path, *, digest: str, cache: Path, bounds: Bounds | None = None) -> Answers:
    """Open a graph of texts and run it for rows of several numbers and lengths. BundleError where it does not fit.

    `digest`: of all its files. `cache`: where the verdict is kept.
    """
    size = sum(one.stat().st_size for one in path.parent.iterdir() if one.is_file())
    bounds = bounds or Bounds.of(size)
    key = key_of("graph", digest)
    found = verdict(key, cache, lambda: tried("graph", [str(path)], f"the graph {path.name}", bounds))
    return Answers(bool(found["per_token"]), found["labels"])


def try_tokenizer(path: Path, *, cache: Path, bounds: Bounds | None = None) -> Made:
    """Load a `tokenizer.json`, encode texts of many kinds and lengths, and decode what it makes of them. BundleError
    where it holds what is not allowed, gives up, or makes far more of a text than that has characters."""
    with path.open("rb") as file:
        key = key_of("tokenizer", hashlib.file_digest(file, "sha256").hexdigest())
    what, bounds = f"the tokenizer {path}", bounds or Bounds.of()
    return Made(**verdict(key, cache, lambda: tried("tokenizer", [str(path)], what, bounds)))


def try_template(source: str, special_tokens: Mapping[str, str], *, cache: Path, bounds: Bounds | None = None) -> None:
    """Render a chat template for short conversations. BundleError where it does not end, or grows without bound.

    What it refuses in its own words is no fault: it may want other roles or another order.
    """
    given, bounds = json.dumps([source, dict(special_tokens)]), bounds or Bounds.of()
    key = key_of("template", hashlib.sha256(given.encode()).hexdigest())
    verdict(key, cache, lambda: tried("template", [], "the chat template", bounds, given))
