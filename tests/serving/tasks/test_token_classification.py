"""Token classification, answered: held against `transformers.pipeline` with the same weights."""

import copy
import warnings
from itertools import pairwise

import jsonschema
import numpy as np
import pytest

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.errors import BundleError, DeadlineExceeded, InputError, ModelFault
from tunewright.serving.runtime.session import TimeLimit
from tunewright.serving.tasks.token_classification import (
    Checked,
    entities,
    read_inputs,
    read_label,
    read_parameters,
    shapes,
)
from tunewright.serving.text.alignment import align
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.windows import Cut, Windower, trimmed

ARCHITECTURES = ("bert", "distilbert", "roberta", "xlm-roberta", "deberta-v2")
QUICK = ("bert", "roberta")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
"""`make test` looks at two kinds of tokenizers."""
STRATEGIES = ("none", "simple", "first", "average", "max")
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = (
    "x",
    "Marie Curie was born in Warsaw.",
    "unbelievable misunderstandings of a guitarist's manager",
    "我在北京大学学习中文",
    "I love 😀 pizza 🍕!",
    "وُلدت ماري كوري في وارسو",
    "q\u0303 cafe\u0301 हिन्दी",
    "  a   b \x00\n c",
)
LONG = "Marie Curie was born in Warsaw and worked in Paris with Pierre; 我在北京大学 unbelievable 😀 nobody. " * 4


@pytest.fixture(scope="module")
def tagger(tiny):
    """A function: a tiny tagger of an architecture."""
    return lambda architecture="bert", **options: tiny(
        architecture, "token-classification", **({"labels": LABELS, "max_length": 64} | options)
    )


def pipeline_of(model, *, max_length=None):
    from transformers import pipeline

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.model_max_length = max_length or tokenizer.model_max_length
    return pipeline("token-classification", model=model.torch_model, tokenizer=tokenizer, device="cpu")


