"""The whole program: `tunewright serve` over a real registry, from start to SIGTERM."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from processes import wait_until

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor
from tunewright.serving.profile.profile import Profile
from tunewright.serving.program import main

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What trials found out, for all caches of these tests: the first start tries a version, which takes a second."""
    return tmp_path_factory.mktemp("verdicts")


@pytest.fixture
def start(published, tmp_path, verdicts):
    """A function that starts the program with these settings; what it started has ended after the test."""
    processes = []
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/verdicts").symlink_to(verdicts)

    def run(**settings):
        environment = {
            **os.environ,
            "REGISTRY_URI": str(published),
            "REGISTRY_CACHE": str(tmp_path / "cache"),
            "SERVING_MODEL": "reviews",
            "SERVING_HOST": "127.0.0.1",
            "SERVING_PORT": "0",
            **settings,
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "tunewright", "serve"], env=environment, stderr=subprocess.PIPE, text=True
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def event(process, name):
    """The first event of that name; the lines before it are dropped."""
    for line in process.stderr:
        content = json.loads(line)
        if content["event"] == name:
            return content
    raise AssertionError(f"the program ended without {name}")


def failure(process):
    """The exit code and the one line of a program that gives up."""
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    last = json.loads(errors.splitlines()[-1])
    return process.returncode, f"{last['error']}: {last['message']}"


