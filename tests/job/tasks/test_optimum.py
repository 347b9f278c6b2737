"""What `tunewright export --hf` makes opens with optimum's ONNX Runtime classes, in an environment of their own, and
with transformers here, and answers alike."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from tunewright.registry.export.hub import export_hub
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.folder import files_of
from tunewright.registry.versions.publish import publish
from tunewright.serving.predictor import open_predictor

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "optimum.txt"
LENGTH = 8
GRAPHS = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}
_OPTIMUM = """
import json, sys
from onnxruntime import SessionOptions
from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForSequenceClassification
from transformers import AutoTokenizer

what, texts, folder, graph = sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:]
tokenizer = AutoTokenizer.from_pretrained(folder)
# int8 is exact with it on every processor (docs/decisions/0021-int8-by-rows.md).
exact = SessionOptions()
exact.add_session_config_entry("session.x64quantprecision", "1")
opened = {"subfolder": "onnx", "file_name": graph, "session_options": exact}
rows = [tokenizer(text, return_tensors="pt") for text in texts]
if what == "logits":
    model = ORTModelForSequenceClassification.from_pretrained(folder, **opened)
    answers = [model(**row).logits[0].tolist() for row in rows]
else:
    model = ORTModelForCausalLM.from_pretrained(folder, **opened)
    written = [model.generate(**row, max_new_tokens=int(what), do_sample=False)[0] for row in rows]
    answers = tokenizer.batch_decode(written, skip_special_tokens=True)
print(json.dumps(answers))
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def optimum(tmp_path_factory):
    """optimum("logits", texts, folder, graph): logits; optimum(8, ...): texts with eight tokens more at most."""
    folder = tmp_path_factory.mktemp("optimum")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)

    def answers(what, texts, folder, graph):
        command = [python, "-c", _OPTIMUM, str(what), json.dumps(texts), folder, graph]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(said.splitlines()[-1])

    return answers


@pytest.fixture
def exported(tmp_path):
    """exported(bundle): the folder that `tunewright export --hf` makes of it."""

    def export(bundle):
        store = open_store(str(tmp_path / "registry"))
        version = publish(store, "tiny", files_of(bundle), run_id="first", config={})
        export_hub(store, version, tmp_path / "hf", cache=tmp_path / "cache")
        return tmp_path / "hf"

    return export


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_classifier_has_the_same_logits_in_optimum(optimum, exported, made, variant, odd):
    bundle = made("single").pulled()
    predictor = open_predictor(bundle, variant=variant)
    expected = np.stack(predictor.outputs(odd))
    predictor.close()
    assert np.allclose(optimum("logits", odd, exported(bundle), GRAPHS[variant]), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_decoder_writes_the_same_texts_in_optimum(optimum, exported, teach, writer_base, sentences, variant):
    texts = [source for source, _ in sentences(200)]
    bundle = teach("text-generation", writer_base("gpt2"), [{"text": text} for text in texts]).bundle
    predictor = open_predictor(bundle, variant=variant)
    expected = predictor.predict(texts[:4], {"max_new_tokens": LENGTH})
    predictor.close()
    answered = optimum(LENGTH, texts[:4], exported(bundle), GRAPHS[variant])
    assert answered == [one["generated_text"] for [one] in expected]


def test_a_classifier_has_the_same_scores_in_transformers(exported, made, odd):
    bundle = made("single").pulled()
    predictor = open_predictor(bundle, variant="fp32")
    expected = predictor.predict(odd, {"function_to_apply": "none"})
    predictor.close()
    answered = pipeline("text-classification", model=str(exported(bundle)), top_k=None, function_to_apply="none")(odd)
    for ours, theirs in zip(expected, answered, strict=True):
        assert {one["label"]: one["score"] for one in theirs} == pytest.approx(
            {one["label"]: one["score"] for one in ours}, abs=1e-4
        )
