from dataclasses import replace

from tunewright.job.commands.doctor_page import doctor_page
from tunewright.job.data.doctor.finding import ColumnFacts, Diagnosis, Example, Finding, Lengths, SideFacts
from tunewright.job.settings.job import JobSettings

SETTINGS = JobSettings.model_validate({"task": "text-classification", "model_name": "x", "data": {"train": "t.csv"}})
FOUND = Finding(
    "leaks",
    "serious",
    "train",
    40,
    0.5,
    "the label '<b>' is written",
    "take it out",
    (Example("train", "t.csv", 1234),),
)
FACTS = SideFacts(80, {"<b>": 40, "bad": 40}, (60, 90, 100), {"latin": 1.0}, Lengths(15, 20, 24, 256, 0.125), 0.001)


def test_the_page_tells_findings_and_facts_and_escapes_what_comes_from_the_data():
    columns = [ColumnFacts("label", "label", "2 words or numbers over and over", 0.25)]
    page = doctor_page(Diagnosis({"train": FACTS}, [FOUND], columns, {"label": "label"}), SETTINGS)
    for part in ("1 finding: 1 serious", "Serious: leaks in train", "the label &#x27;&lt;b&gt;&#x27; is written."):
        assert part in page
    for part in ("What to do: take it out.", "1,234", "15 / 20 / 24 (limit 256)", "12.5%", "0.10%", "25.0%"):
        assert part in page
    assert "The first 1 of 40 rows" in page
    assert "<b>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_findings_are_counted_as_people_count():
    notes = [replace(FOUND, severity="note", rows=1), replace(FOUND, severity="note")]
    page = doctor_page(Diagnosis({"train": FACTS}, [FOUND, replace(FOUND, severity="warning"), *notes]), SETTINGS)
    assert "4 findings: 1 serious, 1 warning, 2 notes." in page
    assert page.count("<summary>The rows</summary>") == 1


def test_a_page_of_clean_data_says_so():
    page = doctor_page(Diagnosis({"train": SideFacts(9)}, []), SETTINGS)
    assert "Nothing was found in these rows." in page