def ask(pipe, text, strategy, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Tokenizer does not support real words"
        return pipe(text, aggregation_strategy=strategy, **parameters)


def in_the_callers_text(items, text):
    """The pipeline's items for a cleaned text, their places those in the text as it was sent.

    Where a group is, only its visible characters count: some tokenizers put the space before a word into its token,
    and the pipeline then begins the entity with that space, or finds an entity that is nothing but a space.
    """
    aligned = align(text, Cleaning())
    found = []
    for item in items:
        start, end = aligned.span(item["start"], item["end"])
        if "entity_group" in item:
            start, end = trimmed(text, start, end)
            if start == end:
                continue
        found.append(item | {"start": start, "end": end})
    return found


def assert_same(answer, expected):
    """The same entities at the same places with the same scores to 1e-4."""
    names = ("entity", "entity_group", "index", "start", "end")
    assert [[one.get(name) for name in names] for one in answer] == [
        [one.get(name) for name in names] for one in expected
    ]
    np.testing.assert_allclose([one["score"] for one in answer], [float(one["score"]) for one in expected], atol=1e-4)


def with_our_words(pipe, row):
    """The pipeline, told which tokens begin a word."""

    def gather(*arguments, **keywords):
        found = type(pipe).gather_pre_entities(pipe, *arguments, **keywords)
        for one, token in zip(found, row.tokens, strict=True):
            one["is_subword"] = not token.opens_word
        return found

    pipe.gather_pre_entities = gather
    return pipe


def rows_of(model, text, **cut):
    content = read_model_file(model.folder)
    how = Cut(**({"max_length": content.max_length, "stride": None, "usual_stride": 0} | cut))
    return Windower(model.folder / "tokenizer.json", content.cleaning).text(text, how)


@pytest.mark.parametrize("strategy", ["none", "simple"])
@pytest.mark.parametrize("architecture", EACH)
def test_tokens_and_their_groups_are_those_of_the_pipeline(tagger, served, architecture, strategy):
    model = tagger(architecture)
    pipe = pipeline_of(model)
    answers = served(model.folder).predict(TEXTS, {"aggregation_strategy": strategy})
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = ask(pipe, clean(text, Cleaning()), strategy)
        assert_same(answer, in_the_callers_text(expected, text))
        if strategy == "none":
            assert [one["word"] for one in answer] == [one["word"] for one in expected]


@pytest.mark.parametrize("strategy", ["first", "average", "max"])
@pytest.mark.parametrize("architecture", ["bert", pytest.param("distilbert", marks=pytest.mark.slow)])
def test_words_are_those_of_the_pipeline(tagger, served, architecture, strategy):
    model = tagger(architecture)
    pipe = pipeline_of(model)
    answers = served(model.folder).predict(TEXTS, {"aggregation_strategy": strategy})
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = ask(pipe, clean(text, Cleaning()), strategy)
        assert_same(answer, in_the_callers_text(expected, text))


@pytest.mark.parametrize("strategy", ["first", "average", "max"])
@pytest.mark.parametrize("architecture", EACH)
def test_a_word_answers_as_in_the_pipeline_once_both_know_the_same_words(tagger, served, architecture, strategy):
    model = tagger(architecture)
    pipe = pipeline_of(model)
    answers = served(model.folder).predict(TEXTS, {"aggregation_strategy": strategy})
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = ask(with_our_words(pipe, rows_of(model, text)), clean(text, Cleaning()), strategy)
        assert_same(answer, in_the_callers_text(expected, text))


@pytest.mark.parametrize(
    ("architecture", "text", "ours", "theirs"),
    [
        # A full stop is a word to those who labelled the data; the pipeline gives it to the word before it.
        ("roberta", "Warsaw.", "Warsaw .", "Warsaw."),
        # A Chinese sentence is one word with one label, but for its first token.
        pytest.param("xlm-roberta", "北京大学", "北 京 大 学", "北 北京大学", marks=pytest.mark.slow),
        # A character of several tokens is as many words at the start of a text or behind a space.
        ("roberta", "🍕", "🍕", "🍕 🍕 🍕"),
        ("roberta", "I 🍕", "I 🍕", "I 🍕 🍕 🍕"),
        # A token for the space before a word is a word; here the trained first token of the word is that space.
        pytest.param("xlm-roberta", "x", "x", "x x", marks=pytest.mark.slow),
        pytest.param("deberta-v2", "I x", "I x", "I I x", marks=pytest.mark.slow),
    ],
)
def test_where_the_pipeline_finds_other_words_its_rule_is_at_fault(tagger, architecture, text, ours, theirs):
    """For tokenizers that do not mark the inside of a word it looks for spaces only, which its source calls a
    "fallback heuristic" that "will fail most likely on any kind of text + punctuation mixtures"."""
    model = tagger(architecture)
    tokens = rows_of(model, text).tokens
    assert words(text, [(token.start, token.end, token.opens_word) for token in tokens]) == ours
    encoded = model.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    found = pipeline_of(model).gather_pre_entities(
        text,
        encoded["input_ids"],
        np.zeros((len(encoded["input_ids"]), len(LABELS))),
        encoded["offset_mapping"],
        encoded["special_tokens_mask"],
        aggregation_strategy=None,
    )
    assert words(text, [(one["start"], one["end"], not one["is_subword"]) for one in found]) == theirs


def words(text, tokens):
    """The words that tokens (start, end, whether it opens a word) make, joined with spaces."""
    starts = [index for index, (_, _, opens) in enumerate(tokens) if opens or not index]
    spans = [(tokens[first][0], tokens[last - 1][1]) for first, last in pairwise([*starts, len(tokens)])]
    return " ".join(text[start:end].strip() for start, end in spans if text[start:end].strip())


@pytest.mark.parametrize(
    ("architecture", "text", "theirs"),
    [("bert", "Marie Curie", "marie curie"), ("bert", "北京", "北 京"), ("roberta", "in Warsaw", " Warsaw")],
)
def test_a_word_is_what_the_caller_wrote_where_the_pipeline_decodes_tokens(tagger, served, architecture, text, theirs):
    """The pipeline's documentation says so itself: "if you want to have the exact string, use start and end"."""
    model = tagger(architecture)
    pipe = pipeline_of(model)
    (answer,) = served(model.folder).predict([text], {"ignore_labels": []})
    assert all(one["word"] == text[one["start"] : one["end"]] for one in answer)
    found = [token for token in rows_of(model, text).tokens if text[token.start : token.end] in "Marie Curie北京Warsaw"]
    assert pipe.tokenizer.convert_tokens_to_string([token.text for token in found]) == theirs


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stride", [None, 0, 6])
def test_windows_change_nothing_for_a_model_that_sees_one_token_at_a_time(tagger, served, strategy, stride):
    model = tagger(context_free=True, max_length=16)
    expected = ask(pipeline_of(model, max_length=500), clean(LONG, Cleaning()), strategy)
    predictor = served(model.folder)
    (answer,) = predictor.predict([LONG], {"aggregation_strategy": strategy, "stride": stride})
    assert len(predictor.prepare([LONG], read_parameters({"stride": stride}, predictor.model))[0].windows) > 5
    assert_same(answer, in_the_callers_text(expected, LONG))


def test_the_pipeline_cuts_entities_at_the_windows_of_the_same_model(tagger, served):
    """It answers window by window and keeps the longer of two entities that overlap: what is longer than the overlap
    loses its end. That is why we merge the windows' tokens and not their entities."""
    model = tagger(context_free=True, max_length=16)
    (tokens,) = served(model.folder).predict([LONG], {"aggregation_strategy": "none", "ignore_labels": []})
    word = next(one["word"] for one in tokens if not one["entity"].startswith("B-") and one["word"].isalpha())
    text = " ".join([word] * 40)
    same = {"aggregation_strategy": "simple", "ignore_labels": [], "stride": 4}
    (answer,) = served(model.folder).predict([text], same)
    assert [(one["start"], one["end"]) for one in answer] == [(0, len(text))]
    pieces = pipeline_of(model)(text, **same)
    assert len(pieces) > 1
    assert sum(one["end"] - one["start"] for one in pieces) < len(text) * 0.9


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_where_no_windows_overlap_a_long_text_is_answered_as_by_the_pipeline(tagger, served, architecture):
    model = tagger(architecture, max_length=24)
    # Two entities that share a character, of which a byte-level token may be a part, are one too many for the pipeline.
    text = clean("".join(character for character in LONG if character.isascii()), Cleaning())
    row = rows_of(model, text, stride=6)
    shared = {
        index
        for left, right in pairwise(row.windows)
        # One more on each side: an entity must not touch a token that the other window reads.
        for index in range(right.first - 1, left.end + 1)
    }
    characters = {place for index in shared for place in range(row.tokens[index].start, row.tokens[index].end)}
    expected = in_the_callers_text(ask(pipeline_of(model), text, "simple", stride=6), text)
    (answer,) = served(model.folder).predict([text], {"aggregation_strategy": "simple", "stride": 6})

    def alone(items):
        return [one for one in items if not characters & set(range(one["start"], one["end"]))]

    assert len(alone(answer)) > 10
    assert_same(alone(answer), alone(expected))


@pytest.mark.parametrize("architecture", EACH)
def test_a_text_is_answered_alone_as_in_a_batch(tagger, served, architecture):
    predictor = served(tagger(architecture, max_length=24).folder)
    texts = [*TEXTS, LONG, "", LONG[:99]]
    for strategy in ("none", "first"):
        together = predictor.predict(texts, {"aggregation_strategy": strategy})
        for text, answer in zip(texts, together, strict=True):
            assert_same(answer, predictor.predict([text], {"aggregation_strategy": strategy})[0])


def test_groups_of_a_large_request_are_answered_one_after_the_other(tagger, served, monkeypatch):
    predictor = served(tagger(max_length=24).folder)
    texts = [*TEXTS, LONG]
    expected = predictor.predict(texts)
    monkeypatch.setattr("tunewright.serving.engines.windows._TOKENS_AT_ONCE", 40)
    for answer, before in zip(predictor.predict(texts), expected, strict=True):
        assert_same(answer, before)


@pytest.mark.parametrize("text", ["", " \x00 "])
def test_a_text_without_tokens_has_no_entities(tagger, served, text):
    predictor = served(tagger().folder)
    assert predictor.predict([text]) == [[]]
    assert predictor.outputs([text])[0].size == 0


def test_the_answer_to_a_bundle_that_says_nothing_takes_first_tokens(tagger, served, changed):
    """The loss of training is on the first token of each word: the others were never taught anything."""
    predictor = served(tagger().folder)
    assert predictor.predict([LONG]) == predictor.predict([LONG], {"aggregation_strategy": "first"})
    other = served(changed(tagger().folder, options={"aggregation_strategy": "max"}))
    assert other.predict([LONG]) == other.predict([LONG], {"aggregation_strategy": "max"})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_of_letters_are_answered_as_by_the_pipeline(tagger, served, strategy):
    model = tagger()
    sent = "Marie Curie was unbelievable misunderstandings of a guitarist".split()
    theirs = "first" if strategy in ("none", "simple") else strategy
    (expected,) = ask(pipeline_of(model), [sent], theirs, is_split_into_words=True, ignore_labels=[])
    (answer,) = served(model.folder).predict([sent], {"aggregation_strategy": strategy, "ignore_labels": []})
    if strategy == "none":
        assert [one["word"] for one in answer] == sent
        assert [one["index"] for one in answer] == list(range(len(sent)))
        starts = {one["start"]: one for one in expected}
        kinds = [read_label(one["entity"], "BIO")[1] for one in answer if one["start"] in starts]
        assert kinds == [one["entity_group"] for one in expected]
    else:
        assert_same(answer, expected)


@pytest.mark.parametrize("architecture", EACH)
def test_words_are_answered_as_the_text_they_make(tagger, served, architecture):
    predictor = served(tagger(architecture).folder)
    text = "Marie Curie was unbelievable misunderstandings of a guitarist"
    for strategy in ("first", "average", "max"):
        by_words, by_text = predictor.predict([text.split(), text], {"aggregation_strategy": strategy})
        assert_same(by_words, by_text)


def test_the_words_of_a_caller_are_not_split(tagger, served):
    sent = ["Curie's", "", "(Warsaw)", "北京", "\x07"]
    (answer,) = served(tagger().folder).predict([sent], {"aggregation_strategy": "none", "ignore_labels": []})
    assert [(one["index"], one["word"]) for one in answer] == [(0, "Curie's"), (2, "(Warsaw)"), (3, "北京")]
    text = " ".join(sent)
    assert all(text[one["start"] : one["end"]] == one["word"] for one in answer)


@pytest.fixture
def group(tagger):
    """The entities of the words of a text, each word being certain of its label."""
    folder = tagger().folder

    def decode(text, tags, *, scheme="BIO", strategy="first", ignored=("O",)):
        labels = sorted(set(tags))
        row = Windower(folder / "tokenizer.json", Cleaning()).words(text.split(), Cut(64, None, 0))
        scores = np.zeros((len(row.tokens), len(labels)), dtype=np.float32)
        for index, token in enumerate(row.tokens):
            scores[index, labels.index(tags[token.word])] = 1
        checked = Checked(strategy, frozenset(ignored), None)
        found = entities(row, scores, labels=labels, scheme=scheme, checked=checked)
        return [(one.get("entity_group") or one["entity"], one["word"]) for one in found]

    return decode


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", "a b"), ("LOC", "d")]),
        ("B-PER B-PER O O", [("PER", "a"), ("PER", "b")]),
        ("I-PER I-PER I-LOC O", [("PER", "a b"), ("LOC", "c")]),
        ("B-PER I-LOC I-LOC B-LOC", [("PER", "a"), ("LOC", "b c"), ("LOC", "d")]),
    ],
)
def test_a_bio_entity_ends_at_another_kind_and_at_the_next_b(group, tags, expected):
    assert group("a b c d", tags.split()) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER E-PER S-PER", [("PER", "a b c"), ("PER", "d")]),
        ("S-LOC S-LOC O O", [("LOC", "a"), ("LOC", "b")]),
        ("B-PER E-PER I-PER O", [("PER", "a b"), ("PER", "c")]),
    ],
)
def test_a_bioes_entity_ends_with_its_e(group, tags, expected):
    assert group("a b c d", tags.split(), scheme="BIOES") == expected


