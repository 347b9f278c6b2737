import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

from tunewright.job.errors import BaseModelError, JobError
from tunewright.job.export.graph import ARCHITECTURES, require_vector
from tunewright.job.model import classifiers
from tunewright.job.model.build import build_classifier
from tunewright.job.model.classifiers import last_layer, scale_head, vectors_seen
from tunewright.job.model.load import load_config, save_weights
from tunewright.job.settings.train import TrainSettings
from tunewright.registry.export.hub import NOT_OF_TRANSFORMERS

LABELS = ["negative", "positive"]
MEAN = TrainSettings(pooling="mean")
NATIVE = TrainSettings(pooling="native")


def change_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def refusal(base, settings=NATIVE):
    with pytest.raises(BaseModelError) as caught:
        build_classifier(base, LABELS, settings)
    return str(caught.value).replace(base.address, "BASE")


@pytest.mark.parametrize("settings", [MEAN, NATIVE])
def test_the_encoder_has_the_weights_of_the_base_model(fetch, tiny_base, settings):
    model = build_classifier(fetch(tiny_base), LABELS, settings)
    expected = {
        name: weight for name, weight in load_file(tiny_base / "model.safetensors").items() if "pooler" not in name
    }
    weights = model.state_dict()
    assert all(weights[f"bert.{name}"].equal(weight) for name, weight in expected.items())
    assert last_layer(model).out_features == 2


def test_the_mean_is_taken_over_the_tokens_and_not_over_the_padding(fetch, tiny_base, batch):
    model = build_classifier(fetch(tiny_base), LABELS, MEAN).eval()
    inputs = batch(2, 6)
    with torch.no_grad():
        hidden = model.bert(**inputs).last_hidden_state
        pooled = torch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)])
        expected = pooled @ model.classifier.weight.T + model.classifier.bias
        assert torch.allclose(model(**inputs)["logits"], expected, atol=1e-6)


@pytest.mark.parametrize("settings", [MEAN, NATIVE])
def test_padding_does_not_change_an_answer(fetch, tiny_base, batch, settings):
    model = build_classifier(fetch(tiny_base), LABELS, settings).eval()
    padded = batch(2, 6)
    alone = {name: values[1:, :3] for name, values in padded.items()}
    with torch.no_grad():
        assert torch.allclose(model(**padded)["logits"][1], model(**alone)["logits"][0], atol=1e-5)


def test_the_pooling_is_that_of_the_base_model_unless_asked_otherwise(fetch, copied_base):
    assert build_classifier(fetch(copied_base), LABELS, TrainSettings()).config.tunewright_pooling == "native"
    (copied_base / "1_Pooling").mkdir()
    (copied_base / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    assert build_classifier(fetch(copied_base), LABELS, TrainSettings()).config.tunewright_pooling == "mean"
    assert build_classifier(fetch(copied_base), LABELS, NATIVE).config.tunewright_pooling == "native"


@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_the_seed_decides_the_new_head(fetch, tiny_base, pooling):
    base = fetch(tiny_base)
    heads = [
        last_layer(build_classifier(base, LABELS, TrainSettings(pooling=pooling, seed=seed))).weight
        for seed in (1, 1, 2)
    ]
    assert heads[0].equal(heads[1])
    assert not heads[0].equal(heads[2])


def test_missing_weights_are_counted_and_named(fetch, copied_base):
    name = "encoder.layer.1.output.dense.weight"
    change_weights(copied_base, lambda weights: {key: weight for key, weight in weights.items() if key != name})
    sentence = "lacks 1 weights that config.json asks for, or has them in another shape, such as "
    assert refusal(fetch(copied_base)) == f"base model 'BASE': model.safetensors {sentence}bert.{name}"
    assert refusal(fetch(copied_base), MEAN) == f"base model 'BASE': model.safetensors {sentence}{name}"


def test_weights_of_another_shape_are_refused(fetch, copied_base):
    name = "embeddings.position_embeddings.weight"
    change_weights(copied_base, lambda weights: weights | {name: weights[name][:20].clone()})
    assert refusal(fetch(copied_base)).endswith(f"or has them in another shape, such as bert.{name}")


def test_a_weight_that_is_not_finite_is_named(fetch, copied_base):
    name = "encoder.layer.0.output.dense.bias"
    change_weights(copied_base, lambda weights: weights | {name: weights[name] * float("nan")})
    said = refusal(fetch(copied_base))
    assert said == f"base model 'BASE': the weight bert.{name} is not finite: the file is damaged"


def test_weights_that_are_cut_short_are_refused(fetch, copied_base):
    path = copied_base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(fetch(copied_base)).startswith("base model 'BASE' cannot be loaded: ")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"id2label": "x"}, "config.json cannot be used: "), ({"num_attention_heads": 5}, "cannot be loaded: ")],
)
def test_a_configuration_that_transformers_cannot_use_is_no_traceback(fetch, copied_base, values, sentence):
    config = json.loads((copied_base / "config.json").read_text())
    (copied_base / "config.json").write_text(json.dumps(config | values))
    assert sentence in refusal(fetch(copied_base))


