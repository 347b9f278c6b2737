"""What the rows that two versions were both measured on say about them."""

from dataclasses import dataclass

from tunewright.registry.gates.outcomes import Outcomes, Shared, shared
from tunewright.registry.gates.paired import Difference, mcnemar_two_sided, of_means, of_shares, of_spearman

_SPEARMAN = "spearman"


@dataclass(frozen=True)
class Comparison:
    """A version after, held against one before."""

    figure: str
    """What is compared, more is better."""
    rows: Shared
    difference: Difference
    either: float | None
    """The two-sided p-value of McNemar's test; None where rows are not right or wrong."""

    @property
    def says(self) -> str:
        """The figures in a line."""
        count, found = len(self.rows.rows), self.difference
        if self.either is not None:
            better, worse = len(self.rows.better), len(self.rows.worse)
            return f"of {count:,} rows {better:,} are right now and {worse:,} wrong now (one-sided p {found.worse:.2g})"
        return f"{self.figure} {found.value:+.4f} on {count:,} rows (one-sided p {found.worse:.2g})"


def compare(before: Outcomes, after: Outcomes, *, alpha: float = 0.05) -> Comparison | None:
    """None where no row is the same, or the figures are not of one kind. `alpha`: of the one-sided interval."""
    both = shared(before, after)
    score = after.head.score
    if not both.rows or before.head.score != score:
        return None
    if score is None:
        return _of_numbers(before, after, both, alpha)
    if before.is_right_or_wrong and after.is_right_or_wrong:
        better, worse = len(both.better), len(both.worse)
        found = of_shares(better, worse, len(both.rows), alpha)
        return Comparison(score, both, found, mcnemar_two_sided(better, worse))
    pairs = [(one.before.score or 0.0, one.after.score or 0.0) for one in both.rows]
    return Comparison(f"mean {score}", both, of_means(pairs, alpha), None)


def _of_numbers(before: Outcomes, after: Outcomes, both: Shared, alpha: float) -> Comparison | None:
    """By the headline metric, which is of all rows together."""
    if {before.head.metric, after.head.metric} != {_SPEARMAN}:
        return None
    rows = [_numbers(one.after.true, one.before.answer, one.after.answer) for one in both.rows]
    return Comparison(_SPEARMAN, both, of_spearman(rows, alpha), None)


def _numbers(*told: object) -> tuple[float, float, float]:
    true, before, after = (one if isinstance(one, float) else 0.0 for one in told)
    return true, before, after
