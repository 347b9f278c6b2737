"""A real Prometheus scrapes a real server: every query of the dashboard, the rules and the autoscaler is answered."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from processes import end, free_port, wait_for_port

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish
from tunewright.serving.profile.profile import PROFILE_FILE, Profile

COMPONENTS = Path(__file__).parents[3] / "k8s/components"


@pytest.fixture
def server(reviews, second, tmp_path):
    """The address of a server that follows an alias with a shadow beside it, that of its metrics, and its store."""
    uri, profile = str(tmp_path / "registry"), tmp_path / "profile.json"
    profile.write_text(Profile(rows=100, counts={"tokens": {"4": 100}}).model_dump_json())
    store = open_store(uri)
    for number, folder in enumerate((reviews, second, reviews), 1):
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        (note := tmp_path / f"{number}.md").write_text(str(number))
        publish(store, "reviews", files | {PROFILE_FILE: profile, "README.md": note}, run_id=f"run-{number}")
    move(store, "reviews", "production", 1)
    settings = {
        "REGISTRY_URI": uri,
        "REGISTRY_CACHE": str(tmp_path / "cache"),
        "SERVING_MODEL": "reviews@production",
        "SERVING_SHADOW": "reviews:2",
        "SERVING_POLL_SECONDS": "0.5",
        "SERVING_HOST": "127.0.0.1",
        "SERVING_PORT": "0",
        "SERVING_METRICS_PORT": "0",
        "SERVING_LIMITS__CHARACTERS": "1000",
    }
    command = [sys.executable, "-m", "tunewright", "serve"]
    process = subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True)
    try:
        ready = next(told for line in process.stderr if (told := json.loads(line))["event"] == "ready")
        yield ready["url"], ready["metrics"], store
    finally:
        end(process)
        process.stderr.close()


@pytest.fixture
def prometheus(server, tmp_path):
    """A client of a Prometheus that scrapes the server each second and has the rules."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not here (.ci/prometheus brings it)")
    rules = yaml.safe_load((COMPONENTS / "metrics/rules.yaml").read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    [endpoint] = yaml.safe_load((COMPONENTS / "metrics/podmonitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    target = {"targets": [httpx.URL(server[1]).netloc.decode()], "labels": {"namespace": "tunewright"}}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "pods", "metrics_path": endpoint["path"], "static_configs": [target]}],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    words = [f"--config.file={tmp_path / 'prometheus.yaml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    process = subprocess.Popen([program, *words, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    try:
        wait_for_port(port, process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30, trust_env=False) as client:
            yield client
    finally:
        end(process)


def queries():
    """What a person, an alert or the autoscaler asks: where it stands -> the query."""
    board = json.loads((COMPONENTS / "metrics/dashboard.json").read_text())
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }
    found |= {note["name"]: note["expr"] for note in board["annotations"]["list"]}
    for group in yaml.safe_load((COMPONENTS / "metrics/rules.yaml").read_text())["spec"]["groups"]:
        found |= {rule["record"]: rule["record"] for rule in group["rules"] if "record" in rule}
    [trigger] = yaml.safe_load((COMPONENTS / "autoscale-requests/autoscaler.yaml").read_text())["spec"]["triggers"]
    found["autoscaler"] = trigger["metadata"]["query"]
    # What Grafana puts in.
    return {name: query.replace("$__rate_interval", "1m").replace("$model", ".*") for name, query in found.items()}


def answered(prometheus, query):
    """The series of an instant query; a query that is none fails."""
    told = prometheus.post("/query", data={"query": query}).json()
    assert told["status"] == "success", told
    return told["data"]["result"]


def use(url):
    """A request of each kind that the figures tell apart."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        assert client.post("/predict", json={"inputs": ["great", "sad " * 60]}).status_code == 200
        assert client.post("/predict", json={"inputs": "x" * 2000}).status_code in (413, 422)


@pytest.mark.slow
def test_every_query_is_answered(server, prometheus):
    url, _, store = server
    use(url)
    move(store, "reviews", "production", 3)
    missing, until = queries(), time.monotonic() + 120
    while missing and time.monotonic() < until:
        use(url)
        missing = {name: query for name, query in missing.items() if not answered(prometheus, query)}
    assert missing == {}
    [one] = answered(prometheus, "sum(tunewright_ready)")
    assert one["value"][1] == "1"
    assert prometheus.get("/label/model/values", params={"match[]": "tunewright_model_info"}).json()["data"] == [
        "reviews"
    ]


@pytest.mark.slow
def test_every_rule_is_evaluated_and_the_one_that_holds_waits_to_wake_somebody(server, prometheus):
    def rules():
        groups = prometheus.get("/rules").json()["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    until = time.monotonic() + 120
    while time.monotonic() < until:
        use(server[0])
        if (found := rules())["TunewrightShadowDisagrees"].get("state") == "pending":
            break
    assert found["TunewrightShadowDisagrees"]["state"] == "pending"
    assert {name: rule.get("lastError") for name, rule in found.items() if rule["health"] != "ok"} == {}
    for name, rule in found.items():
        assert isinstance(answered(prometheus, rule["query"]), list), name
