"""Real tiny bundles: a trained WordPiece tokenizer and a small graph that reads words, masks and segments.

The graph averages the embeddings of a row's unmasked tokens and multiplies the average with one column per label, so
padding is neutral and every word counts. The first dimension of the embeddings is mood: that is how the little model
knows "amazing" from "terrible".
"""

import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
import uvicorn
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import Version
from tunewright.serving.bundle.neighbours import FOLDER, ROWS, VECTORS
from tunewright.serving.golden import TOLERANCE
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import listen, web_config
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.predictor import open_predictor
from tunewright.serving.runtime.scores import normalized
from tunewright.serving.settings import Limits

HIDDEN = 16
GOOD = ("amazing", "love", "great", "happy")
BAD = ("hate", "terrible", "broken", "sad")
SENTENCES = (
    "This product is amazing and I love it!",
    "I hate this product, it arrived broken.",
    "A great little lamp; my children are happy with it.",
    "Terrible service: two weeks late, and a sad excuse for a manual.",
    "A man is playing a guitar while somebody makes music.",
    "The battery lasts two days, which is not bad for the price.",
)


@dataclass(frozen=True)
class Recipe:
    """What kind of bundle to make."""

    problem: str = "single_label"
    labels: tuple[str, ...] = ("negative", "positive")
    pair: bool = False
    thresholds: tuple[float, ...] | None = None
    task: str = "text-classification"
    nan_on: str | None = None
    """A word of the vocabulary that makes the logits NaN."""
    endless_on: str | None = None
    """A word of the vocabulary that makes the graph run for ever."""


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """A function that writes the bundle of a recipe and gives its folder."""

    def make(recipe=Recipe()):
        folder = tmp_path_factory.mktemp("bundle")
        tokenizer = _tokenizer()
        tokenizer.save(str(folder / "tokenizer.json"))
        _write_variants(folder, tokenizer, recipe)
        _write_model(folder, recipe)
        return folder

    return make


@pytest.fixture(scope="session")
def recipe():
    return Recipe


@pytest.fixture(scope="session")
def reviews(make_bundle):
    """Single label: negative or positive."""
    return make_bundle()


@pytest.fixture(scope="session")
def remembered(reviews, tmp_path_factory):
    """The same with graphs that hand out their vectors, and the sentences as training rows."""
    folder = shutil.copytree(reviews, tmp_path_factory.mktemp("bundle") / "remembered")
    for path in folder.glob("onnx/*/model.onnx"):
        model = onnx.load(path)
        model.graph.node.append(helper.make_node("Identity", ["mean_BH"], ["vector"]))
        model.graph.output.append(helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["B", HIDDEN]))
        onnx.save(model, path)
    predictor = open_predictor(folder)
    (folder / FOLDER).mkdir()
    np.save(folder / VECTORS, normalized(np.stack(predictor.vectors(SENTENCES))).astype(np.float16))
    predictor.close()
    rows = [{"row": 10 * number, "label": "negative", "text": text} for number, text in enumerate(SENTENCES)]
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def emotions(make_bundle):
    """Multi label, with a threshold per label."""
    return make_bundle(Recipe(problem="multi_label", labels=("joy", "anger", "surprise"), thresholds=(0.5, 0.4, 0.999)))


@pytest.fixture(scope="session")
def entailment(make_bundle):
    """Pairs of texts."""
    return make_bundle(Recipe(labels=("contradiction", "neutral", "entailment"), pair=True))


@pytest.fixture(scope="session")
def similarity(make_bundle):
    """A number for a pair of texts."""
    return make_bundle(Recipe(problem="regression", labels=("score",), pair=True, task="text-regression"))


@pytest.fixture
def published(reviews, tmp_path):
    """A folder registry with the reviews bundle as reviews:1, and files that a server has no use for."""
    spare = tmp_path / "spare"
    spare.write_text("not for serving")
    files = {str(path.relative_to(reviews)): path for path in reviews.rglob("*") if path.is_file()}
    files |= {"weights/model.safetensors": spare, "report/metrics.json": spare}
    publish(open_store(str(tmp_path / "registry")), "reviews", files, run_id="run-1")
    return tmp_path / "registry"


