"""Who goes on with texts."""

from collections.abc import Mapping

from tunewright.serving.errors import NotFound
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.protocols.plain import chosen


def writer(models: Models, content: Mapping[str, object]) -> Service:
    """The service that the `model` of a body means; NotFound where it writes no texts."""
    service = chosen(models, content.get("model"))
    if service.predictor.model.task != "text-generation":
        raise NotFound(f"{service} is for {service.predictor.model.task}: it goes on with no texts")
    return service
