"""A real server with doors, over a real tiny bundle."""

import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from tunewright.registry.versions.record import Version
from tunewright.serving.doors.spans import open_tracing
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import listen, web_config
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor
from tunewright.serving.settings import ServingSettings
from tunewright.serving.watch.meters import Meters


@pytest.fixture(scope="session")
def guarded(reviews):
    """guarded(access_log=True, ...): a client of a server that is set up so."""

    @contextmanager
    def serve(*, environ=None, tls=None, verify=True, **settings):
        wanted = ServingSettings(model="reviews", **settings)
        version = Version("reviews", 3, "sha256:" + "0" * 64, "run-1", "2026-01-31T12:00:00Z", 1)
        meters, tracing = Meters(), open_tracing(environ or {})
        service = Service(open_predictor(reviews), version, limits=wanted.limits, threads=1, meters=meters)
        models = Models(service, limits=wanted.limits, meters=meters)
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(web_config(create_app(models, wanted, tracing=tracing), models, tls))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        url = f"{'https' if tls else 'http'}://localhost:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30, trust_env=False, verify=verify) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
            models.close()
            if tracing:
                tracing.close()

    return serve
