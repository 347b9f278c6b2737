"""Adapt the base model to unlabelled text first, and say what that bought."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tunewright.job.errors import BaseModelError, DataError, SettingsError
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.load import load_settings
from tunewright.job.settings.train import AdaptSettings
from tunewright.job.steps.adapt import Adaptation, adapt, read_text, sentence
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.text.cleaning import Cleaning

LEARNS = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 16, "precision": "fp32", "pooling": "mean"}
HEAD = LEARNS | {"layers": "head", "epochs": 8}
READS = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16}
ONLY_FP32 = {"variants": ["fp32"]}


@pytest.fixture(scope="session")
def write_text(tmp_path_factory):
    """write_text([...]) gives the settings of unlabelled text in a CSV file with the column `body`."""

    def write(texts, **more):
        path = tmp_path_factory.mktemp("text") / "text.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["body"], *([text] for text in texts)])
        return DataSettings(**{"train": str(path), "columns": {"text": "body"}} | more)

    return write


@pytest.fixture(scope="module")
def adapted(make_settings, tmp_path_factory):
    """A finished run that adapted its base to the texts of its training rows: release and settings."""
    folder = tmp_path_factory.mktemp("adapted")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    settings = make_settings(adapt=AdaptSettings(**READS), train=LEARNS, export=ONLY_FP32)
    return run(settings, registry).release, settings


def told(release):
    return json.loads((release.folder / "report" / "metrics.json").read_text())


def test_what_reading_bought_is_measured_and_the_better_model_is_kept(make_settings, registry, tmp_path):
    asked = AdaptSettings(**READS | {"epochs": 1})
    plan, sides = prepare_all(make_settings(adapt=asked, train=HEAD | {"epochs": 1}), registry, tmp_path)
    taught, bought = adapt(plan, sides, tmp_path)
    assert bought.perplexity_after < 0.9 * bought.perplexity_before
    assert (bought.metric, bought.new_head) == ("accuracy", True)
    assert bought.kept == (bought.adapted > bought.without)
    assert taught.trained.figures["accuracy"] == max(bought.adapted, bought.without)


@pytest.mark.slow
def test_the_report_tells_what_adaptation_bought(adapted):
    release, _ = adapted
    bought = told(release)["adaptation"]
    assert bought["perplexity_after"] < 0.5 * bought["perplexity_before"]
    assert (bought["metric"], bought["new_head"]) == ("accuracy", True)
    assert bought["kept"] == (bought["adapted"] > bought["without"])
    assert told(release)["validation"]["accuracy"] == max(bought["adapted"], bought["without"])
    said = sentence(Adaptation(**bought))
    assert f"The base model read unlabelled text first: {said}." in (release.folder / "report/README.md").read_text()


@pytest.mark.slow
def test_the_lineage_tells_it_too(adapted):
    release, settings = adapted
    lineage = json.loads((release.folder / "lineage.json").read_text())
    assert lineage["adaptation"] == told(release)["adaptation"]
    assert lineage["settings"]["adapt"]["learning_rate"] == 3e-3
    # The base of the version is the one that was named, whatever it read since.
    assert lineage["base_model"]["address"] == settings.base_model
    assert lineage["adaptation"]["text"]["rows"] == {"train": 300, "validation": 60, "test": 60}


def test_a_run_without_adaptation_does_not_speak_of_it(made):
    release = made("single").outcome.release
    assert "adaptation" not in told(release)
    assert "## Adaptation" not in (release.folder / "report/README.md").read_text()


def test_what_is_said_is_one_sentence():
    bought = Adaptation(True, "accuracy", 0.8412, 0.859, 41233.4, 35.24, True, {})
    assert sentence(bought) == (
        "perplexity 41,233.4 (with a new head) -> 35.2; accuracy on validation 0.8412 without adaptation, 0.8590 with "
        "it: the adapted base is kept"
    )
    assert sentence(replace(bought, kept=False, new_head=False)).startswith("perplexity 41,233.4 -> 35.2; ")
    assert sentence(replace(bought, kept=False)).endswith("with it: the plain base is kept")


@pytest.mark.slow
def test_a_base_that_reading_spoils_is_not_kept_and_the_run_is_as_if_nothing_was_read(make_settings, registry):
    spoils = AdaptSettings(**(READS | {"learning_rate": 0.5}))
    common = {"train": LEARNS, "export": ONLY_FP32}
    release = run(make_settings(adapt=spoils, **common), registry).release
    plain = run(make_settings(**common), registry).release
    bought = told(release)["adaptation"]
    assert not bought["kept"]
    assert bought["without"] > bought["adapted"] + 0.1
    graphs = [(one.folder / "onnx/fp32/model.onnx").read_bytes() for one in (release, plain)]
    assert graphs[0] == graphs[1]


@pytest.mark.slow
def test_a_base_that_reading_makes_better_is_kept(make_settings, registry, fetch, tmp_path):
    # Reading cannot teach so small a model much, so it reads nothing and is given the weights of one that knows.
    knows = run(make_settings(train=LEARNS | {"epochs": 4}, export=ONLY_FP32), registry).release.folder / "weights"
    still = AdaptSettings(**(READS | {"learning_rate": 1e-12, "epochs": 1}))
    plan, sides = prepare_all(make_settings(adapt=still, train=HEAD), registry, tmp_path)
    text = replace(plan.adaptation, plan=replace(plan.adaptation.plan, base=fetch(knows)))
    taught, bought = adapt(replace(plan, adaptation=text), sides, tmp_path)
    assert bought.kept
    assert bought.adapted > bought.without + 0.1
    assert taught.trained.figures["accuracy"] == bought.adapted
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.allclose(taught.model.state_dict()[name], load_file(knows / "model.safetensors")[name], atol=1e-6)


@pytest.mark.slow
def test_a_figure_that_is_an_error_decides_the_other_way(make_settings, registry):
    train = LEARNS | {"metric": "rmse", "epochs": 2}
    spoils = AdaptSettings(**(READS | {"learning_rate": 0.5, "epochs": 1}))
    release = run(make_settings("regression", adapt=spoils, train=train, export=ONLY_FP32), registry).release
    bought = told(release)["adaptation"]
    assert bought["metric"] == "rmse"
    assert bought["kept"] == (bought["adapted"] < bought["without"])
    assert told(release)["validation"]["rmse"] == min(bought["adapted"], bought["without"])


# The text


def test_both_texts_of_a_pair_are_read(make_settings, registry, tmp_path):
    plan, _ = prepare_all(make_settings("pair", adapt=AdaptSettings(**READS)), registry, tmp_path)
    assert len(plan.prepared.train) == 300
    # Long texts have several rows.
    assert len(plan.adaptation.sides[0]) >= 600


def test_text_of_its_own_is_read_and_its_files_are_recorded(make_settings, registry, tmp_path, write_text, reviews):
    texts = [text for text, _ in reviews[420:520]]
    asked = AdaptSettings(data=write_text(texts), mask=0.3, whole_words=True, max_length=16)
    plan, _ = prepare_all(make_settings(adapt=asked), registry, tmp_path)
    text = plan.adaptation.plan
    # Next to nothing is held out for a test that nobody makes.
    assert [len(getattr(text.prepared, side)) for side in ("train", "validation", "test")] == [89, 10, 1]
    assert text.prepared.facts["files"]["train"][0]["address"] == asked.data.train
    assert (text.prepared.options.mask, text.prepared.options.whole_words) == (0.3, True)
    assert max(plan.adaptation.sides[0].lengths) <= 16
    assert (plan.encoder.max_length, text.encoder.max_length) == (64, 16)


def test_text_is_cleaned_like_the_rows_unless_told_otherwise(make_settings, registry, tmp_path, write_text, reviews):
    texts = [f"{text} a &lt; b" for text, _ in reviews[420:460]]
    data = make_settings().data.model_copy(update={"cleaning": Cleaning(html=True)})
    settings = make_settings(data=data, adapt=AdaptSettings(data=write_text(texts)))
    plan, _ = prepare_all(settings, registry, tmp_path / "one")
    assert plan.adaptation.plan.prepared.train.data.inputs()[0].endswith("a < b")
    told_so = write_text(texts, cleaning={"html": False})
    plan, _ = prepare_all(
        settings.model_copy(update={"adapt": AdaptSettings(data=told_so)}), registry, tmp_path / "two"
    )
    assert plan.adaptation.plan.prepared.train.data.inputs()[0].endswith("a &lt; b")


def test_test_texts_in_the_text_are_counted(make_settings, registry, tmp_path, write_text, reviews, capsys):
    texts = [text for text, _ in reviews[350:450]]
    prepare_all(
        make_settings(adapt=AdaptSettings(data=write_text(texts, validation_fraction=0.05))), registry, tmp_path
    )
    assert "of 60 test texts also stand in the text: the figures may flatter" in capsys.readouterr().out


def test_rows_of_the_task_itself_are_not_counted(make_settings, registry, tmp_path, capsys):
    prepare_all(make_settings(adapt=AdaptSettings()), registry, tmp_path)
    assert "also stand in the text" not in capsys.readouterr().out


# What is refused, before any training


def refusal(settings, registry, tmp_path, kind):
    with pytest.raises(kind) as caught:
        prepare_all(settings, registry, tmp_path)
    return str(caught.value)


def test_text_that_cannot_be_read_is_refused(make_settings, registry, tmp_path, write_text):
    asked = AdaptSettings(data=write_text(["a lamp", " ", "two lamps"]))
    said = refusal(make_settings(adapt=asked), registry, tmp_path, DataError)
    assert said.startswith("adapt: ")
    assert "line 3: column 'body' is empty" in said


@pytest.mark.parametrize("given", [{"test": "x.csv"}, {"test_fraction": 0.2}])
def test_a_test_side_of_the_text_is_refused(make_settings, registry, tmp_path, write_text, given):
    asked = AdaptSettings(data=write_text(["a lamp"], **given))
    said = refusal(make_settings(adapt=asked), registry, tmp_path, SettingsError)
    name = next(iter(given))
    assert said == f"adapt.data.{name} would have no effect: adaptation is measured on validation; remove it"


def test_text_without_a_validation_side_is_refused(make_settings, registry, tmp_path, write_text, reviews):
    data = write_text([text for text, _ in reviews[420:460]], validation_fraction=0)
    said = refusal(make_settings(adapt=AdaptSettings(data=data)), registry, tmp_path, SettingsError)
    assert said == "adapt needs text that is held out to measure: raise adapt.data.validation_fraction"


def test_rows_without_a_validation_side_are_refused(make_settings, registry, tmp_path, write_rows):
    files = {"train": str(write_rows("single", 0, 200)), "test": str(write_rows("single", 300, 360))}
    data = files | {"columns": {"text": "text", "label": "label"}, "validation_fraction": 0}
    said = refusal(make_settings(data=data, adapt=AdaptSettings()), registry, tmp_path, SettingsError)
    assert said == (
        "adapt needs validation rows to tell what it bought: give data.validation or a data.validation_fraction over 0"
    )


def test_a_base_without_a_mask_is_refused(make_settings, registry, tmp_path, copied_base):
    path = copied_base / "tokenizer.json"
    path.write_text(path.read_text().replace('"[MASK]"', '"[COVER]"'))
    settings = make_settings(base_model=str(copied_base), adapt=AdaptSettings())
    said = refusal(settings, registry, tmp_path, BaseModelError)
    assert said.startswith("adapt: base model ")
    assert "has no mask token" in said


def test_a_base_that_reads_no_text_is_refused(make_settings, registry, tmp_path):
    plan, _ = prepare_all(make_settings(adapt=AdaptSettings()), registry, tmp_path / "look")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    plan = replace(plan, base=replace(plan.base, folder=tmp_path))
    with pytest.raises(SettingsError) as caught:
        read_text(plan, registry.cache, tmp_path / "text")
    assert str(caught.value).startswith(
        f"adapt is for encoders of text; base model {plan.base.address!r} is of the architecture 'vit'. "
        "Remove adapt, or choose one of albert, bert, "
    )


# The setting


def test_the_setting_is_absent_unless_it_is_given(write):
    least = ["--model_name", "x", "--data.train", "train.csv"]
    path = write("job.yaml", b"adapt: {}\n")
    assert load_settings(least, "train").adapt is None
    assert load_settings([*least, "--config", str(path)], "train").adapt == AdaptSettings()
    given = load_settings([*least, "--adapt.epochs", "5", "--adapt.data.train", "more.csv"], "train").adapt
    assert (given.epochs, given.data.train) == (5, ["more.csv"])


def test_a_mistake_in_it_is_named(write):
    with pytest.raises(SettingsError) as caught:
        load_settings(["--model_name", "x", "--data.train", "t.csv", "--adapt.mask", "0.9"], "train")
    assert str(caught.value).startswith("adapt.mask is '0.9': input should be less than or equal to 0.5")
