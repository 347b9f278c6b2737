"""The parts of docs/architecture.md that follow the code: a table a room, and two lives, drawn and told."""

import ast
from typing import NamedTuple

from writers import house
from writers.drawing import chain


class Step(NamedTuple):
    """One station of a life."""

    name: str
    file: str
    """Where it happens."""
    what: str


ROOMS = (("job", "torch"), ("serving", "onnxruntime"), ("registry", "boto3"), ("a bucket", "or a folder"))
ROW = (
    Step("settings", "job/settings/load.py", "File, variables, flags: one tree; all mistakes at once."),
    Step("fetch", "job/data/sources/fetch.py", "Each file once, in verified ranges, into a cache on disk."),
    Step("read", "job/data/readers/formats.py", "Bytes to rows, as a stream, with the line each row came from."),
    Step(
        "check",
        "job/data/check.py",
        "Every row is checked, cleaned as in serving, kept in an Arrow file.",
    ),
    Step("split", "job/data/split.py", "What is missing is split off: by label, equal texts on one side."),
    Step("encode", "job/batches/text.py", "Token ids, by the tokenizer file that will be served (`serving/text/`)."),
    Step("batch", "job/batches/by_length.py", "Rows of like length together, in a new order each epoch."),
    Step("learn", "job/train/loop.py", "Batch, loss, backward, clip, step; the best epoch on validation is kept."),
    Step("export", "job/export/graph.py", "Torch to ONNX, fp32 and int8."),
    Step("parity", "job/export/parity.py", "The same rows through torch and the file: equal, or the job ends."),
    Step("measure", "job/measure/evaluation.py", "Test rows, once, through the server's own predictor."),
    Step("gate", "job/steps/gate.py", "What misses its floor ends the job with exit code 4."),
    Step(
        "publish",
        "registry/versions/publish.py",
        "Bytes first, the record last: a whole version or none.",
    ),
    Step("alias", "registry/versions/alias.py", "The name that servers follow moves, by one create-only record."),
)
REQUEST = (
    Step("connection", "serving/http/connection.py", "A request has a time in which to arrive, and so many pieces."),
    Step("admission", "serving/queue/admission.py", "So many requests at once, else 429 with the time to come back."),
    Step("body", "serving/http/body.py", "Read up to the limit; the bytes of all bodies have one, too."),
    Step("protocol", "serving/protocols/huggingface.py", "JSON to a request; what is unknown is refused."),
    Step("task", "serving/tasks/text_classification.py", "The task checks its own inputs and parameters."),
    Step("limits", "serving/queue/limits.py", "How many inputs, how long, and what files would unfold into."),
    Step("service", "serving/live/service.py", "A deadline; what nobody waits for any more ends."),
    Step("encode", "serving/text/encoding.py", "Clean, then token ids; files are decoded in `serving/media/`."),
    Step("runs", "serving/runtime/runs.py", "Rows of like length share a run, within a budget of tokens."),
    Step("graph", "serving/runtime/session.py", "ONNX Runtime, ended by the deadline of the request."),
    Step("answer", "serving/runtime/scores.py", "Logits to scores, scores to what the task answers."),
    Step("reply", "serving/http/replies.py", "JSON, or an error with its status; each says who answered."),
    Step("count", "serving/watch/meters.py", "Counted and timed for Prometheus."),
)


def parts() -> dict[str, str]:
    """Name to text of each part."""
    rooms = {f"wings of {room}": _wings(room) for room in house.ROOMS}
    return {**rooms, "life of a row": _told(ROW), "life of a request": _told(REQUEST)}


def drawings() -> dict[str, str]:
    """File name to text of each picture."""
    return {
        "rooms.svg": chain(ROOMS, title="job knows serving, serving knows registry, registry knows a bucket"),
        "row.svg": chain(_boxes(ROW), title="The life of a row, from a bucket to a version"),
        "request.svg": chain(_boxes(REQUEST), title="The life of a request, from a connection to a reply"),
    }


def _boxes(steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    return [(step.name, step.file.rpartition("/")[0]) for step in steps]


def _told(steps: tuple[Step, ...]) -> str:
    rows = [f"| {step.name} | [`{step.file}`](../{step.file}) | {step.what} |\n" for step in steps]
    return "".join(["\n| step | file | what happens |\n|---|---|---|\n", *rows, "\n"])


def _wings(room: str) -> str:
    order = _order(room)
    folders = sorted(house.wings(room), key=lambda folder: order.index(folder.relative_to(house.ROOT).parts[1]))
    rows = [f"| {_link(str(folder.relative_to(house.ROOT)))} | {house.purpose(folder)} |\n" for folder in folders]
    beside = [f"`{name}.py`" for name in order if (house.ROOT / room / f"{name}.py").is_file()]
    return "".join(["\n| wing | what it holds |\n|---|---|\n", *rows, f"\nBeside the wings: {', '.join(beside)}.\n\n"])


def _link(wing: str) -> str:
    anchor = wing.replace("/", "").replace(" ", "-")
    return f"[{wing}](reference/tree.md#{anchor})"


def _order(room: str) -> list[str]:
    """From the bottom to the top, as the test of the layers holds it."""
    for node in ast.parse((house.ROOT / "tests" / "test_layers.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            words: str = ast.literal_eval(node.value)[room]
            return words.split()
    raise LookupError("tests/test_layers.py has no ORDER")
