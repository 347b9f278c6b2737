"""Masked language modelling, taught: the loss is that of transformers, the version answers, its weights are a base."""

import csv
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, PreTrainedTokenizerFast, pipeline

from tunewright.job.errors import BaseModelError, DataError, GateFailed, SettingsError
from tunewright.job.export.graph import ARCHITECTURES, export_fp32, graph_inputs
from tunewright.job.export.parity import compare
from tunewright.job.learners.texts import tensors
from tunewright.job.measure.masked import figures, found
from tunewright.job.model.build import build_classifier, build_masked
from tunewright.job.model.layers import choose_layers
from tunewright.job.model.load import save_weights
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.train import AdaptSettings, TrainSettings
from tunewright.job.train.loop import train
from tunewright.job.train.next_token import learned_logits
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.serving.bundle.fetch import fetch as fetch_variant
from tunewright.serving.golden import replay
from tunewright.serving.predictor import open_predictor

TRAIN = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
HOOKED = ["albert", "bert", "distilbert", "electra", "mobilebert", "modernbert", "roberta"]
QUICK = ("roberta",)
"""An export takes seconds: `make test` looks at one architecture beside the BERT of the whole job."""


@pytest.fixture(scope="session")
def make_masked_base(make_base, tmp_path_factory):
    """make_masked_base("bert"): the folder of a tiny base model that brings a head for masked words."""

    def make(kind="bert"):
        folder = shutil.copytree(make_base(kind), tmp_path_factory.mktemp("masked") / kind)
        config = CONFIG_MAPPING[kind].from_pretrained(folder)
        torch.manual_seed(3)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def write_texts(tmp_path_factory):
    """write_texts([...]) gives a CSV file with these texts."""

    def write(texts):
        path = tmp_path_factory.mktemp("texts") / "texts.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
        return str(path)

    return write


@pytest.fixture
def settings_for(make_settings, write_texts, reviews):
    """settings_for(train={...}) gives the settings of a job over unlabelled texts."""

    def make(*, texts=None, **changes):
        texts = texts or [text for text, _ in reviews[:260]]
        common = {
            "task": "masked-language-modelling",
            "data": {"train": write_texts(texts)},
            "train": TRAIN,
            "gate": {"max_drop": {"int8": 5.0}},
        }
        return make_settings(**(common | changes))

    return make


# What is learned


@pytest.mark.parametrize("kind", HOOKED)
def test_logits_of_the_masked_tokens_are_those_among_all_logits(fetch, make_masked_base, batch, kind):
    model, _ = build_masked(fetch(make_masked_base(kind)), TrainSettings())
    inputs = batch(3, 11)
    masked = torch.zeros(3, 11, dtype=torch.bool)
    masked[0, [1, 4]] = masked[2, 3] = True
    with torch.no_grad():
        every = learned_logits(model.eval(), inputs)
        some = learned_logits(model, inputs | {"learned": masked})
        after = learned_logits(model, inputs)
    assert some.shape == (3, 1200)
    assert torch.allclose(some, every[masked], atol=1e-5)
    assert torch.equal(every, after)


def test_loss_and_figures_are_those_of_transformers(fetch, make_masked_base, settings_for, registry, tmp_path):
    base = make_masked_base()
    plan, (train, _) = prepare_all(settings_for(base_model=str(base)), registry, tmp_path)
    objective = plan.prepared.task.objective(plan)
    model = plan.prepared.task.graph.build(plan).eval()
    rows = list(range(24))
    batch = train.batch(rows)
    targets, masked = batch.pop("targets"), batch["learned"]
    labels = torch.full(masked.shape, -100)
    labels[masked] = targets
    with torch.no_grad():
        logits = objective.forward(model, batch)
        expected = model(**{name: batch[name] for name in tensors(plan, "fill-mask")}, labels=labels)
    assert float(objective.loss(logits, targets)) == pytest.approx(float(expected.loss), rel=1e-5)
    told = figures(iter([(rows, {"targets": targets}, logits)]))
    assert told["perplexity"] == pytest.approx(float(expected.loss.exp()), rel=1e-4)
    right = (expected.logits[masked].argmax(-1) == targets).float().mean()
    assert told["masked_accuracy"] == pytest.approx(float(right))


