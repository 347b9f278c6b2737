"""Extractive question answering: held against the pipeline of transformers (tests/reference) with the same weights."""

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pipelines import Reader

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.errors import BundleError, InputError, ModelFault
from tunewright.serving.tasks.question_answering import answer, best_spans, read_inputs, read_parameters, shapes
from tunewright.serving.text.alignment import align
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.encoding import Encoded
from tunewright.serving.text.windows import UNSPACED, Token, Window, Windowed, trimmed

ARCHITECTURES = ("bert", "distilbert", "roberta", "xlm-roberta", "deberta-v2")
QUICK = ("bert",)
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
"""`make test` looks at one kind of tokenizers."""
QUESTION = "Where was Marie Curie born?"
CONTEXTS = (
    "x",
    "Marie Curie was born in Warsaw.",
    "unbelievable misunderstandings of a guitarist's manager",
    "我在北京大学学习中文",
    "I love 😀 pizza 🍕!",
    "وُلدت ماري كوري في وارسو",
    "q\u0303 cafe\u0301 हिन्दी",
    "Marie  was \x00\n  born",
)
LONG = "Marie Curie was born in Warsaw and worked in Paris with Pierre, nobody else from the United Nations. " * 5


@pytest.fixture(scope="module")
def reader(tiny):
    """A function: a tiny model of an architecture that finds answers."""
    return lambda architecture="bert", **options: tiny(
        architecture, "question-answering", **({"max_length": 200} | options)
    )


def pipeline_of(model):
    return Reader(model.torch_model, model.tokenizer)


def listed(found):
    return found if isinstance(found, list) else [found]


def in_the_callers_text(found, context):
    """The pipeline's answers to a cleaned context, as they stand in the context that was sent.

    Some tokenizers put the space before a word into its token, and the pipeline's answer then begins with it, or is
    there once with it and once without. Where there are fewer passages than wanted it fills up with spans that end
    before they begin: answers without a text.
    """
    aligned = align(context, Cleaning())
    items = {}
    for item in listed(found):
        start, end = trimmed(context, *aligned.span(item["start"], item["end"]))
        if (start, end) in items:
            items[start, end]["score"] += item["score"]
        elif end > start or item["score"] > 0:
            items[start, end] = item | {"start": start, "end": end, "answer": context[start:end]}
    return list(items.values())


