import pytest

# `make test` looks at translation, which is taught alike.
pytestmark = pytest.mark.slow
LENGTH = 16


@pytest.fixture(scope="module")
def taught(teach, writer_base, sentences):
    rows = [{"source": f"{source}.", "target": " ".join(target.split()[::2])} for source, target in sentences(200)]
    options = {
        "max_target_length": LENGTH,
        "source_prefix": "summarize: ",
        "generation": {"no_repeat_ngram_size": 2, "min_new_tokens": 8},
    }
    return teach(
        "summarization",
        writer_base("t5", lively=True),
        rows,
        options=options,
        train={"epochs": 1, "learning_rate": 1e-5},
    )


def test_answers_equal_those_of_the_pipeline_on_the_weights(taught, answering, odd):
    assert taught.outcome.version.number == 1
    # The pipeline reads the prefix, the beams and the n-grams from the weights' own files.
    expected = taught.pipeline("summarization")(odd, max_new_tokens=LENGTH)
    assert len({answer["summary_text"] for answer in expected}) > 3
    assert answering(taught).predict(odd) == expected


def test_written_texts_are_measured_by_rouge(taught):
    measured = taught.outcome.release.evaluations["fp32"]
    assert set(measured.metrics) == {"rougeL", "rouge1", "rouge2", "perplexity"}
    low, high = measured.intervals["rougeL"]
    assert low <= measured.metrics["rougeL"] <= high
    assert taught.outcome.release.headline == "rougeL"
