"""docs/reference/model-json.md: every field of `model.json`, and of what stands in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines import text_to_text
from tunewright.serving.meanings import described
from tunewright.serving.tasks import TASKS
from writers.schemas import table

_INTRODUCTION = """\
A version is a folder; `model.json` at its top says all that a server must know besides the tokenizer and the graph.

```
model.json            this page
tokenizer.json        the tokenizer, or preprocessor_config.json for images and recordings; chat_template.jinja if any
onnx/<variant>/       the graph of each variant: fp32, int8
weights/              safetensors and config, to continue training from
report/               metrics.json for programs, README.md and report.html for people, outcomes.jsonl.gz
lineage.json          data, base model, settings, code, packages and hardware it was made of
provenance.json       the same for other tools: in-toto statement with SLSA provenance, about all other files
sbom.json             base model, data and every installed package, as CycloneDX
```

A server refuses a field that it does not know, and a `format` other than its own.

`report/outcomes.jsonl.gz` tells how each test row went, so that versions can be compared row by row: lines of JSON, the
first one about all rows, then one for each, as in
`{"row":"9f86d081884c7d65","true":"good","int8":["bad",0],"fp32":["good",1],"of":["de"]}`. Of a task that keeps no
answers to single rows there is no such file; of more than 100,000 test rows those with the smallest numbers are kept.

- `row`: a number of the input (blake2b of 8 bytes), by which the job finds equal rows. Whoever has an input can tell by
  it whether it was tested.
- `true`: the label, the labels or the number; `null` for a label that training never saw. Not there for texts and tags.
- of each variant: what was answered (`null` for texts and tags, which are not kept), and the score that the row
  reached, more is better (`null` for numbers, whose figure is of all rows together).
- `of`: the values of the `columns`, which `report.slices` of the job names.

The first line has `metric` (the headline), what the `score` of a row is, `variants` (the one served by default first),
`columns`, `test_rows`, and `in_training`: test rows whose inputs stand among the training rows too, `null` where
the model was imported, and nobody knows these.
"""


_SHARED: dict[str, type[BaseModel]] = {"summarization": text_to_text.Options, "translation": text_to_text.Options}
"""Options that are not in the task's own module."""


def page() -> str:
    """The text below the title."""
    schema = described(ModelFile).model_json_schema()
    parts = [_INTRODUCTION, "\n## ModelFile\n\n", table(schema), *_sections(schema["$defs"])]
    parts.append("\n## Options of tasks\n\nWhat `options` holds; tasks that are not listed have none.\n")
    more: dict[str, Any] = {}
    for name, options in sorted(_options()):
        schema = described(options).model_json_schema()
        more |= schema.get("$defs", {})
        parts.append(f"\n### {name}\n\n{table(schema, of='option')}")
    parts.append("\n## Parts of options\n")
    return "".join([*parts, *_sections(more, depth=3)])


def _options() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, task in TASKS.items():
        options = _SHARED.get(name) or getattr(task, "Options", None)
        if isinstance(options, type) and issubclass(options, BaseModel):
            yield name, options


def _sections(parts: Mapping[str, Any], depth: int = 2) -> Iterator[str]:
    for name, part in sorted(parts.items()):
        meaning = " ".join(part.get("description", "").split())
        yield f"\n{'#' * depth} {name}\n\n{meaning}\n\n{table(part)}"
