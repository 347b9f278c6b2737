"""Feature extraction: the vectors of the base model as a version, and cosines that learn to follow a score."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr
from transformers import AutoModel, PreTrainedTokenizerFast

from tunewright.job.errors import BaseModelError, DataError, GateFailed, SettingsError
from tunewright.job.learners.vectors import PooledEncoder, cosines, make_loss
from tunewright.job.measure.cosines import cosine_range
from tunewright.job.measure.metric import figures
from tunewright.job.model.build import build_classifier
from tunewright.job.model.load import save_weights
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.train import AdaptSettings, TrainSettings
from tunewright.job.steps.prepare import prepare
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.serving.bundle.fetch import fetch as fetch_variant
from tunewright.serving.golden import replay
from tunewright.serving.predictor import open_predictor

TEXTS = [
    "This product is amazing!",
    "I hate it, it broke after 2 days and nobody answers my mail.",
    "ok",
    "我在北京 😀",
]
TRAIN = {"epochs": 4, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
KINDS = ["frozen", "similarity"]
"""What `made` makes: the same graph with other weights. `make test` holds one against torch where it is served."""


@pytest.fixture(scope="session")
def write_table(tmp_path_factory):
    """write_table([{"text": ...}]) gives a CSV file of these rows."""

    def write(rows):
        path = tmp_path_factory.mktemp("table") / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return str(path)

    return write


@pytest.fixture(scope="session")
def pairs(reviews):
    """420 pairs; the score is 5 where both texts hold the word "the" or neither does, else 0: no matter of overlap."""
    texts = [text for text, _ in reviews[:420]]
    rows = []
    for number, text in enumerate(texts):
        other = texts[(number * 7 + 3) % len(texts)]
        alike = ("the" in text.lower().split()) == ("the" in other.lower().split())
        rows.append({"text": text, "text_pair": other, "score": 5 if alike else 0})
    return rows


@pytest.fixture(scope="session")
def settings_for(make_settings, write_table, reviews, pairs):
    """settings_for("frozen") and settings_for("similarity") give the settings of a job that takes seconds."""

    def make(kind="frozen", **changes):
        if kind == "frozen":
            data = {"train": write_table([{"text": text} for text, _ in reviews[:150]])}
            common = {"train": {}, "data": data}
        else:
            columns = {"text": "text", "text_pair": "text_pair", "score": "score"}
            common = {"train": TRAIN, "data": {"train": write_table(pairs), "columns": columns}}
        common |= {"task": "feature-extraction", "gate": {"max_drop": {"int8": 1.0}}}
        return make_settings(**(common | changes))

    return make


@pytest.fixture(scope="module")
def made(settings_for, tmp_path_factory):
    """made("frozen") and made("similarity") give a finished run and its registry, made once."""
    done = {}

    def make(kind):
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
            settings = settings_for(kind, alias="production")
            done[kind] = run(settings, registry), registry, settings
        return done[kind]

    return make


def vectors_by_hand(folder, texts, pooling="mean"):
    """As sentence-transformers computes them: encode, run, pool over the tokens, scale to the length 1."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, pad_token="[PAD]")
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    with torch.no_grad():
        hidden = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1).float()
    pooled = (hidden * mask).sum(1) / mask.sum(1) if pooling == "mean" else hidden[:, 0]
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


# Without scores


@pytest.mark.slow
def test_a_version_without_training_gives_the_vectors_of_the_base_model(made, tiny_base):
    predictor = open_predictor(made("frozen")[0].release.folder, variant="fp32")
    answers = np.array(predictor.predict(TEXTS))
    predictor.close()
    assert answers.shape == (4, 32)
    assert np.abs(answers - vectors_by_hand(tiny_base, TEXTS)).max() < 1e-5


