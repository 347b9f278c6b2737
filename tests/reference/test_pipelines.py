"""The reference answers as the pipelines of transformers 4.57 did (recorded by write.py)."""

import json
import tarfile
from pathlib import Path

import pytest
from formula import Formula
from pipelines import Reader, Writer
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "recorded/answers.json").read_text())
QUESTION = "Where was Marie Curie born?"
WRITERS = {"translation": ("translator", "translation_text"), "summarization": ("summary", "summary_text")}


def listed(found):
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", sorted(set(RECORDED) - set(WRITERS)))
def test_the_reader_answers_as_the_pipeline_of_questions_did(name):
    special, tokenizer = json.loads((HERE / "recorded" / f"{name}.json").read_text())
    made = Tokenizer.from_str(json.dumps(tokenizer))
    reader = Reader(Formula(), PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=200, **special))
    for case in RECORDED[name]:
        found = reader(question=QUESTION, context=case["context"], **case["parameters"])
        assert isinstance(found, list) == isinstance(case["answer"], list)
        for one, expected in zip(listed(found), listed(case["answer"]), strict=True):
            assert one == expected | {"score": pytest.approx(expected["score"], abs=1e-6)}, case


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """weights("summary"): the folder of the weights of a version of earlier."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(HERE.parent / "earlier/registry.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    store = open_store(str(folder / "registry"))
    return lambda name: pull(store, f"{name}:1", cache=folder / "cache").folder / "weights"


@pytest.mark.parametrize("task", WRITERS)
def test_the_writer_writes_what_the_pipeline_of_its_task_did(weights, task):
    name, key = WRITERS[task]
    folder = weights(name)
    writer = Writer(AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), key)
    for case in RECORDED[task]:
        assert writer(case["texts"], **case["parameters"]) == case["answers"]
