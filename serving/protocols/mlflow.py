"""What MLflow's scoring server and SageMaker's containers answer: `/invocations` and `/ping`.

A body is JSON with one of `inputs`, `instances`, `dataframe_split` and `dataframe_records`, and with `params`; or CSV
with a header line; or the bytes of a file. The answer is `{"predictions": [...]}`, one for each input.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from tunewright.serving.errors import InputError, Malformed, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.plain import (
    body_object,
    checked,
    chosen,
    each_one,
    items_of,
    joined,
    json_reply,
    object_of,
    refuse_unknown,
)
from tunewright.serving.protocols.protocol import About, Asked, Call, Described, Operation, Page, Reply
from tunewright.serving.request.request import Request
from tunewright.serving.request.schema import TEXT, Schema, closed, list_of, nullable, ref

_FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
_MOST_CELL = 1 << 30
"""Characters of a cell: the body is bounded already."""


def invocations(models: Models, call: Call) -> Asked:
    """POST /invocations."""
    service = chosen(models, call.path.get("name"))
    request = _request(service, call)
    return Asked(service, request, lambda answers: json_reply({"predictions": answers}))


def ping(models: Models, call: Call) -> Reply:
    """GET /ping: whether requests should be sent here."""
    return Reply(b"\n", 200 if models.why_not_ready is None else 503, "text/plain")


def its_version(models: Models, call: Call) -> Reply:
    """GET /version: that of this program."""
    return Reply(version("tunewright").encode(), media_type="text/plain; charset=utf-8")


def _described(about: About) -> Described:
    cell: Schema = {}
    told = {"columns": list_of(TEXT), "data": list_of(list_of(cell)), "index": list_of(cell)}
    table = closed(told, optional=("index",))
    columns: Schema = {"type": "object", "description": "Of each part of the inputs a list."}
    forms: Schema = {
        "inputs": {"anyOf": [ref("Input"), about.many, columns]},
        "instances": about.many,
        "dataframe_split": table,
        "dataframe_records": list_of({"type": "object"}, minItems=1),
    }
    also: Schema = nullable({"type": "object", "description": "Another name of params."})
    asked = {**forms, "params": nullable(about.shapes.parameters), "parameters": also}
    request = closed(asked, optional=tuple(asked))
    answer = closed({"predictions": list_of(ref("Answer"))})
    description = "One of the four forms. Also CSV with a header line (`text/csv`), and the bytes of a file."
    return Described("invocations", "Answer as MLflow and SageMaker ask", request, answer, None, description)


OPERATIONS = (
    Operation("/invocations", invocations, describe=_described),
    Operation("/endpoints/{name}/invocations", invocations),
)
PAGES = (
    Page("/ping", ping, summary="Whether requests should be sent here.", media_type="text/plain"),
    Page("/version", its_version, summary="The version of this program.", media_type="text/plain"),
)


def _request(service: Service, call: Call) -> Request:
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/csv":
        return each_one(service, _rows(service, call.body), {})
    if kind.startswith(("image/", "audio/")) or kind in ("application/octet-stream", "application/x-image"):
        return checked(service, call.body, {})[0]
    content = body_object(call)
    forms = [name for name in _FORMS if name in content]
    if len(forms) != 1:
        raise InputError(f"the body has {', '.join(forms) or 'no inputs'}; send one of: {', '.join(_FORMS)}")
    refuse_unknown(content, (*forms, "params"), beside=("parameters",))
    both = [object_of(content.get(name), repr(name)) for name in ("params", "parameters")]
    if all(both):
        raise InputError("'params' and 'parameters' say the same; send one of them")
    parameters = both[0] or both[1]
    return _READERS[forms[0]](service, content[forms[0]], parameters)


def _inputs(service: Service, inputs: object, parameters: Mapping[str, object]) -> Request:
    """Inputs as the task reads them, or columns of them."""
    if isinstance(inputs, dict) and inputs and all(isinstance(column, list) for column in inputs.values()):
        return each_one(service, joined(service, inputs), parameters)
    return checked(service, inputs, parameters)[0]


def _instances(service: Service, instances: object, parameters: Mapping[str, object]) -> Request:
    return each_one(service, items_of({"instances": instances}, "instances", "inputs"), parameters)


def _split(service: Service, table: object, parameters: Mapping[str, object]) -> Request:
    match table:
        case {"columns": [*names], "data": [*rows], **rest} if not set(rest) - {"index"}:
            return each_one(service, _joined(service, names, rows, "dataframe_split.data"), parameters)
    raise InputError(f'\'dataframe_split\' is {shown(table)}; send {{"columns": [...], "data": [[...]]}}')


def _records(service: Service, records: object, parameters: Mapping[str, object]) -> Request:
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise InputError(f"'dataframe_records' is {shown(records)}; send a list of objects")
    names = list(records[0])
    for index, record in enumerate(records):
        if set(record) != set(names):
            told = ", ".join(map(shown, names))
            raise InputError(f"dataframe_records[{index}] is {shown(record)}, but the first one has: {told}")
    return each_one(service, joined(service, {name: [row[name] for row in records] for name in names}), parameters)


_READERS = {"inputs": _inputs, "instances": _instances, "dataframe_split": _split, "dataframe_records": _records}


def _rows(service: Service, body: bytes) -> list[object]:
    """The inputs of a table with a header line."""
    csv.field_size_limit(_MOST_CELL)
    try:
        names, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise Malformed(f"the body is no CSV with a header line: {error}") from error
    return _joined(service, names, [row for row in rows if row], "row")


def _joined(service: Service, names: Sequence[object], rows: Sequence[object], place: str) -> list[object]:
    if not all(isinstance(name, str) for name in names) or len(set(map(str, names))) < len(names):
        raise InputError(f"the columns are {shown(names)}; send a name for each")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(f"{place}[{index}] is {shown(row)}; the columns are: {', '.join(map(shown, names))}")
    if not rows:
        raise InputError("there are no rows: send at least one")
    columns = zip(*(row for row in rows if isinstance(row, list)), strict=True)
    return joined(service, {str(name): list(column) for name, column in zip(names, columns, strict=True)})
