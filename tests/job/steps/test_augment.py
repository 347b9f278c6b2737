"""Training rows changed in a job: samples said, labels kept, the rest refused."""

import json

import pytest
import torch
from transformers import AutoConfig, BertForMaskedLM

from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.augment import augmented
from tunewright.job.steps.teach import teach

COMMON = {"epochs": 2, "learning_rate": 1e-3, "batch_size": 8, "precision": "fp32"}


@pytest.fixture
def base_with_mask(tiny_base, tmp_path):
    """The tiny BERT with its head over the vocabulary, and a tokenizer that has a mask."""
    folder = tmp_path / "base"
    torch.manual_seed(1)
    BertForMaskedLM(AutoConfig.from_pretrained(tiny_base)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_base / name).read_bytes())
    return folder


@pytest.fixture
def planned(registry, tmp_path, write):
    """planned(task, base, rows, augment=...): the plan and the sides of such a job."""

    def make(task, base, rows, data=None, **train):
        path = write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        columns = {name: name for name in rows[0]}
        settings = JobSettings(
            model_name="x",
            task=task,
            base_model=str(base),
            data={"train": str(path), "columns": columns, **(data or {})},
            train=COMMON | train,
        )
        return prepare_all(settings, registry, tmp_path / "work")

    return make


def said(capsys):
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one["message"] for one in events if one["event"] == "augment"]


def text_rows(reviews):
    return [{"text": text[:80], "label": label} for text, label in reviews[:60]]


def test_samples_are_said_and_kept_and_learning_is_exact(planned, tiny_base, reviews, capsys):
    plan, sides = planned("text-classification", tiny_base, text_rows(reviews), augment={"delete": 0.3, "swap": 0.2})
    first, again = (teach(plan, sides).trained.history for _ in range(2))
    assert first == again
    samples = said(capsys)
    assert len(samples) == 6
    assert samples[:3] == plan.prepared.facts["augmented_samples"]
    before, _, after = samples[0].partition(" -> ")
    assert len(after) < len(before)


def test_pairs_are_changed_both(planned, tiny_base, reviews):
    rows = [{"text": text[:60], "text_pair": text[::-1][:60], "label": label} for text, label in reviews[:60]]
    plan, sides = planned("text-classification", tiny_base, rows, augment={"typos": 0.9})
    made = augmented(plan, sides[0])
    plain, changed = (rows.batch(range(4)) for rows in (sides[0], made))
    assert plain["targets"].equal(changed["targets"])
    for kind in (0, 1):
        texts = [batch["input_ids"][batch["token_type_ids"] == kind].tolist() for batch in (plain, changed)]
        assert texts[0] != texts[1]


def test_synonyms_are_words_that_the_model_finds(planned, base_with_mask, reviews, capsys):
    plan, sides = planned("text-classification", base_with_mask, text_rows(reviews), augment={"synonyms": 0.5})
    made = augmented(plan, sides[0])
    assert made.batch([0, 1])["input_ids"].equal(made.batch([0, 1])["input_ids"])
    before, _, after = said(capsys)[0].partition(" -> ")
    assert len(before.split()) == len(after.split())
    assert before != after
    assert "[MASK]" not in after


def test_synonyms_need_a_head_that_finds_words(planned, tiny_base, reviews):
    plan, sides = planned("text-classification", tiny_base, text_rows(reviews), augment={"synonyms": 0.5})
    with pytest.raises(SettingsError) as caught:
        augmented(plan, sides[0])
    assert str(caught.value).startswith("train.augment.synonyms cannot be: base model '")
    assert str(caught.value).endswith(
        "brings no head that finds masked words; remove it, or choose a base model as it was pretrained"
    )


def test_entities_keep_their_words_and_every_word_its_tag(planned, tiny_base, reviews):
    kinds = {"movie": "B-FILM", "film": "B-FILM", "phone": "B-TOY"}
    texts = [text.lower().split()[:14] for text, _ in reviews[:80]]
    rows = [{"tokens": words, "tags": [kinds.get(word, "O") for word in words]} for words in texts if words]
    plan, sides = planned("token-classification", tiny_base, rows, augment={"delete": 0.5, "swap": 0.3})
    made = augmented(plan, sides[0])
    everything = range(len(sides[0]))
    plain, changed = (rows.batch(everything)["targets"].numpy() for rows in (sides[0], made))
    outside = plan.prepared.labels.index("O")
    for before, after in zip(plain, changed, strict=True):
        assert (before > outside).sum() == (after > outside).sum()
    assert (changed == outside).sum() < 0.7 * (plain == outside).sum()


def test_a_sentence_of_several_rows_stays(planned, tiny_base):
    long = {"tokens": ["good", "bad"] * 60, "tags": ["B-A", "O"] * 60}
    rows = [long, *({"tokens": ["good", "bad", str(n)], "tags": ["B-A", "O", "O"]} for n in range(30))]
    data = {"validation_fraction": 0.1, "test_fraction": 0.1}
    plan, sides = planned("token-classification", tiny_base, rows, data, augment={"delete": 0.9})
    made = augmented(plan, sides[0])
    windows = [row for row in range(len(sides[0])) if sides[0].lengths[row] > 30]
    assert len(windows) > 1 or long["tokens"] not in plan.prepared.train.data.inputs()
    for row in windows:
        assert sides[0].batch([row])["targets"].equal(made.batch([row])["targets"])