def test_the_pipeline_does_not_know_the_e_of_bioes(tagger):
    tokens = [
        {"entity": f"{letter}-PER", "score": 1.0, "word": word, "start": place, "end": place + 1}
        for place, (letter, word) in enumerate([("B", "a"), ("E", "b")])
    ]
    found = pipeline_of(tagger()).group_entities(tokens)
    assert [(one["entity_group"], one["word"]) for one in found] == [("PER", "a"), ("PER", "b")]


def test_plain_tags_are_one_a_word_and_are_kept_whole(group):
    """The pipeline would make one NOUN of two nouns, and LRB- of the tag -LRB-."""
    tags = ["NOUN", "NOUN", "-LRB-", "X-Y"]
    words = [("NOUN", "a"), ("NOUN", "b"), ("-LRB-", "c"), ("X-Y", "d")]
    assert group("a b c d", tags, scheme="plain") == words
    assert group("a b c d", tags, scheme="plain", strategy="none") == words
    assert group("a b c d", tags, scheme="plain", strategy="simple") == [("NOUN", "a b"), *words[2:]]


def test_ignored_labels_are_left_out(tagger, served):
    predictor = served(tagger().folder)
    for strategy, name in (("none", "entity"), ("simple", "entity_group")):
        wanted = {"aggregation_strategy": strategy}
        (everything,) = predictor.predict([LONG], wanted | {"ignore_labels": []})
        ignored = next(one[name] for one in everything if one[name] != "O")
        (without,) = predictor.predict([LONG], wanted | {"ignore_labels": [ignored]})
        assert without == [one for one in everything if one[name] != ignored]
        (usual,) = predictor.predict([LONG], wanted)
        assert usual == [one for one in everything if one[name] != "O"]