def test_vectors_are_those_of_sentence_transformers(settings_for, registry, copied_base, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    modules = library.sentence_transformer.modules
    transformer = modules.Transformer(str(copied_base), max_seq_length=64)
    pooled = library.SentenceTransformer(modules=[transformer, modules.Pooling(32), modules.Normalize()], device="cpu")
    plan, _ = prepare_all(settings_for("frozen"), registry, tmp_path / "work")
    task = plan.prepared.task
    vectors = np.stack(task.inputs.torch_outputs(task.graph.build(plan).eval(), plan, TEXTS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(vectors - pooled.encode(TEXTS)).max() < 1e-5


@pytest.mark.slow
def test_the_weights_of_the_base_are_not_changed(made, tiny_base):
    before, after = (load_file(folder / "model.safetensors")
                     for folder in (tiny_base, made("frozen")[0].release.folder / "weights"))  # fmt: skip
    assert all(after[f"bert.{name}"].equal(weight) for name, weight in before.items() if "pooler" not in name)


@pytest.mark.slow
def test_the_figure_is_how_close_a_file_is_to_torch(made):
    release = made("frozen")[0].release
    fp32, int8 = (release.evaluations[name].metrics["fidelity"] for name in ("fp32", "int8"))
    assert fp32 == pytest.approx(1, abs=1e-6)
    assert 0.9 < int8 < 0.99999
    low, high = release.evaluations["int8"].intervals["fidelity"]
    assert low <= int8 <= high


@pytest.mark.slow
def test_a_variant_that_is_not_close_enough_is_left_out(settings_for, registry):
    released = run(settings_for(gate={"max_drop": {"int8": 1e-9}}), registry).release
    assert list(released.model.variants) == ["fp32"]
    assert released.model.left_out["int8"].startswith("fidelity falls from 1.0000 to ")


@pytest.mark.slow
def test_it_is_said_that_nothing_learns(settings_for, registry, capsys):
    run(settings_for(export={"variants": ["fp32"]}), registry)
    said = capsys.readouterr().out
    assert " weights, 0 of them learn" in said
    assert "without a column of scores nothing is trained: the weights stay as they are" in said
    assert "the mean over its tokens (the base model does not say what it was pretrained with)" in said


@pytest.mark.slow
def test_the_card_says_that_nothing_was_trained(made):
    card = (made("frozen")[0].release.folder / "report" / "README.md").read_text()
    assert "Turns a text into a vector of 32 numbers. Exported by Tunewright from `" in card
    assert "Nothing was trained: the weights are those of the base model." in card


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_pulled_version_answers_and_its_golden_cases_hold(made, kind, variant):
    _, registry, _ = made(kind)
    pulled, name = fetch_variant(open_store(registry.uri), "tiny@production", cache=registry.cache, variant=variant)
    predictor = open_predictor(pulled.folder, variant=name)
    assert replay(predictor) == 8
    assert [len(vector) for vector in predictor.predict(TEXTS)] == [32] * 4
    predictor.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_golden_cases_are_single_texts(made, kind):
    model = json.loads((made(kind)[0].release.folder / "model.json").read_text())
    assert all(isinstance(case["inputs"], str) for case in model["golden"])
    assert (model["pair"], model["options"]) == (False, {"dimensions": 32, "normalize": True})


@pytest.mark.slow
def test_normalization_can_be_left_to_the_caller(settings_for, registry, tiny_base):
    settings = settings_for(options={"normalize": False}, export={"variants": ["fp32"]})
    predictor = open_predictor(run(settings, registry).release.folder)
    (plain,), (scaled,) = predictor.predict(TEXTS[:1]), predictor.predict(TEXTS[:1], {"normalize": True})
    predictor.close()
    assert not np.isclose(np.linalg.norm(plain), 1)
    assert np.allclose(scaled, vectors_by_hand(tiny_base, TEXTS[:1]), atol=1e-5)


# Pooling


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "modernbert", "mpnet"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_and_batch_mates_do_not_change_a_vector(fetch, make_base, batch, kind, pooling):
    encoder = AutoModel.from_pretrained(make_base(kind), use_safetensors=True)
    model = PooledEncoder(encoder, pooling).eval()
    padded = batch(2, 6)
    alone = {name: values[1:, :3] for name, values in padded.items()}
    with torch.no_grad():
        hidden = encoder(**alone).last_hidden_state[0]
        expected = hidden.mean(0) if pooling == "mean" else hidden[0]
        assert torch.allclose(model(**padded)["logits"][1], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stated", "asked", "used"),
    [
        (None, "auto", "mean"),
        ("mean", "auto", "mean"),
        ("cls", "auto", "cls"),
        ("cls", "mean", "mean"),
        ("max", "cls", "cls"),
    ],
)
def test_the_pooling_is_the_one_asked_for_or_that_of_the_base(
    settings_for, registry, copied_base, tmp_path, stated, asked, used
):
    state_pooling(copied_base, stated)
    settings = settings_for(base_model=str(copied_base), options={"pooling": asked}, export={"variants": ["fp32"]})
    folder = run(settings, registry).release.folder
    predictor = open_predictor(folder)
    answers = np.array(predictor.predict(TEXTS))
    predictor.close()
    assert np.abs(answers - vectors_by_hand(copied_base, TEXTS, used)).max() < 1e-5
    assert json.loads((folder / "weights/config.json").read_text())["tunewright_pooling"] == used


def state_pooling(folder, pooling):
    if pooling:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))


@pytest.mark.slow
def test_a_version_is_the_base_of_the_next_and_keeps_its_pooling(settings_for, registry, copied_base):
    state_pooling(copied_base, "cls")
    first = run(settings_for(base_model=str(copied_base), export={"variants": ["fp32"]}), registry).release
    second = run(settings_for(base_model="models:/tiny/1", export={"variants": ["fp32"]}), registry).release
    predictors = [open_predictor(one.folder) for one in (first, second)]
    assert np.allclose(*(predictor.predict(TEXTS) for predictor in predictors), atol=1e-6)
    for predictor in predictors:
        predictor.close()


def test_a_version_is_the_base_of_a_classification_with_its_pooling(settings_for, registry, fetch, tiny_base, tmp_path):
    plan, _ = prepare_all(settings_for("frozen"), registry, tmp_path / "work")
    save_weights(plan.prepared.task.graph.build(plan), tmp_path / "weights")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_base / name, tmp_path / "weights" / name)
    model = build_classifier(fetch(tmp_path / "weights"), ["a", "b"], TrainSettings())
    assert model.config.tunewright_pooling == "mean"