def test_it_pulls_answers_and_ends(start):
    process = start(SERVING_VARIANT="int8")
    listening, loaded = event(process, "listening"), event(process, "loaded")
    event(process, "ready")
    assert (loaded["model"], loaded["golden_cases"]) == ("reviews:1/int8", 6)
    with httpx.Client(base_url=listening["url"], trust_env=False) as client:
        assert client.get("/readyz").json() == {"status": "ready", "model": "reviews:1/int8"}
        assert client.get("/startupz").json() == {"status": "started"}
        answer = client.post("/predict", json={"inputs": "This product is amazing!"}).json()
    assert answer[0]["label"] == "positive"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_folder_needs_no_registry_no_credentials_and_nothing_to_write(start, reviews):
    nowhere = {"REGISTRY_URI": "s3://nowhere/x", "REGISTRY_CACHE": "/proc/none", "AWS_CONFIG_FILE": "/none"}
    process = start(SERVING_MODEL=f"mine={reviews}", SERVING_POLL_SECONDS="0.1", HOME="/none", **nowhere)
    assert event(process, "loading")["message"] == f"loading mine={reviews}, which is on this machine"
    url = event(process, "ready")["url"]
    assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    reply = httpx.post(f"{url}/predict", json={"inputs": "great"}, timeout=30)
    assert reply.headers["X-Tunewright-Model"] == "mine:0/fp32"
    assert [one["id"] for one in httpx.get(f"{url}/v1/models", timeout=30).json()["data"]] == ["mine"]
    [told] = httpx.get(f"{url}/models", timeout=30).json()["models"]
    assert (told["followed"], told["version"], told["last_failure"]) == (False, 0, None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_it_waits_for_a_first_version_alive_and_not_ready(start, published, reviews):
    process = start(SERVING_MODEL="later@production", SERVING_WAIT="true", SERVING_POLL_SECONDS="0.1")
    url = event(process, "listening")["url"]
    reason = f"waiting for later@production: there is no model 'later' in {published}; there are reviews"
    assert event(process, "waiting")["message"] == reason
    assert {page: httpx.get(url + page, timeout=30).status_code for page in ("/livez", "/startupz", "/readyz")} == {
        "/livez": 200,
        "/startupz": 200,
        "/readyz": 503,
    }
    assert reason in httpx.get(f"{url}/readyz", timeout=30).text
    store = open_store(str(published))
    move(store, "later", "production", publish(store, "later", files_of(reviews), run_id="run-1").number)
    assert event(process, "ready")["model"] == "later:1/fp32"
    assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200


def test_the_printed_example_works(start):
    ready = event(start(), "ready")
    answer = subprocess.run(
        ready["example"].replace("curl", "curl --noproxy '*' -s"), shell=True, capture_output=True, check=True
    )
    assert json.loads(answer.stdout)[0]["label"] == "positive"


@contextmanager
def silent_store():
    """The address of a store that takes requests and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as store:
        yield f"http://127.0.0.1:{store.getsockname()[1]}"


def test_it_listens_before_there_is_a_model_and_says_so(start):
    with silent_store() as store:
        process = start(REGISTRY_URI="s3://bucket/registry", AWS_ENDPOINT_URL_S3=store, **KEYS)
        with httpx.Client(base_url=event(process, "listening")["url"], trust_env=False) as client:
            assert client.get("/livez").json() == {"status": "alive"}
            sentence = "no model is loaded yet: this server has just started, try again in some seconds"
            for path in ("/readyz", "/startupz"):
                reply = client.get(path)
                assert (reply.status_code, reply.json()) == (503, {"error": sentence, "error_type": "NotReady"})
            for reply in (client.post("/predict", json={"inputs": "great"}), client.get("/openapi.json")):
                assert (reply.status_code, reply.json()["error"]) == (503, sentence)
                assert "X-Tunewright-Model" not in reply.headers
            page = client.get("/metrics").text
        assert 'tunewright_refusals_total{reason="not_loaded"} 1.0' in page
        assert "tunewright_ready 0.0" in page
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 130


def test_sigterm_under_load_fails_no_request(start):
    process = start(SERVING_DRAIN_SECONDS="3")
    callers = Callers(event(process, "ready")["url"])
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(callers.send_requests) for _ in range(4)]
        assert callers.busy.wait(timeout=30)
        process.send_signal(signal.SIGTERM)
        event(process, "draining")
        time.sleep(0.5)  # a load balancer does not look all the time; requests keep coming meanwhile
        ready = httpx.get(callers.url + "/readyz", trust_env=False)
        callers.gone.set()
        statuses = {status for caller in running for status in caller.result(timeout=60)}
    assert (ready.status_code, statuses) == (503, {200})
    assert process.wait(timeout=30) == 0


class Callers:
    """Send requests without pause until they are told to go elsewhere."""

    def __init__(self, url):
        self.url = url
        self.busy = threading.Event()
        self.gone = threading.Event()

    def send_requests(self):
        statuses = []
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            while not self.gone.is_set():
                statuses.append(client.post("/predict", json={"inputs": ["great"] * 8}).status_code)
                if len(statuses) == 5:
                    self.busy.set()
        return statuses


def test_a_request_that_has_begun_is_answered_after_the_listener_has_closed(start):
    process = start(SERVING_DRAIN_SECONDS="0")
    url = httpx.URL(event(process, "ready")["url"])
    body = b'{"inputs": "great"}'
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n" + body[:5])
        wait_until(lambda: bytes_of_bodies(url) == 5)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(url))
        connection.sendall(body[5:])
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    assert process.wait(timeout=30) == 0


def test_metrics_may_have_a_port_where_nothing_else_is(start):
    said = event(start(SERVING_METRICS_PORT="0"), "ready")
    page, url = said["metrics"], said["url"]
    other = page.removesuffix("/metrics")
    assert "tunewright_model_info" in httpx.get(page, trust_env=False).text
    assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
    assert "/metrics" not in httpx.get(f"{url}/openapi.json", trust_env=False).json()["paths"]
    for address in (f"{url}/metrics", f"{other}/livez", f"{other}/predict"):
        reply = httpx.get(address, trust_env=False)
        assert (reply.status_code, reply.json()["error"]) == (
            404,
            f"there is nothing at GET {httpx.URL(address).path!r} of this port; "
            "the metrics have one of their own (SERVING_METRICS_PORT)",
        )


def test_what_it_met_is_counted_sampled_and_compared(start, published, tmp_path, capsys, monkeypatch):
    folder = pull(open_store(str(published)), "reviews", cache=tmp_path / "other").folder
    profile = tmp_path / "profile.json"
    profile.write_text(
        Profile(rows=100, counts={"tokens": {"4": 100}, "labels": {"good": 50, "bad": 50}}).model_dump_json()
    )
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    publish(open_store(str(published)), "reviews", {**files, "profile.json": profile}, run_id="run-2")
    feedback = str(tmp_path / "feedback")
    process = start(SERVING_FEEDBACK__URI=feedback, SERVING_FEEDBACK__SHARE="1", SERVING_DRAIN_SECONDS="0")
    url = event(process, "listening")["url"]
    event(process, "loaded")
    texts = ["great " * 40, *["write to ada@example.org " * 8] * 29]
    assert httpx.post(f"{url}/predict", json={"inputs": texts}, trust_env=False).status_code == 200
    assert drift_of_tokens(url) > 0.25
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    monkeypatch.setenv("REGISTRY_URI", str(published))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    words = ["drift", "reviews", "--feedback", feedback, "--samples", str(tmp_path / "rows.jsonl")]
    assert main([*words, "--fail-on", "large"]) == 1
    assert "reviews:2: 30 rows met" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows[:2]] == [texts[0], "write to [email] " * 8]


def drift_of_tokens(url):
    """The metric, once the request before is in it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        page = httpx.get(f"{url}/metrics", trust_env=False).text
        found = float(re.search(r'^tunewright_drift\{feature="tokens".*\} (.*)$', page, re.MULTILINE)[1])
        if found > 0:
            return found
        time.sleep(0.1)
    raise AssertionError("the request was not counted")


def bytes_of_bodies(url):
    page = httpx.get(f"{url}/metrics", trust_env=False).text
    return float(re.search(r"^tunewright_bodies_bytes (.*)$", page, re.MULTILINE)[1])


def is_refused(url):
    try:
        socket.create_connection((url.host, url.port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_sigterm_skips_the_drain(start):
    process = start(SERVING_DRAIN_SECONDS="3600")
    event(process, "ready")
    process.send_signal(signal.SIGTERM)
    event(process, "draining")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_wrong_settings_end_with_code_2_and_all_mistakes_in_one_line(start):
    code, said = failure(start(SERVING_PORT="abc", SERVING_MODLE="x"))
    assert code == 2
    assert said == (
        "SettingsError: the variable SERVING_MODLE is not known; did you mean SERVING_MODEL?; "
        "SERVING_PORT is 'abc': input should be a valid integer, unable to parse string as an integer"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SERVING_MODEL": "nobody"}, "NotFound: "),
        ({"SERVING_MODEL": "reviews:9"}, "NotFound: "),
        ({"SERVING_MODEL": "Reviews!"}, "BadReference: "),
        ({"SERVING_VARIANT": "int4"}, "BundleError: this version has no variant 'int4': the variants are fp32, int8"),
        ({"SERVING_HOST": "192.0.2.1"}, "SettingsError: cannot listen on 192.0.2.1 port 0: "),
        ({"REGISTRY_URI": "ftp://x"}, "AddressError: "),
        ({"REGISTRY_URL": "x"}, "SettingsError: the variable REGISTRY_URL is not known; did you mean REGISTRY_URI?"),
    ],
)
def test_what_the_user_can_put_right_ends_with_code_2_and_one_sentence(start, settings, said):
    code, line = failure(start(**settings))
    assert code == 2
    assert line.startswith(said)


def test_a_machine_that_computes_something_else_does_not_serve(start, make_bundle, edit_model, published):
    folder = make_bundle()
    edit_model(folder, golden=[{"inputs": "great", "outputs": {"fp32": [100.0, 0.0]}}])
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    publish(open_store(str(published)), "broken", files, run_id="run-2")
    code, line = failure(start(SERVING_MODEL="broken"))
    assert code == 2
    assert line.startswith("BundleError: golden case 0 of variant fp32 differs by ")


def test_help_names_every_setting_and_its_default(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "SERVING_MODEL (required)" in said
    assert "SERVING_LIMITS__INPUTS (256)" in said
    assert "REGISTRY_URI" in said


def files_of(folder):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def test_it_follows_what_it_is_told_to(start, published, make_bundle, recipe):
    process = start(SERVING_MODEL="reviews spam:1", SERVING_POLL_SECONDS="0.1", **spam(published))
    url = event(process, "ready")["url"]
    other = make_bundle(recipe(labels=("bad", "good")))
    publish(open_store(str(published)), "reviews", files_of(other), run_id="run-2")
    assert event(process, "swapped")["model"] == "reviews:2/fp32"
    with httpx.Client(base_url=url, trust_env=False) as client:
        for address, model, label in (("", "reviews:2", "good"), ("/models/spam", "spam:1", "positive")):
            reply = client.post(f"{address}/predict", json={"inputs": ["great"]})
            assert reply.headers["X-Tunewright-Model"] == f"{model}/fp32"
            assert reply.json()[0][0]["label"] == label
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def spam(published):
    """The version of reviews, also as one of spam."""
    store = open_store(str(published))
    folder = published.parent / "copy"
    publish(store, "spam", files_of(pull(store, "reviews", cache=folder).folder), run_id="run-1")
    return {}


def test_a_signal_in_the_middle_of_a_swap_ends_it_and_what_it_has_begun(
    start, published, make_bundle, recipe, edit_model
):
    endless = make_bundle(recipe(endless_on="product"))
    outputs = open_predictor(endless).outputs(["lamp"])[0].tolist()
    edit_model(endless, golden=[{"inputs": "lamp", "outputs": {"fp32": outputs}}])
    process = start(SERVING_POLL_SECONDS="0.1", SERVING_DRAIN_SECONDS="0")
    event(process, "ready")
    publish(open_store(str(published)), "reviews", files_of(endless), run_id="run-2")
    event(process, "moved")
    wait_until(lambda: children(process))
    [child] = children(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=8) == 0, "its trial would take ten seconds"
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def children(process):
    """Those that any thread of a program has started."""
    return [
        child for path in Path(f"/proc/{process.pid}/task").glob("*/children") for child in path.read_text().split()
    ]


def test_a_server_waits_for_nothing_that_only_some_models_or_callers_need():
    beside = ("explain.explaining", "explain.tokens", "generation.settings", "generation.loop", "media", "engines.text")
    code = """
import sys, tunewright.serving.startup
from tunewright.serving import program, settings
program.parser("serve").parse_args(["reviews"])
print(*sys.modules, settings.ServingSettings.model_fields["model"].description)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" None\n")  # what settings mean
    assert not {"boto3", "llguidance", "jinja2", "numpy.random"} & set(done.stdout.split())
    assert not {f"tunewright.serving.{name}" for name in beside} & set(done.stdout.split())
