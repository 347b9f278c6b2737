import copy
import json
import logging
import warnings

import pytest
import torch
import transformers
from optimum.exporters.onnx.convert import onnx_export_from_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from serving.bundle import ModelFile, Variant
from serving.errors import BundleError, InputError
from serving.predictor import open_predictor
from serving.tasks import TASKS

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny GPT-2 that chats: letters are its tokens."""
    folder = tmp_path_factory.mktemp("bundle")
    words = ["?", "</s>", *"abcdefghijklmnopqrstuvwxyz ."]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(words), n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=0.5
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        onnx_export_from_model(
            copy.deepcopy(model), output=folder / "onnx/fp32", task="text-generation-with-past", do_validation=False
        )
        logging.disable(logging.NOTSET)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}.")
    (folder / "model.json").write_text(CHATTY.model_dump_json())
    return folder


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