# With scores


def test_cosines_learn_to_follow_the_scores(settings_for, registry, tmp_path):
    plan, sides = prepare_all(settings_for("similarity"), registry, tmp_path)
    learned, idle = (
        teach(one, sides).trained.figures for one in (plan, plan.with_train(epochs=1, learning_rate=1e-12))
    )
    assert list(learned) == ["spearman", "pearson"]
    assert learned["spearman"] > idle["spearman"] + 0.25


@pytest.mark.slow
def test_a_version_follows_the_scores_as_its_cosines_have_learned(made, settings_for, registry):
    learned = made("similarity")[0].release.evaluations["fp32"].metrics
    idle = TRAIN | {"epochs": 1, "learning_rate": 1e-12}
    frozen = run(settings_for("similarity", train=idle, export={"variants": ["fp32"]}), registry).release
    assert list(learned) == ["spearman", "pearson"]
    assert learned["spearman"] > frozen.evaluations["fp32"].metrics["spearman"] + 0.25


@pytest.mark.slow
def test_the_figures_are_those_of_the_served_vectors(made):
    outcome, registry, settings = made("similarity")
    predictor = open_predictor(outcome.release.folder, variant="fp32")
    part = prepare(settings, registry.cache, settings.output / "again").test
    first, second = zip(*part.data.inputs(), strict=True)
    one, other = (np.array(predictor.predict(list(texts))) for texts in (first, second))
    predictor.close()
    expected = spearmanr((one * other).sum(axis=1), part.targets).statistic
    assert outcome.release.evaluations["fp32"].metrics["spearman"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_scores_can_measure_the_base_model_without_teaching_it(settings_for, registry, tiny_base, capsys):
    settings = settings_for("similarity", train={}, options={"learn": False}, export={"variants": ["fp32"]})
    release = run(settings, registry).release
    part = prepare(settings, registry.cache, settings.output / "again").test
    first, second = (vectors_by_hand(tiny_base, list(texts)) for texts in zip(*part.data.inputs(), strict=True))
    expected = spearmanr((first * second).sum(axis=1), part.targets).statistic
    assert release.evaluations["fp32"].metrics["spearman"] == pytest.approx(expected, abs=1e-4)
    assert "options.learn is false, so that nothing is trained: the weights stay as they are" in capsys.readouterr().out


def test_a_setting_of_training_is_refused_where_scores_only_measure(settings_for, registry):
    said = refusal(settings_for("similarity", options={"learn": False}), registry, SettingsError)
    assert "train.epochs would have no effect: options.learn is false, so that nothing is trained; remove it" in said


def test_a_batch_holds_the_first_texts_and_then_the_second_ones(settings_for, registry, tmp_path):
    plan, (train, _) = prepare_all(settings_for("similarity"), registry, tmp_path)
    rows = [5, 0, 9]
    batch = train.batch(rows)
    pairs = [plan.prepared.train.data.select([row]).inputs()[0] for row in rows]
    texts = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    expected = plan.encoder.pad(plan.encoder.encode(texts), ["input_ids", "attention_mask"])
    assert len(train) == len(plan.prepared.train)
    assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
    assert batch["attention_mask"].tolist() == expected["attention_mask"].tolist()
    assert batch["targets"].tolist() == plan.prepared.train.targets[rows].tolist()
    assert int(train.lengths[5]) == max(len(row) for row in plan.encoder.encode(pairs[0]))


def test_the_cosine_of_a_pair_is_that_of_its_two_vectors(settings_for, registry, tmp_path):
    plan, (train, _) = prepare_all(settings_for("similarity"), registry, tmp_path)
    model = plan.prepared.task.graph.build(plan).eval()
    batch = train.batch([0, 1, 2])
    del batch["targets"]
    with torch.no_grad():
        vectors = model(**batch)["logits"].numpy()
        found = cosines(model, batch)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.allclose(found[:, 0], (unit[:3] * unit[3:]).sum(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("targets", "ends", "score", "cosine"),
    [([0, 2, 5], (0, 1), 2, 0.4), ([-2, 0, 2], (-1, 1), 1, 0.5), ([3, 5, 4], (0, 1), 4, 0.5)],
)
def test_scores_span_the_cosines(targets, ends, score, cosine):
    targets = np.array(targets, dtype=np.float32)
    assert cosine_range(targets) == ends
    loss = make_loss(targets)
    wanted = torch.tensor([float(score)])
    assert float(loss(torch.tensor([[cosine]]), wanted)) == pytest.approx(0, abs=1e-6)
    assert float(loss(torch.tensor([[cosine + 0.3]]), wanted)) == pytest.approx(0.09, abs=1e-6)


def test_scores_that_are_equal_on_this_side_do_not_divide_by_nothing():
    loss = make_loss(np.full(4, 2.0, dtype=np.float32))
    assert np.isfinite(float(loss(torch.tensor([[0.5]]), torch.tensor([2.0]))))


def test_the_range_of_the_cosines_is_said(settings_for, registry, tmp_path, capsys):
    prepare_all(settings_for("similarity"), registry, tmp_path)
    assert "scores from 0 to 5 stand for cosines from 0 to 1" in capsys.readouterr().out


def test_correlations_have_no_error_in_the_unit_of_the_score():
    cosine = np.array([0.1, 0.5, 0.4], dtype=np.float32)
    names = TASKS["feature-extraction"].target.metric_names("similarity")
    expected = {"spearman": 1.0, "pearson": 0.98624138}
    assert figures(names, "similarity", np.array([0, 5, 3]), cosine) == pytest.approx(expected)


@pytest.mark.slow
def test_a_floor_that_is_missed_registers_nothing(settings_for, registry):
    with pytest.raises(GateFailed, match=r"spearman is 0\.\d+, the gate asks for 0\.999"):
        run(settings_for("similarity", gate={"min": {"spearman": 0.999}}), registry)


# What is refused


def refusal(settings, registry, kind):
    with pytest.raises(kind) as caught:
        run(settings, registry)
    return str(caught.value)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "layers", "lora"])
