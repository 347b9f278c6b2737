"""A setting of training that a task uses changes what the task learns, or is refused with a reason."""

import hashlib
import json
import shutil

import pytest

from tunewright.job.errors import JobError, SettingsError
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.job import JobSettings, TrainSettings
from tunewright.job.steps.contradictions import used
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS

CHANGES = {
    "epochs": 3,
    "learning_rate": 1e-3,
    "batch_size": 5,
    "accumulation": 2,
    "seed": 9,
    "layers": 1,
    "layer_decay": 0.5,
    "unfreeze": 1,
    "lora": {"rank": 2},
    "few_shot": {"pairs": 2},
    "pooling": "native",
    "max_length": 8,
    "weight_decay": 0.9,
    "warmup": 0.9,
    "schedule": "cosine",
    "clip": 1e-3,
    "dropout": 0.5,
    "label_smoothing": 0.4,
    "class_weights": "balanced",
    "focal_gamma": 3,
    "huber_delta": 0.01,
    "precision": "bf16",
}
"""A value of each setting that is not the one below. What only chooses an epoch (`metric`, `patience`), and a loss that
a plug-in brings, are shown where they are."""
PLAIN = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "precision": "fp32", "pooling": "mean"}
ENCODERS = (
    *("text-classification", "text-regression", "token-classification", "question-answering", "feature-extraction"),
    "masked-language-modelling",
)
"""Tasks that one tiny encoder can learn; the others go through the same loop."""


def row_of(task, text):
    """A row of a task, made of a text."""
    words = text.split()[:12]
    plain = " ".join(words)
    return {
        "text-classification": {"text": plain, "label": "with" if "the" in words else "without"},
        "text-regression": {"text": plain, "score": float(sum(map(len, words)))},
        "token-classification": {"tokens": words, "tags": ["B-T" if word == "the" else "O" for word in words]},
        "question-answering": {
            "question": "what is first?",
            "context": plain,
            "answers": {"text": words[:1], "answer_start": [0]},
        },
        "feature-extraction": {"text": plain, "text_pair": " ".join(words[::-1]), "score": float(len(words))},
        "masked-language-modelling": {"text": plain},
    }[task]


@pytest.fixture(scope="module")
def learned(reviews, tiny_base, tmp_path_factory):
    """learned(task, **train): what a job came to, as one digest; or the sentence of its refusal."""
    base = shutil.copytree(tiny_base, tmp_path_factory.mktemp("base") / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(config | {"mask_token": "[MASK]"}))
    folder = tmp_path_factory.mktemp("rows")
    known = {}

    def make(task, registry, **train):
        path = folder / f"{task}.jsonl"
        if not path.exists():
            path.write_text("".join(json.dumps(row_of(task, text)) + "\n" for text, _ in reviews[:60] if text.split()))
        key = json.dumps([task, train])
        if key not in known:
            given = {name: value for name, value in PLAIN.items() if f"train.{name}" in used(TASKS[task])} | train
            columns = {name: name for name in row_of(task, "a b")}
            data = {"train": str(path), "columns": columns}
            settings = JobSettings(task=task, base_model=str(base), model_name="x", data=data, train=given)
            known[key] = outcome(settings, registry, tmp_path_factory.mktemp("work"))
        return known[key]

    return make


def outcome(settings, registry, work):
    """The weights that were learned and how, as one digest."""
    try:
        taught = teach(*prepare_all(settings, registry, work))
    except JobError as error:
        return f"{type(error).__name__}: {error}"
    digest = hashlib.sha256(repr(taught.trained.history).encode())
    for _, weight in sorted(taught.model.state_dict().items()):
        digest.update(weight.detach().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("task", ENCODERS)
def test_a_setting_changes_what_is_learned_or_is_refused(learned, registry, task, name):
    changed = learned(task, registry, **{name: CHANGES[name]})
    if f"train.{name}" in used(TASKS[task]):
        plain = learned(task, registry)
        assert len(plain) == 64, plain
        assert changed != plain
        # A model without a head says so.
        assert len(changed) == 64 or changed.startswith("SettingsError: train.unfreeze begins with the head, but this")
    else:
        assert changed.startswith(
            f"{SettingsError.__name__}: train.{name} would have no effect: {task} does not use it"
        )


def test_every_setting_of_training_is_tried():
    assert set(TrainSettings.model_fields) - set(CHANGES) == {"metric", "patience", "loss"}