def test_figures_are_over_tokens_and_not_over_batches():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], dtype=np.float32))
    parts = [found(logits[:1], np.array([0])), found(logits[1:], np.array([0, 2]))]
    both = [(0, {"targets": torch.tensor([0])}, torch.tensor(logits[:1])),
            (0, {"targets": torch.tensor([0, 2])}, torch.tensor(logits[1:]))]  # fmt: skip
    assert np.sum(parts, axis=0).tolist() == pytest.approx([-np.log(0.5) - np.log(0.1) - np.log(0.6), 2, 3])
    assert figures(iter(both)) == pytest.approx({"perplexity": (0.5 * 0.1 * 0.6) ** (-1 / 3), "masked_accuracy": 2 / 3})


def test_a_model_that_is_broken_has_a_perplexity_that_json_can_hold():
    logits = np.array([[0.0, 1e4]], dtype=np.float32)
    assert np.isfinite(figures(iter([(0, {"targets": torch.tensor([0])}, torch.tensor(logits))]))["perplexity"])


def test_training_sees_other_masks_in_each_epoch_and_validation_the_same(settings_for, registry, tmp_path):
    still = {**TRAIN, "learning_rate": 1e-12, "dropout": 0.0, "epochs": 3}
    plan, sides = prepare_all(settings_for(train=still), registry, tmp_path)
    task = plan.prepared.task
    trained = train(task.graph.build(plan), sides, task.objective(plan), plan.settings.train)
    # Nothing is learned, so whatever differs are the masks.
    losses, perplexities = ([epoch[name] for epoch in trained.history] for name in ("loss", "perplexity"))
    assert len(set(losses)) == 3
    assert max(perplexities) - min(perplexities) < 1e-3 * perplexities[0]


def test_the_same_settings_teach_the_same_weights(settings_for, registry, tmp_path):
    def weights(name):
        plan, sides = prepare_all(settings_for(train=TRAIN | {"epochs": 1}), registry, tmp_path / name)
        task = plan.prepared.task
        model = task.graph.build(plan)
        train(model, sides, task.objective(plan), plan.settings.train)
        return model.state_dict()

    one, other = weights("one"), weights("other")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("options", [{}, {"whole_words": True}, {"pack": True}, {"mask": 0.3}])
def test_words_are_learned(settings_for, registry, tmp_path, options):
    plan, sides = prepare_all(settings_for(options=options), registry, tmp_path)
    task = plan.prepared.task
    trained = train(task.graph.build(plan), sides, task.objective(plan), plan.settings.train)
    assert trained.history[-1]["perplexity"] < 0.9 * trained.history[0]["perplexity"]
    assert trained.figures["perplexity"] == min(epoch["perplexity"] for epoch in trained.history)


def test_packed_rows_are_longer_and_fewer(settings_for, registry, tmp_path):
    apart, packed = (
        prepare_all(settings_for(options={"pack": pack}), registry, tmp_path / str(pack))[1][0]
        for pack in (False, True)
    )
    assert len(packed) < 0.7 * len(apart)
    assert set(packed.lengths[:-1].tolist()) == {64}


@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({"layers": "head"}, lambda name: name.startswith("cls.") and "decoder.weight" not in name),
        ({"layers": 1}, lambda name: (name.startswith("cls.") or ".layer.1." in name) and "decoder.weight" not in name),
        ({"lora": {"rank": 2}}, lambda name: "lora_" in name or name.startswith("cls.")),
    ],
)
def test_which_weights_learn_is_chosen_as_for_any_task(fetch, tiny_base, settings, learns):
    model, _ = build_masked(fetch(tiny_base), TrainSettings(**settings))
    choose_layers(model, TrainSettings(**settings))
    # The pooler counts as a head, and gets no gradient here.
    names = [name for name, _ in model.named_parameters() if "pooler" not in name]
    assert [name for name in names if model.get_parameter(name).requires_grad] == [*filter(learns, names)]


# The base and the head