def assert_same(answers, expected):
    """The same passages with the same scores to 1e-4."""
    names = ("start", "end", "answer")
    assert [[one[name] for name in names] for one in answers] == [[one[name] for name in names] for one in expected]
    np.testing.assert_allclose([one["score"] for one in answers], [one["score"] for one in expected], atol=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 3},
        {"max_answer_len": 2, "top_k": 2},
        {"handle_impossible_answer": True, "top_k": 2},
        {"align_to_words": False, "top_k": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("architecture", EACH)
def test_answers_are_those_of_the_pipeline(reader, served, architecture, parameters):
    model = reader(architecture)
    pipe = pipeline_of(model)
    answers = served(model.folder).predict([(QUESTION, context) for context in CONTEXTS], parameters)
    for context, found in zip(CONTEXTS, answers, strict=True):
        if parameters.get("align_to_words", True) and UNSPACED.search(context) and architecture not in _KNOW_CHINESE:
            continue  # the next test
        theirs = pipe(question=QUESTION, context=clean(context, Cleaning()), **parameters)
        assert_same(listed(found), in_the_callers_text(theirs, context))


_KNOW_CHINESE = ("bert", "distilbert")


@pytest.mark.parametrize("architecture", [one for one in EACH if one.values[0] not in _KNOW_CHINESE])
def test_an_answer_in_chinese_is_not_widened_to_the_sentence(reader, served, architecture):
    """What these tokenizers take for a word is a whole Chinese sentence, and the pipeline answers with it."""
    model, context = reader(architecture), "我在北京大学学习中文"
    pipe = pipeline_of(model)
    (found,) = served(model.folder).predict([(QUESTION, context)])
    assert pipe(question=QUESTION, context=context)["answer"] == context
    exact = pipe(question=QUESTION, context=context, align_to_words=False)
    assert found["answer"] == exact["answer"] != context
    # Bytes of one character are tokens: their spans have one text and add up.
    assert found["score"] >= exact["score"] - 1e-4


def windows_one_by_one(pipe, context, *, handle_impossible_answer=False, **parameters):
    """The pipeline's answers to each window of a context, in the order of the windows."""
    cut = {name: parameters.pop(name) for name in ("doc_stride", "max_seq_len") if name in parameters}
    return [
        listed(pipe.answer(context, [window], handle_impossible_answer=handle_impossible_answer, **parameters))
        for window in pipe.windows(QUESTION, context, **cut)
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_seq_len": 64, "doc_stride": 10},
        {"max_seq_len": 64, "top_k": 5},
        {"max_seq_len": 80, "handle_impossible_answer": True, "top_k": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("architecture", EACH[:3:2])
def test_a_long_context_is_answered_by_the_best_of_the_pipelines_windows(reader, served, architecture, parameters):
    model = reader(architecture)
    context = clean(LONG, Cleaning())
    windows = windows_one_by_one(pipeline_of(model), context, **parameters)
    assert len(windows) >= 3
    best = {}
    for one in (one for window in windows for one in window if one["answer"]):
        key = one["answer"].lower()
        best[key] = max(best.get(key, one), one, key=lambda same: same["score"])
    answers = list(best.values())
    if parameters.get("handle_impossible_answer"):
        empty = [one for window in windows for one in window if not one["answer"]]
        if len(empty) == len(windows):
            answers.append(min(empty, key=lambda one: one["score"]))
    expected = sorted(answers, key=lambda one: -one["score"])[: parameters.get("top_k", 1)]
    (found,) = served(model.folder).predict([(QUESTION, context)], parameters)
    assert_same(listed(found), in_the_callers_text(expected, context))


def test_the_pipeline_counts_an_answer_twice_that_stands_in_two_windows(reader, served):
    """It adds the scores of both, so that a score says how many windows there are and may be above one."""
    model = reader()
    context = "Warsaw " * 300
    parameters = {"max_seq_len": 40, "doc_stride": 12, "max_answer_len": 1}
    pipe = pipeline_of(model)
    summed = pipe(question=QUESTION, context=context, **parameters)
    windows = windows_one_by_one(pipe, context, **parameters)
    (found,) = served(model.folder).predict([(QUESTION, context)], parameters)
    assert summed["score"] > 1.0
    assert found["score"] == pytest.approx(max(window[0]["score"] for window in windows), abs=1e-4)


@pytest.mark.slow
def test_a_word_is_whole_where_a_window_begins_inside_of_it(reader, served):
    """The pipeline knows no more of a word than its window holds, and answers with the end of one."""
    model = reader("deberta-v2")
    context = clean(LONG, Cleaning())
    parameters = {"max_seq_len": 64, "doc_stride": 10, "top_k": 60}
    (ours,) = served(model.folder).predict([(QUESTION, context)], parameters)
    theirs = in_the_callers_text(pipeline_of(model)(question=QUESTION, context=context, **parameters), context)

    def broken(answers):
        around = [context[one["start"] - 1 : one["start"]] + context[one["end"] : one["end"] + 1] for one in answers]
        return [beside for beside in around if beside.strip()]

    assert broken(theirs)
    assert len(ours) > 20
    assert not broken(ours)


@pytest.mark.parametrize("architecture", EACH)
def test_a_question_is_answered_alone_as_in_a_batch(reader, served, architecture):
    predictor = served(reader(architecture).folder)
    inputs = [(QUESTION, context) for context in (*CONTEXTS, LONG, LONG[:70])] + [("why?", LONG)]
    parameters = {"top_k": 3, "max_seq_len": 70}
    together = predictor.predict(inputs, parameters)
    for one, found in zip(inputs, together, strict=True):
        assert_same(found, predictor.predict([one], parameters)[0])


def test_an_answer_is_where_the_caller_wrote_it(reader, served):
    context = "  Marie \x07\n Cu\x00rie  was born in cafe\u0301\u2003Warsaw  "
    for architecture in QUICK:
        (found,) = served(reader(architecture).folder).predict([(QUESTION, context)], {"top_k": 20})
        assert len(found) > 5
        for one in found:
            assert one["answer"] == context[one["start"] : one["end"]] == one["answer"].strip()


def test_more_than_one_answer_is_always_a_list(reader, served):
    """The pipeline gives an object where there happens to be only one answer."""
    model = reader()
    assert isinstance(pipeline_of(model)(question=QUESTION, context="Warsaw", top_k=3, max_answer_len=1), dict | list)
    (found,) = served(model.folder).predict([(QUESTION, "x")], {"top_k": 3})
    assert [one["answer"] for one in found] == ["x"]


def test_a_long_question_is_cut_and_reported(reader, served):
    predictor = served(reader().folder)
    for parameters, is_cut in (({}, True), ({"max_question_len": 150}, False), ({"max_question_len": 10}, True)):
        wanted = read_parameters(parameters, predictor.model)
        (row,) = predictor.prepare([("why " * 50, "because")], wanted)
        assert row.truncated is is_cut
    wanted = read_parameters({}, predictor.model)
    assert not predictor.prepare([(QUESTION, LONG)], wanted)[0].truncated


def test_what_the_bundle_says_holds_when_the_caller_says_nothing(reader, served, changed):
    usual = served(reader().folder)
    one = [(QUESTION, LONG)]
    short = served(changed(reader().folder, options={"max_answer_len": 2}))
    assert short.predict(one) == usual.predict(one, {"max_answer_len": 2})
    assert short.predict(one, {"max_answer_len": 15}) == usual.predict(one)
    unsure = served(changed(reader().folder, options={"handle_impossible_answer": True}))
    everything = {"top_k": 500}
    assert "" in {found["answer"] for found in unsure.predict(one, everything)[0]}
    assert "" not in {found["answer"] for found in usual.predict(one, everything)[0]}


@pytest.fixture
def row():
    """Three one-letter words behind a question, in one window."""
    tokens = [Token(word, 2 * place, 2 * place + 1, place, True, False) for place, word in enumerate("abA")]
    return Windowed("a b A", tokens, [Window(Encoded([0] * 6, [0] * 6, False), 0, 3)], 2, True, False)


@pytest.fixture
def decode(reader, row):
    """Answers to start and end logits: [CLS], a question token, three words, [SEP]."""
    model = read_model_file(reader().folder)

    def run(start, end, **parameters):
        output = np.array([start, end], dtype=np.float32).T
        return output, row, read_parameters(parameters, model)

    return run


def test_a_span_scores_as_its_start_times_its_end_and_the_question_takes_no_part(decode):
    output, row, wanted = decode([0, 99, 0.5, 2, 0, 99], [0, 99, 0, 2, 1, 99])
    best = best_spans(output, row, 3, wanted)
    start, end = (np.exp(column) / np.exp(column).sum() for column in ([0, 0.5, 2, 0], [0, 0, 2, 1]))
    assert best.spans[0] == (1, 1, pytest.approx(start[2] * end[2]))
    assert best.spans[1] == (1, 2, pytest.approx(start[2] * end[3]))
    assert len(best.spans) == 6
    assert best.null == pytest.approx(start[0] * end[0])


def test_a_span_is_no_longer_than_allowed(decode):
    output, row, wanted = decode([0, 0, 9, 0, 0, 0], [0, 0, 0, 0, 9, 0], max_answer_len=2)
    assert {end - start for start, end, _ in best_spans(output, row, 3, wanted).spans} == {0, 1}


def test_answers_of_one_text_add_up_within_a_window_and_not_across_windows(decode):
    output, row, wanted = decode([0, 0, 5, 0, 5, 0], [0, 0, 5, 0, 5, 0], max_answer_len=1)
    once = answer(row, [output], wanted)
    single = best_spans(output, row, 3, wanted).spans[0][2]
    assert once == {"answer": "a", "start": 0, "end": 1, "score": pytest.approx(2 * single)}
    twice = Windowed(row.text, row.tokens, row.windows * 2, row.lead, True, False)
    assert answer(twice, [output, output], wanted) == once


def test_the_surest_window_says_that_there_is_an_answer(decode):
    nothing, row, wanted = decode([9, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0], handle_impossible_answer=True)
    something, _, _ = decode([0, 0, 5, 0, 0, 0], [0, 0, 5, 0, 0, 0])
    assert answer(row, [nothing], wanted)["answer"] == ""
    twice = Windowed(row.text, row.tokens, row.windows * 2, row.lead, True, False)
    assert answer(twice, [nothing, something], wanted)["answer"] == "a"
    assert answer(twice, [something, nothing], wanted)["answer"] == "a"


@pytest.mark.parametrize(
    ("inputs", "expected", "are_many"),
    [
        ({"question": "q", "context": "c"}, [("q", "c")], False),
        ([{"question": "q", "context": "c"}] * 2, [("q", "c")] * 2, True),
    ],
)
def test_a_question_with_its_context_is_read(reader, inputs, expected, are_many):
    assert read_inputs(inputs, read_model_file(reader().folder)) == (expected, are_many)


_READS = 'this model reads {"question": ..., "context": ...}, or a list of such'


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "'inputs' is an empty list: send at least one question with its context"),
        ("q", f"inputs is 'q'; {_READS}"),
        ([{"question": "q"}], f"inputs[0] is {{'question': 'q'}}; {_READS}"),
        ({"question": "q", "context": ""}, "inputs.context is ''; send a text with words in it"),
        ([{"question": " ", "context": "c"}], "inputs[0].question is ' '; send a text with words in it"),
    ],
)
def test_what_is_no_question_is_refused(reader, inputs, message):
    with pytest.raises(InputError) as error:
        read_inputs(inputs, read_model_file(reader().folder))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, "parameter 'top_k' is 0: Input should be greater than or equal to 1"),
        ({"max_seq_len": 201}, "parameter 'max_seq_len' is 201; this model reads at most 200 tokens"),
        (
            {"topk": 1},
            "unknown parameter 'topk'; question-answering knows: top_k, doc_stride, max_answer_len, max_seq_len, "
            "max_question_len, handle_impossible_answer, align_to_words",
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(reader, parameters, message):
    with pytest.raises(InputError) as error:
        read_parameters(parameters, read_model_file(reader().folder))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("context", "parameters", "message"),
    [
        ("\x00", {}, "input 1: the context '\\x00' is empty: this model's tokenizer makes no token of it"),
        (
            "a",
            {"max_seq_len": 8, "max_question_len": 5},
            "input 1: rows of 8 tokens have no room for the text beside the 8",
        ),
    ],
)
def test_a_context_that_cannot_be_read_names_the_input(reader, served, context, parameters, message):
    with pytest.raises(InputError) as error:
        served(reader().folder).predict([("a", "b"), (QUESTION, context)], parameters)
    assert str(error.value) == message


