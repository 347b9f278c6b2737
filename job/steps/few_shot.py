"""Few labels: pairs of texts teach the encoder which belong together, then logistic regression is the head.

SetFit's two steps (Tunstall et al. 2022, arXiv 2209.11055) with the supervised contrastive loss of Khosla et al. 2020
(arXiv 2004.11362): on banking77 it is measured beside SetFit's own loss by tests/bench/bench_few_shot.py. The head is
written into the classifier's last layer, so the model is exported and served as any other.

Axes: N rows, P pairs, B texts of a batch, D hidden size, L labels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.side import Array, Batch, Rows, Targets
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.evaluation import gathered
from tunewright.job.measure.labels import answered
from tunewright.job.measure.metric import figures, lower_is_better
from tunewright.job.model.head import Head, apply_head, embed, fit_head, pooled, write_head
from tunewright.job.progress.events import say
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Loss, Objective, Scored, Watch, nobody
from tunewright.job.train.state import Trained

if TYPE_CHECKING:
    from tunewright.job.steps.teach import Before

Numbers = NDArray[np.int64]

_PROBLEM = "single_label"


def teach(
    model: nn.Module,
    sides: tuple[Rows, Rows],
    plan: Plan,
    checkpoints: Checkpoints | None = None,
    *,
    watch: Watch = nobody,
    before: "Before",
) -> Trained:
    """Teach the encoder with pairs (unless it is frozen), then fit the head; the model changes in place.

    Where there are validation rows, each epoch is measured on them with a head fitted for it, and the best is kept.
    """
    settings, few_shot = plan.settings.train, plan.settings.train.few_shot
    assert few_shot is not None
    rows, validation = sides
    targets = np.asarray(plan.prepared.train.targets, dtype=np.int64)

    def fitted() -> Head:
        return fit_head(embed(model, rows), targets, _PROBLEM, c=few_shot.head_c)

    def measured(vectors: Array, truths: Targets, head: Head) -> dict[str, float]:
        answers = answered(apply_head(vectors, head), truths, _PROBLEM)
        return figures(plan.prepared.metric_names, _PROBLEM, truths, answers)

    def measure(scored: Scored) -> dict[str, float]:
        return measured(*gathered(scored), fitted())

    if settings.layers == "head":
        before(model, sides, plan.prepared.task.objective(plan), plan)
        say("train", "the encoder stays as it is (train.layers is head); only the head is fitted")
        trained = Trained("fp32", "cpu")
    else:
        pairs = draw_pairs(targets, few_shot.pairs, settings.seed)
        say("train", f"{len(pairs):,} pairs an epoch, the same number for each of {len(plan.prepared.labels)} labels")
        metric = settings.metric or plan.prepared.task.headline(_PROBLEM)
        objective = Objective(
            contrastive_loss(few_shot.temperature),
            measure,
            metric,
            lower_is_better=lower_is_better(metric),
            forward=pooled,
            divisible=False,
            is_mean=False,
            watch=watch,
        )
        taught = ContrastivePairs(rows, pairs), validation
        before(model, taught, objective, plan)
        trained = train(model, taught, objective, settings, checkpoints)
    head = fitted()
    write_head(model, head)
    if len(validation):
        trained.figures = measured(embed(model, validation), plan.prepared.validation.targets[:], head)
    return trained


def draw_pairs(targets: Numbers, per_row: int, seed: int) -> Numbers:
    """Pairs of rows of one label, `[P, 2]` row numbers: as many for each label, `per_row` for each row on the average.

    A label's rows take turns as the first of a pair; the second is another row of the label drawn at random, or the
    same one where it is alone. Time and memory are O(N + P).
    """
    random = np.random.default_rng(seed)
    order = np.argsort(targets, kind="stable")
    _, starts = np.unique(targets[order], return_index=True)
    members = np.split(order, starts[1:])
    share = -(-per_row * len(targets) // len(members))
    return np.concatenate([_pairs_of(rows, share, random) for rows in members])


def _pairs_of(rows: Numbers, count: int, random: np.random.Generator) -> Numbers:
    turns = -(-count // len(rows))
    first = np.concatenate([random.permutation(len(rows)) for _ in range(turns)])[:count]
    # A step of 1 to n - 1 around the circle ends on another row.
    steps = random.integers(1, max(len(rows), 2), count)
    return np.asarray(rows[np.stack([first, (first + steps) % len(rows)], axis=1)])


class ContrastivePairs:
    """Pairs as the training loop reads rows: a batch of pairs is a batch of their texts, with their labels."""

    def __init__(self, rows: Rows, pairs: Numbers) -> None:
        self._rows, self._pairs = rows, pairs
        # In steps of a power of two: a batch of texts that all have one length has fewer sorts of texts to part.
        self.lengths: Numbers = 2 ** np.ceil(np.log2(rows.lengths[pairs].max(axis=1))).astype(np.int64)
        self.truncated = rows.truncated

    def __len__(self) -> int:
        return len(self._pairs)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The texts of these pairs and their targets `[2 * len(rows)]`."""
        return self._rows.batch(self._pairs[list(rows)].ravel().tolist())


def contrastive_loss(temperature: float) -> Loss:
    """Supervised contrastive loss over a batch of embeddings `[B, D]` and their labels `[B]`.

    For each text: minus the mean log share that the texts of its label have among all other texts of the batch, in a
    softmax over cosine similarity / temperature (Khosla et al. 2020, equation 2).
    """

    def loss(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        unit = functional.normalize(embeddings, dim=-1)
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        similar = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
        shares = similar.log_softmax(-1).masked_fill(itself, 0)
        kin = (targets[:, None] == targets[None, :]) & ~itself
        return -((shares * kin).sum(-1) / kin.sum(-1)).mean()

    return loss
