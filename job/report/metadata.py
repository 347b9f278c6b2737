"""What stands above a model card for programs: the metadata of Hugging Face's model cards."""

import math
import re
from collections.abc import Mapping

from huggingface_hub import EvalResult, ModelCardData

from tunewright.job.kinds.plan import Plan
from tunewright.job.steps.release import Release

_PIPELINES = {
    "audio-regression": "audio-classification",
    "image-regression": "image-classification",
    "image-text-classification": "",
    "masked-language-modelling": "fill-mask",
    "text-regression": "text-classification",
}
"""What the hub calls a task, where it is not the same word; empty where it has no word for it."""
_TYPES = {"macro_f1": "f1", "micro_f1": "f1", "mcc": "matthews_correlation", "rougeL": "rouge", "spearman": "spearmanr",
          "pearson": "pearsonr", "rmse": "rmse"}  # fmt: skip
"""What the hub calls a metric, likewise."""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def front_matter(release: Release, plan: Plan) -> str:
    """YAML between two lines of dashes, as `huggingface_hub.ModelCard` reads it."""
    settings = plan.settings
    pipeline = _PIPELINES.get(settings.task, settings.task)
    measured = release.evaluations[release.model.default_variant]
    base = plan.base.address.partition("@")[0]
    data = ModelCardData(
        base_model=base if _HUB_NAME.fullmatch(base) else None,
        eval_results=_results(measured.metrics, settings.model_name, pipeline or settings.task),
        library_name="onnx",
        metrics=sorted({_TYPES.get(name, name) for name in measured.metrics}),
        model_name=settings.model_name,
        pipeline_tag=pipeline or None,
        tags=["tunewright", *([] if pipeline == settings.task else [settings.task])],
        ignore_metadata_errors=False,
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _results(metrics: Mapping[str, float], model: str, task: str) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=task,
            dataset_type="tunewright",
            dataset_name=f"test rows of {model}",
            dataset_split="test",
            metric_type=_TYPES.get(name, name),
            metric_name=name,
            metric_value=round(value, 6),
        )
        for name, value in metrics.items()
        if math.isfinite(value)
    ]
