"""The temperature of each variant, from the validation rows to the report."""

import json

from tunewright.serving.bundle.model_file import read_model_file


def test_the_report_tells_what_the_temperature_of_each_file_does_to_its_scores(made):
    folder = made("single").pulled()
    measured = json.loads((folder / "report" / "metrics.json").read_text())["test"]
    model = read_model_file(folder)
    assert set(model.variants) <= set(measured)
    for name, variant in model.variants.items():
        found = measured[name]["calibration"]
        assert found["temperature"] == variant.temperature
        assert sum(one["count"] for one in found["after"]["bins"]) == measured[name]["rows"]
        assert (found["before"] == found["after"]) == (variant.temperature == 1.0)
    card = (folder / "report" / "README.md").read_text()
    assert (
        "## Calibration\n\nHow far a score is from how often it is right (ECE), before the temperature divides" in card
    )
