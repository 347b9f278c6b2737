"""Uneven labels, in a job: remedies tried, a threshold moved."""

import json

import numpy as np
import pytest

from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import CheckpointSettings
from tunewright.job.steps.remedies.imbalance import REMEDIES
from tunewright.job.steps.teach import teach
from tunewright.serving.predictor import open_predictor


@pytest.fixture
def job(tiny_base, reviews, write, tmp_path):
    """job(**train): the settings of a job whose label `rare` a tenth of the rows have."""
    texts = [text for text, _ in reviews]
    has = [text for text in texts if " not " in text][:30]
    rows = [(text, "rare") for text in has] + [(text, "often") for text in texts if " not " not in text][:150]
    lines = "".join(json.dumps({"text": text[:100], "label": label}) + "\n" for text, label in rows)
    common = {"epochs": 1, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}

    def make(**train):
        return JobSettings(
            model_name="x",
            base_model=str(tiny_base),
            data={"train": str(write("rows.jsonl", lines.encode())), "validation_fraction": 0.2},
            train=common | train,
            export={"variants": ["fp32"], "explained_rows": 0},
            output=tmp_path / "runs",
            keep_bundle=True,
        )

    return make


def said(capsys, event):
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one["message"] for one in events if one["event"] == event and "message" in one]


def test_the_best_remedy_is_kept_with_all_that_were_tried(job, registry, tmp_path, capsys):
    plan, sides = prepare_all(job(imbalance="auto", metric="mcc"), registry, tmp_path / "work")
    taught = teach(plan, sides)
    tried = taught.trained.remedies
    assert [one["remedy"] for one in tried] == list(REMEDIES)
    (kept,) = [one for one in tried if one["kept"]]
    assert kept["mcc"] == taught.trained.figures["mcc"] == max(one["mcc"] for one in tried)
    (told,) = [text for text in said(capsys, "imbalance") if text.startswith("kept ")]
    assert told.startswith(f"kept {kept['remedy']}, by mcc on validation: none {tried[0]['mcc']:.4f}, class_weights")


class Counted:
    """Training rows that count how often they are read, and end the process at one time."""

    def __init__(self, rows, last=None):
        self._rows, self._last, self.reads = rows, last, 0
        self.lengths, self.truncated = rows.lengths, rows.truncated

    def __len__(self):
        return len(self._rows)

    def batch(self, rows):
        self.reads += 1
        if self.reads == self._last:
            raise Killed
        return self._rows.batch(rows)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.slow
def test_a_killed_search_for_the_best_remedy_goes_on_to_the_same_winner(job, registry, tmp_path, capsys):
    plan, (rows, validation) = prepare_all(job(imbalance="auto", dropout=0.2), registry, tmp_path / "work")
    whole = Counted(rows)
    expected = teach(plan, (whole, validation))

    def kept():
        return Checkpoints(tmp_path / "kept", Identity({}, ""), CheckpointSettings(steps=2))

    for share in (0.3, 0.4):
        with pytest.raises(Killed):
            teach(plan, (Counted(rows, round(share * whole.reads)), validation), kept())
    rest = Counted(rows)
    taught = teach(plan, (rest, validation), kept())
    assert 0 < rest.reads < 0.7 * whole.reads
    assert taught.trained.remedies == expected.trained.remedies
    assert taught.trained.history == expected.trained.history
    weights = expected.model.state_dict()
    assert all(tensor.equal(weights[name]) for name, tensor in taught.model.state_dict().items())


def test_over_sampling_reads_as_many_rows_of_each_label(job, registry, tmp_path, capsys):
    plan, sides = prepare_all(job(sampling="over"), registry, tmp_path / "work")
    teach(plan, sides)
    often = max(np.bincount(plan.prepared.train.targets))
    assert said(capsys, "train")[0] == f"over-sampling: an epoch has {2 * often:,} rows of {len(sides[0]):,}"


def test_a_long_sentence_is_sampled_row_by_row(tiny_base, write, registry, tmp_path, capsys):
    rows = [{"tokens": ["good", "bad"] * 60, "tags": ["B-RARE", "O"] * 60}]
    rows += [{"tokens": ["good", str(number)], "tags": ["B-OFTEN", "O"]} for number in range(40)]
    sides = {"train": rows, "validation": rows[1:11], "test": rows[11:21]}
    data = {
        name: str(write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in some).encode()))
        for name, some in sides.items()
    }
    train = {"epochs": 1, "precision": "fp32", "sampling": "over"}
    settings = JobSettings(
        model_name="x", task="token-classification", base_model=str(tiny_base), data=data, train=train
    )
    plan, sides = prepare_all(settings, registry, tmp_path / "work")
    assert len(sides[0]) > len(plan.prepared.train)
    teach(plan, sides)
    assert said(capsys, "train")[0].startswith("over-sampling: an epoch has ")


@pytest.mark.slow
def test_the_served_file_decides_by_the_moved_threshold(job, registry, capsys):
    released = run(job(threshold={"label": "rare", "recall": 1}), registry).release
    report = json.loads((released.folder / "report" / "metrics.json").read_text())
    assert report["threshold"]["recall"] == 1
    rare = next(one for one in report["test"]["fp32"]["details"] if one["label"] == "rare")
    assert rare["recall"] > 0
    assert "`rare` begins elsewhere (its logit +" in (released.folder / "report" / "README.md").read_text()
    (told,) = said(capsys, "threshold")
    assert told.startswith("'rare': precision ")
    predictor = open_predictor(released.folder)
    assert predictor.predict(["it does not work at all"])[0][0]["label"] in ("rare", "often")
    predictor.close()


def test_a_threshold_of_no_label_is_refused(job, registry, tmp_path):
    with pytest.raises(SettingsError) as caught:
        prepare_all(job(threshold={"label": "seldom", "recall": 1}), registry, tmp_path / "work")
    assert str(caught.value) == "train.threshold.label is 'seldom'; the labels are often, rare"
