"""The dashboard and the alerts ask for figures that a server has, with labels that they have."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tunewright.serving.watch.meters import Meters, Served

FOLDER = Path(__file__).parents[1] / "k8s/monitoring"
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
    found = {}
    for line in meters.page().decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found[name] = set(re.findall(r'(\w+)="', labels))
    return found


def dashboard():
    return json.loads((FOLDER / "dashboard.json").read_text())


def rules():
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["spec"]["groups"]
    return group["rules"]


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
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"], " ".join(rule["annotations"].values())


@pytest.mark.parametrize(("where", "expression", "said"), [pytest.param(*one, id=one[0]) for one in expressions()])
def test_every_expression_asks_for_what_a_server_has(where, expression, said):
    page = series()
    asked = _NAME.findall(expression)
    assert asked, where
    assert {name for name, _ in asked} <= set(page)
    for name, conditions in asked:
        assert set(re.findall(r"(\w+)(?==|!)", conditions)) <= page[name], name
    # What Prometheus itself adds to all that it scrapes.
    known = set.union(*(page[name] for name, _ in asked)) | {"instance"}
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
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_what_is_scraped_is_what_the_server_has():
    [endpoint] = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    deployment = next(yaml.safe_load_all((FOLDER.parent / "serving/serving.yaml").read_text()))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert endpoint["path"] == "/metrics"
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = kustomization["resources"] + kustomization["configMapGenerator"][0]["files"]
    assert sorted(files) == sorted(path.name for path in FOLDER.iterdir() if path.name != "kustomization.yaml")
