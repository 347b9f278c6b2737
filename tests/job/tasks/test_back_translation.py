"""Texts that a registered version puts into another language and back are training rows, labels kept."""

import json

import numpy as np
import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.program import main
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.augment import augmented
from tunewright.job.steps.begin import get_ready
from tunewright.job.steps.run.run_id import rows_of
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.predictor import open_predictor

LENGTH = 24


@pytest.fixture(scope="module")
def translator(writer_base, sentences, tmp_path_factory):
    """A registry with a version that translates a text by one word or few, and its predictor."""
    folder = tmp_path_factory.mktemp("translator")
    rows = [{"source": source, "target": target.split()[0]} for source, target in sentences(60)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = JobSettings(
        model_name="words",
        task="translation",
        base_model=str(writer_base("marian")),
        data={"train": str(folder / "rows.jsonl"), "columns": {"source": "source", "target": "target"}},
        options={"max_target_length": LENGTH},
        train={"epochs": 25, "learning_rate": 1e-2, "batch_size": 8, "precision": "fp32", "max_length": 64},
        export={"variants": ["fp32"]},
        output=str(folder / "runs"),
        keep_bundle=True,
    )
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    predictor = open_predictor(run(settings, registry).release.folder)
    yield registry, predictor
    predictor.close()


@pytest.fixture
def planned(translator, tiny_base, sentences, tmp_path):
    """planned(share): a job whose texts are back-translated, one longer than what is translated: plan and sides."""

    def make(share=0.5, *, pair=False, there="words", task="text-classification"):
        long = " ".join(["the old dog"] * 10)
        texts = [long, *(source for source, _ in sentences(40, seed=2))]
        column = "score" if task.endswith("regression") else "label"
        rows = [{"text": text, column: number % 2} for number, text in enumerate(texts)]
        rows = [row | {"text_pair": row["text"][::-1]} for row in rows] if pair else rows
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = JobSettings(
            model_name="x",
            task=task,
            base_model=str(tiny_base),
            data={"train": str(path), "columns": {name: name for name in rows[0]}},
            train={"augment": {"back_translate": {"there": there, "back": "words:1", "share": share}}},
        )
        return prepare_all(settings, translator[0], tmp_path / "work")

    return make


def told(capsys, event):
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one["message"] for one in events if one["event"] == event and "message" in one]


@pytest.mark.slow
def test_texts_go_there_and_back_once(planned, translator, capsys):
    plan, _ = planned()
    assert told(capsys, "translate")[-1].startswith(f"the texts of {len(plan.translated)} training rows have been")
    ours, theirs = (one.inputs() for one in (plan.prepared.train.data, plan.translated))
    moved = [place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    assert len(moved) > len(ours) / 4
    predictor = translator[1]
    for place in moved[:4]:
        there = predictor.predict([ours[place]])
        (back,) = predictor.predict([there[0]["translation_text"].strip()])
        assert theirs[place] == " ".join(back["translation_text"].split())
    # A text of which the version would read a part alone says something else without the rest.
    assert all(a == b for a, b in zip(ours, theirs, strict=True) if len(a) > 100)
    (kept,) = (translator[0].cache / "translations").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    again, _ = planned()
    assert again.translated.inputs() == theirs
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before


@pytest.mark.slow
def test_a_share_of_the_rows_is_read_as_it_came_back_and_others_in_every_epoch(planned, capsys):
    plan, sides = planned(0.4)
    made, everything = augmented(plan, sides[0]), range(len(sides[0]))
    samples = told(capsys, "augment")
    assert [one.startswith("there and back: ") for one in samples] == [False] * 3 + [True] * 3
    ours, theirs = (one.inputs() for one in (plan.prepared.train.data, plan.translated))
    moved = np.array([a != b for a, b in zip(ours, theirs, strict=True)])
    plain, epochs = sides[0].batch(everything), []
    for epoch in (1, 2, 1):
        made.renew(epoch)
        one = made.batch(everything)
        assert one["targets"].equal(plain["targets"])
        width = max(one["input_ids"].shape[1], plain["input_ids"].shape[1])
        ids = [np.pad(of["input_ids"], ((0, 0), (0, width - of["input_ids"].shape[1]))) for of in (one, plain)]
        epochs.append((ids[0] != ids[1]).any(axis=1))
        assert not epochs[-1][~moved].any()
    assert (epochs[0] == epochs[2]).all()
    assert (epochs[0] != epochs[1]).any()
    assert 0 < epochs[0].sum() < moved.sum()


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "task"), [(True, "text-classification"), (False, "text-regression")])
def test_pairs_and_numbers_can_be_learned_from_it(planned, pair, task):
    plan, sides = planned(1, pair=pair, task=task)
    made = augmented(plan, sides[0]).batch([0, 1, 2, 3])
    assert made["targets"].equal(sides[0].batch([0, 1, 2, 3])["targets"])
    assert isinstance(plan.translated.inputs()[0], tuple if pair else str)


def test_a_version_of_another_task_is_refused_before_anything_is_learned(make_settings, made, tmp_path):
    settings = make_settings("single", train={"augment": {"back_translate": {"there": "tiny", "back": "tiny"}}})
    with pytest.raises(SettingsError) as caught:
        get_ready(settings, made("single").registry, tmp_path / "work")
    assert str(caught.value) == (
        "train.augment.back_translate.there is 'tiny', a version of text-classification: name a version of translation"
    )


def test_a_version_that_is_not_there_is_one_sentence_and_exit_code_2(
    write_rows, tiny_base, registry, monkeypatch, capsys
):
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    words = ["--model_name", "x", "--base_model", str(tiny_base), "--data.train", str(write_rows("single", 0, 60))]
    words += ["--train.augment.back_translate.there", "nobody@best", "--train.augment.back_translate.back", "nobody"]
    assert main(["train", *words]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "nobody" in sentence


def test_another_translator_is_another_run():
    facts = {"rows": {"train": 3}}
    pairs = [{"translators": [{"version": "a:1", "digest": one, "reference": ""}] * 2} for one in ("x", "y")]
    assert len({json.dumps(rows_of(one)) for one in (facts, *(facts | pair for pair in pairs))}) == 3