def test_a_setting_of_training_is_refused_where_nothing_is_trained(settings_for, registry, name):
    value = {"epochs": 2, "learning_rate": 1e-3, "layers": "head", "lora": {}}[name]
    said = refusal(settings_for(train={name: value}), registry, SettingsError)
    assert said == f"train.{name} would have no effect: without a column of scores nothing is trained; remove it"


def test_length_and_seed_mean_something_without_training(settings_for, registry, tmp_path):
    plan, _ = prepare_all(settings_for(train={"max_length": 16, "seed": 3}), registry, tmp_path)
    assert plan.encoder.max_length == 16


def test_adaptation_is_refused_where_nothing_is_trained(settings_for, registry):
    said = refusal(settings_for(adapt=AdaptSettings()), registry, SettingsError)
    assert said == "adapt would have no effect: without a column of scores nothing is trained; remove it"


def test_a_head_cannot_be_taught_where_there_is_none(settings_for, registry):
    said = refusal(settings_for("similarity", train=TRAIN | {"layers": "head"}), registry, SettingsError)
    assert said.startswith("train.layers is head, but this model has no head of its own")


def test_a_base_with_another_pooling_is_refused_unless_one_is_asked_for(settings_for, registry, copied_base):
    state_pooling(copied_base, "max")
    said = refusal(settings_for(base_model=str(copied_base)), registry, BaseModelError)
    assert said == (
        f"base model {str(copied_base)!r} was pretrained with the pooling 'max', which is not supported; set "
        "options.pooling to mean or cls to use it with another one"
    )


