"""A bundle that answers: encode, run, decode. No web in it: the job measures with it, the server serves it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.bundle import ModelFile, Variant, choose_variant, read_model_file
from serving.encoding import Encoded, Encoder, Text, check_inputs
from serving.errors import BundleError, ModelFault
from serving.session import Array, Session, TimeLimit, available_cpus
from serving.tasks import TASKS

TOKENS_PER_RUN = 512
"""Padded tokens of one run: more than this falls out of a core's cache and gets slower per text."""


@dataclass(frozen=True)
class Predictor:
    """One variant of one bundle, loaded. Build it with `open_predictor`."""

    model: ModelFile
    variant: str
    encoder: Encoder
    session: Session
    pool: ThreadPoolExecutor
    tokens_per_run: int = TOKENS_PER_RUN

    def predict(self, inputs: Sequence[Text], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """One answer per input, in the shape of the task; InputError for a parameter the task does not know."""
        wanted = TASKS[self.model.task].read_parameters(parameters or {}, self.model)
        return self.answers(self.encoder.encode(inputs), wanted)

    def answers(self, rows: Sequence[Encoded], wanted: Any, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per encoded row. `wanted`: what the task's `read_parameters` returned."""
        logits = self.run(rows, limit=limit)
        if not np.isfinite(logits).all():
            raise ModelFault("the model answered with a number that is not finite; its graph or its weights are broken")
        return TASKS[self.model.task].answers(logits, self.model, wanted)

    def logits(self, inputs: Sequence[Text]) -> Array:
        """Raw model outputs `[N, labels]`, in the order of the inputs."""
        return self.run(self.encoder.encode(inputs))

    def run(self, rows: Sequence[Encoded], *, limit: TimeLimit | None = None) -> Array:
        """Raw outputs `[N, labels]` of rows that are already encoded, short ones run with short ones."""
        result = np.empty((len(rows), len(self.model.labels)), dtype=np.float32)
        plan = plan_runs([len(row) for row in rows], self.tokens_per_run if self._variant.batching == "padded" else 0)

        def one_run(indices: list[int]) -> None:
            batch = self.encoder.pad([rows[index] for index in indices], self.session.inputs)
            logits = self.session.run(batch, limit=limit)
            expected = (len(indices), len(self.model.labels))
            # Without this numpy would spread one column over all labels.
            if logits.shape != expected:
                raise ModelFault(f"the graph answers with the shape {logits.shape} where {expected} is needed")
            result[indices] = logits

        if len(plan) == 1:
            one_run(plan[0])
        else:
            list(self.pool.map(one_run, plan))
        return result

    @property
    def _variant(self) -> Variant:
        return self.model.variants[self.variant]

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self.pool.shutdown(wait=True)


def plan_runs(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Row indices of each run: by length, filled while rows x longest stays within `tokens`; 0: one row a run."""
    runs: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if runs and (len(runs[-1]) + 1) * lengths[index] <= tokens:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def open_predictor(
    folder: Path, *, variant: str | None = None, threads: int = 0, tokens_per_run: int = TOKENS_PER_RUN
) -> Predictor:
    """Load one variant of a bundle. `threads`: runs at the same time, 0 for one per available processor."""
    model = read_model_file(folder)
    if model.task not in TASKS:
        raise BundleError(f"this version's task is {model.task!r}; this program answers: {', '.join(sorted(TASKS))}")
    name = choose_variant(model, variant)
    # One thread a run and several runs at once beat several threads in one run on rows this short.
    session = Session(folder / model.variants[name].file, threads=1)
    check_inputs(session.inputs)
    return Predictor(
        model=model,
        variant=name,
        encoder=Encoder(
            folder / "tokenizer.json",
            max_length=model.max_length,
            padding=model.padding,
            cleaning=model.cleaning,
        ),
        session=session,
        pool=ThreadPoolExecutor(threads or available_cpus(), thread_name_prefix="predictor"),
        tokens_per_run=tokens_per_run,
    )
