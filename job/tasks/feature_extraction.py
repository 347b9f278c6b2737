"""Feature extraction: a text to one vector, such that texts of one meaning have vectors of one direction.

Without scores nothing is learned: the base model, with its pooling, becomes a version that can be served. With pairs of
texts and scores the cosine of two vectors learns to follow the score, or is only measured by it.
Axes: B texts of a batch, T tokens of a text, D numbers of a vector.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.side import Array, Batch, Rows, Targets
from tunewright.job.batches.text import EncodedSplit, SplitWriter, TextRows, encoded
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.kinds import regression
from tunewright.job.kinds.task import Part, Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.measure.evaluation import Evaluation, evaluated, gathered, logits_of, time_alone
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_encoder, load_config
from tunewright.job.progress import say
from tunewright.job.settings.job import JobSettings, refuse_useless
from tunewright.job.train.loop import Trained, train
from tunewright.job.train.objective import Loss, Objective, forward
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.feature_extraction import normalized
from tunewright.serving.text.encoding import Encoder

Pooling = Literal["mean", "cls"]
FROZEN, SIMILARITY = "frozen", "similarity"
_VECTOR = {"mean": "the mean over its tokens", "cls": "that of its first token"}
_KEPT = ("seed", "max_length")
"""Settings of `train` that mean something where nothing is trained."""
_USELESS = ("pooling", "label_smoothing", "class_weights", "focal_gamma", "huber_delta")
"""Settings of `train` that mean nothing where cosines are taught."""
_COMPARED = 1000
"""Test texts whose vectors are compared with those of torch."""


class EmbeddingOptions(Options):
    """`options:` of feature-extraction."""

    pooling: Literal["auto"] | Pooling = "auto"
    """Tokens to one vector: their mean, the first token's (cls), or as the base model was pretrained (auto)."""
    normalize: bool = True
    """Whether an answer is scaled to the length 1 where a caller does not say."""
    learn: bool = True
    """Whether the vectors learn from the scores; when false the base model is only measured by them."""


