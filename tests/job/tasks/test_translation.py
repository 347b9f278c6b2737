import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from transformers import AutoTokenizer
from transformers.models.m2m_100.modeling_m2m_100 import shift_tokens_right

from tunewright.job.errors import BaseModelError, DataError, SettingsError
from tunewright.job.learners.text_to_text import EncoderDecoder
from tunewright.job.train.next_token import learned_logits
from tunewright.serving.golden import replay
from tunewright.serving.tasks import TASKS

LENGTH = 24


@pytest.fixture(scope="module")
def rows(sentences):
    return [{"source": source, "target": target} for source, target in sentences(200)]


@pytest.fixture(scope="module")
def taught(teach, writer_base, rows):
    made = {}

    def make(kind, *, lively=True):
        """Lively ones hardly learn, and stay so."""
        if (kind, lively) not in made:
            train = {"epochs": 1, "learning_rate": 1e-5} if lively else {}
            # A layer of T5 takes ten seconds of a processor to export; tests/job/export has two.
            size = {"num_layers": 1} if lively and kind == "t5" else {}
            base, options = writer_base(kind, lively=lively, **size), {"max_target_length": LENGTH}
            made[kind, lively] = teach("translation", base, rows, options=options, train=train)
        return made[kind, lively]

    return make


def check_answers(one, predictor, odd):
    theirs = one.pipeline("translation")
    for more in ({}, {"num_beams": 1, "clean_up_tokenization_spaces": True}):
        # Its own limit of 256 tokens goes before that of generation_config.json.
        expected = theirs(odd, max_new_tokens=LENGTH, **more)
        assert predictor.predict(odd, more) == expected
        # Equal answers would prove little; how many differ hangs on the vocabulary, which is another one in every run.
        assert len({answer["translation_text"] for answer in expected}) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.always if kind == "marian" else ())
        for kind in sorted(EncoderDecoder.architectures)
    ],
)
def test_every_architecture_answers_as_the_pipeline_does(taught, answering, kind, odd):
    one = taught(kind)
    assert one.outcome.version.number == 1
    check_answers(one, answering(one), odd)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_an_answer_is_the_same_alone_and_in_a_batch(taught, answering, variant, odd):
    predictor = answering(taught("t5"), variant)
    assert predictor.predict(odd) == [predictor.predict([text])[0] for text in odd]


@pytest.mark.slow
def test_the_pieces_of_a_streamed_translation_are_the_translation(taught, answering, odd):
    predictor = answering(taught("t5"))
    wanted = TASKS["translation"].read_parameters({"num_beams": 1}, predictor.model)
    for row, answer in zip(predictor.prepare(odd, wanted), predictor.predict(odd, {"num_beams": 1}), strict=True):
        pieces = []
        predictor.stream(row, pieces.append)
        assert "".join(pieces) == answer["translation_text"]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_golden_cases_replay(taught, answering, variant):
    assert replay(answering(taught("t5"), variant)) == 8


@pytest.mark.slow
def test_the_files_are_an_encoder_and_one_decoder(taught):
    one = taught("t5")
    for variant in ("fp32", "int8"):
        names = {path.name for path in (one.bundle / "onnx" / variant).iterdir()}
        assert names == {"encoder_model.onnx", "decoder_model.onnx"}
    release = one.outcome.release
    assert release.sizes["int8"] < release.sizes["fp32"]
    assert set(release.evaluations["fp32"].metrics) == {"bleu", "chrf", "perplexity"}
    assert set(release.evaluations["fp32"].intervals) == {"bleu"}


@pytest.mark.slow
def test_it_learns_and_written_texts_are_measured(taught):
    release = taught("t5", lively=False).outcome.release
    assert release.parities["fp32"].largest < 1e-4
    assert 0 < release.parities["int8"].largest < 1
    metrics = release.evaluations["fp32"].metrics
    # Of 14 words one is guessed: by letters the perplexity of the untaught model is its vocabulary, 400.
    assert metrics["perplexity"] < 40
    assert 0 < metrics["chrf"] < 1


@pytest.mark.parametrize("kind", sorted(EncoderDecoder.architectures))
def test_the_decoder_reads_what_transformers_gives_it(looked_at, writer_base, rows, kind):
    """But for mBART, whose targets end in a language's code: see below."""
    plan, (train, _) = looked_at("translation", writer_base(kind), rows)
    model = plan.prepared.task.graph.build(plan).eval()
    batch = train.batch([0, 1, 2])
    labels = torch.full(batch["learned"].shape, -100)
    labels[batch["learned"]] = batch["targets"]
    if kind == "mbart":
        start = torch.full((3, 1), model.config.decoder_start_token_id)
        expected = torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == -100, 0)], dim=1)
    elif kind == "m2m_100":
        expected = shift_tokens_right(labels, model.config.pad_token_id, model.config.decoder_start_token_id)
    else:
        expected = model.prepare_decoder_input_ids_from_labels(labels)
    assert batch["decoder_input_ids"].tolist() == expected.tolist()
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
        theirs = model(**inputs, labels=labels).loss
        targets = batch.pop("targets")
        ours = plan.prepared.task.objective(plan).loss(learned_logits(model, batch), targets)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_labels_are_smoothed(looked_at, writer_base, rows):
    plan, _ = looked_at("translation", writer_base("t5"), rows, train={"label_smoothing": 0.2})
    logits, targets = torch.randn(5, 11), torch.tensor([1, 2, 3, 4, 5])
    expected = functional.cross_entropy(logits, targets, label_smoothing=0.2)
    assert float(plan.prepared.task.objective(plan).loss(logits, targets)) == float(expected)