def test_half_precision_weights_are_trained_in_full_precision(fetch, copied_base):
    change_weights(copied_base, lambda weights: {name: weight.half() for name, weight in weights.items()})
    config = json.loads((copied_base / "config.json").read_text())
    (copied_base / "config.json").write_text(json.dumps(config | {"torch_dtype": "float16"}))
    for settings in (MEAN, NATIVE):
        model = build_classifier(fetch(copied_base), LABELS, settings)
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        assert model.config.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind != "eurobert"])
def test_the_last_layer_is_given_one_vector_a_row(fetch, make_base, batch, kind):
    model = build_classifier(fetch(make_base(kind)), LABELS, NATIVE).eval()
    with torch.no_grad(), vectors_seen(model) as seen:
        logits = model(**batch(2, 9))["logits"]
        model(**batch(1, 9))
    assert [len(vector) for vector in seen] == [2, 1]
    assert seen[0].ndim == 2
    torch.testing.assert_close(last_layer(model)(seen[0]), logits)


def test_logits_of_every_token_are_refused_where_one_vector_is_wanted(fetch, make_base):
    base = fetch(make_base("eurobert"))
    require_vector(build_classifier(base, LABELS, MEAN), base.address)
    with pytest.raises(BaseModelError) as caught:
        require_vector(build_classifier(base, LABELS, NATIVE), base.address)
    assert str(caught.value) == (
        f"base model {base.address!r} is of the architecture 'eurobert', which makes logits of every token, and "
        "export.neighbours compares one vector a text; set train.pooling: mean, or export.neighbours: 0"
    )


@pytest.mark.parametrize("kind", ["bert", "albert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet"])
@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_without_dropout_a_model_in_training_answers_as_ever(fetch, make_base, batch, kind, pooling):
    settings = TrainSettings(pooling=pooling, dropout=0.0)
    model = build_classifier(fetch(make_base(kind)), LABELS, settings)
    with torch.no_grad():
        assert model.train()(**batch(2, 9))["logits"].equal(model.eval()(**batch(2, 9))["logits"])


def test_the_dropout_asked_for_is_everywhere(fetch, tiny_base):
    model = build_classifier(fetch(tiny_base), LABELS, TrainSettings(pooling="mean", dropout=0.3))
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


@pytest.mark.parametrize(
    ("stated", "used"), [({}, 0.1), ({"hidden_dropout_prob": 0}, 0.0), ({"classifier_dropout": 0.4}, 0.4)]
)
def test_the_head_has_the_dropout_that_the_base_model_states(fetch, make_base, stated, used):
    assert build_classifier(fetch(make_base("bert", **stated)), LABELS, MEAN).dropout.p == used


@pytest.fixture
def again(fetch, tmp_path, tiny_tokenizer):
    """again(model) saves a model as a version does and gives the base model that continues from it."""

    def save(model):
        folder = tmp_path / f"weights-{len(list(tmp_path.glob('weights-*')))}"
        save_weights(model, folder)
        for path in tiny_tokenizer.iterdir():
            shutil.copyfile(path, folder / path.name)
        return fetch(folder)

    return save


