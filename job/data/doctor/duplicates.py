"""Rows that repeat another one: exactly, or nearly, within a side and on two sides; and equal texts that disagree.

Near: the sets of five characters that two texts are made of (letters and digits, case folded) overlap by 0.8 (Jaccard).
Candidates come from MinHash in 16 bands of 8 values, which finds a pair with an overlap of 0.8 in 95 of 100 cases and
one of 0.9 in all; each is compared in full. A row is compared with the first row of its bucket and the one before it,
so that time grows with the rows and not with their square.

Axes: N distinct texts of all sides, B bands.
"""

import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.doctor.finding import Finding, Severity
from tunewright.job.data.doctor.side import Side, Texts
from tunewright.job.settings.data import FindingKind

_BANDS, _ROWS = 16, 8
_NEAR = 0.8
_PIECE = 5
_SHORTEST = 20
"""Letters and digits under which two texts are alike by chance."""
_BATCH = 4096
_MANY = 0.1
"""Share of repeated rows from which they are more than a note."""
_GAPS = re.compile(r"[\W_]+")

Positions = NDArray[np.int64]


def repeated(sides: Sequence[Side]) -> Iterator[Finding]:
    """Exact repetitions: rows whose texts are equal but for case."""
    before: list[Side] = []
    for side in sides:
        first = np.unique(side.keys, return_index=True)[1]
        again = np.setdiff1d(np.arange(len(side)), first)
        if len(again):
            severity: Severity = "warning" if len(again) / len(side) >= _MANY else "note"
            yield _finding(
                side, "repeats", severity, again, "repeat the text of another row of it", "keep one of each", said=True
            )
        for other in before:
            yield from _overlap(side, other, np.flatnonzero(np.isin(side.keys, other.keys)))
        before.append(side)


def _overlap(side: Side, other: Side, rows: Positions) -> Iterator[Finding]:
    if len(rows):
        advice = "remove them from one of the two, or leave the side out: rows that are split off share no text"
        yield _finding(side, "overlap", "serious", rows, f"also stand in {other.name}", advice, said=True)


def contradicting(side: Side, targets: NDArray[np.int64]) -> Iterator[Finding]:
    """Equal texts with different labels, `targets` `[N]`."""
    both = np.unique(np.stack([side.keys, targets.astype(np.uint64)]), axis=1)[0]
    keys, labels = np.unique(both, return_counts=True)
    rows = np.flatnonzero(np.isin(side.keys, keys[labels > 1]))
    if len(rows):
        advice = "decide which label is right, or remove these rows: no model can be right about all of them"
        yield _finding(
            side, "contradictions", "warning", rows, "have the text of another row but not its label", advice,
            said=side.name == "train",
        )  # fmt: skip


def can_be_near() -> bool:
    """Whether the library is there that finds near repetitions."""
    return importlib.util.find_spec("rensa") is not None


def near(sides: Sequence[Side]) -> Iterator[Finding]:
    """Near repetitions within each side and on two sides; exact ones are not among them."""
    starts = np.cumsum([0, *map(len, sides)])
    partner = _partners(sides, starts)
    for at, side in enumerate(sides):
        own = partner[starts[at] : starts[at + 1]]
        there = np.searchsorted(starts, own, side="right") - 1
        within = np.flatnonzero((own >= 0) & (there == at))
        if len(within):
            severity: Severity = "warning" if len(within) / len(side) >= _MANY else "note"
            yield _finding(
                side, "near_repeats", severity, within, "nearly repeat another row of it",
                "keep one of each, or see that they are meant: such rows count several times",
            )  # fmt: skip
        for other in range(at):
            rows = np.flatnonzero((own >= 0) & (there == other))
            if len(rows):
                severity = "serious" if len(rows) / len(side) >= _MANY else "warning"
                yield _finding(
                    side, "near_overlap", severity, rows, f"nearly repeat a row of {sides[other].name}",
                    "keep the two on one side: what is measured on them flatters the model",
                )  # fmt: skip


def _finding(
    side: Side, kind: FindingKind, severity: Severity, rows: Positions, what: str, advice: str, *, said: bool = False
) -> Finding:
    text = f"{len(rows):,} of {len(side):,} {side.name} rows {what}"
    return Finding(
        kind, severity, side.name, len(rows), len(rows) / len(side), text, advice, side.examples(rows), said
    )  # fmt: skip


