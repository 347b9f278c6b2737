"""A tagger learns what a registered version answers to each word, beside its tags or in their place."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from tunewright.job.batches.text import NO_LABEL
from tunewright.job.kinds.plan import Teaching
from tunewright.job.progress.events import recorded
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.remedies import DistillSettings
from tunewright.job.steps.teach import teach
from tunewright.job.steps.teachers.distill import distilled
from tunewright.job.steps.teachers.tags import words_of_tokens
from tunewright.registry.settings import RegistrySettings

KINDS = {"the": "B-THING", "a": "B-THING", "and": "B-LINK"}


@pytest.fixture(scope="module")
def settings(reviews, tiny_base, tmp_path_factory):
    """settings(lot=False, **train): a job that finds things and links; with `lot` its training tags are drawn so."""
    folder, texts = tmp_path_factory.mktemp("tagged"), [text.split() for text, _ in reviews[:360]]
    drawn = random.Random(1)

    def write(name, sentences, lot):
        rows = [
            {
                "tokens": words,
                "tags": [
                    drawn.choice(["O", *KINDS.values()]) if lot else KINDS.get(word.lower(), "O") for word in words
                ],
            }
            for words in sentences
        ]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(folder / name)

    held = {"validation": write("v.jsonl", texts[240:300], False), "test": write("t.jsonl", texts[300:], False)}
    taught = {lot: write(f"{lot}.jsonl", texts[:240], lot) for lot in (False, True)}

    def make(lot=False, **train):
        common = {"epochs": 6, "learning_rate": 5e-3, "batch_size": 16, "precision": "fp32", "max_length": 24}
        return JobSettings(
            task="token-classification",
            base_model=str(tiny_base),
            model_name="pupil" if lot else "things",
            data={"train": taught[lot], **held},
            train=common | train,
            export={"variants": ["fp32"]},
            output=folder / "runs",
        )

    return make


@pytest.fixture(scope="module")
def planned(settings, tmp_path_factory):
    """A plan with answers of a teacher that are drawn by lot, those to one word left out, and its sides."""
    folder = tmp_path_factory.mktemp("planned")
    plan, sides = prepare_all(settings(), RegistrySettings(uri=str(folder), cache=folder / "cache"), folder / "work")
    words = sum(map(len, plan.prepared.train.data.inputs()))
    logits = np.random.default_rng(1).standard_normal((words, len(plan.prepared.labels)), np.float32)
    logits[1] = np.nan
    plan = plan.with_train(distill=DistillSettings(teacher="x@y", weight=0.25, temperature=3))
    return replace(plan, teaching=Teaching(logits, words)), sides


def test_each_word_has_the_answer_to_it_at_its_first_token(planned):
    plan, (rows, _) = planned
    words = words_of_tokens(plan)
    # Sentences of more than a row are read in windows that overlap.
    assert len(rows) > len(plan.prepared.train)
    assert {*words.tolist()} == {NO_LABEL, *range(len(plan.teaching.logits))}
    taught, _ = distilled(plan, rows, plan.prepared.task.objective(plan))
    start = 0
    for row in range(20):
        length = int(rows.lengths[row])
        tags, logits = taught.batch([row])["targets"][0].split([1, len(plan.prepared.labels)], dim=-1)
        own = words[start : start + length]
        assert ((tags[:, 0] != NO_LABEL).numpy() == (own != NO_LABEL)).all()
        assert np.array_equal(logits[own != NO_LABEL], plan.teaching.logits[own[own != NO_LABEL]], equal_nan=True)
        start += length


def test_tags_count_for_what_the_teacher_leaves_and_for_words_that_it_does_not_read(planned):
    plan, (rows, _) = planned
    plain = plan.prepared.task.objective(plan)
    taught, objective = distilled(plan, rows, plain)
    targets, tags = taught.batch([0, 1])["targets"], rows.batch([0, 1])["targets"]
    logits = torch.randn(*tags.shape, len(plan.prepared.labels), generator=torch.Generator().manual_seed(1))
    words = tags != NO_LABEL
    ours, theirs = logits[words], targets[words][:, 1:]
    read = theirs.isfinite().all(-1)
    assert int((~read).sum()) == 1
    apart = (theirs[read] / 3).softmax(-1) * ((theirs[read] / 3).log_softmax(-1) - (ours[read] / 3).log_softmax(-1))
    expected = 0.25 * 9 * apart.sum() / len(ours) + 0.75 * functional.cross_entropy(ours, tags[words])
    assert torch.allclose(objective.loss(logits, targets), expected)
    assert objective.weight(targets) == len(ours)


@pytest.mark.slow
def test_a_tagger_learns_what_its_teacher_answers(settings, tmp_path):
    registry = RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")
    run(settings(), registry)
    with recorded() as said:
        asked = settings(lot=True, distill={"teacher": "things", "weight": 1}, sampling="over")
        plan, sides = prepare_all(asked, registry, tmp_path / "work")
    words = len(plan.teaching.logits)
    assert [one.text for one in said if one.event == "teacher"][-1] == f"things:1 has answered {words:,} words"
    assert np.isfinite(plan.teaching.logits).all()
    figures = [
        teach(one, sides).trained.figures["f1"]
        for one in (plan, replace(plan, settings=settings(lot=True), teaching=None))
    ]
    assert figures[0] > figures[1] + 0.3, figures