@pytest.fixture
def open_bundle():
    """A function like open_predictor; the predictors are closed after the test."""
    opened = []

    def open_it(folder, **options):
        opened.append(open_predictor(folder, **options))
        return opened[-1]

    yield open_it
    for predictor in opened:
        predictor.close()


@pytest.fixture(scope="session")
def serve_bundle():
    """A context manager: a real web server on a loopback port over a bundle, as (client, models).

    `settings`: those of what stands before it.
    """

    @contextmanager
    def serve_it(folder, settings=None, **limits):
        version = Version("reviews", 3, "sha256:" + "0" * 64, "run-1", "2026-01-31T12:00:00Z", 1)
        service = Service(open_predictor(folder), version, limits=Limits(**limits), threads=2)
        models = Models(service, limits=service.limits, meters=service.meters)
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(web_config(create_app(models, settings), models))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            port = listener.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                yield client, models
        finally:
            server.should_exit = True
            thread.join()
            models.close()

    return serve_it


@pytest.fixture(scope="session")
def require_shared_run():
    """A function: requests (inputs, parameters) are answered in one run of all their rows as they are one by one."""

    def require(predictor, *requests):
        engine = predictor.engine
        checked = [predictor.task.read_parameters(parameters, predictor.model) for _, parameters in requests]
        rows = [engine.prepare(inputs, one) for (inputs, _), one in zip(requests, checked, strict=True)]
        outputs = iter(list(engine.run([row for own in rows for row in own])))
        for (inputs, parameters), one, own in zip(requests, checked, rows, strict=True):
            answers = [engine.answer(row, next(outputs), one) for row in own]
            require_close(answers, predictor.predict(inputs, parameters))

    return require


def require_close(answer, expected):
    """Two answers are the same, but for the last digits of their numbers."""
    assert type(answer) is type(expected)
    if isinstance(answer, dict):
        assert list(answer) == list(expected)
        require_close(list(answer.values()), list(expected.values()))
    elif isinstance(answer, list):
        for one, other in zip(answer, expected, strict=True):
            require_close(one, other)
    else:
        assert answer == (pytest.approx(expected, rel=1e-4, abs=1e-6) if isinstance(expected, float) else expected)


def edit_model(folder, **changes):
    """Change keys of a bundle's model.json."""
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(name="edit_model")
def edit_model_fixture():
    return edit_model


def _tokenizer():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    # The trainer numbers words as it comes to them, each time another way; the graph has a vector for each number.
    words = [*special, *sorted(set(tokenizer.get_vocab()) - set(special))]
    tokenizer.model = models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    cls, sep = (("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]")))
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def _write_variants(folder, tokenizer, recipe):
    for name in ("fp32", "int8"):
        (folder / "onnx" / name).mkdir(parents=True)
    onnx.save(_graph(tokenizer, recipe), folder / "onnx/fp32/model.onnx")
    quantize_dynamic(folder / "onnx/fp32/model.onnx", folder / "onnx/int8/model.onnx", weight_type=QuantType.QInt8)


