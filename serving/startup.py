"""From a reference to a server that listens: pull, try, load, replay, announce."""

import json
import shlex
import socket

from tunewright.registry.address import shown_address
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.events import emit
from tunewright.serving.golden import replay
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import listen, serve, take_signals
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.settings import ServingSettings
from tunewright.serving.trial.trials import try_bundle
from tunewright.serving.watch.meters import Meters


def run(settings: ServingSettings, registry: RegistrySettings) -> None:
    """Pull, load, warm up, listen; returns when the server has drained."""
    service = load(settings, registry)
    models = Models(service, limits=settings.limits, meters=service.meters)
    try:
        models.metrics_port = settings.metrics_port
        app = create_app(models)
        listener = listen(settings.host, settings.port)
        listeners = [listener]
        if settings.metrics_port is not None:
            listeners.append(listen(settings.host, settings.metrics_port, "SERVING_METRICS_PORT"))
            models.metrics_port = listeners[-1].getsockname()[1]
        stop = take_signals()
        announce(models, listener)
        serve(app, models, listeners, stop=stop, drain_seconds=settings.drain_seconds)
    finally:
        models.close()
    emit("stopped", "stopped", model=str(service))


def load(settings: ServingSettings, registry: RegistrySettings) -> Service:
    """The version asked for, pulled, loaded and proven to compute what was measured."""
    model, where = shown_address(settings.model), shown_address(registry.uri)
    emit("pulling", f"pulling {model} from {where}", model=model, registry=where)
    pulled, variant = fetch(open_store(registry.uri), settings.model, cache=registry.cache, variant=settings.variant)
    # Before anything of it is run here: what somebody else has written may never end, or want all the memory.
    try_bundle(pulled.folder, variant, digest=pulled.version.digest, cache=registry.cache)
    capacity = Capacity(settings.threads, settings.tokens_per_run)
    predictor = open_predictor(pulled.folder, variant=variant, capacity=capacity)
    cases = replay(predictor)
    service = Service(predictor, pulled.version, limits=settings.limits, threads=settings.threads, meters=Meters())
    emit(
        "loaded",
        f"loaded {service} ({predictor.model.task}), {cases} golden cases replayed",
        model=str(service),
        digest=pulled.version.digest,
        task=predictor.model.task,
        golden_cases=cases,
    )
    return service


def announce(models: Models, listener: socket.socket) -> None:
    """Say where the server listens and how to ask it."""
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    url = f"http://{name}:{port}"
    service = models.default
    example = service.shapes.example
    curl = f"curl {url}/predict -d {shlex.quote(json.dumps({'inputs': example}))}"
    metrics = f"http://{name}:{models.metrics_port or port}/metrics"
    places = f"docs: {url}/docs" if models.metrics_port is None else f"docs: {url}/docs, metrics: {metrics}"
    message = f"{service} answers at {url} ({places})\n  {curl}"
    emit("listening", message, model=str(service), url=url, metrics=metrics, example=curl)
