"""Token classification: read, taught, measured and served."""

import json
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from tunewright.job.batches.text import NO_LABEL
from tunewright.job.commands.label.choose import Asked, choose
from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.options import TagOptions
from tunewright.job.measure.metric import figures
from tunewright.job.measure.tags import details
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import read_options
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor

TASK = TASKS["token-classification"]
DATA = os.environ.get("TUNEWRIGHT_DATA")


def tagged(text):
    """Words of a review: "the" and "a" are a THING, "and" a LINK."""
    kinds = {"the": "B-THING", "a": "B-THING", "and": "B-LINK"}
    words = text.split()
    return {"tokens": words, "tags": [kinds.get(word.lower(), "O") for word in words]}


@pytest.fixture
def settings(reviews, tiny_base, tmp_path):
    """settings(...): a job that learns to find things and links in the example's reviews."""

    def make(**changes):
        rows = [tagged(text) for text, _ in reviews[:300]]
        (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
        train = {"epochs": 6, "learning_rate": 5e-3, "batch_size": 16, "precision": "fp32", "max_length": 40}
        common = {
            "task": "token-classification",
            "base_model": str(tiny_base),
            "model_name": "things",
            "data": {"train": str(tmp_path / "train.jsonl")},
            "train": train | changes.pop("train", {}),
            "gate": {"max_drop": {"int8": 0.5}},
            "output": str(tmp_path / "runs"),
            "keep_bundle": True,
        }
        return JobSettings(**(common | changes))

    return make


@pytest.fixture
def read(tmp_path):
    """read(rows, options): what a file of these rows holds; a DataError tells what is wrong."""

    def make(*rows, options=None, **data):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        settings = DataSettings(train=str(path), **data)
        file = SourceFile("rows.jsonl", path, "0" * 64, path.stat().st_size)
        found = check(
            [file], TASK, read_roles(settings, TASK.forms), settings, tmp_path / "rows.arrow", options=options
        )
        return list(zip(found.data.inputs(), found.data.targets(), strict=True))

    return make


def test_a_sentence_is_words_and_as_many_tags(read):
    row = {"tokens": ["Ada", "cafe\u0301", "wrote"], "tags": ["B-PER", "I-PER", "O"]}
    assert read(row) == [(("Ada", "caf\u00e9", "wrote"), ["B-PER", "I-PER", "O"])]


@pytest.mark.parametrize(
    ("row", "options", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, None, "line 1: has 2 tokens but 1 tags; give one tag for each token"),
        ({"tokens": "a b", "tags": ["O"]}, None, "line 1: value 'a b': column 'tokens' is no list of texts"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, None, "line 1: column 'tokens' holds an empty token (2 of 2)"),
        ({"tokens": [], "tags": []}, None, "line 1: column 'tokens' is empty; fill it"),
        (
            {"tokens": ["a"], "tags": ["NOUN"]},
            None,
            "line 1: value 'NOUN': column 'tags' holds a tag that is not BIO; BIO",
        ),
        (
            {"tokens": ["a", "b"], "tags": ["O", "I-LOC"]},
            None,
            "line 1: value 'O I-LOC': column 'tags': a tag goes on with an entity that was not begun",
        ),
        (
            {"tokens": ["a", "b"], "tags": ["B-PER", "I-LOC"]},
            None,
            "line 1: value 'B-PER I-LOC': column 'tags': a tag goes on with an entity that was not begun",
        ),
        (
            {"tokens": ["a", "b"], "tags": ["S-LOC", "E-LOC"]},
            TagOptions(scheme="BIOES"),
            "line 1: value 'S-LOC E-LOC': column 'tags': a tag goes on with an entity that was not begun",
        ),
        (
            {"tokens": ["a", "b", "c"], "tags": ["B-LOC", "I-LOC", "O"]},
            TagOptions(scheme="BIOES"),
            "line 1: value 'I-LOC O': column 'tags': an entity breaks off; BIOES ends entities with E- (S- for one "
            "word); set options.scheme to BIO where the data does not, or options.repair to true",
        ),
        (
            {"tokens": ["a", "b"], "tags": ["O", "B-LOC"]},
            TagOptions(scheme="BIOES"),
            "line 1: value 'B-LOC': column 'tags': an entity breaks off",
        ),
    ],
)
def test_what_is_wrong_with_a_sentence_is_said(read, row, options, said):
    with pytest.raises(DataError) as caught:
        read(row, options=options)
    assert str(caught.value).removeprefix("rows.jsonl, ").startswith(said)


