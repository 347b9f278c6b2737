import gzip
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from tunewright.job.measure.rows.altered import ALTERATIONS
from tunewright.job.measure.rows.outcomes import OUTCOMES_FILE
from tunewright.job.model.layers import Parameters
from tunewright.job.report.card import write_report
from tunewright.job.report.lineage import lineage
from tunewright.job.settings.search import Searched
from tunewright.job.train.state import Trained
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import read_manifest


@pytest.fixture
def card(made, plan_of, tmp_path):
    """card(release) writes the report of a release and gives the text of its model card."""

    def write(release, one=None, searched=None):
        folder = tmp_path / "bundle"
        folder.mkdir()
        plan = plan_of(one or made("single"))
        plan = replace(plan, settings=plan.settings.model_copy(update={"searched": searched}))
        trained = Trained("fp32", "cpu", best_epoch=1, history=[{"epoch": 1, "loss": 0.5}], figures={"accuracy": 0.5})
        facts = lineage(plan, trained, Parameters(10, 5), "r")
        write_report(replace(release, folder=folder), plan, trained, facts)
        return (folder / "report" / "README.md").read_text(), folder

    return write


def test_the_card_tells_quality_data_and_training(made):
    text = (made("single").pulled() / "report" / "README.md").read_text()
    assert text.startswith("---\n")
    assert "\n---\n\n# tiny\n\nGives one label to a text. Fine-tuned by Tunewright from `" in text
    assert "Measured on 60 test rows, read once, through the code that serves it." in text
    assert "| variant | accuracy | macro_f1 | mcc | 95 % interval of accuracy | MiB | ms/text |" in text
    assert "| train | 300 |" in text
    assert "fp32 on cpu. Every setting stands in `lineage.json`." in text
    assert "The figures hold for inputs like the test rows. Texts are cut to 64 tokens. The licence of the " in text


def test_the_outcomes_of_the_rows_give_the_accuracy_of_each_variant(made):
    folder = made("single").pulled()
    head, *rows = [json.loads(line) for line in gzip.decompress((folder / OUTCOMES_FILE).read_bytes()).splitlines()]
    measured = json.loads((folder / "report" / "metrics.json").read_text())
    assert measured["lower_is_better"] is False
    assert len(rows) == head["test_rows"] == 60
    assert head["in_training"] == 0
    assert set(head["variants"]) == {measured["default_variant"], "fp32"}
    for name in head["variants"]:
        right = [row[name][1] for row in rows]
        assert sum(right) / 60 == pytest.approx(measured["test"][name]["metrics"]["accuracy"])
        assert right == [int(row["true"] == row[name][0]) for row in rows]
    # They are of the rows that the manifest names.
    keys = np.sort(np.array([int(row["row"], 16) for row in rows], dtype=np.uint64))
    digest = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
    manifest = read_manifest(open_store(made("single").registry.uri), made("single").outcome.version)
    assert manifest.config["test_rows"] == {"digest": digest, "rows": 60}


def test_the_card_and_the_figures_tell_whether_explanations_are_true(made):
    folder = made("single").pulled() / "report"
    assert (
        "## Explanations\n\n`POST /explain` was held against random orders on 6 test rows ("
        in (folder / "README.md").read_text()
    )
    figures = json.loads((folder / "metrics.json").read_text())["faithfulness"]
    assert figures["deletion"] < figures["random_deletion"]
    assert figures["insertion"] > figures["random_insertion"]


def test_the_card_warns_of_explanations_that_are_no_better_than_random_ones(made, card):
    release = made("single").outcome.release
    text, _ = card(replace(release, faithfulness=replace(release.faithfulness, deletion=2.0)))
    assert "\n\nThe explanations of this file are no better than random ones: show them to nobody.\n" in text
    assert "show them to nobody" not in (made("single").pulled() / "report" / "README.md").read_text()


def test_the_card_and_the_figures_tell_which_answers_stay(made):
    folder = made("single").pulled() / "report"
    text, figures = (folder / "README.md").read_text(), json.loads((folder / "metrics.json").read_text())["robustness"]
    assert "## Robustness\n\nAn answer should stay where a text is only written otherwise; after a negation" in text
    one = figures["kinds"]["punctuation"]
    low, high = one["interval"]
    share = f"{one['share']:.1%} ({low:.1%} to {high:.1%})"
    assert f"| without commas, colons and full stops, or with one more | {one['rows']:,} | {share} |" in text
    assert figures["rows"] == 60
    assert set(figures["kinds"]) == set(ALTERATIONS)
    assert "## Robustness" not in (made("regression").pulled() / "report" / "README.md").read_text()


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ("multi", "Gives any number of labels to a text."),
        pytest.param("pair", "Gives one label to a pair of texts.", marks=pytest.mark.slow),
        ("regression", "Gives a number to a text."),
    ],
)
def test_the_card_says_what_the_model_does(made, shape, sentence):
    assert sentence in (made(shape).pulled() / "report" / "README.md").read_text()


def test_a_regression_has_no_table_of_labels(made):
    assert "## By label" not in (made("regression").pulled() / "report" / "README.md").read_text()


def test_a_label_stays_one_cell_of_one_line_whatever_is_in_it(made, card):
    release = made("single").outcome.release
    details = [{"label": "a|b\\|c\nd", "precision": 1.0, "recall": 1.0, "f1": 1.0, "rows": 3}]
    spoilt = {name: replace(one, details=details) for name, one in release.evaluations.items()}
    text, _ = card(replace(release, evaluations=spoilt))
    assert "\n| a\\|b\\\\\\|c d | 1.000 | 1.000 | 1.000 | 3 |\n" in text


def test_a_variant_that_was_left_out_stands_in_the_card_with_its_reason(made, card):
    release = made("single").outcome.release
    model = release.model.model_copy(update={"left_out": {"int8": "accuracy falls"}, "default_variant": "fp32"})
    text, folder = card(replace(release, model=model))
    assert "| int8 (left out) | " in text
    assert "\nint8 is left out: accuracy falls.\n" in text
    assert json.loads((folder / "report" / "metrics.json").read_text())["left_out"] == {"int8": "accuracy falls"}


def test_metrics_are_written_for_programs(made):
    figures = json.loads((made("multi").pulled() / "report" / "metrics.json").read_text())
    assert figures["headline"] == "macro_f1"
    assert set(figures["test"]) == set(figures["parity"]) == {"fp32", "int8"}
    assert set(figures["test"]["fp32"]["metrics"]) == {"macro_f1", "micro_f1", "accuracy"}
    assert figures["validation"]["best_epoch"] in range(1, 5)
    assert set(figures["training"]) == {
        "seconds", "rows_per_second", "tokens_per_second", "padding", "flop_per_second",
    }  # fmt: skip


def test_the_card_tells_how_the_settings_were_found(made, card):
    found = Searched(study="s3://here", settings=["train.epochs"], trials=20, looks=57, metric="accuracy", value=0.912)
    text, folder = card(made("single").outcome.release, searched=found)
    assert (
        "## Search\n\ntrain.epochs: the best of 20 trials (`s3://here`), by accuracy on validation, 0.9120. The trials "
        "looked 57 times at the validation rows, so the figures of that side flatter; none has read the test rows."
    ) in text
    assert json.loads((folder / "report/metrics.json").read_text())["search"]["looks"] == 57
