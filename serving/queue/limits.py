"""How large one request may be."""

from collections.abc import Iterable, Mapping, Sequence

from tunewright.serving.errors import TooLarge
from tunewright.serving.request.texts import characters
from tunewright.serving.settings import Limits


def check_texts(inputs: Sequence[object], limits: Limits) -> None:
    """TooLarge for too many inputs, or for one whose text is too long."""
    if len(inputs) > limits.inputs:
        raise TooLarge(
            f"'inputs' has {len(inputs)} items; this server takes at most {limits.inputs} in one request "
            "(SERVING_LIMITS__INPUTS)"
        )
    if (longest := longest_text(inputs)) > limits.characters:
        raise TooLarge(
            f"a text has {longest} characters; this server takes at most {limits.characters} "
            "(SERVING_LIMITS__CHARACTERS)"
        )


def check_files(unfolded: Iterable[int], limits: Limits) -> list[int]:
    """TooLarge for files that unfold into too much. `unfolded`: bytes of each, asked up to the first too large."""
    most, total = limits.media_bytes, 0
    sizes = []
    for number, size in enumerate(unfolded):
        sizes.append(size)
        total += size
        if size > most // 4:
            raise TooLarge(
                f"input {number}: the file unfolds into {size:,} bytes; this server takes at most {most // 4:,} "
                "from one file, a quarter of SERVING_LIMITS__MEDIA_BYTES"
            )
        if total > most:
            raise TooLarge(
                f"the first {number + 1} files of this request unfold into {total:,} bytes; this server takes at "
                f"most {most:,} in one request (SERVING_LIMITS__MEDIA_BYTES); send fewer or smaller files"
            )
    return sizes


def longest_text(inputs: Iterable[object]) -> int:
    """Characters of the longest of checked inputs; the two texts of a pair count separately."""
    return max((characters(part) for one in inputs for part in _parts(one)), default=0)


def _parts(one: object) -> Iterable[object]:
    """What of an input is a text of its own: each of a pair's; words and messages are one text together."""
    if isinstance(one, Mapping):
        return one.values()
    return one if isinstance(one, tuple) and all(isinstance(part, str) for part in one) else (one,)