@pytest.mark.parametrize("settings", [MEAN, NATIVE])
def test_saved_weights_continue_with_their_head_and_their_pooling(fetch, tiny_base, again, batch, settings):
    model = build_classifier(fetch(tiny_base), LABELS, settings).eval()
    continued = build_classifier(again(model), LABELS, TrainSettings(seed=5)).eval()
    with torch.no_grad():
        assert model(**batch(2, 9))["logits"].equal(continued(**batch(2, 9))["logits"])


@pytest.mark.parametrize("settings", [MEAN, NATIVE])
def test_other_labels_get_a_new_head_on_the_saved_encoder(fetch, tiny_base, again, settings):
    model = build_classifier(fetch(tiny_base), LABELS, settings)
    continued = build_classifier(again(model), ["positive", "negative"], settings.model_copy(update={"seed": 5}))
    assert not last_layer(continued).weight.equal(last_layer(model).weight)
    name = "bert.encoder.layer.0.output.dense.weight"
    assert continued.state_dict()[name].equal(model.state_dict()[name])


def test_a_head_on_another_pooling_is_not_kept(fetch, tiny_base, again):
    model = build_classifier(fetch(tiny_base), LABELS, MEAN)
    continued = build_classifier(again(model), LABELS, TrainSettings(pooling="native", seed=5))
    assert not last_layer(continued).weight.equal(last_layer(model).weight)


@pytest.mark.parametrize("settings", [MEAN, NATIVE])
def test_a_regression_continues_in_the_unit_of_the_new_targets(fetch, tiny_base, again, batch, settings):
    model = build_classifier(fetch(tiny_base), ["score"], settings).eval()
    scale_head(model, (100.0, 20.0))
    continued = build_classifier(again(model), ["score"], settings, (50.0, 10.0)).eval()
    with torch.no_grad():
        before, learned = model(**batch(2, 9))["logits"], continued(**batch(2, 9))["logits"]
    assert torch.allclose(learned * 10 + 50, before, atol=1e-3)


def test_a_head_that_is_said_to_be_there_but_is_not_is_refused(fetch, tiny_base, again):
    saved = again(build_classifier(fetch(tiny_base), LABELS, MEAN))
    weights = {n: w for n, w in load_file(saved.folder / "model.safetensors").items() if "classifier" not in n}
    save_file(weights, saved.folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="its head cannot be loaded"):
        build_classifier(saved, LABELS, MEAN)


def test_the_scale_is_folded_into_the_answer(fetch, tiny_base, batch):
    model = build_classifier(fetch(tiny_base), ["score"], MEAN).eval()
    with torch.no_grad():
        before = model(**batch(2, 9))["logits"]
        scale_head(model, (3.0, 1.5))
        assert torch.allclose(model(**batch(2, 9))["logits"], before * 1.5 + 3.0, atol=1e-6)


@pytest.mark.parametrize(("settings", "kind"), [(MEAN, AutoModel), (NATIVE, AutoModelForSequenceClassification)])
def test_saved_weights_are_read_by_transformers_itself(fetch, tiny_base, tmp_path, batch, settings, kind):
    model = build_classifier(fetch(tiny_base), LABELS, settings).eval()
    save_weights(model, tmp_path)
    loaded = kind.from_pretrained(tmp_path, use_safetensors=True).eval()
    encoder = model.bert if settings is MEAN else model
    with torch.no_grad():
        assert loaded(**batch(2, 9))[0].equal(encoder(**batch(2, 9))[0])
    assert loaded.config.id2label == {0: "negative", 1: "positive"}


def test_the_classes_that_transformers_does_not_have_are_known_to_exports():
    ours = {name for name, kind in vars(classifiers).items() if getattr(kind, "__module__", "") == classifiers.__name__}
    assert {name for name in ours if name[0].isupper()} == NOT_OF_TRANSFORMERS


def test_weights_that_cannot_be_written_are_one_sentence(fetch, tiny_base, tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(JobError, match=r"the weights cannot be written to .*: I/O error"):
        save_weights(build_classifier(fetch(tiny_base), LABELS, MEAN), tmp_path)


def test_the_configuration_of_a_base_model_is_read_as_it_was_checked(fetch, tiny_base):
    assert load_config(fetch(tiny_base)).hidden_size == 32
