"""docs/reference/http.md: the routes of the server, its status codes, and what each task is asked and answers."""

import json
from collections.abc import Mapping
from typing import Any

from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.engines.task import Shapes
from tunewright.serving.http.openapi import paths
from tunewright.serving.protocols.protocol import About
from tunewright.serving.settings import Limits
from tunewright.serving.tasks import TASKS
from writers.schemas import outline, table

_OPTIONS: Mapping[str, dict[str, Any]] = {
    "feature-extraction": {"dimensions": 384},
    "masked-language-modelling": {"mask_token": "[MASK]"},
    "text-generation": {"generation": {}, "context": 1024, "chat": True},
}
"""What a `model.json` of the task says at the least, where its requests depend on it."""
_INTRODUCTION = """\
A server answers over HTTP/1.1 and in JSON. It writes its own OpenAPI document, the same for each version of a model,
with a real answer as the example: `/openapi.json`, and a page to try it out under `/docs`. Clients of the field have
addresses of their own: those of [Hugging Face](../guides/protocols/huggingface.md),
[OpenAI](../guides/protocols/openai.md), [Triton](../guides/protocols/open-inference-protocol.md),
[KServe](../guides/protocols/kserve.md), [MLflow and SageMaker](../guides/protocols/mlflow-and-sagemaker.md),
[text-embeddings-inference](../guides/protocols/text-embeddings-inference.md) and
[text-generation-inference](../guides/protocols/text-generation-inference.md). What answers for the first model of a
server answers for each by its name, too: `/models/reviews/predict`.

```
curl http://127.0.0.1:8080/predict -d '{"inputs": "This product is amazing!"}'
curl http://127.0.0.1:8080/predict -d '{"inputs": ["one", "two"], "parameters": {"top_k": 1}}'
```

One input is answered by one answer, a list by a list in the same order. `X-Tunewright-Model` names who answered,
such as `reviews:7/int8`. An error is `{"error": "a sentence", "error_type": "InputError"}`. Limits of requests are
settings of [the server](settings.md#the-server).
"""


def page() -> str:
    """The text below the title."""
    shapes = {name: task.shapes(_model(name)) for name, task in sorted(TASKS.items())}
    routes = _routes(shapes)
    codes = routes["/predict"]["post"]["responses"]
    parts = [_INTRODUCTION, "\n## Routes\n\n| route | for |\n|---|---|\n"]
    parts += [
        f"| `{method.upper()} {path}` | {said['summary'].rstrip('.')} |\n"
        for path, methods in sorted(routes.items())
        for method, said in methods.items()
    ]
    parts.append("\n## Status codes\n\n| code | when |\n|---|---|\n")
    parts += [f"| {code} | {said['description']} |\n" for code, said in codes.items()]
    parts.append(f"\n## Streams\n\n{routes['/predict/stream']['post']['description']}\n")
    return "".join(parts) + _tasks(shapes)


def _routes(shapes: Mapping[str, Shapes]) -> dict[str, Any]:
    """The addresses of servers of all tasks."""
    routes: dict[str, Any] = {}
    for name, shape in shapes.items():
        pair = name == "text-regression"
        model = _model(name).model_copy(update={"pair": pair, **({"labels": ["score"]} if pair else {})})
        about = About("{model}", model, shape, name in ("text-generation", "translation"), Limits().inputs)
        for path, methods in paths(about).items():
            routes.setdefault(path, methods)
    return routes


def _tasks(shapes: Mapping[str, Shapes]) -> str:
    parts = ["\n## Tasks\n"]
    told: dict[str, str] = {}
    for name, task in shapes.items():
        request = {
            "inputs": task.example,
            **({"parameters": task.example_parameters} if task.example_parameters else {}),
        }
        parts.append(f"\n### {name}\n\n```\nasked     {_short(request)}\n")
        parts.append(f"inputs    {outline(task.item)}\nanswers   {outline(task.answer)}\n```\n\n")
        parameters = table(task.parameters, of="parameter") if task.parameters["properties"] else ""
        if not parameters:
            parts.append("There are no parameters.\n")
        elif parameters in told:
            parts.append(f"The parameters are those of [{told[parameters]}](#{told[parameters]}).\n")
        else:
            parts.append(parameters)
        told.setdefault(parameters, name)
    return "".join(parts)


def _model(task: str) -> ModelFile:
    """A description with two labels, as far as requests and answers depend on it."""
    variant = Variant(file="onnx/fp32/model.onnx", batching="padded", bytes=1, golden_tolerance=1)
    return ModelFile(
        format=1,
        task=task,
        problem="single_label",
        labels=["negative", "positive"],
        options=_OPTIONS.get(task, {}),
        variants={"fp32": variant},
        default_variant="fp32",
    )


def _short(request: Any) -> str:
    """JSON, with files in base64 cut short."""
    cut = json.loads(json.dumps(request), object_hook=_without_bytes)
    return json.dumps(cut, ensure_ascii=False)


def _without_bytes(value: dict[str, Any]) -> dict[str, Any]:
    return {name: f"{one[:12]}..." if _is_file(one) else one for name, one in value.items()}


def _is_file(value: object) -> bool:
    return isinstance(value, str) and len(value) > 80 and " " not in value