def test_a_base_without_a_head_gets_a_new_one_that_is_tied_to_the_embeddings(fetch, tiny_base):
    model, is_new = build_masked(fetch(tiny_base), TrainSettings())
    assert is_new
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    before = load_file(tiny_base / "model.safetensors")
    after = model.state_dict()
    assert all(after[f"bert.{name}"].equal(weight) for name, weight in before.items())


def test_a_weight_that_the_architecture_forgets_to_begin_does_not_hold_what_the_memory_held(fetch, make_base):
    base = fetch(make_base("data2vec-text"))
    torch.use_deterministic_algorithms(True)  # torch then fills the memory it gives with NaN
    try:
        model, _ = build_masked(base, TrainSettings())
    finally:
        torch.use_deterministic_algorithms(False)
    assert not model.lm_head.bias.any()


@pytest.mark.parametrize("kind", HOOKED)
def test_a_head_that_the_base_brings_is_kept(fetch, make_masked_base, batch, kind):
    folder = make_masked_base(kind)
    model, is_new = build_masked(fetch(folder), TrainSettings())
    expected = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True).eval()
    with torch.no_grad():
        assert torch.allclose(model.eval()(**batch(2, 9)).logits, expected(**batch(2, 9)).logits, atol=1e-5)
    assert not is_new


def test_a_version_is_continued_with_its_own_head(fetch, tiny_base, tmp_path, batch):
    model, _ = build_masked(fetch(tiny_base), TrainSettings(seed=9))
    again, is_new = build_masked(fetch(saved(model, tiny_base, tmp_path / "next")), TrainSettings())
    assert not is_new
    assert torch.equal(learned_logits(model.eval(), batch(2, 9)), learned_logits(again.eval(), batch(2, 9)))


def saved(model, base, folder):
    """The folder of weights that a version leaves, as a base model."""
    save_weights(model, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, folder / name)
    return folder


def test_the_encoder_and_its_pooler_are_there_for_the_next_task(fetch, tiny_base, tmp_path):
    model, _ = build_masked(fetch(tiny_base), TrainSettings())
    folder = saved(model, tiny_base, tmp_path / "next")
    classifier = build_classifier(fetch(folder), ["a", "b"], TrainSettings(pooling="native"))
    expected = load_file(tiny_base / "model.safetensors")
    assert any("pooler" in name for name in expected)
    assert all(classifier.state_dict()[f"bert.{name}"].equal(weight) for name, weight in expected.items())


