"""Real OCI registries on loopback, and who may log in to them."""

import base64
import json
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import pytest
from fault_proxy import FaultProxy, Handler
from oci import docker_registry

from tunewright.registry.stores.store import open_store

USER, PASSWORD = "ada", "secret"
# bcrypt of PASSWORD, the only kind that docker-registry reads.
HTPASSWD = f"{USER}:$2b$04$pmKic82..sC1zDZDBsh8.uHFeNRawPo3a8kHneQqVsU0FuqQi6Asm\n"


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory):
    """start_registry(login=False): the host and port of a running registry."""
    with ExitStack() as started:

        def start(*, login=False):
            folder = tmp_path_factory.mktemp("oci")
            return started.enter_context(docker_registry(folder, HTPASSWD if login else None))

        yield start


@pytest.fixture(scope="session")
def host(start_registry):
    """A registry that asks nobody who they are."""
    return start_registry()


@pytest.fixture(scope="session")
def locked_host(start_registry):
    """A registry that lets in USER with PASSWORD."""
    return start_registry(login=True)


@pytest.fixture(autouse=True)
def no_logins(monkeypatch, tmp_path):
    """No login of whoever runs the tests."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def log_in(tmp_path):
    """log_in(host, user, password) keeps a login as `docker login` does."""

    def keep(host, user=USER, password=PASSWORD):
        (tmp_path / "docker").mkdir(exist_ok=True)
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    return keep


@pytest.fixture
def reviews(tmp_path, monkeypatch, publish_version):
    """A registry in a folder with `reviews:1`, named by the environment; its store."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    store = open_store(str(tmp_path / "registry"))
    publish_version(store, "run-1")
    return store


class _Gate(Handler):
    """Lets a request pass with a token of its own for the repository and for what is done to it."""

    def do(self):
        place = urlsplit(self.path)
        self.server.proxy.logins.append((place.path, self.headers.get("Authorization")))
        if place.path == "/token":
            (scope,) = parse_qs(place.query)["scope"]
            ours = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            known = self.headers.get("Authorization") == ours
            token = json.dumps({"token": scope} if known else {"errors": []}).encode()
            return self.answer(200 if known else 401, [], token)
        actions = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        repository = "/".join(place.path.split("/")[2:4])
        given = self.headers.get("Authorization", "")
        if given.startswith(f"Bearer repository:{repository}:") and actions in given:
            del self.headers["Authorization"]
            return super().do()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        realm = f'{self.server.proxy.url}/token",service="models",scope="repository:{repository}:{actions}'
        return self.answer(401, [("WWW-Authenticate", f'Bearer realm="{realm}"')], b"{}")

    do_GET = do_PUT = do_POST = do_HEAD = do_PATCH = do


@pytest.fixture
def token_gate(host):
    """A proxy before the registry that wants a token of the service beside it, as the public registries do."""
    proxy = FaultProxy(f"http://{host}", _Gate)
    proxy.logins = []
    yield proxy
    proxy.close()


@pytest.fixture
def faulty_host(host):
    """A proxy before the registry that spoils answers."""
    proxy = FaultProxy(f"http://{host}")
    yield proxy
    proxy.close()
