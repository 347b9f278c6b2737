import json
import re
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.tasks import TASKS

TASK = TASKS["text-generation"]
CHAT = [{"role": "user", "content": "a b"}]
CONTEXT = 32


def model_file(**options):
    variant = Variant(file="onnx/fp32/model.onnx", batching="padded", bytes=1, golden_tolerance=0.01)
    common = {"generation": {"max_new_tokens": 6, "eos_token_id": 1}, "context": CONTEXT}
    return ModelFile(
        format=1,
        task="text-generation",
        problem="text_generation",
        max_length=CONTEXT,
        options=common | options,
        variants={"fp32": variant},
        default_variant="fp32",
    )


PLAIN, CHATTY = model_file(), model_file(chat=True, special_tokens={"eos_token": "</s>"})


KEPT = Path(__file__).parents[2] / "reference/graphs/gpt2/model.onnx"
LONG = {"context": 20_000, "generation": {"max_new_tokens": 19_000}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny GPT-2 that chats: letters are its tokens."""
    return write_bundle(tmp_path_factory.mktemp("bundle"), CHATTY)


def write_bundle(folder, described):
    words = ["?", "</s>", *"abcdefghijklmnopqrstuvwxyz ."]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    _stretch(KEPT, folder / "onnx/fp32/model.onnx")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}.")
    (folder / "model.json").write_text(described.model_dump_json())
    return folder


def _stretch(path, target):
    """The graph with places for as many tokens as the longest answers here have."""
    model = onnx.load(path)
    [table] = [one for one in model.graph.initializer if one.name.endswith("wpe.weight")]
    places = np.random.default_rng(0).normal(0, 0.5, (LONG["context"], table.dims[1])).astype(np.float32)
    table.CopyFrom(numpy_helper.from_array(places, table.name))
    target.parent.mkdir(parents=True)
    onnx.save(model, target)


@pytest.fixture(scope="module")
def predictor(folder):
    opened = open_predictor(folder)
    yield opened
    opened.close()


def test_a_text_is_answered_by_itself_and_what_follows(predictor):
    [[answer]] = predictor.predict(["abc"])
    assert answer["generated_text"].startswith("abc")
    assert len(answer["generated_text"]) > 3
    [[rest]] = predictor.predict(["abc"], {"return_full_text": False})
    assert answer["generated_text"] == "abc" + rest["generated_text"]


def test_a_conversation_is_answered_by_itself_and_a_message(predictor):
    [[text]] = predictor.predict(["a b."], {"return_full_text": False})
    [[chat]] = predictor.predict([tuple(CHAT)])
    assert chat["generated_text"] == [*CHAT, {"role": "assistant", "content": text["generated_text"]}]


def test_the_assistants_own_message_is_gone_on_with(predictor):
    begun = (*CHAT, {"role": "assistant", "content": "xy"})
    [[text]] = predictor.predict(["a bxy"], {"return_full_text": False})
    [[chat]] = predictor.predict([begun])
    assert chat["generated_text"] == [*CHAT, {"role": "assistant", "content": "xy" + text["generated_text"]}]


def test_spaces_before_punctuation_are_taken_out_unless_they_shall_stay(predictor):
    wild = {"return_full_text": False, "max_new_tokens": 28, "do_sample": True, "temperature": 50.0}
    seen = 0
    for seed in range(60):
        [[plain]] = predictor.predict(["ab"], wild | {"seed": seed})
        [[kept]] = predictor.predict(["ab"], wild | {"seed": seed, "clean_up_tokenization_spaces": False})
        seen += plain != kept
        assert plain["generated_text"] == kept["generated_text"].replace(" .", ".").replace(" ?", "?")
    assert seen


def streamed(predictor, prompt, **parameters):
    """What was told piece by piece, and why it ended."""
    wanted = TASK.read_parameters(parameters, predictor.model)
    (row,) = predictor.prepare([prompt], wanted)
    pieces = []
    return pieces, predictor.stream(row, pieces.append)


WILD = {"max_new_tokens": 20, "do_sample": True, "temperature": 5.0}


@pytest.mark.parametrize("prompt", ["abc", (*CHAT, {"role": "assistant", "content": "x"})])
@pytest.mark.parametrize("parameters", [{}, {"num_beams": 3}, *({**WILD, "seed": seed} for seed in range(5))])
def test_the_pieces_of_a_streamed_answer_are_the_answer(predictor, prompt, parameters):
    plain = {"return_full_text": False, "clean_up_tokenization_spaces": False}
    [[answer]] = predictor.predict([prompt], parameters | plain)
    pieces, finish = streamed(predictor, prompt, **parameters)
    assert "".join(pieces) == answer["generated_text"]
    assert all(pieces)
    assert finish in ("eos", "length")
    # Letters are tokens here; beams are known at the end only.
    assert len(pieces) == (1 if "num_beams" in parameters else len(answer["generated_text"].replace("</s>", "?")))


def test_a_streamed_answer_ends_before_a_stop_string(predictor):
    wild = {**WILD, "seed": 0, "min_new_tokens": 20}
    [[answer]] = predictor.predict(["abc"], {**wild, "return_full_text": False})
    stop = answer["generated_text"][5:7]
    pieces, finish = streamed(predictor, "abc", **wild, stop_strings=stop)
    assert "".join(pieces) == answer["generated_text"].partition(stop)[0]
    assert finish == "stop"


LETTERS = ["?", "</s>", *"abcdefghijklmnopqrstuvwxyz ."]


def test_details_tell_the_tokens_and_what_the_model_gave_them(predictor):
    asked = {"return_full_text": False, "clean_up_tokenization_spaces": False, "details": True, "top_n_tokens": 2}
    [[answer]] = predictor.predict(["abc"], asked)
    details = answer["details"]
    assert "".join(token["text"] for token in details["tokens"]) == answer["generated_text"]
    assert [LETTERS[token["id"]] for token in details["tokens"]] == [token["text"] for token in details["tokens"]]
    # The likeliest one is taken.
    assert [top[0] for top in details["top_tokens"]] == details["tokens"]
    assert all(len(top) == 2 and top[0]["logprob"] >= top[1]["logprob"] for top in details["top_tokens"])
    OAS30Validator(TASK.shapes(CHATTY).answer).validate([answer])
    [[plain]] = predictor.predict(["abc"], {"details": True, "num_beams": 2})
    assert plain["details"]["tokens"] == []
    assert "top_tokens" not in plain["details"]


@pytest.mark.parametrize("parameters", [{}, {**WILD, "seed": 1}, {**WILD, "seed": 0, "stop_strings": "a"}])
def test_pieces_tell_the_tokens_too(predictor, parameters):
    plain = {"return_full_text": False, "clean_up_tokenization_spaces": False}
    [[answer]] = predictor.predict(["abc"], parameters | plain | {"details": True})
    pieces, _ = streamed(predictor, "abc", **parameters, details=True)
    told = [token for piece in pieces for token in piece.tokens]
    assert [token.id for token in told] == [id for piece in pieces for id in piece.ids]
    assert [(token.id, token.text) for token in told] == [(t["id"], t["text"]) for t in answer["details"]["tokens"]]
    assert [token.logprob for token in told] == pytest.approx(
        [t["logprob"] for t in answer["details"]["tokens"]], abs=1e-4
    )
    bare, _ = streamed(predictor, "abc", **parameters)
    assert not any(piece.tokens for piece in bare)
    assert "".join(bare) == "".join(pieces)


def test_of_a_long_prompt_the_end_is_read(predictor):
    whole = predictor.predict(["xbc"], {"return_full_text": False})
    [row] = predictor.prepare(["a" * 40 + "xbc"], TASK.read_parameters({"truncate": 3}, predictor.model))
    assert (row.truncated, len(row.ids)) == (True, 3)
    assert predictor.predict(["a" * 40 + "xbc"], {"return_full_text": False, "truncate": 3}) == whole
    assert predictor.predict(["xbc"], {"return_full_text": False, "truncate": 9}) == whole


def test_an_answer_is_held_to_a_grammar_beside_others(predictor):
    free = predictor.predict(["abc", "b"])
    asked = [TASK.read_parameters({"grammar": {"type": "regex", "value": "[x-z]{3}"}}, predictor.model)]
    asked.append(TASK.read_parameters({}, predictor.model))
    rows = [row for one in asked for row in predictor.prepare(["abc", "b"], one)]
    outputs = predictor.engine.run(rows)
    answers = [predictor.engine.answer(row, output, row.settings) for row, output in zip(rows, outputs, strict=True)]
    assert all(re.fullmatch("(abc|b)[x-z]{3}", answer["generated_text"]) for [answer] in answers[:2])
    assert [output.finish for output in outputs[:2]] == ["eos", "eos"]
    assert answers[2:] == free
    pieces, _ = streamed(predictor, "abc", grammar={"type": "regex", "value": "[x-z]{3}"})
    assert "abc" + "".join(pieces) == answers[0][0]["generated_text"]


def test_a_grammar_that_cannot_be_kept_to_is_refused_over_http(folder, serve_bundle):
    with serve_bundle(folder) as (client, _):
        for parameters, message in (
            ({"grammar": {"type": "regex", "value": "(a"}}, "parameter 'grammar' is no regex that can be kept to: "),
            ({"grammar": {"type": "regex", "value": "[0-9]"}}, "parameter 'grammar' "),
        ):
            reply = client.post("/predict", json={"inputs": "abc", "parameters": parameters})
            assert (reply.status_code, reply.json()["error"].startswith(message)) == (422, True), reply.text


def test_answers_that_many_threads_ask_for_at_once_are_those_of_each_alone(predictor):
    kinds = [{}, {"num_beams": 3}, {**WILD, "seed": 1}, {"repetition_penalty": 1.5}, {**WILD, "seed": 2, "top_p": 0.9}]
    asked = [(["abc", "b", "a b c d e"][place % 3], kinds[place % 5]) for place in range(15)]
    alone = ["".join(streamed(predictor, prompt, **parameters)[0]) for prompt, parameters in asked]
    plain = {"return_full_text": False, "clean_up_tokenization_spaces": False}

    def ask(place):
        prompt, parameters = asked[place // 2]
        if place % 2:
            return "".join(streamed(predictor, prompt, **parameters)[0])
        return predictor.predict([prompt], parameters | plain)[0][0]["generated_text"]

    with ThreadPoolExecutor(30) as threads:
        assert list(threads.map(ask, range(30))) == [text for text in alone for _ in range(2)]


def test_a_listener_who_fails_ends_its_own_answer_alone(predictor, long_winded):
    opened = open_predictor(long_winded)
    (row,) = opened.prepare(["abc"], TASK.read_parameters({}, opened.model))
    heard = []

    def leave(piece):
        heard.append(piece)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        opened.stream(row, leave)
    assert len(heard) == 1
    [[answer]] = opened.predict(["abc"], {"max_new_tokens": 3})
    # To close waits for what is being written, of which there would be much.
    opened.close()
    assert answer["generated_text"].startswith("abc")


def events(reply):
    return [json.loads(line.removeprefix("data: ")) for line in reply.iter_lines() if line]


def test_an_answer_is_streamed_over_http_while_it_is_written(folder, predictor, serve_bundle):
    pieces, finish = streamed(predictor, "abc")
    with (
        serve_bundle(folder) as (client, service),
        client.stream("POST", "/predict/stream", json={"inputs": "abc"}) as reply,
    ):
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert events(reply) == [*({"text": piece} for piece in pieces), {"finish": finish}]
        assert 'tunewright_requests_total{code="200"' in client.get("/metrics").text
        assert service.admission.in_flight == 0


def test_a_caller_of_an_older_http_gets_a_stream_without_chunks(folder, predictor, serve_bundle):
    pieces, finish = streamed(predictor, "abc")
    body = b'{"inputs": "abc"}'
    with serve_bundle(folder) as (client, _):
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=30) as caller:
            caller.sendall(b"POST /predict/stream HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head, _, rest = caller.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    told = [json.loads(line.removeprefix(b"data: ")) for line in rest.splitlines() if line]
    assert told == [*({"text": piece} for piece in pieces), {"finish": finish}]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": ["a", "b"]}, 422, "'inputs' is a list; one answer is streamed at a time: send one input"),
        ({"inputs": "a" * 32}, 422, "prompt 0 has 32 tokens, which leaves no room for an answer: together they may"),
        ({"inputs": "a", "parameters": {"seed": -1}}, 422, "parameter 'seed' is -1: "),
        ({"inputs": "a" * 200}, 413, "a text has 200 characters; this server takes at most 100"),
    ],
)
def test_a_request_that_cannot_be_streamed_is_refused_before_it_begins(folder, serve_bundle, body, status, message):
    with serve_bundle(folder, characters=100) as (client, service):
        reply = client.post("/predict/stream", json=body)
        assert reply.status_code == status
        assert reply.json()["error"].startswith(message)
        assert service.admission.in_flight == 0


@pytest.fixture(scope="module")
def long_winded(folder, tmp_path_factory):
    """A model that goes on for longer than anybody listens."""
    copied = shutil.copytree(folder, tmp_path_factory.mktemp("long") / "bundle")
    (copied / "model.json").write_text(model_file(**LONG).model_dump_json())
    return copied


def test_nothing_more_is_written_for_a_caller_who_is_gone(long_winded, serve_bundle):
    with serve_bundle(long_winded) as (client, service):
        with client.stream("POST", "/predict/stream", json={"inputs": "abc"}) as reply:
            next(reply.iter_lines())
        while service.admission.in_flight:
            time.sleep(0.01)
    # The server has closed, which waits for what is being written.
    page = service.meters.page().decode()
    assert 'tunewright_requests_total{code="499"' in page
    assert 'tunewright_requests_total{code="200"' not in page
    assert re.search(r"\ntunewright_texts_total{.*} 0.0\n", page)


def test_a_stream_that_takes_too_long_ends_with_the_reason(long_winded, serve_bundle):
    with (
        serve_bundle(long_winded, deadline_seconds=0.5) as (client, service),
        client.stream("POST", "/predict/stream", json={"inputs": "abc"}) as reply,
    ):
        *pieces, last = events(reply)
    figures = service.meters.page().decode()
    assert all(set(piece) == {"text"} for piece in pieces)
    assert last["error_type"] == "DeadlineExceeded"
    assert last["error"].startswith("no answer within 0.5 s: ")
    assert 'tunewright_requests_total{code="503"' in figures
    assert 'tunewright_requests_total{code="200"' not in figures


def test_the_stream_is_documented_where_there_is_one(folder, reviews, serve_bundle):
    for bundle, there in ((folder, True), (reviews, False)):
        with serve_bundle(bundle) as (client, _):
            document = client.get("/openapi.json").json()
            validate(document)
            assert ("/predict/stream" in document["paths"]) == there
            assert (client.post("/predict/stream", json={"inputs": "abc"}).status_code == 404) != there


@pytest.mark.parametrize("content", ["", "a"])
def test_a_message_without_text_does_not_fit_the_schema(content):
    fits = OAS30Validator(TASK.shapes(CHATTY).item).is_valid
    assert fits([{"role": "user", "content": content}]) == bool(content)
    assert fits({"messages": [{"role": "user", "content": content}]}) == bool(content)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (["a", ""], "prompt 1 is empty: the model has no token to go on from"),
        (["a" * 32], "prompt 0 has 32 tokens, which leaves no room for an answer: together they may have 32"),
        (["a" * 3000], "prompt 0 has 3,000 characters, of which 32 tokens cannot be made"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(predictor, prompts, message):
    with pytest.raises(InputError) as caught:
        predictor.predict(prompts)
    assert str(caught.value) == message


def test_a_long_prompt_is_cut_where_numbers_are_compared(predictor):
    outputs = predictor.outputs(["a" * 3000, "ab"])
    assert [output.shape for output in outputs] == [(2, 30), (2, 30)]
    assert (outputs[0] != outputs[1]).any()


INPUTS = [
    ("abc", ["abc"], False),
    ({"text": "abc"}, ["abc"], False),
    (["abc", {"text": "d"}], ["abc", "d"], True),
    (CHAT, [tuple(CHAT)], False),
    ({"messages": CHAT}, [tuple(CHAT)], False),
    ([CHAT, "abc", {"messages": CHAT}], [tuple(CHAT), "abc", tuple(CHAT)], True),
]


@pytest.mark.parametrize(("inputs", "expected", "are_many"), INPUTS)
def test_texts_and_conversations_are_read(inputs, expected, are_many):
    assert TASK.read_inputs(inputs, CHATTY) == (expected, are_many)


WRONG = [
    ([], CHATTY, "'inputs' is an empty list: send at least one text or conversation"),
    (
        3,
        CHATTY,
        'inputs is 3; this model reads a string or {"text": ...}, or messages [{"role": "user", "content": ...}], '
        "or a list of such",
    ),
    ({"text": 3}, PLAIN, "inputs is {'text': 3}; this model reads a string or {\"text\": ...}, or a list of such"),
    (CHAT, PLAIN, "inputs is a conversation, but this model has no chat template; send a text"),
    ([CHAT, []], CHATTY, 'inputs[1] is no list of messages such as [{"role": "user", "content": "..."}]'),
    (
        [{"role": "bot", "content": "x"}],
        CHATTY,
        "inputs holds the role 'bot' (message 1); roles are system, user, assistant",
    ),
    (
        [{"role": "user", "content": "x", "name": "y"}],
        CHATTY,
        'inputs holds a message (1 of 1) that is not {"role": ..., "content": ...}',
    ),
    ([*CHAT, {"role": "user", "content": " "}], CHATTY, "inputs holds a message without text (2 of 2)"),
]


@pytest.mark.parametrize(("inputs", "model", "message"), WRONG)
def test_what_is_neither_is_refused(inputs, model, message):
    with pytest.raises(InputError) as caught:
        TASK.read_inputs(inputs, model)
    assert str(caught.value) == message


def test_parameters_go_over_what_the_bundle_says():
    wanted = TASK.read_parameters({"num_beams": 2, "return_full_text": False}, PLAIN)
    assert (wanted.max_new_tokens, wanted.num_beams, wanted.return_full_text) == (6, 2, False)
    with pytest.raises(InputError, match=r"^unknown parameter 'beams'; text-generation knows: .*, return_full_text, "):
        TASK.read_parameters({"beams": 2}, PLAIN)
    with pytest.raises(InputError, match=r"^parameter 'top_k' is 3, but counts only with 'do_sample': true$"):
        TASK.read_parameters({"top_k": 3}, PLAIN)


@pytest.mark.parametrize("model", [PLAIN, CHATTY])
def test_the_example_is_an_input(model):
    inputs, _ = TASK.read_inputs(TASK.shapes(model).example, model)
    assert len(inputs) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": 1}, "model.json cannot be used: options.context: "),
        ({"generation": {"num_beams": 0}}, "model.json cannot be used: options.generation.num_beams: "),
        ({"beams": 1}, "model.json cannot be used: options.beams: "),
    ],
)
def test_a_broken_description_is_refused(folder, tmp_path, change, message):
    with pytest.raises(BundleError) as caught:
        TASK.open_engine(folder, model_file(**change), "fp32", None)
    assert str(caught.value).startswith(message)


def test_a_bundle_without_its_template_is_refused(folder, tmp_path):
    for path in ("tokenizer.json", "onnx"):
        (tmp_path / path).symlink_to(folder / path)
    (tmp_path / "model.json").write_text(json.dumps(CHATTY.model_dump()))
    with pytest.raises(BundleError, match=r"chat_template\.jinja cannot be read, but model\.json says"):
        open_predictor(tmp_path)


@pytest.mark.parametrize("address", ["/predict", "/predict/stream"])
@pytest.mark.parametrize("inputs", [r'"ab\ud83d"', r'{"text": "\ude00"}', r'[{"role": "user", "content": "ab\ud83d"}]'])
def test_half_a_character_is_answered_as_a_replacement_character(folder, serve_bundle, address, inputs):
    with serve_bundle(folder) as (client, _):
        reply = client.post(address, content=f'{{"inputs": {inputs}}}'.encode())
    assert reply.status_code == 200
    assert "error" not in reply.text
    assert ("\ufffd" in reply.text) == (address == "/predict")


def test_requests_with_other_parameters_share_a_run(predictor, require_shared_run):
    drawn = {"do_sample": True, "temperature": 5.0, "seed": 3}
    alike = {"clean_up_tokenization_spaces": False, "return_full_text": False}
    requests = [(["abc", "b"], {}), (["xyz"], alike), (["abc", tuple(CHAT)], {"num_beams": 3}), (["abc", "q"], drawn)]
    require_shared_run(predictor, *requests, (["abc"], {"stop_strings": ["a", "b"], "max_new_tokens": 20}))