@pytest.mark.parametrize("pooling", ["mean", "cls", ""])
def test_the_pooling_of_the_base_is_remembered(fetch, copied_base, tmp_path, pooling):
    if pooling:
        (copied_base / "1_Pooling").mkdir()
        (copied_base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    model, _ = build_masked(fetch(copied_base), TrainSettings())
    assert fetch(saved(model, copied_base, tmp_path / "next")).pooling == pooling


def test_labels_of_an_earlier_task_do_not_pass_for_a_head_of_the_next(fetch, make_base, tmp_path):
    folder = make_base(labels=["negative", "positive"])
    model, _ = build_masked(fetch(folder), TrainSettings())
    base = fetch(saved(model, folder, tmp_path / "next"))
    for pooling in ("mean", "native"):
        classifier = build_classifier(base, ["negative", "positive"], TrainSettings(pooling=pooling))
        assert classifier.config.label2id == {"negative": 0, "positive": 1}


# A whole job; `make test` teaches without one, exports such a graph here, and serves one in tests/serving.


@pytest.fixture(scope="module")
def made(make_settings, write_texts, reviews, tmp_path_factory):
    """The finished run over the example's texts, and its registry."""
    folder = tmp_path_factory.mktemp("run")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    settings = make_settings(
        task="masked-language-modelling",
        data={"train": write_texts([text for text, _ in reviews[:260]])},
        train=TRAIN,
        gate={"max_drop": {"int8": 5.0}, "beat_baseline": False},
        alias="production",
    )
    return run(settings, registry), registry, settings


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_pulled_version_answers_and_its_golden_cases_hold(made, variant):
    _, registry, _ = made
    pulled, name = fetch_variant(open_store(registry.uri), "tiny@production", cache=registry.cache, variant=variant)
    predictor = open_predictor(pulled.folder, variant=name)
    assert replay(predictor) == 8
    (answer,) = predictor.predict(["I like this [MASK] very much"])
    predictor.close()
    assert len(answer) == 5


@pytest.mark.slow
def test_answers_equal_those_of_the_pipeline_on_the_weights(made):
    outcome, _, _ = made
    folder = outcome.release.folder
    model = AutoModelForMaskedLM.from_pretrained(folder / "weights", use_safetensors=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "weights", mask_token="[MASK]")
    predictor = open_predictor(folder, variant="fp32")
    for text in ("I like this [MASK] very much", "[MASK] broke after two [MASK]!"):
        (answer,), expected = predictor.predict([text]), pipeline("fill-mask", model=model, tokenizer=tokenizer)(text)
        flat, wanted = (x[0] + x[1] if isinstance(x[0], list) else x for x in (answer, expected))
        assert [one["token"] for one in flat] == [one["token"] for one in wanted]
        assert [one["score"] for one in flat] == pytest.approx([one["score"] for one in wanted], rel=1e-4)
    predictor.close()


@pytest.mark.slow
def test_the_test_figures_are_what_torch_computes_for_the_same_masks(made, tmp_path):
    outcome, registry, settings = made
    plan, _ = prepare_all(settings, registry, tmp_path)
    task = plan.prepared.task
    model = AutoModelForMaskedLM.from_pretrained(outcome.release.folder / "weights", use_safetensors=True).eval()
    test_side = task.inputs.encode(plan, "test", tmp_path / "again", on_rows=lambda count: None)
    rows = list(range(len(test_side)))
    batch = test_side.batch(rows)
    with torch.no_grad():
        logits = learned_logits(model, {name: batch[name] for name in batch if name != "targets"})
    told = outcome.release.evaluations["fp32"].metrics
    assert figures(iter([(rows, batch, logits)])) == pytest.approx(told, rel=1e-3)
    low, high = outcome.release.evaluations["fp32"].intervals["perplexity"]
    assert low < told["perplexity"] < high


@pytest.mark.slow
def test_the_figures_stand_beside_those_of_an_answer_without_a_model(made):
    baseline = made[0].release.baseline
    # Each token as often as in the training texts: far better than a draw among 1,200, far from knowing the text.
    assert 50 < baseline["perplexity"] < 1000
    assert 0 < baseline["masked_accuracy"] < 0.2
    assert "no model" in (made[0].release.folder / "report" / "README.md").read_text()


@pytest.mark.slow
def test_a_version_says_what_it_is(made):
    folder = made[0].release.folder
    model = json.loads((folder / "model.json").read_text())
    assert (model["problem"], model["labels"], model["options"]["mask_token"]) == ("masked", [], "[MASK]")
    card = (folder / "report" / "README.md").read_text()
    assert "Finds masked words in a text; its weights are a base model for other tasks" in card
    # Golden cases are small although a token has a logit for each of 1,200 others.
    assert max(len(case["outputs"]["fp32"]) for case in model["golden"]) <= 2 * 64


@pytest.mark.slow
def test_a_version_is_the_base_of_a_classification(made, make_settings):
    outcome, registry, _ = made
    settings = make_settings(base_model="models:/tiny@production", train={"epochs": 1, "learning_rate": 1e-9})
    released = run(settings, registry).release
    before, after = (load_file(one.folder / "weights/model.safetensors") for one in (outcome.release, released))
    assert before["bert.embeddings.word_embeddings.weight"].allclose(
        after["bert.embeddings.word_embeddings.weight"], atol=1e-6
    )
    assert before["bert.encoder.layer.1.output.dense.weight"].allclose(
        after["bert.encoder.layer.1.output.dense.weight"], atol=1e-6
    )


@pytest.mark.slow
def test_one_changed_weight_is_seen_by_parity(made, registry, tmp_path):
    outcome, registry, settings = made
    plan, _ = prepare_all(settings, registry, tmp_path / "work")
    task = plan.prepared.task
    model = AutoModelForMaskedLM.from_pretrained(outcome.release.folder / "weights", use_safetensors=True).eval()
    texts = plan.prepared.validation.data.inputs()
    expected = task.inputs.torch_outputs(model, plan, texts)
    folder = shutil.copytree(outcome.release.folder, tmp_path / "bundle")
    graph = onnx.load(folder / "onnx/fp32/model.onnx")
    weight = next(one for one in graph.graph.initializer if sorted(one.dims) == [32, 64])
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed[3, 5] += 2.0
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(graph, folder / "onnx/fp32/model.onnx")
    predictor = open_predictor(folder, variant="fp32")
    assert compare(expected, predictor.outputs(texts)).largest > 1e-3
    predictor.close()


# What is refused


def refusal(settings, registry, kind):
    with pytest.raises(kind) as caught:
        run(settings, registry)
    return str(caught.value)


@pytest.mark.slow
def test_a_floor_for_the_accuracy_can_be_missed(settings_for, registry):
    said = refusal(settings_for(gate={"min": {"masked_accuracy": 0.999}}), registry, GateFailed)
    assert "masked_accuracy is 0." in said


def test_perplexity_has_no_floor(settings_for, registry):
    said = refusal(settings_for(gate={"min": {"perplexity": 0.5}}), registry, SettingsError)
    assert said == "gate.min names 'perplexity', which is an error and has no floor; say gate.max.perplexity"


def test_texts_without_two_known_tokens_are_left_out_and_said(settings_for, registry, tmp_path, reviews, capsys):
    texts = [text for text, _ in reviews[:60]]
    _, (train, validation) = prepare_all(settings_for(texts=[*texts, "龘", "龘龘 龘"]), registry, tmp_path)
    assert 40 < len(train) + len(validation) < 60
    assert "train texts are left out: fewer than two tokens of each are in the vocabulary" in capsys.readouterr().out


def test_a_text_that_holds_nothing_to_mask_at_all_is_refused(settings_for, registry):
    said = refusal(settings_for(texts=["龘" * (number + 1) for number in range(30)]), registry, DataError)
    assert said == "no train text has two tokens that the tokenizer knows; there is nothing to mask"


def test_an_empty_text_is_refused_with_its_place(settings_for, registry):
    said = refusal(settings_for(texts=["a lamp", " ", "two lamps"]), registry, DataError)
    assert "line 3: column 'text' is empty" in said


def test_a_base_without_a_mask_is_refused(settings_for, registry, copied_base):
    path = copied_base / "tokenizer.json"
    path.write_text(path.read_text().replace('"[MASK]"', '"[COVER]"'))
    said = refusal(settings_for(base_model=str(copied_base)), registry, BaseModelError)
    assert "has no mask token, so it cannot learn to find masked words" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"train": {"pooling": "mean"}},
            "train.pooling would have no effect: masked-language-modelling does not use it (it is for "
            "text-classification, text-regression); remove it",
        ),
        ({"adapt": AdaptSettings()},
         "adapt would have no effect: masked-language-modelling does not use it"),
        ({"options": {"mask": 0.9}}, "options.mask"),
        ({"data": {"train": "x", "columns": {"label": "y"}}}, "data.columns has a role 'label'; this task knows text"),
    ],
)  # fmt: skip
def test_a_setting_without_effect_is_refused(settings_for, registry, changes, sentence):
    assert sentence in refusal(settings_for(**changes), registry, SettingsError)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_graph_of_every_architecture_answers_as_torch_at_lengths_it_was_not_traced_with(
    fetch, make_base, batch, tmp_path, kind
):
    model, _ = build_masked(fetch(make_base(kind)), TrainSettings())
    export_fp32(model.eval(), tmp_path / "model.onnx", "fill-mask")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 2), (2, 17), (2, 40)):
        inputs = batch(*shape)
        if "token_type_ids" in graph_inputs(model.config, "fill-mask"):
            inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        with torch.no_grad():
            expected = model(**inputs).logits
        (answered,) = session.run(None, {name: values.numpy() for name, values in inputs.items()})
        attended = inputs["attention_mask"].bool().numpy()
        assert np.abs(expected.numpy() - answered)[attended].max() < 1e-3