@pytest.mark.parametrize(
    ("kind", "name", "source", "target", "start", "forced"),
    [
        ("mbart", "MBartTokenizerFast", ["</s>", "en_XX"], ["</s>", "de_DE"], "de_DE", None),
        ("mbart", "MBart50TokenizerFast", ["en_XX", "</s>"], ["de_DE", "</s>"], "</s>", "de_DE"),
        ("m2m_100", "NllbTokenizerFast", ["en_XX", "</s>"], ["de_DE", "</s>"], "</s>", "de_DE"),
    ],
)
def test_languages_are_told_by_their_codes(looked_at, writer_base, rows, kind, name, source, target, start, forced):
    base = writer_base(kind)
    config = (base / "tokenizer_config.json").read_text().replace("PreTrainedTokenizerFast", name)
    (base / "tokenizer_config.json").write_text(config)
    options = {"source_lang": "en_XX", "target_lang": "de_DE"}
    plan, (train, _) = looked_at("translation", base, rows, options=options)
    batch = train.batch([0])
    word = plan.encoder._tokenizer.id_to_token
    codes = {"</s>", "en_XX", "de_DE"}
    assert [token for token in map(word, batch["input_ids"][0].tolist()) if token in codes] == source
    assert [token for token in map(word, batch["targets"].tolist()) if token in codes] == target
    assert word(int(batch["decoder_input_ids"][0, 0])) == start
    generation = plan.prepared.task.model_file(plan, {"fp32": _variant()}).options["generation"]
    assert word(generation["decoder_start_token_id"]) == start
    assert (forced and word(generation["forced_bos_token_id"])) == forced


def _variant():
    from tunewright.serving.bundle.model_file import Variant

    return Variant(file="onnx/fp32/model.onnx", batching="padded", bytes=1, golden_tolerance=1)


def test_a_prefix_stands_before_each_source(looked_at, writer_base, rows):
    base, prefix = writer_base("t5"), "translate: "
    plan, (train, _) = looked_at("translation", base, rows, options={"source_prefix": prefix})
    source = plan.prepared.train.data.inputs()[0]
    ids = AutoTokenizer.from_pretrained(base)(prefix + source)["input_ids"]
    assert train.batch([0])["input_ids"][0].tolist() == ids
    assert plan.prepared.task.graph.build(plan).config.prefix == prefix


def test_a_long_target_is_cut_and_still_ends(looked_at, writer_base, rows, capsys):
    _, (train, _) = looked_at("translation", writer_base("bart"), rows, options={"max_target_length": 8})
    assert train.targets.lengths.max() == 8
    assert {train.targets.row(row).ids[-1] for row in range(len(train))} == {1}
    assert "are longer than 8 tokens and are cut; see options.max_target_length" in capsys.readouterr().out


@pytest.mark.slow
def test_the_perplexity_is_that_of_torch(taught, plan_again):
    one = taught("bart")
    plan = plan_again(one)
    model = one.pipeline("translation").model
    tokenizer = AutoTokenizer.from_pretrained(one.weights)
    loss, tokens = 0.0, 0
    for source, target in zip(plan.prepared.test.data.inputs(), plan.prepared.test.data.targets(), strict=True):
        labels = tokenizer(target, return_tensors="pt", truncation=True, max_length=LENGTH)["input_ids"]
        with torch.no_grad():
            mean = model(tokenizer(source, return_tensors="pt")["input_ids"], labels=labels).loss
        loss += float(mean) * labels.shape[1]
        tokens += labels.shape[1]
    measured = one.outcome.release.evaluations["fp32"].metrics["perplexity"]
    assert measured == pytest.approx(np.exp(loss / tokens), rel=1e-4)


@pytest.fixture
def plan_again(tmp_path):
    from tunewright.job.recipe import prepare_all
    from tunewright.registry.settings import RegistrySettings

    def again(one):
        registry = RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")
        return prepare_all(one.settings, registry, tmp_path / "look")[0]

    return again


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"source": " ", "target": "x"}, "column 'source' is empty"),
        ({"source": "x", "target": ""}, "column 'target' is empty"),
        ({"source": "x", "target": 7}, "column 'target' is int, not text"),
        ({"source": "x"}, "has no column 'target'"),
    ],
)
def test_a_faulty_row_is_named(looked_at, writer_base, rows, row, fault):
    with pytest.raises(DataError) as caught:
        looked_at("translation", writer_base("t5"), [*rows[:3], row])
    assert fault in str(caught.value)
    assert "line 4" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"metric": "bleu"}}, "train.metric is 'bleu', which is measured once, on the exported files; after"),
        ({"gate": {"min": {"bleu": 31}}}, "gate.min.bleu is 31, but bleu is at most 1; 80 % is written 0.8"),
        ({"options": {"target_lang": "xx_YY"}}, "options.target_lang is 'xx_YY', which is no token of the base model"),
        ({"options": {"source_lang": "xx_YY"}}, "options.source_lang is 'xx_YY', which is no token of the base model"),
        ({"options": {"beams": 3}}, "options.beams is not a setting of translation; it knows: source_prefix, "),
    ],
)
def test_a_setting_without_sense_is_refused(looked_at, writer_base, rows, changes, message):
    with pytest.raises(SettingsError) as caught:
        looked_at("translation", writer_base("t5"), rows, **changes)
    assert message in str(caught.value)


def test_an_architecture_that_cannot_be_served_is_refused_before_training(looked_at, writer_base, rows):
    with pytest.raises(
        BaseModelError, match=r"architecture 'gpt2', which cannot be exported.*bart, m2m_100, marian, mbart"
    ):
        looked_at("translation", writer_base("gpt2"), rows)