def test_a_base_with_layers_after_its_pooling_is_refused(settings_for, registry, copied_base):
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    modules = [{"idx": at, "type": f"sentence_transformers.models.{kind}"} for at, kind in enumerate(kinds)]
    (copied_base / "modules.json").write_text(json.dumps(modules))
    said = refusal(settings_for(base_model=str(copied_base)), registry, BaseModelError)
    assert "has a module 'Dense' (modules.json), which is not supported" in said


def test_an_empty_text_is_refused_with_its_place(settings_for, registry, write_table):
    data = {"train": write_table([{"text": "a"}, {"text": "b"}, {"text": "  "}])}
    assert "line 4: column 'text' is empty" in refusal(settings_for(data=data), registry, DataError)


def test_equal_scores_are_refused(settings_for, registry, write_table):
    rows = [{"text": f"a {number}", "text_pair": "b", "score": 3} for number in range(9)]
    columns = {"text": "text", "text_pair": "text_pair", "score": "score"}
    data = {"train": write_table(rows), "columns": columns}
    assert "all training rows have the same score (3)" in refusal(
        settings_for("similarity", data=data), registry, DataError
    )


def test_a_pair_without_scores_is_refused(settings_for, registry, write_table):
    rows = [{"text": f"a {number}", "other": "b"} for number in range(9)]
    data = {"train": write_table(rows), "columns": {"text": "text", "text_pair": "other"}}
    assert "has no column 'score'" in refusal(settings_for(data=data), registry, DataError)