def _partners(sides: Sequence[Side], starts: Positions) -> Positions:
    """For each row of all sides an earlier one that it nearly repeats, else -1."""
    partner = np.full(int(starts[-1]), -1, dtype=np.int64)
    numbers, bands = _bands(sides, starts)
    if not len(numbers):
        return partner
    for one, other in _candidates(numbers, bands):
        open_ = partner[one] < 0
        one, other = one[open_], other[open_]
        for start in range(0, len(one), _BATCH):
            late, early = one[start : start + _BATCH], other[start : start + _BATCH]
            alike = _alike(_texts(sides, starts, late), _texts(sides, starts, early))
            partner[late[alike]] = early[alike]
    return partner


def _candidates(numbers: Positions, bands: NDArray[np.uint64]) -> Iterator[tuple[Positions, Positions]]:
    """Pairs to compare, the later row first: of each band those with the first row of a bucket, and with the one
    before; a pair of rows that were compared for an earlier band is not compared again."""
    done = np.zeros(0, dtype=np.int64)
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        sorted_ = band[order]
        is_first = np.concatenate([[True], sorted_[1:] != sorted_[:-1]])
        firsts = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
        others = np.flatnonzero(~is_first)
        for early in (firsts[others], order[others - 1]):
            pairs = np.unique(order[others] * len(numbers) + early)
            pairs = np.setdiff1d(pairs, done, assume_unique=True)
            done = np.union1d(done, pairs)
            late, first = np.divmod(pairs, len(numbers))
            yield numbers[late], numbers[first]


def _bands(sides: Sequence[Side], starts: Positions) -> tuple[Positions, NDArray[np.uint64]]:
    """The rows that are compared, each text once, and their bands `[N, B]`."""
    keys = np.concatenate([side.keys for side in sides])
    is_first = np.zeros(len(keys), dtype=bool)
    is_first[np.unique(keys, return_index=True)[1]] = True
    numbers, bands = [], []
    for start, side in zip(starts, sides, strict=False):
        pending: list[tuple[int, list[str]]] = []
        for at, (texts, _) in enumerate(side.rows(), int(start)):
            plain = _plain(" ".join(texts))
            if is_first[at] and len(plain) >= _SHORTEST:
                pending.append((at, list(_pieces(plain))))
            if len(pending) == _BATCH:
                bands.append(_banded(pending))
                numbers += [number for number, _ in pending]
                pending = []
        if pending:
            bands.append(_banded(pending))
            numbers += [number for number, _ in pending]
    found = np.concatenate(bands) if bands else np.zeros((0, _BANDS), dtype=np.uint64)
    return np.array(numbers, dtype=np.int64), found


def _banded(rows: Sequence[tuple[int, list[str]]]) -> NDArray[np.uint64]:
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_token_sets([pieces for _, pieces in rows], num_perm=_BANDS * _ROWS, seed=1)
    values = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(rows), _BANDS, _ROWS)
    odd = np.random.default_rng(0).integers(0, 2**63, _ROWS, dtype=np.uint64) | np.uint64(1)
    mixed: NDArray[np.uint64] = (values * odd).sum(axis=2, dtype=np.uint64)
    return mixed


def _plain(text: str) -> str:
    """Letters and digits, case folded, one blank between words."""
    return _GAPS.sub(" ", text.casefold()).strip()


def _pieces(plain: str) -> set[str]:
    return {plain[at : at + _PIECE] for at in range(max(len(plain) - _PIECE + 1, 1))}


def _texts(sides: Sequence[Side], starts: Positions, numbers: Positions) -> list[Texts]:
    """The texts of these rows of all sides, in the order given."""
    found: list[Texts] = [()] * len(numbers)
    of_side = np.searchsorted(starts, numbers, side="right") - 1
    for at, side in enumerate(sides):
        here = np.flatnonzero(of_side == at)
        # The file is read from its beginning to its end.
        here = here[np.argsort(numbers[here], kind="stable")]
        for place, texts in zip(here.tolist(), side.texts_at(numbers[here] - starts[at]), strict=True):
            found[place] = texts
    return found


def _alike(some: Iterable[Texts], others: Iterable[Texts]) -> NDArray[np.bool_]:
    return np.array([_overlaps(one, other) for one, other in zip(some, others, strict=True)], dtype=bool)


def _overlaps(one: Texts, other: Texts) -> bool:
    """Whether two rows are nearly the same, in each of their texts."""
    return len(one) == len(other) and all(map(_is_near, one, other))


def _is_near(one: str, other: str) -> bool:
    here, there = _pieces(_plain(one)), _pieces(_plain(other))
    return len(here & there) >= _NEAR * len(here | there)
