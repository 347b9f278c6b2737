"""The page in a real browser: nothing goes wrong, nobody is asked, and axe finds nothing serious."""

import importlib.util
import os
from pathlib import Path

import pytest

from tunewright.job.report.html import page
from tunewright.job.report.parts import certainty, labels, rows

_BROWSER = Path(__file__).parents[2] / "serving/page/conftest.py"
_spec = importlib.util.spec_from_file_location("browsers", _BROWSER)
_browsers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_browsers)
browser = _browsers.browser
WIDTHS = (1280, 360)


@pytest.fixture
def pages(made, of_labels, subject_of, tmp_path):
    """The pages of runs of three kinds, and one of many labels with long names."""
    found = {shape: made(shape).pulled() / "report" / "report.html" for shape in ("single", "multi", "regression")}
    truths = [number % 30 for number in range(600)]
    said = [(number * 7 % 30) if number % 5 == 0 else truths[number] for number in range(600)]
    names = [f"card_payment_not_recognised_{number}" for number in range(30)]
    subject = subject_of(of_labels(truths, said, [0.5 + number % 50 / 100 for number in range(600)]), labels=names)
    sections = [part(subject) for part in (labels.labels, certainty.certainty, rows.slices, rows.lost)]
    found["many"] = tmp_path / "many.html"
    found["many"].write_text(page("banking", "Many labels.", sections))
    return found


@pytest.mark.slow
def test_a_page_is_quiet_alone_and_readable_by_everyone(browser, pages):
    axe = os.environ.get("TUNEWRIGHT_AXE")
    for name, path in pages.items():
        for width in WIDTHS:
            for dark in (False, True):
                browser.open(path.as_uri(), width=width, dark=dark)
                assert [one for one in browser.said if one != ("asked", path.as_uri()) and "data:," not in one[1]] == []
                assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                browser.shot(f"report-{name}-{width}{'-dark' if dark else ''}")
                if axe:
                    browser.run(Path(axe).read_text() + ";0")
                    found = browser.run("axe.run().then(found => found.violations.map(one => [one.id, one.impact, "
                                        "one.nodes.map(node => node.html).slice(0, 3)]))")  # fmt: skip
                    assert [one for one in found if one[1] in ("serious", "critical")] == [], (name, width, dark)
