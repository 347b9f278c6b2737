"""Token ids that were made before are not made again: kept by a digest of all that decides what they are."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tokenizers

from tunewright.job.batches.side import HeldTargets
from tunewright.job.batches.text import EncodedSplit, open_split
from tunewright.job.checkpoints.digest import digest
from tunewright.job.data.dataset import Dataset
from tunewright.job.data.reuse import code_digest, made_anew
from tunewright.registry.transfer.download import sha256_of

_STARTS, _FACTS = "starts.npy", "encoded.json"
_FILES = ("ids.i32", "type_ids.i8", "labels.i32", _STARTS)


def encode_or_reuse(
    data: Dataset,
    asked: Mapping[str, object],
    make: Callable[[Path], EncodedSplit],
    targets: HeldTargets,
    folder: Path,
) -> EncodedSplit:
    """What `make` makes of the inputs of `data` in files of a folder, or made the last time; with these targets.

    `asked` is all that it depends on beside the inputs and the code. What is not whole any more is made anew.
    """
    facts = {**asked, "inputs": data.digest(), "code": code_digest(), "tokenizers": tokenizers.__version__}
    place = folder / digest(facts)[:32]
    if (found := _kept(place, targets)) is not None:
        return found
    with made_anew(place) as new:
        split = make(new)
        np.save(new / _STARTS, split.starts, allow_pickle=False)
        digests = {name: sha256_of(new / name) for name in _FILES}
        (new / _FACTS).write_text(json.dumps({"sha256": digests, "truncated": split.truncated}))
    return split


def _kept(place: Path, targets: HeldTargets) -> EncodedSplit | None:
    """What was kept there, where it is whole."""
    try:
        facts = json.loads((place / _FACTS).read_bytes())
        if facts["sha256"] != {name: sha256_of(place / name) for name in _FILES}:
            return None
        os.utime(place)
        return open_split(place, np.load(place / _STARTS, allow_pickle=False), targets, int(facts["truncated"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
