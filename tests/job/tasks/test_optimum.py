"""The files of a version open with optimum's ONNX Runtime classes, in an environment of their own, and answer alike."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunewright.serving.predictor import open_predictor

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "optimum.txt"
LENGTH = 8
_OPTIMUM = """
import json, sys
from onnxruntime import SessionOptions
from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForSequenceClassification
from transformers import AutoTokenizer

what, texts, folder = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
tokenizer = AutoTokenizer.from_pretrained(folder)
# int8 is exact with it on every processor (docs/decisions/0021-int8-by-rows.md).
exact = SessionOptions()
exact.add_session_config_entry("session.x64quantprecision", "1")
rows = [tokenizer(text, return_tensors="pt") for text in texts]
if what == "logits":
    model = ORTModelForSequenceClassification.from_pretrained(folder, session_options=exact)
    answers = [model(**row).logits[0].tolist() for row in rows]
else:
    model = ORTModelForCausalLM.from_pretrained(folder, session_options=exact)
    written = [model.generate(**row, max_new_tokens=int(what), do_sample=False)[0] for row in rows]
    answers = tokenizer.batch_decode(written, skip_special_tokens=True)
print(json.dumps(answers))
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def optimum(tmp_path_factory):
    """optimum("logits", texts, folder), optimum(8, texts, folder): logits, or texts with eight tokens more at most."""
    folder = tmp_path_factory.mktemp("optimum")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)

    def answers(what, texts, folder):
        command = [python, "-c", _OPTIMUM, str(what), json.dumps(texts), folder]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(said.splitlines()[-1])

    return answers


@pytest.fixture
def laid_out(tmp_path):
    """laid_out(bundle, "int8"): a graph beside its configuration and tokenizer, which is all optimum asks for."""

    def copy(bundle, variant):
        weights = shutil.ignore_patterns("*.safetensors")
        folder = shutil.copytree(bundle / "weights", tmp_path / variant, ignore=weights)
        return shutil.copytree(bundle / "onnx" / variant, folder, dirs_exist_ok=True)

    return copy


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_classifier_has_the_same_logits_in_optimum(optimum, laid_out, made, variant, odd):
    bundle = made("single").pulled()
    predictor = open_predictor(bundle, variant=variant)
    expected = np.stack(predictor.outputs(odd))
    predictor.close()
    assert np.allclose(optimum("logits", odd, laid_out(bundle, variant)), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_decoder_writes_the_same_texts_in_optimum(optimum, laid_out, teach, writer_base, sentences, variant):
    texts = [source for source, _ in sentences(200)]
    bundle = teach("text-generation", writer_base("gpt2"), [{"text": text} for text in texts]).bundle
    predictor = open_predictor(bundle, variant=variant)
    expected = predictor.predict(texts[:4], {"max_new_tokens": LENGTH})
    predictor.close()
    assert optimum(LENGTH, texts[:4], laid_out(bundle, variant)) == [one["generated_text"] for [one] in expected]
