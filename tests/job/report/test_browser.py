"""The page in a real browser: nothing goes wrong, nobody is asked, and axe finds nothing."""

import importlib.util
from pathlib import Path

import pytest

from tunewright.job.commands.doctor_page import doctor_page
from tunewright.job.data.doctor.finding import ColumnFacts, Diagnosis, Example, Finding, Lengths, SideFacts
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
    """The pages of runs of three kinds, one of many labels with long names, and that of the doctor."""
    found = {shape: made(shape).pulled() / "report" / "report.html" for shape in ("single", "multi", "regression")}
    truths = [number % 30 for number in range(600)]
    said = [(number * 7 % 30) if number % 5 == 0 else truths[number] for number in range(600)]
    names = [f"card_payment_not_recognised_{number}" for number in range(30)]
    subject = subject_of(of_labels(truths, said, [0.5 + number % 50 / 100 for number in range(600)]), labels=names)
    sections = [part(subject) for part in (labels.labels, certainty.certainty, rows.slices, rows.lost)]
    found["many"] = tmp_path / "many.html"
    found["many"].write_text(page("banking", "Many labels.", sections))
    facts = SideFacts(
        80, {"good": 40, "bad": 40}, (60, 90, 100), {"latin": 1.0}, Lengths(15, 20, 24, 256, 0.125), 0.001
    )
    leak = Finding(
        "leaks", "serious", "train", 40, 0.5, "a word tells the label", "take it out", (Example("train", "t.csv", 12),)
    )
    columns = [ColumnFacts("label", "label", "2 words or numbers over and over", 0.25)]
    found["doctor"] = tmp_path / "doctor.html"
    found["doctor"].write_text(
        doctor_page(Diagnosis({"train": facts}, [leak], columns, {"label": "label"}), made("single").settings)
    )
    return found


@pytest.mark.slow
def test_a_page_is_quiet_alone_and_readable_by_everyone(browser, pages):
    for name, path in pages.items():
        for width in WIDTHS:
            for dark in (False, True):
                browser.open(path.as_uri(), width=width, dark=dark)
                assert [one for one in browser.said if one != ("asked", path.as_uri()) and "data:," not in one[1]] == []
                assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                browser.shot(f"report-{name}-{width}{'-dark' if dark else ''}")
                assert browser.barriers() == [], (name, width, dark)
        browser.look(dark=True, paper=True)
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", name
        assert browser.barriers() == [], name
        assert browser.run("[...document.querySelectorAll('details')].every(one => one.scrollHeight > 30)"), name
