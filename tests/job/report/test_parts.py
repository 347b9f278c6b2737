"""Each number that a section shows, against an example that can be counted on the fingers."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PIL import Image

from tunewright.job.measure.calibration import calibration, outcomes_of
from tunewright.job.measure.faithfulness import Faithfulness
from tunewright.job.measure.rows.altered import ALTERATIONS
from tunewright.job.measure.rows.answers import NumberAnswers, TagAnswers, TextAnswers
from tunewright.job.measure.rows.label_words import Word
from tunewright.job.measure.rows.robustness import Flips, Robustness
from tunewright.job.measure.rows.scope import Scope, Told
from tunewright.job.measure.rows.vector_map import VectorMap
from tunewright.job.report.parts import (
    certainty,
    labels,
    learning,
    numbers,
    quality,
    reliability,
    robustness,
    rows,
    tags,
    why,
    written,
)
from tunewright.job.report.subject import LabelWords
from tunewright.job.report.svg import Axis
from tunewright.job.train.state import Trained

TRUTHS, SAID = [0, 0, 0, 1, 1, 2, 3], [0, 0, 1, 1, 0, 2, 0]
"""Of three labels; 3 is one that training never saw."""
SURE = [0.9, 0.8, 0.7, 0.6, 0.95, 0.99, 0.5]


def cells(html, caption):
    """The rows of a table, by its caption."""
    found = re.search(rf"(?:<caption>|<summary>){re.escape(caption)}.*?<tbody>(.*?)</tbody>", html, re.DOTALL)[1]
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall("<tr>(.*?)</tr>", found, re.DOTALL)
    ]


@pytest.fixture
def three(of_labels, subject_of):
    return subject_of(of_labels(TRUTHS, SAID, SURE), labels=["a", "b", "c"])


def test_a_confusion_counts_what_is_true_by_what_is_said(three):
    assert labels.confusion(three.answers.truths, three.answers.predicted, 3).tolist() == [
        [2, 1, 0],
        [1, 1, 0],
        [0, 0, 1],
    ]
    section = labels.labels(three).content
    shown = cells(section, "Numbers of the plot: true labels in rows, answers in columns")
    assert shown == [["a", "2", "1", "0"], ["b", "1", "1", "0"], ["c", "0", "0", "1"]]
    assert re.findall(r'class="(?:on|in)"[^>]*>(\d)</text>', section) == ["2", "1", "1", "1", "1"]
    assert cells(section, "The commonest mistakes") == [["a", "b", "1", "33.3%"], ["b", "a", "1", "50.0%"]]


def test_each_label_has_its_figures_the_worst_first(three):
    precision, recall, f1 = labels.label_figures(three.answers, 3)[0]
    assert (precision.value, recall.value, f1.value) == (0.5, pytest.approx(2 / 3), pytest.approx(4 / 7))
    shown = cells(labels.labels(three).content, "Labels, the worst F1 first, with 95 % intervals")
    assert [(row[0], row[1][:5], row[2][:5], row[3][:5], row[4]) for row in shown] == [
        ("b", "0.500", "0.500", "0.500", "2"),
        ("a", "0.500", "0.667", "0.571", "3"),
        ("c", "1.000", "1.000", "1.000", "1"),
    ]
    assert shown[2][1] == "1.000 (0.207 to 1.000)"


def test_several_labels_are_counted_each_by_itself(of_labels, subject_of):
    answers = of_labels(
        [[1, 0], [1, 1], [0, 1]], [[1, 1], [1, 0], [0, 1]], [0.6, 0.7, 0.8], [[0.9, 0.6], [0.8, 0.3], [0.1, 0.8]]
    )
    found = [[one.value for one in label] for label in labels.label_figures(answers, 2)]
    assert found == [[1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]
    subject = subject_of(answers, problem="multi_label")
    assert "Confusion" not in labels.labels(subject).content
    # Both have two rows with and one without them.
    assert certainty.drawn_labels(answers) == [0, 1]
    shown = cells(certainty.certainty(subject).content.partition("Threshold of yes")[2], "Numbers of the plot")
    assert ["0.60", "0.500", "0.500", "0.500"] in shown
    assert ["0.64", "1.000", "0.500", "0.667"] in shown


def test_risk_and_coverage_are_those_of_the_surest_answers(three):
    shown = cells(certainty.certainty(three).content, "Numbers of the plot")
    # c (0.99) is right, then one of b (0.95) that is wrong, at the end three of seven are wrong.
    assert [row[:3] for row in shown[:2]] == [["14.3%", "0.990", "0.00%"], ["28.6%", "0.950", "50.00%"]]
    assert shown[-1][:3] == ["100.0%", "0.500", "42.86%"]


def test_what_comes_of_the_score_to_abstain_below_is_told_of_the_test_rows(of_labels, subject_of, three):
    subject = subject_of(of_labels(TRUTHS, SAID, SURE), labels=["a", "b", "c"], min_score=0.7)
    # 0.9, 0.8, 0.95 and 0.99 are above; 0.7 is not far enough from it for float32. Of the four, 0.95 is wrong.
    section = certainty.certainty(subject).content
    assert "it answers from a score of 0.700 on" in section
    assert (
        "Of the test rows it answers 57.1%, and 25.00% of these answers are wrong (95 % interval 4.56% to " in section
    )
    assert "surely at most 20.00% of the answers" in section
    assert "Asked to abstain" not in certainty.certainty(three).content


def test_rows_out_of_scope_are_told_beside_the_test_rows(of_labels, subject_of, three):
    usual, least = Told(0.6, 0.95, 0.5, (0.15, 0.85)), Told(0.8, 0.4, 0.25, (0.05, 0.7))
    scope = Scope("int8", 4, 0.875, (0.7, 0.95), usual, least, [usual, least])
    subject = subject_of(of_labels(TRUTHS, SAID, SURE), labels=["a", "b", "c"], scope=scope)
    section = certainty.certainty(subject).content
    assert "4 rows that have none of the labels were asked too (int8)." in section
    assert "the test row has the higher score in 87.5% of all pairs (AUROC, 95 % interval 70.0% to 95.0%;" in section
    assert "on, 95.0% of the test rows are answered, and 50.0% of the rows out of scope (15.0% to 85.0%)." in section
    assert "(5.0% to 70.0%). This is where it abstains." in section
    shown = cells(section.partition("Rows out of scope that are answered")[2], "Numbers of the plot")
    assert shown[0] == ["95.0%", "0.600", "50.0%", "15.0% to 85.0%"]
    assert "out of scope" not in certainty.certainty(three).content


def test_of_two_labels_the_threshold_of_the_second_is_drawn(of_labels, subject_of):
    subject = subject_of(of_labels([0, 1], [0, 1], [0.8, 0.7], [[0.8, 0.2], [0.3, 0.7]]))
    section = certainty.certainty(subject).content
    assert "Threshold of yes" in section
    assert "F1 is largest, 1.000, at a threshold of 0.22 on these rows." in section


@pytest.fixture
def tempered(of_labels, subject_of):
    """Twenty rows of score 0.6, of which 12 are right, and twenty of 0.9, of which 16 are; half as sure at 2."""
    odds = np.repeat(np.log([1.5, 9.0]), 20)
    logits = np.stack([np.zeros(40), odds], axis=1).astype(np.float32)
    truths = np.array([1] * 12 + [0] * 8 + [1] * 16 + [0] * 4)
    return lambda temperature: subject_of(
        of_labels(truths, [1] * 40, [0.9] * 40), calibration=calibration(outcomes_of(logits, truths), temperature)
    )


def test_reliability_is_how_often_scores_are_right_before_and_after(tempered):
    subject = tempered(2.0)
    section = reliability.reliability(subject).content
    # Odds of 1.5 and 9 to their roots: 0.551 and 0.75.
    assert [(row[0], row[1], row[2], row[4]) for row in cells(section, "Numbers of the plot")] == [
        ("before", "0.600", "60.0%", "20"),
        ("before", "0.900", "80.0%", "20"),
        ("as served", "0.551", "60.0%", "20"),
        ("as served", "0.750", "80.0%", "20"),
    ]
    assert cells(section, "Numbers of the plot")[1][3] == "58.4% to 91.9%"
    x, y = Axis("", 0.5, 1), Axis("", 0.5, 1)
    for kind, at, right in (("f0", 0.6, 0.6), ("f0", 0.9, 0.8), ("f1", 0.75, 0.8)):
        assert f'<circle class="{kind}" cx="{x.x(at)}" cy="{y.y(right)}" r="3"/>' in section
    # Gaps of 0 and 0.1 before; of 0.0495 and 0.05 after.
    served = subject.evaluation.calibration.after
    error = cells(section, "Calibration error of the test rows")[0]
    assert error[:2] == ["fp32", "2.000"]
    assert error[2].startswith("0.0500 (")
    assert error[3] == f"0.0497 ({served.interval[0]:.4f} to {served.interval[1]:.4f})"
    assert "The temperature, 2.000, was fitted on the validation rows" in section


def test_scores_that_need_no_temperature_are_drawn_once(tempered, three):
    section = reliability.reliability(tempered(1.0)).content
    assert [row[0] for row in cells(section, "Numbers of the plot")] == ["as served", "as served"]
    assert "The temperature stayed 1" in section
    assert reliability.reliability(three) is None


def test_an_imported_model_is_said_to_have_no_training_here_and_no_validation_rows(tempered, subject_of, of_labels):
    held = tempered(1.0)
    given = subject_of(held.answers, calibration=held.evaluation.calibration, imported=True)
    assert "there were no validation rows to fit it on" in reliability.reliability(given).content
    told = rows.lost(given).content
    assert "unlike anything that the model was taught. Rows" in told
    assert "train" not in told


def test_the_rows_lost_most_are_wrong_ones_the_worst_first(three):
    assert rows.lost_most(three.answers) == [4, 2, 6]
    shown = cells(rows.lost(three).content, "The test rows that were lost most")
    assert shown[0] == ["4", "row 4", "b", "a (0.95)", "1.95"]
    assert shown[2] == ["6", "row 6", "one that the model does not have", "a (0.50)", "1.50"]


def test_images_are_seen_and_recordings_heard(of_labels, subject_of):
    pixels, sound = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (400, 200), "red").save(pixels, "PNG")
    soundfile.write(sound, np.sin(np.arange(2 * 44_100 * 12) / 20).reshape(-1, 2) * 0.5, 44_100, format="FLAC")
    files = {"image": pixels.getvalue(), "audio": sound.getvalue()}
    for kind, data in files.items():
        inputs = [
            {"path": None, "bytes": one, "sha256": f"digest {row}", "size": 1} for row, one in enumerate((data, b"x"))
        ]
        section = rows.lost(subject_of(of_labels([0, 0], [1, 1], [0.9, 0.8]), inputs=inputs, media=kind)).content
        (held,) = re.findall(r'src="data:[a-z]+/[a-z]+;base64,([^"]+)"', section)
        made = io.BytesIO(base64.b64decode(held))
        if kind == "image":
            assert Image.open(made).size == (96, 48)
        else:
            told = soundfile.info(made)
            assert (told.samplerate, told.channels, told.format) == (16_000, 1, "MP3")
            assert told.duration == pytest.approx(10, abs=0.2)
            assert 'aria-label="the recording of this row"' in section
        assert cells(section, "The test rows that were lost most")[1][:2] == ["1", "digest 1"]


def test_rows_that_a_smaller_file_answers_otherwise_are_named(of_labels, subject_of):
    full, small = of_labels([0, 1, 1], [0, 1, 0], [0.6, 0.9, 0.8]), of_labels([0, 1, 1], [1, 0, 1], [0.5, 0.5, 0.6])
    assert rows.flipped(full, small) == [1, 2, 0]
    section = rows.flips(subject_of(full, others={"int8": small})).content
    assert "int8 answers 3 of 3 test rows otherwise than fp32 (100.00%" in section
    assert "1 that fp32 has wrong are right, 2 that it has right are wrong." in section
    shown = cells(section, "Rows that int8 answers otherwise, those that fp32 is surest of first")
    assert shown[0] == ["1", "row 1", "yes", "yes (0.90)", "no (0.50)"]


def test_slices_by_length_and_label_come_with_a_caution(of_labels, subject_of):
    truths, said = [0] * 40 + [1] * 40, [0] * 40 + [0] * 30 + [1] * 10
    inputs = ["one word here"] * 40 + ["a longer text of seven words here"] * 40
    subject = subject_of(of_labels(truths, said, [0.5] * 80), inputs=inputs)
    section = rows.slices(subject).content
    shown = cells(section, "Slices of the test rows, the worst first")
    assert [(row[0], row[1], row[2][:5], row[3], row[4]) for row in shown] == [
        ("length", "4 to 7 words", "0.250", "40", "yes"),
        ("true label", "yes", "0.250", "40", "yes"),
        ("length", "3 words", "1.000", "40", ""),
        ("true label", "no", "1.000", "40", ""),
    ]
    assert "4 slices were looked at: of so many some do badly by chance alone. Surely worse are 2 of them" in section


def test_slices_by_columns_of_the_settings_stand_beside_them(of_labels, subject_of):
    answers = of_labels([0] * 40, [0] * 25 + [1] * 15, [0.5] * 40)
    columns = {"language": ["en"] * 20 + ["de"] * 15 + [""] * 5, "author": [f"author {row}" for row in range(40)]}
    section = rows.slices(subject_of(answers, columns=columns)).content
    shown = cells(section, "Slices of the test rows, the worst first")
    assert [[*row[:2], row[2][:5], *row[3:]] for row in shown if row[0] == "column language"] == [
        ["column language", "de", "0.333", "15", "yes"],
        ["column language", "en", "1.000", "20", ""],
    ]
    assert "Of column author no value has 10 test rows, or one has all." in section


def test_answers_to_texts_written_otherwise_are_counted_by_how(of_labels, subject_of):
    kinds = {kind: Flips(40, 4, 0.1, (0.04, 0.231)) for kind in ALTERATIONS}
    found = Robustness("int8", 50, kinds | {"names": Flips(0, 0, 0.0, (0.0, 1.0))})
    section = robustness.robustness(subject_of(of_labels([0], [0], [0.9]), robustness=found)).content
    shown = cells(section, "Answers to texts written otherwise")
    assert len(shown) == len(ALTERATIONS)
    assert shown[0] == ["typos in one word of ten", "40", "4", "10.0% (4.0% to 23.1%)", "should stay"]
    assert shown[4] == ["other first names", "0", "0", "", "should stay"]
    assert shown[6] == ["negated (English)", "40", "4", "10.0% (4.0% to 23.1%)", "may change"]
    assert "50 test rows were looked at (int8)." in section
    assert robustness.robustness(subject_of(of_labels([0], [0], [0.9]))) is None


def test_words_speak_for_labels_and_are_those_of_a_linear_model(of_labels, subject_of):
    words = LabelWords([[Word("bad", 3.0, 1.25, 4.75, 9), Word("so so", 1.0, 0.5, 1.5, 7)], []], 300)
    subject = replace(subject_of(of_labels([0], [0], [0.9])), words=words)
    section = why.why(subject).content
    shown = cells(section, "Words that speak for the labels")
    assert shown == [["no", "bad 3.0 (1.2 to 4.8); so so 1.0 (0.5 to 1.5)"], ["yes", "(none)"]]
    assert "of 300 training rows, not of the model that is served" in section
    assert why.why(subject_of(of_labels([0], [0], [0.9]))) is None


@pytest.mark.parametrize(
    ("figures", "is_warned"), [((0.3, 0.8), False), ((0.5, 0.8), True), ((0.3, 0.6), True), ((0.6, 0.5), True)]
)
def test_explanations_that_are_no_better_than_random_ones_come_with_a_warning(
    of_labels, subject_of, figures, is_warned
):
    found = Faithfulness(*figures, 0.5, 0.6, 24, "int8")
    section = why.why(subject_of(of_labels([0], [0], [0.9]), faithfulness=found)).content
    shown = cells(section, "Explanations beside random orders")
    assert shown == [["explained", *(f"{one:.3f}" for one in figures)], ["random", "0.500", "0.600"]]
    assert (f'<p class="warning">{why.NO_BETTER}</p>' in section) == is_warned


def test_vectors_are_a_map_with_the_neighbours_of_rows(of_labels, subject_of):
    inputs = [("one", "other"), ("two", "other"), ("three", "other"), ("four", "other")]
    found = VectorMap(
        "fp32", [0, 1, 3], [(1.0, 0.5), (-1.0, 0.5), (0.0, -1.0)], 0.75, [[(2, 0.9)], [(0, 0.5)], [(0, 0.9)]]
    )
    subject = subject_of(of_labels([0] * 4, [0] * 4, [0.9] * 4), inputs=inputs, vectors=found)
    section = numbers.vectors(subject).content
    assert cells(section, "Numbers of the map: 3 test rows")[2] == ["3", "four", "0.0000", "-1.0000"]
    assert cells(section, "Nearest test rows, with the cosine")[0] == ["0", "one", "0.90 four"]
    assert "hold 75% of what they differ by" in section
    assert section.count("<circle") == 3
    assert numbers.vectors(subject_of(of_labels([0], [0], [0.9]))) is None


def test_a_number_is_drawn_where_it_is_with_its_error(subject_of):
    answers = NumberAnswers(np.float32([0, 10]), np.float32([1, 8]))
    section = numbers.numbers(subject_of(answers, labels=["score"], problem="regression")).content
    assert cells(section, "Numbers of both plots: 2 of 2 rows") == [["0", "1", "+1"], ["10", "8", "-2"]]
    assert cells(section, "How far off all test rows are")[1] == [
        "size of the error",
        "1.05",
        "1.25",
        "1.5",
        "1.75",
        "1.95",
    ]
    x, y = Axis("", -0.4, 10.4), Axis("", -0.4, 10.4)
    assert f'<circle cx="{x.x(0)}" cy="{y.y(1)}" r="2.6"/><circle cx="{x.x(10)}" cy="{y.y(8)}" r="2.6"/>' in section
    assert rows.lost_most(answers) == [1, 0]


def test_of_many_numbers_those_are_drawn_that_lie_evenly():
    answers = NumberAnswers(np.arange(4001, dtype=np.float32)[::-1], np.zeros(4001, np.float32))
    found = answers.truths[numbers.spread(answers)]
    assert len(found) == 400
    assert (found[0], found[-1]) == (0, 4000)


def test_entities_are_told_by_what_is_wrong_with_them():
    truths = [["B-x", "I-x", "O", "B-y", "O", "B-x", "O", "B-y"]]
    said = [["B-x", "O", "O", "B-x", "O", "B-x", "B-y", "O"]]
    counts, spurious = tags.faults(truths, said)
    assert (counts, spurious) == ({"boundary": 1, "kind": 1, "right": 1, "missed": 1}, 1)
    assert tags.faults([["B-x", "I-x"]], [["B-y", "O"]]) == ({"both": 1}, 0)


def test_tags_show_their_errors_and_the_words_that_are_wrong(subject_of):
    details = [{"label": "x", "precision": 0.5, "recall": 0.5, "f1": 0.5, "rows": 2}]
    answers = TagAnswers([["B-x", "O"], ["B-x", "O"]], [["B-x", "O"], ["O", "B-x"]])
    inputs = [("Ann", "sings"), ("Bob", "sleeps")]
    subject = subject_of(answers, problem="entities", details=details, inputs=inputs)
    shown = cells(tags.tags(subject).content, "True entities by what was answered")
    assert [(row[0], row[2], row[3]) for row in shown] == [
        ("right", "1", "50.0%"), ("kind", "0", "0.0%"), ("boundary", "0", "0.0%"), ("both", "0", "0.0%"),
        ("missed", "1", "50.0%"), ("spurious", "1", ""),
    ]  # fmt: skip
    assert cells(rows.lost(subject).content, "The test rows that")[0][2] == "Bob: B-x, O; sleeps: O, B-x"


def test_questions_are_told_by_the_length_of_their_answers(subject_of):
    answers = TextAnswers(
        [[""], ["one"], ["two words", "x y z"]], ["", "one", ""], np.float32([1, 1, 0]), "F1", [0, 1, 2]
    )
    found = [(name, count, figure.value, empty) for name, count, figure, empty in written.by_answer(answers)]
    assert found == [("no answer", 1, 1.0, 1.0), ("1 word", 1, 1.0, 0.0), ("2 to 3 words", 1, 0.0, 1.0)]
    section = written.written(subject_of(answers, problem="extractive")).content
    assert cells(section, "The rows that come least near")[0] == ["2", "0.000", "row 2", "two words", "(nothing)"]


def test_written_texts_are_told_by_length_and_repetition(subject_of):
    assert written.repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert written.repetition("a b c") == 0
    answers = TextAnswers([["a b"], ["a b c d"]], ["a", ""], np.float32([0.5, 0]), "ROUGE-L", [0, 1])
    section = written.written(subject_of(answers, problem="text_to_text")).content
    shown = cells(section, "Length and repetition")
    assert shown[0] == ["words, median", "0.5", "3"]
    assert shown[2] == ["empty texts", "50.0%", "0.0%"]


def test_pace_is_what_was_read_since_the_point_before():
    trace = [{"tokens": 0, "seconds": 0.0}, {"tokens": 100, "seconds": 0.5}, {"tokens": 400, "seconds": 1.5}]
    assert learning.tokens_per_second(trace) == [None, 200.0, 300.0]


def test_a_trace_that_grows_long_keeps_every_second_step():
    trained = Trained("fp32", "cpu")
    for step in range(1, 1001):
        trained.step_done(loss=1 / step, rate=0.1, norm=2.0)
    assert (trained.steps, trained.traced) == (1000, 4)
    assert [one["step"] for one in trained.trace] == list(range(4, 1001, 4))
    assert trained.trace[-1] == {"step": 1000, "loss": 1 / 1000, "rate": 0.1, "norm": 2.0, "tokens": 0, "seconds": 0.0}


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("accuracy", 0.6, "surely better than"),
        ("accuracy", 0.75, "not surely better than"),
        ("accuracy", 0.9, "worse than"),
        ("rmse", 0.6, "worse than"),
        ("rmse", 0.9, "surely better than"),
    ],
)
def test_an_interval_lies_above_below_or_around_another_figure(name, other, said):
    assert quality.compared(name, (0.7, 0.8), other) == said
