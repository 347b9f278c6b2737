"""The dashboard, the rules and the autoscaler ask for figures that a server has, with labels that they have.

tests/serving/live/test_prometheus.py asks a real Prometheus all of it.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tunewright.serving.watch.meters import Meters, Served

K8S = Path(__file__).parents[2] / "k8s"
FOLDER = K8S / "components/metrics"
ADDED = {"instance", "namespace"}
"""Labels that Prometheus and its operator add to all that is scraped."""
_NAME = re.compile(r"\b((?:tunewright|process)_[a-z_]+)(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
_LEGEND = re.compile(r"{{ ?(?:\$labels\.)?([a-z_]+) ?}}")


def series():
    """Name of each series of a real page, with its labels."""
    meters = Meters()
    served = Served("reviews", "3", "text-classification", "int8")
    meters.process(in_flight=lambda: 0, bodies_bytes=lambda: 0)
    meters.serves(served, digest="sha256:0")
    meters.answered(served, 200, 0.1, protocol="openai")
    meters.refused("requests")
    meters.swapped("reviews", "swapped")
    meters.shadowed(served, agrees=True)
    meters.drifts(served, ["tokens"], lambda feature: 0.0)
    found = {}
    for line in meters.page().decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found[name] = set(re.findall(r'(\w+)="', labels))
    return found


def dashboard():
    return json.loads((FOLDER / "dashboard.json").read_text())


def rules(kind):
    """Those that have a `record`, or an `alert`."""
    groups = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def written_out(expression):
    """An expression with what is recorded in it replaced by what it is recorded of."""
    for rule in reversed(rules("record")):
        expression = expression.replace(rule["record"], f"({rule['expr']})")
    return expression


def expressions():
    """Each expression with what is written beside it."""
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"], target["legendFormat"]
    for note in board["annotations"]["list"]:
        yield f"annotation {note['name']}", note["expr"], note["titleFormat"]
    for variable in board["templating"]["list"][1:]:
        yield f"variable {variable['name']}", variable["definition"], ""
    for rule in rules("record"):
        yield f"record {rule['record']}", written_out(rule["expr"]), ""
    for rule in rules("alert"):
        yield f"alert {rule['alert']}", written_out(rule["expr"]), " ".join(rule["annotations"].values())
    [scaled] = yaml.safe_load((K8S / "components/autoscale-requests/autoscaler.yaml").read_text())["spec"]["triggers"]
    yield "autoscaler", scaled["metadata"]["query"], ""


@pytest.mark.parametrize(("where", "expression", "said"), [pytest.param(*one, id=one[0]) for one in expressions()])
def test_every_expression_asks_for_what_a_server_has(where, expression, said):
    page = series()
    asked = _NAME.findall(expression)
    assert asked, where
    assert {name for name, _ in asked} <= set(page)
    for name, conditions in asked:
        assert set(re.findall(r"(\w+)(?==|!)", conditions)) <= page[name] | ADDED, name
    known = set.union(*(page[name] for name, _ in asked)) | ADDED
    grouped = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")}
    assert grouped <= known | {"le"}
    kept = grouped if re.search(r"\bby \(", expression) else known
    assert set(_LEGEND.findall(said)) - {"value"} <= kept
    assert expression.count("(") == expression.count(")")


def test_all_that_a_server_counts_is_on_the_dashboard():
    text = (FOLDER / "dashboard.json").read_text()
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in series() if name.startswith("tunewright_")}
    assert {name for name in families if name not in text} == set()


def test_panels_have_numbers_of_their_own_and_do_not_overlap():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["description"] for panel in panels if panel["type"] != "row")


def test_every_alert_says_what_it_is_and_how_grave():
    names = [rule["alert"] for rule in rules("alert")]
    assert len(set(names)) == len(names)
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_what_is_scraped_is_what_the_server_has():
    [endpoint] = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    deployment = next(yaml.safe_load_all((K8S / "serving/serving.yaml").read_text()))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert endpoint["path"] == "/metrics"
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = kustomization["resources"] + kustomization["configMapGenerator"][0]["files"]
    assert sorted(files) == sorted(path.name for path in FOLDER.iterdir() if path.name != "kustomization.yaml")


@pytest.fixture
def promtool(tmp_path):
    """promtool("check", "rules", FILE): what it says of the rules, written as Prometheus reads them."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here (.ci/prometheus brings it)")
    spec = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    shutil.copy(Path(__file__).parent / "rules_test.yaml", tmp_path)

    def run(*words):
        return subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_prometheus_reads_the_rules(promtool):
    done = promtool("check", "rules", "--lint-fatal", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules('record')) + len(rules('alert'))} rules found" in done.stdout


def test_the_rules_say_what_they_should_of_written_series(promtool):
    done = promtool("test", "rules", "rules_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case():
    text = (Path(__file__).parent / "rules_test.yaml").read_text()
    assert [rule["alert"] for rule in rules("alert") if f"alertname: {rule['alert']}" not in text] == []
    assert [rule["record"] for rule in rules("record") if rule["record"] not in text] == []
