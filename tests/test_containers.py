"""Both images, built and run for real: the job trains from a bucket into a bucket, the server answers with the result.

TUNEWRIGHT_BASE_IMAGE names a base image the engine has, or TUNEWRIGHT_BASE_IMAGE_PROGRAM a program that makes one and
prints its name. `make images` reads PIP_CONF, CA and BUILD_FLAGS from the environment; an engine that needs options of
its own on this machine gets them from its configuration (CONTAINERS_CONF).
"""

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
import yaml
from fault_proxy import FaultProxy, Handler
from oci import docker_registry, policy_of, write_key
from pods import Pods, rendered
from processes import free_port, wait_until

from tunewright.registry.program import main as tunewright
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions import alias
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull_into
from tunewright.registry.versions.record import version_numbers
from writers import chart

ROOT = Path(__file__).parents[1]
TAG = "test"
LOCKED = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"]
"""What a pod of pod security "restricted" has, and the host's network, where the test's S3 server is."""
KEYS_AT = "/etc/s3/credentials"
"""Where k8s/ tells both programs to look for keys, whether a secret is mounted there or not."""
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_DEFAULT_REGION": "us-east-1"}

pytestmark = pytest.mark.containers


class Engine(NamedTuple):
    """podman or docker."""

    program: str

    def __call__(self, *arguments, timeout=300):
        command = [self.program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def run(self, image, *arguments, options=(), environment=None):
        """Run a locked-down container to its end; what it writes goes with it."""
        variables = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        volume = "--volume=/var/lib/tunewright"
        return self("run", "--rm", *LOCKED, volume, *variables, *options, image, *arguments, timeout=900)


class Images(NamedTuple):
    serving: str
    job: str


class Trained(NamedTuple):
    """A finished run of the job container."""

    registry: str
    environment: dict
    output: str


@pytest.fixture(scope="session")
def engine():
    asked = os.environ.get("TUNEWRIGHT_ENGINE")
    for program in [asked] if asked else ["docker", "podman"]:
        if shutil.which(program) and Engine(program)("info").returncode == 0:
            return Engine(program)
    pytest.skip(f"no container engine that works: {asked or 'docker, podman'}")


@pytest.fixture(scope="session")
def base(engine):
    if tag := os.environ.get("TUNEWRIGHT_BASE_IMAGE"):
        return tag
    program = os.environ.get("TUNEWRIGHT_BASE_IMAGE_PROGRAM")
    if not program:
        pytest.skip("neither TUNEWRIGHT_BASE_IMAGE nor TUNEWRIGHT_BASE_IMAGE_PROGRAM is set")
    environment = os.environ | {"BASE_IMAGE_ENGINE": engine.program}
    made = subprocess.run([program], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip()


@pytest.fixture(scope="session")
def build(engine, base):
    """build("serving"): the name of an image, made by `make`."""

    def make(name):
        words = [f"{name}-image", f"ENGINE={engine.program}", f"BASE={base}", f"TAG={TAG}", "REPOSITORY=localhost"]
        done = subprocess.run(["make", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return f"localhost/tunewright-{name}:{TAG}"

    return make


@pytest.fixture(scope="session")
def serving_image(build):
    return build("serving")


@pytest.fixture(scope="session")
def images(build, serving_image):
    return Images(serving_image, build("job"))


@pytest.fixture(scope="module")
def bucket_with_reviews(s3_endpoint):
    """A bucket with the quickstart's files and a job.yaml that reads them there; no gate, since the run is tiny."""
    client = boto3.session.Session().client(
        "s3", endpoint_url=s3_endpoint, aws_access_key_id="test", aws_secret_access_key="t", region_name="us-east-1"
    )
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    examples = ROOT / "job/examples/reviews"
    settings = yaml.safe_load((examples / "job.yaml").read_text()) | {"gate": {"min": {}, "max_drop": {"int8": 1.0}}}
    for split in ("train", "validation", "test"):
        client.upload_file(str(examples / f"{split}.csv"), bucket, f"data/{split}.csv")
        settings["data"][split] = f"s3://{bucket}/data/{split}.csv"
    client.put_object(Bucket=bucket, Key="job.yaml", Body=yaml.safe_dump(settings).encode())
    return bucket


@pytest.fixture(scope="module")
def trained(engine, images, bucket_with_reviews, s3_endpoint):
    """The job container's run: settings from a file in the bucket, the environment and a flag."""
    registry = f"s3://{bucket_with_reviews}/registry"
    environment = KEYS | {"AWS_ENDPOINT_URL_S3": s3_endpoint, "REGISTRY_URI": registry}
    job = {"JOB_RUN_ID": "pod-1", "JOB_TRAIN__EPOCHS": "1", "JOB_TRAIN__MAX_LENGTH": "64"}
    job |= {"JOB_EXPORT__EXPLAINED_ROWS": "4"}
    done = engine.run(
        images.job,
        *("train", "--config", f"s3://{bucket_with_reviews}/job.yaml", "--data.limit", "160"),
        options=["--memory=3g"],
        environment=environment | job,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return Trained(registry, environment, done.stdout)


class _Recorder(Handler):
    """Passes a request on and remembers with whose key it came, and what STS was asked for."""

    def do(self):
        signed = re.search("Credential=([^/]+)/", self.headers.get("Authorization", ""))
        self.server.proxy.keys.append(signed[1] if signed else None)
        return super().do()

    do_GET = do_PUT = do_POST = do_HEAD = do


@pytest.fixture
def store_of_keys(s3_endpoint, s3_uri):
    """A store with `reviews:1` behind a proxy that remembers the keys it is asked with: the proxy, the environment."""
    publish(open_store(s3_uri), "reviews", {"README.md": ROOT / "README.md"}, run_id="run-1")
    proxy = FaultProxy(s3_endpoint, _Recorder)
    proxy.keys = []
    places = dict.fromkeys(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"), proxy.url)
    yield proxy, {"REGISTRY_URI": s3_uri, "AWS_REGION": "us-east-1"} | places
    proxy.close()


class _Agent(BaseHTTPRequestHandler):
    """What EKS runs on each node: credentials for who shows the token of its pod."""

    def do_GET(self):
        self.server.tokens.append(self.headers.get("Authorization"))
        told = {"AccessKeyId": "ASIAPOD", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def pod_agent():
    agent = ThreadingHTTPServer(("127.0.0.1", 0), _Agent)
    agent.tokens = []
    threading.Thread(target=agent.serve_forever, args=(0.05,), daemon=True).start()
    yield agent
    agent.shutdown()
    agent.server_close()


@pytest.fixture
def listed(engine, serving_image, store_of_keys, tmp_path):
    """listed({...}, {"/run/token": "..."}): `tunewright list` in the image, with these variables and files."""

    def run(variables, files=None):
        options = []
        for number, (place, text) in enumerate((files or {}).items()):
            (tmp_path / str(number)).write_text(text)
            (tmp_path / str(number)).chmod(0o644)
            options.append(f"--volume={tmp_path / str(number)}:{place}:ro")
        environment = store_of_keys[1] | {"AWS_SHARED_CREDENTIALS_FILE": KEYS_AT} | variables
        return engine.run(serving_image, "list", options=options, environment=environment)

    return run


def test_the_serving_image_takes_keys_from_variables(listed, store_of_keys):
    done = listed({"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"})
    assert done.returncode == 0, done.stderr
    assert "reviews" in done.stdout
    assert set(store_of_keys[0].keys) == {"AKIAENV"}


def test_the_serving_image_takes_keys_from_a_file(listed, store_of_keys):
    """As k8s/serving mounts the secret `s3-serving`."""
    done = listed({}, {KEYS_AT: "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n"})
    assert done.returncode == 0, done.stderr
    assert "reviews" in done.stdout
    assert set(store_of_keys[0].keys) == {"AKIAFILE"}


def test_the_serving_image_takes_a_web_identity(listed, store_of_keys):
    """As EKS, or any cluster whose tokens a cloud believes, gives it to a service account."""
    role = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader", "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/aws/token"}
    done = listed(role, {"/run/aws/token": "a.token.of-the-cluster"})
    assert done.returncode == 0, done.stderr
    assert "reviews" in done.stdout
    # STS is asked without a signature, the store with the key that it gave.
    first, *others = store_of_keys[0].keys
    assert (first, len(set(others))) == (None, 1)
    assert others[0].startswith("ASIA")


def test_the_serving_image_takes_the_identity_of_its_pod(listed, store_of_keys, pod_agent):
    """As EKS Pod Identity gives it: an address on the node, and a token to show there."""
    address = f"http://127.0.0.1:{pod_agent.server_port}/v1/credentials"
    place = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": address, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/eks/token"}
    done = listed(place, {"/run/eks/token": "a.token.of-the-pod"})
    assert done.returncode == 0, done.stderr
    assert "reviews" in done.stdout
    assert set(store_of_keys[0].keys) == {"ASIAPOD"}
    assert set(pod_agent.tokens) == {"a.token.of-the-pod"}


def test_the_serving_image_says_what_is_missing_where_it_has_no_identity(listed, store_of_keys):
    done = listed({"AWS_EC2_METADATA_DISABLED": "true"})
    assert (done.returncode, store_of_keys[0].keys) == (2, [])
    assert "credentials" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def server(engine, images, trained):
    """The serving container's address and name, once it is ready."""
    name = f"tunewright-{uuid.uuid4().hex[:8]}"
    serving = {"SERVING_MODEL": "reviews@production", "SERVING_HOST": "127.0.0.1", "SERVING_PORT": 0}
    variables = [f"--env={key}={value}" for key, value in (trained.environment | serving).items()]
    options = [f"--name={name}", *LOCKED, "--volume=/var/lib/tunewright", "--memory=512m", "--env=SERVING_THREADS=1"]
    started = engine("run", "--detach", *options, *variables, images.serving)
    assert started.returncode == 0, started.stderr
    try:
        yield address(engine, name), name
    finally:
        engine("rm", "--force", "--volumes", name)


def address(engine, name):
    """Where a server listens, as its log tells once it is ready."""

    def listening():
        lines = logs(engine, name).splitlines()
        return next((event["url"] for line in lines if (event := json.loads(line))["event"] == "ready"), None)

    return await_value(engine, name, listening)


def ask(url, body=None):
    """The status and JSON of a page; status 0 where nobody listens."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (urllib.error.URLError, ConnectionError):
        return 0, None


def await_value(engine, name, get, seconds=120):
    """The first value of `get` that is not None."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (value := get()) is not None:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{name} did not get there in {seconds} s:\n{logs(engine, name)}")


def logs(engine, name):
    done = engine("logs", name)
    return done.stdout + done.stderr


def test_the_serving_image_cannot_train(engine, images):
    names = ["torch", "transformers", "datasets", "tunewright.job", "pip"]
    code = f"import importlib.util as look; print([name for name in {names} if look.find_spec(name)])"
    assert engine("run", "--rm", "--entrypoint=python", images.serving, "-c", code).stdout == "[]\n"


def test_the_serving_image_is_small(engine, images, capsys):
    size = {name: int(engine("image", "inspect", "--format={{.Size}}", name).stdout) for name in images}
    with capsys.disabled():
        print("".join(f"\n{name}: {bytes_ / 1e6:.0f} MB" for name, bytes_ in size.items()))  # noqa: T201 - a figure
    assert size[images.serving] < 250e6
    assert size[images.job] < 1.6e9


def test_both_images_hold_python_and_no_shell(engine, images):
    look = "import shutil; print([name for name in ('sh', 'bash', 'apt-get', 'perl', 'pip') if shutil.which(name)])"
    for image in images:
        assert engine("run", "--rm", "--entrypoint=python", image, "-c", look).stdout == "[]\n"
        done = engine("run", "--rm", "--entrypoint=tunewright", image, "--version")
        assert done.stdout.startswith("tunewright "), done.stderr


def test_an_image_names_the_packages_of_the_system_that_it_holds(engine, images):
    """Scanners look for them there, and their licences ask for the copyright."""
    look = "from pathlib import Path; print(*sorted(p.name for p in Path('/var/lib/dpkg/status.d').iterdir()))"
    names = engine("run", "--rm", "--entrypoint=python", images.serving, "-c", look).stdout.split()
    assert {"libc6", "libssl3", "libstdc++6"} <= set(names)
    assert len(names) < 40
    look = "from pathlib import Path; print(*Path('/usr/share/doc').glob('*/copyright'))"
    assert (
        "/usr/share/doc/libc6/copyright"
        in engine("run", "--rm", "--entrypoint=python", images.serving, "-c", look).stdout
    )


def test_a_bill_of_materials_names_every_package_of_an_image(engine, serving_image):
    words = ["make", "-C", str(ROOT), "sbom", "IMAGES=serving", f"ENGINE={engine.program}", f"TAG={TAG}"]
    subprocess.run([*words, "REPOSITORY=localhost"], capture_output=True, check=True)
    text = (ROOT / "var/sbom/serving.json").read_text()
    told = json.loads(text)
    digest = engine("image", "inspect", "--format={{.Id}}", serving_image).stdout.strip().removeprefix("sha256:")
    assert told["metadata"]["component"]["version"] == f"sha256:{digest}"
    found = {one["purl"].partition("?")[0] for one in told["components"]}
    lock = (ROOT / "requirements/serving.txt").read_text()
    left_out = set((ROOT / "requirements/serving-unused.txt").read_text().split("\n")[1:])
    locked = {f"pkg:pypi/{name}@{version}" for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.M)
              if name not in left_out}  # fmt: skip
    assert {one for one in found if one.startswith("pkg:pypi/")} - locked == {"pkg:pypi/tunewright@0.1.0"}
    assert locked <= found
    assert [one for one in found if one.startswith("pkg:deb/debian/libc6@")]
    validation = pytest.importorskip("cyclonedx.validation.json", reason="the extra dev has cyclonedx-python-lib")
    from cyclonedx.schema import SchemaVersion

    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_an_image_trusts_the_certificates_of_its_base(engine, images):
    look = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    for image in images:
        assert int(engine("run", "--rm", "--entrypoint=python", image, "-c", look).stdout) > 50


def test_both_images_run_as_an_ordinary_user(engine, images):
    for image in images:
        done = engine("run", "--rm", "--entrypoint=python", image, "-c", "import os; print(os.getuid(), os.getgid())")
        assert done.stdout.split() == ["10001", "10001"]


def test_no_image_holds_the_secrets_of_its_build(engine, images):
    look = "import os; from pathlib import Path; "
    look += "print([*Path('/run/secrets').glob('*'), *Path('/root').glob('.cache/*')], "
    look += "[name for name in os.environ if 'PIP_' in name or 'SECRET' in name])"
    for image in images:
        done = engine("run", "--rm", "--user=0", "--entrypoint=python", image, "-c", look)
        assert done.stdout == "[] []\n"
        assert "pip_conf" not in engine("image", "inspect", "--format={{.Config.Env}}", image).stdout


def test_the_job_container_registers_what_it_trained_from_a_bucket(trained, s3, tmp_path):
    store = open_store(trained.registry)
    assert version_numbers(store, "reviews") == [1]
    assert alias.current(store, "reviews", "production") == 1
    pulled = pull_into(store, "reviews@production", tmp_path / "version")
    lineage = json.loads((pulled.folder / "lineage.json").read_text())
    assert lineage["run_id"] == "pod-1"
    assert lineage["settings"]["train"]["epochs"] == 1
    assert lineage["settings"]["data"]["limit"] == 160
    assert lineage["settings"]["data"]["train"].startswith("s3://")


def test_the_same_run_in_a_second_container_publishes_nothing(engine, images, trained, bucket_with_reviews, s3):
    arguments = ("train", "--config", f"s3://{bucket_with_reviews}/job.yaml")
    done = engine.run(images.job, *arguments, environment=trained.environment | {"JOB_RUN_ID": "pod-1"})
    assert done.returncode == 0, done.stderr
    assert "already published reviews:1" in done.stdout + done.stderr
    assert version_numbers(open_store(trained.registry), "reviews") == [1]


def test_the_job_container_ends_with_the_code_that_names_the_fault(engine, images, trained, bucket_with_reviews):
    config = ("train", "--config", f"s3://{bucket_with_reviews}/job.yaml")
    wrong = engine.run(images.job, *config, environment=trained.environment | {"JOB_TRIAN__EPOCHS": "1"})
    assert wrong.returncode == 2
    assert "did you mean JOB_TRAIN__EPOCHS?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    absent = ("--data.train", f"s3://{bucket_with_reviews}/data/absent.csv")
    assert engine.run(images.job, *config, *absent, environment=trained.environment).returncode == 3


@pytest.fixture(scope="module")
def pods(engine, images, tmp_path_factory):
    """Pods as they are rendered, of the images that were built."""
    program = os.environ.get("TUNEWRIGHT_PODMAN")
    if program is None or not chart.kubectl():
        assert "TUNEWRIGHT_PART" not in os.environ, "CI has no podman 5 or no kubectl"
        pytest.skip("TUNEWRIGHT_PODMAN names no podman 5, which .ci/podman brings, or there is no kubectl")
    if engine.program != "podman":
        pytest.skip("the images are those of another engine than podman")
    store = engine("info", "--format", "{{.Store.GraphRoot}}").stdout.strip()
    made = Pods(program, store, tmp_path_factory.mktemp("pods"))
    yield made
    made.clear()


def environment(**variables):
    """What says to pods where the registry is, as an overlay does."""
    return {
        "name": "environment",
        "behavior": "merge",
        "literals": [f"{name}={one}" for name, one in variables.items()],
    }


def secret(name, keys):
    """A Secret as those of k8s/secrets.yaml."""
    text = "".join(f"{one} = {keys[one.upper()]}\n" for one in ("aws_access_key_id", "aws_secret_access_key"))
    given = {"credentials": f"[default]\n{text}"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": given}


@pytest.fixture
def job_pod(pods, images, bucket_with_reviews, s3_endpoint):
    """job_pod(train={"epochs": 1}) plays the Job of an overlay, its keys in a Secret; the name of its container."""
    registry = f"s3://{bucket_with_reviews}/registry-of-pods"

    def start(**changes):
        pods.clear()
        settings = yaml.safe_load((ROOT / "job/examples/reviews/job.yaml").read_text())
        settings["data"] |= {
            one: f"s3://{bucket_with_reviews}/data/{one}.csv" for one in ("train", "validation", "test")
        }
        # A job that trains, exports and measures in seconds: what it ends with is looked at.
        settings["data"] |= {"limit": 64}
        settings |= {"gate": {"min": {}}, "export": {"variants": ["fp32"], "explained_rows": 0}}
        settings["train"] |= {"epochs": 1, "max_length": 32, "layers": "head"}
        for name, change in changes.items():
            settings[name] = settings.get(name, {}) | change
        documents = rendered(
            "local/job",
            images=[{"name": "localhost/tunewright-job", "newTag": TAG}],
            configMapGenerator=[
                environment(AWS_ENDPOINT_URL_S3=s3_endpoint, REGISTRY_URI=registry),
                {"name": "job", "behavior": "replace", "literals": [f"job.yaml={json.dumps(settings)}"]},
            ],
        )
        pods.play([secret("s3-job", KEYS), *documents])
        return "job-pod-job"

    return start


@pytest.mark.parametrize(
    ("code", "changes", "stop_at", "said"),
    [
        (0, {}, None, "registered reviews:"),
        (2, {"trian": {}}, None, "error: trian is not a setting"),
        (3, {"data": {"columns": {"text": "none", "label": "label"}}}, None, "error: "),
        (4, {"gate": {"min": {"accuracy": 1.0}}}, None, "error: "),
        (75, {"train": {"epochs": 1000, "patience": 1000}}, '"epoch": 1', "error: "),
    ],
)
def test_a_pod_ends_with_the_code_of_the_job(pods, job_pod, code, changes, stop_at, said):
    ended, told = pods.end(job_pod(**changes), stop_at=stop_at)
    assert (ended, "Traceback" in told) == (code, False), told[-4000:]
    assert said in told


SERVER = "serving-pod-serving"
"""The container of a played Deployment."""


def await_server(pods, happened):
    """Wait for what the server of a played Deployment is about to do; what it has said where it does not."""
    try:
        wait_until(happened, seconds=300)
    except RuntimeError as error:
        raise AssertionError(pods.said(SERVER)[-4000:]) from error


@pytest.fixture
def files_of_the_job(trained, s3, tmp_path):
    """What the job has registered: path in the version -> file."""
    folder = pull_into(open_store(trained.registry), "reviews", tmp_path / "reviews").folder
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def serving_pod(pods, images, files_of_the_job, ceph_http_bucket, ceph_http):
    """The rendered Deployment with its ConfigMap and Secret, played beside an empty registry of a store that knows
    keys: the name of its container, and what a probe of it answers."""
    pods.clear()
    places = {"http": free_port(), "metrics": free_port()}
    registry = {"AWS_ENDPOINT_URL_S3": ceph_http["AWS_ENDPOINT_URL_S3"], "REGISTRY_URI": f"s3://{ceph_http_bucket}/r"}
    documents = rendered(
        "local/serving",
        images=[{"name": "localhost/tunewright-serving", "newTag": TAG}],
        configMapGenerator=[environment(SERVING_PORT=places["http"], **registry)],
    )
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    # The network is that of this machine, where its own ports may be taken.
    for port in container["ports"]:
        port["containerPort"] = places[port["name"]]
    next(one for one in container["env"] if one["name"] == "SERVING_METRICS_PORT")["value"] = str(places["metrics"])
    pods.play([secret("s3-serving", ceph_http), *documents])

    def probe(name):
        asked = container[f"{name}Probe"]["httpGet"]
        return ask(f"http://127.0.0.1:{places[asked['port']]}{asked['path']}")[0]

    return SERVER, probe, f"http://127.0.0.1:{places['http']}"


@pytest.fixture
def pushed(files_of_the_job, tmp_path, monkeypatch):
    """pushed("ci"): a version as an image that this key has signed, in an OCI registry; None where none has."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    publish(open_store(str(tmp_path / "registry")), "reviews", files_of_the_job, run_id="run-1")
    with docker_registry(tmp_path) as host:

        def push(key):
            place = f"{host}/models/{key or 'nobody'}/reviews:1"
            assert tunewright(["push", "reviews:1", f"oci://{place}", "--image"]) == 0
            if key:
                write_key(tmp_path, key)
                assert tunewright(["sign", f"oci://{place}", "--key", str(tmp_path / f"{key}.pem")]) == 0
            return place

        yield push


def test_a_signed_model_alone_is_mounted_into_a_server_that_has_no_bucket(pods, images, pushed, tmp_path):
    """The policy asks for it: see docs/guides/sign.md."""
    pods.clear()
    signed, others = pushed("ci"), [pushed("another"), pushed(None)]
    pods.believe(policy_of(signed.partition("/")[0], tmp_path / "ci.pub.pem"))
    for one in others:
        with pytest.raises(AssertionError, match="Source image rejected: "):
            pods("pull", "--tls-verify=false", one)
    pods("pull", "--tls-verify=false", signed)
    port = free_port()
    documents = rendered(
        "local/serving",
        images=[{"name": "localhost/tunewright-serving", "newTag": TAG}],
        configMapGenerator=[environment(SERVING_PORT=port)],
    )
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "model", "image": {"reference": signed, "pullPolicy": "IfNotPresent"}})
    (container,) = pod["containers"]
    container["args"] = ["serve", "/model/models"]
    container["volumeMounts"].append({"name": "model", "mountPath": "/model", "readOnly": True})
    next(one for one in container["env"] if one["name"] == "SERVING_METRICS_PORT")["value"] = str(free_port())
    pods.play(documents)
    url = f"http://127.0.0.1:{port}"
    await_server(pods, lambda: ask(f"{url}/readyz")[0] == 200)
    assert ask(f"{url}/readyz")[1]["model"].startswith("reviews:1/")
    assert ask(f"{url}/predict", {"inputs": "This product is amazing!"})[0] == 200
    pods.clear()


def test_the_rendered_server_waits_for_a_version_answers_and_ends(
    pods, serving_pod, files_of_the_job, ceph_http_bucket
):
    name, probe, url = serving_pod
    await_server(pods, lambda: probe("startup") == 200)
    assert (probe("liveness"), probe("readiness")) == (200, 503)
    registry = open_store(f"s3://{ceph_http_bucket}/r")
    version = publish(registry, "reviews", files_of_the_job, run_id="run-1")
    alias.move(registry, "reviews", "production", version.number)
    await_server(pods, lambda: probe("readiness") == 200)
    status, answer = ask(f"{url}/predict", {"inputs": "This product is amazing!"})
    assert (status, {one["label"] for one in answer}) == (200, {"negative", "positive"})
    assert pods("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", name) == "true\n"
    pods("stop", name)
    code, told = pods.end(name)
    assert (code, json.loads(told.splitlines()[-1])["event"]) == (0, "stopped"), told[-4000:]


def test_the_serving_container_answers_with_what_the_job_registered(server):
    url, _ = server
    status, answers = ask(f"{url}/predict", {"inputs": ["This product is amazing!", "I hate this product!"]})
    assert status == 200
    assert len(answers) == 2
    for answer in answers:
        assert {label["label"] for label in answer} <= {"positive", "negative"}
        assert all(0 <= label["score"] <= 1 for label in answer)


def test_the_serving_container_holds_no_privilege(engine, server):
    _, name = server
    status = engine("exec", name, "python", "-c", "print(open('/proc/1/status').read())").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    for place, code in (("/app/x", 1), ("/x", 1), ("/opt/venv/x", 1), ("/tmp/x", 0), ("/var/lib/tunewright/x", 0)):
        assert engine("exec", name, "python", "-c", f"open('{place}', 'w')").returncode == code, place


@pytest.mark.parametrize(
    "words",
    [
        ("pull", "reviews@production", "--to", "/models/reviews"),
        ("storage-initializer", "tunewright://reviews@production", "/models/reviews"),
    ],
    ids=["pull", "kserve"],
)
def test_a_server_without_credentials_serves_what_a_container_before_it_has_brought(
    engine, images, trained, tmp_path, words
):
    """As with an init container and a volume: the first reaches the bucket, the second reads the volume alone."""
    shared = tmp_path / "models"
    shared.mkdir()
    shared.chmod(0o777)
    pulled = engine.run(images.serving, *words, options=[f"--volume={shared}:/models"], environment=trained.environment)
    assert pulled.returncode == 0, pulled.stderr
    name = f"tunewright-{uuid.uuid4().hex[:8]}"
    options = [f"--name={name}", *LOCKED, f"--volume={shared}:/models:ro", "--env=SERVING_HOST=127.0.0.1"]
    started = engine("run", "--detach", *options, "--env=SERVING_PORT=0", images.serving, "serve", "/models/reviews")
    assert started.returncode == 0, started.stderr
    try:
        url = address(engine, name)
        assert ask(f"{url}/predict", {"inputs": "This product is amazing!"})[0] == 200
        assert "reviews" in json.dumps(ask(f"{url}/v1/models")[1])
    finally:
        engine("rm", "--force", "--volumes", name)


def test_the_serving_container_drains_when_it_is_stopped(engine, server):
    url, name = server
    stopping = subprocess.Popen([engine.program, "stop", "--time=60", name], stdout=subprocess.DEVNULL)
    await_value(engine, name, lambda: ask(f"{url}/readyz")[0] == 503 or None)
    assert ask(f"{url}/predict", {"inputs": "still here"})[0] == 200
    assert stopping.wait(90) == 0
    assert ask(f"{url}/livez")[0] == 0
    assert engine("inspect", "--format={{.State.ExitCode}}", name).stdout.strip() == "0"