def test_wrong_options_and_a_graph_of_another_task_are_reported(reader, served, changed):
    with pytest.raises(BundleError) as error:
        served(changed(reader().folder, options={"scheme": "BIO"}))
    assert str(error.value) == "model.json cannot be used: options.scheme: Extra inputs are not permitted"
    folder = changed(reader().folder)
    tag(folder / "onnx/fp32/model.onnx")
    with pytest.raises(ModelFault) as error:
        served(folder).predict([("a", "b")])
    assert str(error.value) == "the graph answers with (5, 3) per row where a start and an end each are needed"
    with pytest.raises(ModelFault):
        served(reader(nan=True).folder).predict([(QUESTION, "a")])


def tag(path):
    """Let a graph answer with the scores of three tags for each token."""
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([2]), "last"))
    model.graph.node.append(onnx.helper.make_node("Unsqueeze", ["start_logits", "last"], ["start_BT1"]))
    model.graph.node.append(onnx.helper.make_node("Concat", ["start_BT1"] * 3, ["logits"], axis=2))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["B", "T", 3]))
    onnx.save(model, path)


def test_raw_outputs_are_the_logits_of_all_windows(reader, served):
    import torch

    model = reader(max_length=64)
    predictor = served(model.folder)
    (outputs,) = predictor.outputs([(QUESTION, LONG)])
    (row,) = predictor.prepare([(QUESTION, LONG)], read_parameters({}, predictor.model))
    with torch.no_grad():
        found = [
            model.torch_model(torch.tensor([window.row.ids]), token_type_ids=torch.tensor([window.row.type_ids]))
            for window in row.windows
        ]
    expected = np.concatenate([np.stack([one.start_logits[0], one.end_logits[0]], axis=-1) for one in found])
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_answers_and_inputs_have_the_shapes_of_the_openapi_document(reader, served):
    predictor = served(reader().folder)
    described = shapes(predictor.model)
    for top_k in (1, 3):
        (found,) = predictor.predict([(QUESTION, LONG)], {"top_k": top_k})
        jsonschema.validate(found, described.answer)
    jsonschema.validate(described.example, described.item)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"question": "q"}, described.item)


def test_half_a_character_is_answered_as_a_replacement_character(reader, serve_bundle):
    body = r'{"inputs": [{"question": "who \ud83d?", "context": "Ma\ud83drie"}], "parameters": {"top_k": 9}}'
    with serve_bundle(reader().folder) as (client, _):
        reply = client.post("/predict", content=body.encode())
    assert reply.status_code == 200
    assert "\ufffd" in reply.text


def test_requests_with_other_parameters_share_a_run(reader, served, require_shared_run):
    first = ([(QUESTION, LONG)], {"top_k": 3, "doc_stride": 8})
    second = ([("Who?", LONG), (QUESTION, "Warsaw")], {"max_seq_len": 64, "handle_impossible_answer": True})
    require_shared_run(served(reader().folder), first, second)