def test_tags_that_look_the_same_are_one(read):
    row = {"tokens": ["a", "b"], "tags": ["B-CAFE\u0301", "I-CAF\u00c9\u200b"]}
    assert read(row)[0][1] == ["B-CAF\u00c9", "I-CAF\u00c9"]


def test_numbers_are_tags_with_their_names(read):
    row = {"tokens": ["a", "b"], "tags": [1, 0]}
    assert read(row, label_names={"0": "O", "1": "B-PER"})[0][1] == ["B-PER", "O"]
    with pytest.raises(DataError, match=r"column 'tags' holds numbers; set data\.label_names"):
        read(row)


def test_sentences_without_words_and_those_with_a_tag_to_skip_are_left_out(read):
    rows = [
        {"tokens": [], "tags": []},
        {"tokens": None, "tags": None},
        {"tokens": ["\u200b"], "tags": 5},
        {"tokens": ["a"], "tags": ["-"]},
        {"tokens": ["a"], "tags": ["O"]},
    ]
    assert read(*rows, drop_empty=True, skip_labels=["-"]) == [(("a",), ["O"])]


def test_tags_that_are_not_of_the_scheme_are_one_kind_of_fault(read):
    with pytest.raises(DataError) as caught:
        read(*({"tokens": ["a"], "tags": [tag]} for tag in ("NOUN", "VERB", "ADJ")))
    (said,) = str(caught.value).splitlines()
    assert said.endswith("(2 more rows share this fault, with 'VERB', 'ADJ')")


def test_an_entity_without_a_beginning_is_begun_on_request(read):
    row = {"tokens": ["a", "b", "c"], "tags": ["I-LOC", "I-LOC", "I-PER"]}
    assert read(row, options=TagOptions(repair=True))[0][1] == ["B-LOC", "I-LOC", "B-PER"]


def test_an_entity_without_an_end_is_ended_on_request(read):
    row = {"tokens": [*"abcdefg"], "tags": ["I-LOC", "O", "B-LOC", "I-LOC", "B-PER", "S-PER", "B-LOC"]}
    ended = ["S-LOC", "O", "B-LOC", "E-LOC", "S-PER", "S-PER", "S-LOC"]
    assert read(row, options=TagOptions(scheme="BIOES", repair=True))[0][1] == ended


def test_plain_tags_may_be_anything(read):
    row = {"tokens": ["runs", "I-95"], "tags": ["VERB", "I-X"]}
    assert read(row, options=TagOptions(scheme="plain"))[0][1] == ["VERB", "I-X"]


def test_an_unknown_option_is_refused_with_those_there_are(settings):
    with pytest.raises(SettingsError, match=r"^options\.schema .*scheme, repair"):
        read_options(settings(options={"schema": "BIO"}))


def test_figures_are_those_of_conlleval():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    found = [["B-PER", "I-PER", "O", "O"], ["O", "B-PER"]]
    measured = figures(TASK.target.metric_names("entities"), "entities", truth, found)
    assert measured == pytest.approx({"precision": 1 / 2, "recall": 1 / 3, "f1": 0.4, "accuracy": 4 / 6})
    by_kind = {row["label"]: row for row in details(truth, found, [], "entities")}
    assert (by_kind["PER"]["precision"], by_kind["PER"]["recall"], by_kind["LOC"]["recall"]) == (0.5, 1.0, 0.0)
    assert figures(["accuracy"], "tags", [["A", "B"]], [["A", "A"]])["accuracy"] == 0.5


def test_the_loss_is_on_the_first_token_of_each_word(settings, registry, tmp_path):
    plan, (train, _) = prepare_all(settings(), registry, tmp_path / "work")
    sentences = zip(plan.prepared.train.data.inputs(), plan.prepared.train.data.targets(), strict=True)
    words, tags = min(sentences, key=lambda sentence: len(sentence[0]))
    expected = AutoTokenizer.from_pretrained(plan.base.folder)(list(words), is_split_into_words=True)
    places = [None if at == before else at for before, at in pairwise([None, *expected.word_ids()])]
    labels = [NO_LABEL if place is None else plan.prepared.labels.index(tags[place]) for place in places]
    batches = [train.batch([row]) for row in range(len(train))]
    rows = [(batch["input_ids"][0].tolist(), batch["targets"][0].tolist()) for batch in batches]
    assert (expected["input_ids"], labels) in rows