@pytest.mark.parametrize(
    ("inputs", "expected", "are_many"),
    [
        ("a text", ["a text"], False),
        ({"text": "a text"}, ["a text"], False),
        ({"tokens": ["a", "text"]}, [["a", "text"]], False),
        (["a", {"tokens": []}], ["a", []], True),
    ],
)
def test_a_text_or_its_words_are_read(tagger, inputs, expected, are_many):
    assert read_inputs(inputs, read_model_file(tagger().folder)) == (expected, are_many)


_READS = 'this model reads a string, {"text": ...}, {"tokens": ["...", ...]}, or a list of such'


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "'inputs' is an empty list: send at least one text"),
        (7, f"inputs is 7; {_READS}"),
        (["a", ["b"]], f"inputs[1] is ['b']; {_READS}"),
        ({"tokens": ["a", 1]}, f"inputs is {{'tokens': ['a', 1]}}; {_READS}"),
        ({"text": "a", "lang": "en"}, f"inputs is {{'text': 'a', 'lang': 'en'}}; {_READS}"),
    ],
)
def test_what_is_no_text_is_refused(tagger, inputs, message):
    with pytest.raises(InputError) as error:
        read_inputs(inputs, read_model_file(tagger().folder))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"aggregation_strategy": "best"},
            "parameter 'aggregation_strategy' is 'best': Input should be 'none', 'simple', 'first', 'average' or 'max'",
        ),
        ({"stride": -1}, "parameter 'stride' is -1: Input should be greater than or equal to 0"),
        (
            {"ignore_labels": ["B-PER"]},
            "parameter 'ignore_labels' has 'B-PER'; with the strategy first this model's are: O, PER, LOC",
        ),
        (
            {"ignore_labels": ["PER"], "aggregation_strategy": "none"},
            "parameter 'ignore_labels' has 'PER'; with the strategy none this model's are: "
            "O, B-PER, I-PER, B-LOC, I-LOC",
        ),
        (
            {"labels": 1},
            "unknown parameter 'labels'; token-classification knows: aggregation_strategy, ignore_labels, stride",
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(tagger, parameters, message):
    with pytest.raises(InputError) as error:
        read_parameters(parameters, read_model_file(tagger().folder))
    assert str(error.value) == message


def test_a_stride_that_does_not_fit_the_model_names_the_input(tagger, served):
    with pytest.raises(InputError) as error:
        served(tagger().folder).predict(["a", "b"], {"stride": 60})
    assert str(error.value) == "input 0: the stride is 60 tokens; windows with room for 62 can share at most 46"


def test_a_bundle_with_wrong_options_or_without_labels_is_refused(tagger, served, changed):
    with pytest.raises(BundleError) as error:
        served(changed(tagger().folder, options={"scheme": "IOB7"}))
    assert str(error.value) == "model.json cannot be used: options.scheme: Input should be 'BIO', 'BIOES' or 'plain'"
    with pytest.raises(BundleError) as error:
        served(changed(tagger().folder, labels=[]))
    assert str(error.value).endswith("names no labels, which token-classification needs")


def test_a_broken_model_is_reported(tagger, served):
    with pytest.raises(ModelFault):
        served(tagger(nan=True).folder).predict(["a"])


def test_a_deadline_ends_a_long_text(tagger, served):
    predictor = served(tagger(max_length=24).folder)
    wanted = read_parameters({}, predictor.model)
    rows = predictor.prepare([LONG], wanted)
    with TimeLimit(60) as limit:
        limit.options.terminate = True
        with pytest.raises(DeadlineExceeded):
            predictor.answers(rows, wanted, limit=limit)


def test_raw_outputs_are_the_logits_of_all_windows(tagger, served):
    import torch

    model = tagger(max_length=24)
    predictor = served(model.folder)
    (outputs,) = predictor.outputs([LONG])
    windows = rows_of(model, LONG, usual_stride=6).windows
    with torch.no_grad():
        expected = [model.torch_model(torch.tensor([window.row.ids])).logits[0] for window in windows]
    np.testing.assert_allclose(outputs, torch.cat(expected).numpy(), atol=1e-4)


def test_answers_and_inputs_have_the_shapes_of_the_openapi_document(tagger, served):
    predictor = served(tagger().folder)
    described = shapes(predictor.model)
    for strategy in STRATEGIES:
        (answer,) = predictor.predict([LONG], {"aggregation_strategy": strategy, "ignore_labels": []})
        jsonschema.validate(answer, described.answer)
    for item in ("a", {"text": "a"}, {"tokens": ["a"]}, described.example):
        jsonschema.validate(item, described.item)
    for item in (["a"], {"tokens": "a"}, {"text": "a", "tokens": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(item, described.item)


def test_half_a_character_is_answered_as_a_replacement_character(tagger, serve_bundle):
    inputs, wanted = (
        r'["Ma\ud83drie", {"tokens": ["a", "b\ud83db"]}]',
        '{"aggregation_strategy": "simple", "ignore_labels": []}',
    )
    body = f'{{"inputs": {inputs}, "parameters": {wanted}}}'
    with serve_bundle(tagger().folder) as (client, _):
        reply = client.post("/predict", content=body.encode())
    assert reply.status_code == 200
    assert "\ufffd" in reply.text


def test_requests_with_other_parameters_share_a_run(tagger, served, require_shared_run):
    first = ([LONG, "Marie Curie"], {"aggregation_strategy": "none", "ignore_labels": []})
    require_shared_run(served(tagger().folder), first, (["", LONG], {"stride": 3}))
