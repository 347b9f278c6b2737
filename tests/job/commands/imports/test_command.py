"""`tunewright import`: from a folder of transformers to a version that answers as transformers does."""

import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from tunewright.job.errors import BaseModelError
from tunewright.job.model.build import build_classifier
from tunewright.job.settings.train import TrainSettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.reference import resolve
from tunewright.serving.golden import replay
from tunewright.serving.predictor import open_predictor

pytestmark = pytest.mark.usefixtures("own_signals")

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TEXTS = ["This product is amazing!", "I hate this product!", "Why does it leak after 2 days?", "ok"]


def test_a_head_must_be_there_whole(fetch, make_base):
    base = replace(fetch(make_base("bert")), finished=True)
    with pytest.raises(BaseModelError) as caught:
        build_classifier(base, ["without", "with"], TrainSettings())
    assert str(caught.value) == (
        f"base model {base.address!r}: model.safetensors lacks 2 weights of the head of a "
        "BertForSequenceClassification, or has them in another shape, such as classifier.bias: it was not taught this "
        "task"
    )


def test_a_head_stays_as_it_is_whatever_its_labels_are_called(fetch, make_base, batch):
    base = replace(fetch(make_base("bert", labels=["b", "a"])), finished=True)
    model = build_classifier(base, ["with", "without"], TrainSettings()).eval()
    own = AutoModelForSequenceClassification.from_pretrained(base.folder).eval()
    with torch.no_grad():
        assert torch.equal(model(**batch(2, 9)).logits, own(**batch(2, 9)).logits)


def test_what_is_no_head_and_a_second_name_are_told(imported, make_base):
    code, said = imported(make_base("bert"), "single")
    assert (code, "is a BertModel, which has no head for text-classification" in said) == (2, True)
    assert imported("x", "single", "--base_model", "y") == (
        2,
        "error: the model is named twice, 'x' and --base_model; name it once\n",
    )
    said = "error: train.epochs would have no effect: import teaches nothing; remove it\n"
    assert imported("x", "single", "--train.epochs", "3") == (2, said)


@pytest.mark.slow
def test_a_folder_of_transformers_answers_as_transformers_does(imported, pulled, make_base, registry):
    # The order of the head is not that of sorted labels.
    base = make_base("bert", labels=["without", "other", "with"])
    assert imported(base, "single", "--alias", "production", "--gate.beat_baseline", "false") == (0, "")
    folder = pulled("tiny@production")
    predictor = open_predictor(folder, variant="fp32")
    assert predictor.model.labels == ["without", "other", "with"]
    model = AutoModelForSequenceClassification.from_pretrained(base).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    with torch.no_grad():
        expected = [model(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for text in TEXTS]
    assert np.abs(np.stack(predictor.outputs(TEXTS)) - np.stack(expected)).max() < 1e-4
    assert replay(predictor) == 8
    predictor.close()
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["imported"] == {
        "address": str(base),
        "files": {name: sha256_of(base / name) for name in sorted(FILES)},
    }
    assert lineage["settings"]["train"] == {"max_length": 64}
    assert "training" not in lineage
    version = resolve(open_store(registry.uri), "tiny")
    assert read_manifest(open_store(registry.uri), version).config["imported"] == str(base)
    head = json.loads(gzip.decompress((folder / "report/outcomes.jsonl.gz").read_bytes()).splitlines()[0])
    assert head["in_training"] is None
    card, page = (folder / "report/README.md").read_text(), (folder / "report/report.html").read_text()
    assert "Imported by Tunewright from" in card
    assert "## Origin" in card
    assert "## Training" not in card
    assert " learned</" not in page
    assert "train.max_length" not in page
    assert "train.pooling" not in page
    assert "train more" not in page
    assert re.search(r"<dt>Begun</dt><dd><bdi>2\d{3}-\d\d-\d\dT", page)
