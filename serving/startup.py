"""From a reference to a server that answers: listen, pull, try, load, replay, announce."""

import gc
import json
import os
import shlex
import socket
import ssl
from collections.abc import Callable

from tunewright.registry.address import shown_address
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.bundle.folder import is_folder, name_of
from tunewright.serving.doors.spans import open_tracing
from tunewright.serving.doors.tls import Certificates
from tunewright.serving.errors import SettingsError
from tunewright.serving.events import emit
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import Web, listen, take_signals
from tunewright.serving.live.canary import Canary
from tunewright.serving.live.follow import Follower, Pace
from tunewright.serving.live.loading import Loader
from tunewright.serving.live.model import Model
from tunewright.serving.live.models import Models
from tunewright.serving.live.shadow import Comparison, Shadow
from tunewright.serving.live.slot import Slot
from tunewright.serving.live.trials import Trials
from tunewright.serving.runtime.free_memory import share_arenas
from tunewright.serving.runtime.session import check_provider
from tunewright.serving.settings import ServingSettings
from tunewright.serving.watch.meters import Meters

_NEW_OBJECTS = 50_000
"""More objects than at the last look, after which the collector looks again."""


def run(settings: ServingSettings, registry: RegistrySettings) -> None:
    """Listen, pull, load, warm up; returns when the server has drained."""
    share_arenas()
    # What is there by now stays: looking through it for garbage after each swap would stop all that is being answered.
    gc.freeze()
    # A request that is answered leaves nothing behind that only the collector finds, so it need not look often: with
    # hundreds of requests in flight one look stops them all for tens of milliseconds.
    gc.set_threshold(_NEW_OBJECTS)
    # Engine threads tokenize, as many as there are processors: a pool beside them costs more than it gives.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    check_provider(settings.provider)
    meters = Meters()
    models = models_of(settings, meters)
    pace = Pace(settings.poll_seconds)
    loader = Loader(registry, settings, meters)
    settled = {name_of(reference) for reference, _ in settings.canaries}
    trials = Trials(loader, canaries(settings, meters), settled=settled)
    follower = Follower(models, loader, pace, memory_bytes=settings.memory_bytes, trials=trials, waits=settings.wait)
    tracing = open_tracing()
    app, tls = create_app(models, settings, tracing=tracing), _tls(settings)
    places = Places(settings, models)
    web = Web(app, models, places.listeners, tls=tls)
    web.start()
    try:
        emit("listening", f"listening at {places.url}, not ready before a model is loaded", **places.addresses)
        _tell_of_the_start(settings, registry)
        follower.bring_all()
        # Until here a signal ends what the main thread does, whatever it is; from here on it only asks.
        stop = take_signals()
        announce(models, places)
        follower.start()
        web.serve(stop, drain_seconds=settings.drain_seconds)
    finally:
        follower.stop()
        web.end()
        models.close()
        if tracing is not None:
            tracing.close()
    emit("stopped", "stopped", model=str(models))


def _tell_of_the_start(settings: ServingSettings, registry: RegistrySettings) -> None:
    pulled = [reference for reference in settings.references if not is_folder(reference)]
    if not pulled:
        emit("loading", f"loading {settings.model}, which is on this machine", model=settings.model)
        return
    model, where = shown_address(" ".join(pulled)), shown_address(registry.uri)
    emit("pulling", f"pulling {model} from {where}", model=model, registry=where)


class Places:
    """Where a server listens, and the addresses by which this machine reaches it."""

    def __init__(self, settings: ServingSettings, models: Models) -> None:
        self.listeners = [listen(settings.host, settings.port)]
        scheme = "https" if settings.tls_certificate else "http"
        self.url = _url(scheme, self.listeners[0])
        if settings.metrics_port is not None:
            self.listeners.append(listen(settings.host, settings.metrics_port, "SERVING_METRICS_PORT"))
            models.metrics_port = self.listeners[-1].getsockname()[1]
        self.has_metrics_apart = len(self.listeners) > 1
        self.addresses = {"url": self.url, "metrics": f"{_url(scheme, self.listeners[-1])}/metrics"}


def _tls(settings: ServingSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    return Certificates(settings.tls_certificate, settings.tls_key or settings.tls_certificate).context


def _url(scheme: str, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{name}:{port}"


def models_of(settings: ServingSettings, meters: Meters) -> Models:
    """What is to be served, nothing of it loaded. SettingsError where two references are about one model."""
    models = Models(limits=settings.limits, meters=meters)
    for reference in settings.references:
        if name_of(reference) in {model.name for model in models.all}:
            raise SettingsError(
                f"{name_of(reference)} is named twice in {settings.model!r}; a second version of a model has its place "
                "in SERVING_CANARY or SERVING_SHADOW"
            )
        models.add(reference)
    for reference, percent in settings.canaries:
        model = _named(models, reference, "SERVING_CANARY")
        model.canary = canaries(settings, meters)(model.name, reference, percent)
    for reference, percent in settings.shadows:
        comparison = Comparison(settings.shadow_texts)
        _named(models, reference, "SERVING_SHADOW").shadow = Shadow(Slot(reference), percent, comparison)
    return models


def canaries(settings: ServingSettings, meters: Meters) -> Callable[[str, str, float], Canary]:
    """What makes a canary of a model, a reference and a percentage of the requests."""

    def made(model: str, reference: str, percent: float) -> Canary:
        comparison = Comparison(settings.shadow_texts)
        return Canary(model, Slot(reference), percent, settings.step_back, meters, comparison)

    return made


def _named(models: Models, reference: str, setting: str) -> Model:
    found = next((model for model in models.all if model.name == name_of(reference)), None)
    if found is None:
        raise SettingsError(f"{setting} names {reference}, but what is served is: {', '.join(models.names)}")
    return found


def announce(models: Models, places: Places) -> None:
    """Say who answers and how to ask."""
    service, url = models.services[0], places.url
    curl = f"curl {url}/predict -d {shlex.quote(json.dumps({'inputs': service.shapes.example}))}"
    metrics = f", metrics: {places.addresses['metrics']}" if places.has_metrics_apart else ""
    message = f"{models} answers at {url} (docs: {url}/docs{metrics})\n  {curl}"
    emit("ready", message, model=str(models), example=curl, **places.addresses)
