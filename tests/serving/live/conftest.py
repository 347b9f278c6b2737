"""A registry, and the models of a process that follow it, in memory or behind a real web server."""

import json
import shutil
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import listen, web_config
from tunewright.serving.live.follow import Follower, Pace
from tunewright.serving.live.loading import Loader
from tunewright.serving.live.trials import Trials
from tunewright.serving.runtime import large_pages
from tunewright.serving.settings import ServingSettings
from tunewright.serving.startup import canaries, models_of
from tunewright.serving.watch.meters import Meters


@pytest.fixture(scope="session")
def second(reviews, tmp_path_factory):
    """The bundle of another version: the same graph, other words for its labels."""
    folder = tmp_path_factory.mktemp("second") / "bundle"
    shutil.copytree(reviews, folder)
    model = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(model | {"labels": ["bad", "good"]}))
    return folder


def files_of(folder):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


class House:
    """A registry, and the models of a process that follow it; `step` does what its thread would do next."""

    def __init__(self, uri, cache, model="reviews@production", **options):
        self.store = open_store(uri)
        settings = ServingSettings(model=model, limits={"deadline_seconds": 60}, **options)
        meters = Meters()
        self.models = models_of(settings, meters)
        loader = Loader(RegistrySettings(uri=uri, cache=cache), settings, meters)
        pace = Pace(1.0, retry_seconds=0.2)
        trials = Trials(loader, canaries(settings, meters), settled={"reviews"} if settings.canary else ())
        self.follower = Follower(self.models, loader, pace, memory_bytes=settings.memory_bytes, trials=trials)

    def publish(self, folder, name="reviews", *, alias="production"):
        files = folder if isinstance(folder, dict) else files_of(folder)
        version = publish(self.store, name, files, run_id=f"run-{time.monotonic_ns()}")
        if alias:
            move(self.store, name, alias, version.number)
        return version

    def promote(self, number):
        move(self.store, "reviews", "production", number)

    def step(self):
        self.follower._poll()
        return self.label()

    def label(self, name=None):
        answers = self.models.find(name).predictor.predict(["great"])
        return answers[0][0]["label"]

    def version(self, name=None):
        return str(self.models.find(name).version)

    def status(self):
        return self.models.status()[0]

    @contextmanager
    def served(self):
        """A client of a real web server over these models."""
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(web_config(create_app(self.models), self.models))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()

    def close(self):
        self.follower.stop()
        self.models.close()


@pytest.fixture
def ask():
    """A function: who answered a text, and with which label."""

    def asked(client, address="/predict", text="great", **headers):
        reply = client.post(address, json={"inputs": [text]}, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.headers["X-Tunewright-Model"], reply.json()[0][0]["label"]

    return asked


@pytest.fixture
def make_house(tmp_path, monkeypatch):
    """make_house("reviews@production", canary="reviews:2=10"): a house that ends with the test."""
    made = []
    # The process of all tests has gigabytes, which would be put into large pages again with every model.
    (tmp_path / "large_pages").write_text("always madvise [never]")
    monkeypatch.setattr(large_pages, "_SETTING", tmp_path / "large_pages")

    def make(*arguments, uri=None, **options):
        made.append(House(uri or str(tmp_path / "registry"), tmp_path / "cache", *arguments, **options))
        return made[-1]

    yield make
    for house in made:
        house.close()


@pytest.fixture
def house(make_house, reviews):
    """A house whose reviews:1 is in production and answers."""
    made = make_house()
    made.publish(reviews)
    made.follower.bring_all()
    return made
