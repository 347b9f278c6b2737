"""From a reference to a server that answers: listen, pull, try, load, replay, announce."""

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
from tunewright.serving.http.server import Web, listen, take_signals
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.settings import ServingSettings
from tunewright.serving.trial.trials import try_bundle
from tunewright.serving.watch.meters import Meters


def run(settings: ServingSettings, registry: RegistrySettings) -> None:
    """Listen, pull, load, warm up; returns when the server has drained."""
    models = Models(limits=settings.limits, meters=Meters())
    places = Places(settings, models)
    web = Web(create_app(models), models, places.listeners)
    web.start()
    try:
        emit("listening", f"listening at {places.url}, not ready before a model is loaded", **places.addresses)
        models.put(load(settings, registry, models.meters))
        # Until here a signal ends what the main thread does, whatever it is; from here on it only asks.
        stop = take_signals()
        announce(models.default, places)
        web.serve(stop, drain_seconds=settings.drain_seconds)
    finally:
        web.end()
        models.close()
    emit("stopped", "stopped", model=str(models.default))


class Places:
    """Where a server listens, and the addresses by which this machine reaches it."""

    def __init__(self, settings: ServingSettings, models: Models) -> None:
        self.listeners = [listen(settings.host, settings.port)]
        self.url = _url(self.listeners[0])
        if settings.metrics_port is not None:
            self.listeners.append(listen(settings.host, settings.metrics_port, "SERVING_METRICS_PORT"))
            models.metrics_port = self.listeners[-1].getsockname()[1]
        self.has_metrics_apart = len(self.listeners) > 1
        self.addresses = {"url": self.url, "metrics": f"{_url(self.listeners[-1])}/metrics"}


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def load(settings: ServingSettings, registry: RegistrySettings, meters: Meters) -> Service:
    """The version asked for, pulled, loaded and proven to compute what was measured."""
    model, where = shown_address(settings.model), shown_address(registry.uri)
    emit("pulling", f"pulling {model} from {where}", model=model, registry=where)
    pulled, variant = fetch(open_store(registry.uri), settings.model, cache=registry.cache, variant=settings.variant)
    # Before anything of it is run here: what somebody else has written may never end, or want all the memory.
    try_bundle(pulled.folder, variant, digest=pulled.version.digest, cache=registry.cache)
    capacity = Capacity(settings.threads, settings.tokens_per_run)
    predictor = open_predictor(pulled.folder, variant=variant, capacity=capacity)
    cases = replay(predictor)
    service = Service(predictor, pulled.version, limits=settings.limits, threads=settings.threads, meters=meters)
    emit(
        "loaded",
        f"loaded {service} ({predictor.model.task}), {cases} golden cases replayed",
        model=str(service),
        digest=pulled.version.digest,
        task=predictor.model.task,
        golden_cases=cases,
    )
    return service


def announce(service: Service, places: Places) -> None:
    """Say who answers and how to ask."""
    url = places.url
    curl = f"curl {url}/predict -d {shlex.quote(json.dumps({'inputs': service.shapes.example}))}"
    metrics = f", metrics: {places.addresses['metrics']}" if places.has_metrics_apart else ""
    message = f"{service} answers at {url} (docs: {url}/docs{metrics})\n  {curl}"
    emit("ready", message, model=str(service), example=curl, **places.addresses)