def _graph(tokenizer, recipe):
    labels = len(recipe.labels)
    random = np.random.default_rng(7)
    words = random.normal(0, 0.3, (tokenizer.get_vocab_size(), HIDDEN)).astype(np.float32)
    for mood, vocabulary in ((4.0, GOOD), (-4.0, BAD)):
        words[[tokenizer.token_to_id(word) for word in vocabulary], 0] = mood
    head = random.normal(0, 0.5, (HIDDEN, labels)).astype(np.float32)
    head[0] = np.linspace(-4, 4, labels) if labels > 1 else 2.0
    weights = {
        "words": words,
        "segments": random.normal(0, 0.3, (2, HIDDEN)).astype(np.float32),
        "head": head,
        "nan": np.array(np.nan, dtype=np.float32),
        "nan_word": np.array(tokenizer.token_to_id(recipe.nan_on) if recipe.nan_on else -1),
        "endless_word": np.array(tokenizer.token_to_id(recipe.endless_on) if recipe.endless_on else -1),
        "last": np.array([-1]),
        "time": np.array([1]),
    }
    rows = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in _INPUTS]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", labels])
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph([*_nodes(), *_poison()], "tiny", rows, [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def _nodes():
    node = helper.make_node
    return [
        node("Gather", ["words", "input_ids"], ["word_BTH"]),
        node("Gather", ["segments", "token_type_ids"], ["segment_BTH"]),
        node("Add", ["word_BTH", "segment_BTH"], ["sum_BTH"]),
        node("Cast", ["attention_mask"], ["mask_BT"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask_BT", "last"], ["mask_BT1"]),
        node("Mul", ["sum_BTH", "mask_BT1"], ["masked_BTH"]),
        node("ReduceSum", ["masked_BTH", "time"], ["total_BH"], keepdims=0),
        node("ReduceSum", ["mask_BT1", "time"], ["count_B1"], keepdims=0),
        node("Div", ["total_BH", "count_B1"], ["mean_BH"]),
        node("MatMul", ["mean_BH", "head"], ["healthy"]),
    ]


def _poison():
    """Logits are NaN, or never come, when a certain word is in the batch."""
    node, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["go_in"], ["go_out"]), node("Identity", ["x_in"], ["x_out"])],
        "body",
        [info("i", TensorProto.INT64, []), info("go_in", TensorProto.BOOL, []), info("x_in", TensorProto.FLOAT, None)],
        [info("go_out", TensorProto.BOOL, []), info("x_out", TensorProto.FLOAT, None)],
    )
    return [
        *_contains("nan_word", "is_nan"),
        node("Where", ["is_nan", "nan", "healthy"], ["finite_or_not"]),
        *_contains("endless_word", "is_endless"),
        node("Loop", ["", "is_endless", "finite_or_not"], ["logits"], body=body),
    ]


def _contains(word, output):
    return [
        helper.make_node("Equal", ["input_ids", word], [f"{word}_BT"]),
        helper.make_node("Cast", [f"{word}_BT"], [f"{word}_float_BT"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", [f"{word}_float_BT"], [f"{word}_float"], keepdims=0),
        helper.make_node("Cast", [f"{word}_float"], [output], to=TensorProto.BOOL),
    ]


def _write_model(folder, recipe):
    content = {
        "format": 1,
        "task": recipe.task,
        "problem": recipe.problem,
        "labels": list(recipe.labels),
        "pair": recipe.pair,
        "max_length": 32,
        "padding": {"id": 0},
        "thresholds": recipe.thresholds,
        "variants": {name: _variant(folder, name) for name in ("fp32", "int8")},
        "default_variant": "fp32",
        "left_out": {"fp16": "it lost 0.2 of accuracy against fp32"},
    }
    (folder / "model.json").write_text(json.dumps(content))
    if not (recipe.nan_on or recipe.endless_on):
        edit_model(folder, golden=_golden(folder, pair=recipe.pair))


def _variant(folder, name):
    file = f"onnx/{name}/model.onnx"
    return {
        "file": file,
        "batching": "alone" if name == "int8" else "padded",
        "bytes": Path(folder / file).stat().st_size,
        "golden_tolerance": TOLERANCE[name],
    }


def _golden(folder, *, pair):
    inputs = list(pairwise(SENTENCES)) if pair else list(SENTENCES)
    outputs = {}
    for name in ("fp32", "int8"):
        predictor = open_predictor(folder, variant=name)
        outputs[name] = [output.tolist() for output in predictor.outputs(inputs)]
        predictor.close()
    return [
        {"inputs": text, "outputs": {name: rows[index] for name, rows in outputs.items()}}
        for index, text in enumerate(inputs)
    ]