class PooledEncoder(nn.Module):
    """An encoder and the pooling of its tokens. Its weights carry the names transformers gives them (`bert.*`)."""

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        config: Any = encoder.config
        config.tunewright_pooling = pooling
        self.config, self.pooling = config, pooling
        self.base_model_prefix: str = encoder.base_model_prefix  # type: ignore[assignment]
        self.add_module(self.base_model_prefix, encoder)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Token ids `[B, T]` to vectors `[B, D]`, which the exporter knows as logits."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoder = getattr(self, self.base_model_prefix)
        hidden_BTD = encoder(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        if self.pooling == "cls":
            return {"logits": hidden_BTD[:, 0]}
        mask_BT1 = attention_mask.unsqueeze(-1).to(hidden_BTD.dtype)
        return {"logits": (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)}


class FeatureExtraction(TextTask):
    """Texts to vectors."""

    FORMS = (Form(("text",)), Form(("text", "text_pair"), target="score"))
    OPTIONS = EmbeddingOptions

    def problem(self, target_role: str, options: EmbeddingOptions) -> str:
        """A column of scores is there to be learned from."""
        return SIMILARITY if target_role else FROZEN

    def headline(self, problem: str) -> str:
        """Rank correlation of cosine and score; without scores, how close a file is to the base model."""
        return self.metric_names(problem)[0]

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Spearman's and Pearson's correlation; or the mean cosine between a file's vectors and those of torch."""
        return ("spearman", "pearson") if problem == SIMILARITY else ("fidelity",)

    def purpose(self, model: ModelFile) -> str:
        """A vector."""
        return f"Turns a text into a vector of {model.options['dimensions']} numbers"

    # Data

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """One text, or two and a number."""
        return self.text_type(roles), pa.float64() if roles.target else pa.null()

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """The text, or both texts and the number."""
        text = cells.texts()
        if not cells.roles.target:
            return None if text is None else (text, None)
        score = cells.target(lambda value, role, settings: regression.read_target(value))
        return None if text is None or score is None else (text, score)

    def learn_labels(self, targets: Sequence[float | None], role: str) -> list[str]:
        """None; DataError when all scores are equal."""
        if role:
            regression.learn_labels(cast(Sequence[float], targets), role)
        return []

    def encode_targets(self, targets: Sequence[float | None], labels: Sequence[str], problem: str) -> Targets:
        """`[N]` numbers."""
        return regression.encode_targets(cast(Sequence[float], targets)) if problem == SIMILARITY else None

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say which cosine stands for which score."""
        if problem == SIMILARITY:
            (low, high), (least, most) = cosine_range(sides["train"].targets), _ends(sides["train"].targets)
            say("split", f"scores from {least:g} to {most:g} stand for cosines from {low:g} to {high:g}")

    # Encoding

    def open_encoder(self, settings: JobSettings, base: BaseModel) -> Encoder:
        """The tokenizer with its limits; BaseModelError for a base whose vectors are made in another way."""
        _refuse_more_modules(base)
        return super().open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Token ids; of a pair both texts in rows of their own, one after the other."""
        if plan.prepared.problem == FROZEN:
            return super().encode(plan, side, folder, on_rows)
        part: Part = getattr(plan.prepared, side)
        writer = SplitWriter(folder)
        for pairs, _ in part.data.batches():
            for row in encoded(plan.encoder, [text for pair in pairs for text in pair]):
                writer.add(row)
            on_rows(len(pairs))
        return PairRows(writer.close(part.targets), plan.encoder, self.graph_inputs(plan))

    # Learning

    def build_model(self, plan: Plan) -> nn.Module:
        """The encoder and its pooling; frozen where there is nothing to learn."""
        model = PooledEncoder(build_encoder(plan.base, plan.settings.train), _pooling(plan))
        return model.requires_grad_(_idle(plan) is None)

    def objective(self, plan: Plan) -> Objective:
        """Squared distance between the cosine of two texts and their score."""
        settings, problem = plan.settings, plan.prepared.problem
        _pooling(plan)
        if idle := _idle(plan):
            refuse_useless(
                settings.train, [name for name in type(settings.train).model_fields if name not in _KEPT], idle
            )
            if settings.adapt:
                raise SettingsError(f"adapt would have no effect: {idle}; remove it")
            return Objective(functional.mse_loss, lambda scored: {}, self.headline(problem))
        reason = "options.pooling chooses the vector, and cosines are taught by their squared error"
        refuse_useless(settings.train, _USELESS, reason)
        return Objective(
            loss=make_loss(plan.prepared.train.targets),
            measure=lambda scored: correlations(*gathered(scored)),
            metric=settings.train.metric or self.headline(problem),
            forward=cosines,
        )

    def train(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> Trained:
        """Teach the cosines; without scores there is nothing to do."""
        said = "" if plan.base.pooling in _VECTOR else " (the base model does not say what it was pretrained with)"
        say("model", f"the vector of a text is {_VECTOR[_pooling(plan)]}{said}")
        if idle := _idle(plan):
            say("train", f"{idle}: the weights stay as they are")
            return Trained("fp32", "cpu")
        return train(model, sides, objective, plan.settings.train)

    # Release

    def served(self, value: Any) -> Any:
        """One text: the first of a pair."""
        return value if isinstance(value, str) else value[0]

    def request(self, value: Any) -> Any:
        """One text: the first of a pair."""
        return self.served(value)

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """The size of a vector. A request holds single texts, also where pairs were taught."""
        options = {"dimensions": load_config(plan.base).hidden_size, "normalize": _options(plan).normalize}
        return super().model_file(plan, variants).model_copy(update={"options": options, "pair": False})

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Vectors as they come from the pooling, one text at a time."""
        names, vectors = self.graph_inputs(plan), []
        for row in plan.encoder.encode([self.served(value) for value in inputs]):
            arrays = plan.encoder.pad([row], names)
            batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
            vectors.append(np.asarray(forward(model, batch)[0].numpy(), dtype=np.float32))
        return vectors

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """How well cosines follow the scores; without scores, how close the vectors are to those of torch."""
        if plan.prepared.problem == FROZEN:
            return self._fidelity(predictor, part, plan)
        first, second = (normalized(logits_of(predictor, part.data, itemgetter(at))) for at in (0, 1))
        cosine_N1 = (first * second).sum(axis=-1, keepdims=True)
        targets = np.asarray(part.targets)
        return evaluated(
            lambda rows: correlations(cosine_N1[rows], targets[rows]),
            len(part),
            headline=self.headline(SIMILARITY),
            ms_per_text=time_alone(predictor, part.data, self.served),
        )

    def _fidelity(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Cosines between a file's vectors and those that torch makes of the same weights."""
        places = np.unique(np.linspace(0, len(part) - 1, min(len(part), _COMPARED)).astype(int))
        texts = part.data.select(places).inputs()
        expected = normalized(np.stack(self.torch_outputs(self.build_model(plan).eval(), plan, texts)))
        cosine_N = (expected * normalized(np.stack(predictor.outputs(texts)))).sum(axis=-1)
        return evaluated(
            lambda rows: {"fidelity": float(cosine_N[rows].mean())},
            len(texts),
            headline=self.headline(FROZEN),
            ms_per_text=time_alone(predictor, part.data, self.served),
        )


class PairRows(TextRows):
    """Pairs of texts as the training loop reads them: the B first texts, then the B second ones, `[2B, T]`."""

    def __init__(self, split: EncodedSplit, encoder: Encoder, inputs: Sequence[str]) -> None:
        """`split`: the first and the second text of each pair, one after the other."""
        super().__init__(split, encoder, inputs)
        self.lengths = split.lengths.reshape(-1, 2).max(axis=1)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Token ids of both texts of these pairs, and one target for each pair."""
        return super().batch([2 * row + at for at in (0, 1) for row in rows])

    def _targets(self, rows: Sequence[int]) -> NDArray[Any]:
        return super()._targets([row // 2 for row in rows[: len(rows) // 2]])


def cosines(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Cosine of the first and the second text of each pair, `[B, 1]`."""
    first_BD, second_BD = forward(model, batch).chunk(2)
    return functional.cosine_similarity(first_BD, second_BD)[:, None]


def make_loss(targets: Targets) -> Loss:
    """Squared distance of a cosine and its score; the scores of the training rows span the cosines."""
    (least, most), (low, high) = _ends(targets), cosine_range(targets)
    factor = (high - low) / ((most - least) or 1.0)

    def loss(cosine_B1: torch.Tensor, score_B: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(cosine_B1[:, 0], (score_B - least) * factor + low)

    return loss


def cosine_range(targets: Targets) -> tuple[float, float]:
    """Cosines that stand for the least and the largest score: from 0, or from -1 where there are scores below 0."""
    return (-1.0 if _ends(targets)[0] < 0 else 0.0), 1.0


def correlations(cosine_N1: Array, targets: Targets) -> dict[str, float]:
    """Spearman's and Pearson's correlation; a cosine has not the unit of a score, so there is no error."""
    found = regression.metrics(cosine_N1, targets)
    return {name: found[name] for name in ("spearman", "pearson")}


def _ends(targets: Targets) -> tuple[float, float]:
    return float(targets.min()), float(targets.max())


def _options(plan: Plan) -> EmbeddingOptions:
    return cast(EmbeddingOptions, plan.prepared.options)


def _idle(plan: Plan) -> str | None:
    """Why nothing is trained; None where the cosines learn."""
    if plan.prepared.problem == FROZEN:
        return "without a column of scores nothing is trained"
    return None if _options(plan).learn else "options.learn is false, so that nothing is trained"


def _pooling(plan: Plan) -> Pooling:
    """As asked for, as the base was pretrained, else the mean; BaseModelError for a base pooled in another way."""
    asked, base = _options(plan).pooling, plan.base
    if asked != "auto":
        return asked
    if base.pooling not in (*_VECTOR, "", "native"):
        raise BaseModelError(
            f"base model {base.address!r} was pretrained with the pooling {base.pooling!r}, which is not supported; "
            "set options.pooling to mean or cls to use it with another one"
        )
    return "cls" if base.pooling == "cls" else "mean"


def _refuse_more_modules(base: BaseModel) -> None:
    """A base model of sentence-transformers may have layers after its pooling, which would silently be missing."""
    try:
        modules = json.loads((base.folder / "modules.json").read_text())
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise BaseModelError(
                f"base model {base.address!r} has a module {kind!r} (modules.json), which is not supported: without "
                "it, its vectors are not those it was trained for"
            )
