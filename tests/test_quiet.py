"""Both programs speak to the store and to nobody else, and write nowhere but in their folders: seen from the kernel."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed: apt-get install strace")
_ADDRESS = re.compile(r"connect\(\d+, \{sa_family=(AF_INET6?), sin6?_port=htons\((\d+)\).*?\"([^\"]+)\"")
_PATH = re.compile(r"(?:openat\([^,]+, |mkdir(?:at)?\((?:[^,\"]+, )?)\"([^\"]+)\"")


def traced(command, log, environment, *, until=None, seconds=300):
    """Run a program under strace, to its end or until it has said something; the lines of what it did."""
    calls = "connect,sendto,sendmsg,sendmmsg,openat,mkdir,mkdirat"
    process = subprocess.Popen(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "256", "-e", f"trace={calls}", "-o", str(log), *command],
        env=environment,
        cwd=log.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if until and until in line:
                break
        if until:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert until is None or until in said, said
    return process.returncode, said, log.read_text().splitlines()


def partners(lines):
    """Everybody a program connected or sent to over a network: (address, port)."""
    found = {(address, int(port)) for line in lines for _, port, address in _ADDRESS.findall(line)}
    # Datagrams need no connection: a look-up of a name may be one.
    sent = [line for line in lines if re.search(r"send(to|msg|mmsg)\(.*htons\(53\)", line)]
    assert not sent, sent[:3]
    return found


def written(lines):
    """The paths a program made or opened to write."""
    making = [line for line in lines if "mkdir" in line or "O_CREAT" in line or "O_WRONLY" in line or "O_RDWR" in line]
    paths = {path for line in making if "= -1" not in line for path in _PATH.findall(line)}
    return {path for path in paths if not path.startswith(("/dev/", "/proc/"))}


@pytest.fixture
def environment(tmp_path, s3_endpoint):
    (tmp_path / "home").mkdir()
    (tmp_path / "temporary").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "REGISTRY_CACHE": str(tmp_path / "cache"),
    }


def store_port(environment):
    return int(environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])


def assert_quiet(lines, environment, folder):
    assert partners(lines) <= {("127.0.0.1", store_port(environment))}
    outside = {path for path in written(lines) if Path(path).is_absolute() and not path.startswith(str(folder))}
    # Where uuid-runtime is installed, libuuid keeps a clock there; onnx names scratch files by it.
    assert outside - {"/var/lib/libuuid/clock.txt"} == set()
    assert list((folder / "home").iterdir()) == []


def test_a_server_speaks_to_the_store_alone(environment, s3_uri, tmp_path):
    spec = importlib.util.spec_from_file_location("bombs", ROOT / "tests/hostile/bombs.py")
    bombs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bombs)
    bundle = tmp_path / "bundle"
    bombs.write_bundle(bundle, "image")
    files = {str(path.relative_to(bundle)): path for path in bundle.rglob("*") if path.is_file()}
    publish(open_store(s3_uri), "quiet", files, run_id="run-1")
    environment |= {"REGISTRY_URI": s3_uri, "SERVING_MODEL": "quiet", "SERVING_HOST": "127.0.0.1", "SERVING_PORT": "0"}
    _, _, lines = traced([sys.executable, "-m", "tunewright", "serve"], tmp_path / "log", environment, until='"ready"')
    assert ("127.0.0.1", store_port(environment)) in partners(lines)
    assert_quiet(lines, environment, tmp_path)


@pytest.mark.slow
def test_a_job_speaks_to_the_store_alone(environment, s3_uri, tmp_path):
    examples = ROOT / "job/examples/reviews"
    settings = yaml.safe_load((examples / "job.yaml").read_text())
    settings["data"] |= {name: str(examples / f"{name}.csv") for name in ("train", "validation", "test")}
    settings["data"] |= {"limit": 64}
    settings |= {"train": {"epochs": 1}, "gate": {}, "output": str(tmp_path / "runs")}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    environment |= {"REGISTRY_URI": s3_uri}
    command = [sys.executable, "-m", "tunewright", "train", "--config", str(tmp_path / "job.yaml")]
    code, said, lines = traced(command, tmp_path / "log", environment, seconds=600)
    assert code == 0, said
    assert ("127.0.0.1", store_port(environment)) in partners(lines)
    assert_quiet(lines, environment, tmp_path)
