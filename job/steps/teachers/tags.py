"""Distillation of tags: what a teacher answers to a word stands at the first token of the word, beside its tag.

Axes: S tokens of all rows, W words of all training sentences, B rows of a batch, T tokens, L tags.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.job.batches.sample import as_they_are
from tunewright.job.batches.side import Array, Batch, Renewed, Rows
from tunewright.job.batches.text import NO_LABEL
from tunewright.job.kinds.plan import Plan
from tunewright.job.learners.tags import labelled, windower
from tunewright.job.train.objective import Loss, Objective


def taught_tags(plan: Plan, rows: Rows, objective: Objective, soft: Loss) -> tuple[Rows, Objective]:
    """Training rows that carry what the teacher answers to their words, and an objective that learns both. `soft`: how
    far the logits of words `[W, L]` are from the teacher's."""
    settings, teaching = plan.settings.train.distill, plan.teaching
    assert settings is not None
    assert teaching is not None
    share, apart = settings.weight, objective.apart

    def loss(logits_BTL: torch.Tensor, targets_BTK: torch.Tensor) -> torch.Tensor:
        tags = _tags(targets_BTK)
        words = tags != NO_LABEL
        theirs = targets_BTK[words][:, 1:]
        # A tokenizer may make nothing of a word that another one reads.
        read = theirs.isfinite().all(-1)
        taught = (
            soft(logits_BTL[words][read], theirs[read]) * read.float().mean() if read.any() else logits_BTL.sum() * 0
        )
        if share == 1:
            return taught
        # By words, so that the parts of a step and those of several processes make the same step.
        weight = objective.weight(tags) / max(1, int(words.sum()))
        return share * taught + (1 - share) * weight * objective.loss(logits_BTL, tags)

    learned = replace(
        objective,
        loss=loss,
        weight=lambda targets_BTK: int((_tags(targets_BTK) != NO_LABEL).sum()),
        apart=(lambda one, other, targets_BTK: apart(one, other, _tags(targets_BTK))) if apart else None,
    )
    return TaughtTags(rows, teaching.logits, words_of_tokens(plan)), learned


def _tags(targets_BTK: torch.Tensor) -> torch.Tensor:
    return targets_BTK[..., 0].long()


def words_of_tokens(plan: Plan) -> NDArray[np.int64]:
    """Of each token of the training rows the number of the word that begins with it, counted over all sentences, or
    `NO_LABEL`, `[S]`."""
    (cutter, cut), found, first = windower(plan), array("q"), 0
    for sentences, _ in plan.prepared.train.data.batches():
        for words in sentences:
            for _, numbers in labelled(cutter.words(words, cut), range(first, first + len(words))):
                found.extend(numbers)
            first += len(words)
    return np.frombuffer(found, dtype=np.int64)


class TaughtTags:
    """Rows of which each token has a tag, or `NO_LABEL`, and the teacher's logits: targets `[B, T, 1 + L]`."""

    def __init__(self, plain: Rows, logits: Array, words: NDArray[np.int64]) -> None:
        self.plain, self._logits, self._words = plain, torch.from_numpy(logits), words
        self._starts = np.concatenate([[0], np.cumsum(as_they_are(plain).lengths)])
        # The same array: rows that are drawn anew change it.
        self.lengths, self.truncated = plain.lengths, plain.truncated

    def __len__(self) -> int:
        return len(self.plain)

    def renew(self, epoch: int) -> None:
        """Have the rows of another epoch, where these are others."""
        if isinstance(self.plain, Renewed):
            self.plain.renew(epoch)

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows, drawn as they may be."""
        batch = self.plain.batch(rows)
        tags = batch["targets"]
        taught = torch.full((*tags.shape, self._logits.shape[1]), torch.nan)
        for line, row in enumerate(batch.get("rows", torch.tensor(list(rows))).tolist()):
            words = self._words[self._starts[row] : self._starts[row + 1]]
            (places,) = np.nonzero(words != NO_LABEL)
            taught[line, places] = self._logits[words[places]]
        return {**batch, "targets": torch.cat([tags[..., None].float(), taught], dim=-1)}