def test_a_tag_that_training_lacks_counts_as_wrong_in_validation_too(settings, registry, tmp_path):
    (tmp_path / "new.jsonl").write_text(json.dumps({"tokens": ["the", "box"], "tags": ["B-THING", "B-BOX"]}))
    data = {
        "train": str(tmp_path / "train.jsonl"),
        "validation": str(tmp_path / "new.jsonl"),
        "unknown_labels": "wrong",
    }
    plan, (_, validation) = prepare_all(settings(data=data), registry, tmp_path / "work")
    labels = plan.prepared.labels
    batch = validation.batch([0])
    number = torch.where(batch["targets"] < 0, 0, batch["targets"]).clip(max=len(labels) - 1)
    logits = torch.nn.functional.one_hot(number, len(labels)).float()
    measured = TASK.objective(plan).measure([([0], batch, logits)])
    assert (measured["accuracy"], measured["recall"]) == (0.5, 0.5)


def test_a_long_sentence_is_windowed_and_no_word_is_lost(settings, registry, tmp_path):
    words = [f"word{number}" for number in range(60)]
    long = [{"tokens": words, "tags": ["O"] * 59 + ["B-LINK"]}] * 30 + [tagged("the end of it")] * 30
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, long)))
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, long[15:])))
    asked = settings(data={"train": str(tmp_path / "long.jsonl"), "validation": str(tmp_path / "long.jsonl"),
                           "test": str(tmp_path / "test.jsonl")}, train={"max_length": 16})  # fmt: skip
    plan, (train, _) = prepare_all(asked, registry, tmp_path / "work")
    assert len(train) > 60
    number = plan.prepared.labels.index("B-LINK")
    per_sentence = sum(int((train.batch([row])["targets"] == number).sum() > 0) for row in range(len(train))) / 30
    assert per_sentence >= 1
    assert train.truncated == 0


def test_things_are_learned_and_told_by_their_kind(settings, registry, tmp_path):
    plan, sides = prepare_all(settings(), registry, tmp_path / "work")
    taught = teach(plan, sides)
    assert taught.trained.figures["f1"] > 0.8
    assert set(plan.prepared.labels) == {"O", "B-THING", "B-LINK"}


# A graph with numbers per token is held against torch by what serves it.
@pytest.mark.slow
def test_a_tagger_is_taught_registered_and_answers_as_torch(settings, registry):
    made = run(settings(), registry)
    measured = made.release.evaluations["fp32"]
    assert measured.metrics["f1"] > 0.8
    assert {row["label"] for row in measured.details} == {"LINK", "THING"}
    folder = pull(open_store(registry.uri), "things:1", cache=registry.cache).folder
    predictor = open_predictor(folder, variant="fp32")
    words = "I took the lamp and went home".split()
    answer = predictor.predict([words], {"aggregation_strategy": "none", "ignore_labels": []})[0]
    tokenizer = AutoTokenizer.from_pretrained(folder / "weights")
    model = AutoModelForTokenClassification.from_pretrained(folder / "weights").eval()
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        scores = model(**encoded).logits[0].softmax(-1).numpy()
    firsts = [encoded.word_ids().index(number) for number in range(len(words))]
    assert [word["entity"] for word in answer] == [model.config.id2label[int(scores[at].argmax())] for at in firsts]
    assert np.allclose([word["score"] for word in answer], scores[firsts].max(-1), atol=1e-4)
    assert {entity["entity_group"] for entity in predictor.predict(["I took the lamp and went home"])[0]} == {
        "THING",
        "LINK",
    }
    predictor.close()


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")
def test_real_names_are_read(registry, tiny_base, tmp_path):
    columns = {"tokens": 0, "tags": 1}
    data = {"train": f"{DATA}/wnut17/wnut17train.conll", "columns": columns}
    asked = JobSettings(task="token-classification", base_model=str(tiny_base), model_name="x", data=data)
    plan, _ = prepare_all(asked, registry, tmp_path / "work")
    assert plan.prepared.facts["rows"]["train"] > 2500
    assert len(plan.prepared.labels) == 13


@pytest.mark.slow
def test_sentences_are_chosen_to_be_labelled(settings, registry, reviews, tmp_path):
    job = settings()
    run(job, registry)
    texts = [{"tokens": text.split()} for text, _ in reviews[300:340]]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, texts)))
    data = DataSettings(train=str(tmp_path / "rows.jsonl"))
    items, question = choose(Asked("things:1", "margin", 5, data), registry, tmp_path)
    assert (len(items), question.role, set(question.labels)) == (5, "tags", {"THING", "LINK"})
    assert all(len(item.texts) == len(item.predicted) == len(item.scores) for item in items)
