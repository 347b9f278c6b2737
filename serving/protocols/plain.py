"""What protocols share: whom a name means, a request made of plain values, and replies in JSON."""

from collections.abc import Mapping
from datetime import datetime

from tunewright.serving.errors import InputError, shown
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.protocol import Reply
from tunewright.serving.request.json_text import to_json
from tunewright.serving.request.parameters import check_sizes
from tunewright.serving.request.request import Request


def chosen(models: Models, name: object) -> Service:
    """The service that the `model` of a body means: whatever it says where there is but one; NotFound."""
    if name is not None and not isinstance(name, str):
        raise InputError(f"'model' is {shown(name)}; send the name of a model")
    return models.default if len(models.services) == 1 else models.find(name)


def checked(service: Service, inputs: object, parameters: Mapping[str, object]) -> tuple[Request, bool]:
    """What the task reads, and whether the inputs came as a list."""
    task, model = service.predictor.task, service.predictor.model
    check_sizes(parameters)
    read = task.read_parameters(parameters, model)
    found, are_many = task.read_inputs(inputs, model)
    return Request(found, read), are_many


def tokens(service: Service, request: Request) -> int:
    """How many tokens the model reads of the texts of a request."""
    rows: list[list[int]] = list(service.predictor.prepare(request.inputs, request.parameters))  # type: ignore[arg-type]
    return sum(map(len, rows))


def made_at(service: Service) -> int:
    """When the version was made, in seconds of Unix time."""
    return int(datetime.fromisoformat(service.version.created).timestamp())


def json_reply(content: object) -> Reply:
    """A reply of which JSON is made."""
    return Reply(to_json(content))
