import itertools
import json
import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunewright.job.batches.causal import packed
from tunewright.job.batches.text import NO_LABEL
from tunewright.job.errors import BaseModelError, DataError, SettingsError
from tunewright.job.learners.causal import Decoder, written_answers
from tunewright.job.train.next_token import learned_logits
from tunewright.serving.errors import InputError
from tunewright.serving.golden import replay

LENGTH = 24
QUICK = [("gpt2", "text")]
SLOW = [(kind, ("text", "messages")[number % 2]) for number, kind in enumerate(sorted(Decoder.architectures))]
SLOW += [("llama", "prompt"), ("llama", "messages")]
"""Each architecture in one form of the data: a job of each takes its time, and the form does not reach the graph."""
LLAMA2 = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHAT = [
    {"role": "user", "content": "the dog"},
    {"role": "assistant", "content": "der Hund"},
    {"role": "user", "content": "a big cat"},
    {"role": "assistant", "content": "ein groß Katze"},
]


@pytest.fixture(scope="module")
def rows(sentences):
    pairs = sentences(200)
    return {
        "text": [{"text": f"{source}. {target}."} for source, target in pairs],
        "prompt": [{"prompt": source, "response": target} for source, target in pairs],
        "messages": [
            {"messages": [{"role": "user", "content": source}, {"role": "assistant", "content": target}]}
            for source, target in pairs
        ],
    }


@pytest.fixture(scope="module")
def taught(teach, writer_base, rows):
    made = {}

    def make(kind, form):
        if (kind, form) not in made:
            options = {"generation": {"max_new_tokens": LENGTH}}
            train = {"max_length": 96}
            # A layer takes seconds to export; tests/job/export has two.
            base = writer_base(kind, **({"n_layer": 1} if kind == "gpt2" else {}))
            made[kind, form] = teach("text-generation", base, rows[form], options=options, train=train)
        return made[kind, form]

    return make


def pipeline_answer(pipe, asked, *, return_full_text=True, **more):
    """The pipeline's answer, cut out of the whole text: since transformers 5 the pipeline decodes what was added by
    itself, and some decoders then lose the space before it."""
    # Its own limit of 256 tokens and its own sampling go before generation_config.json.
    more |= {"max_new_tokens": LENGTH, "do_sample": False}
    [one] = pipe(asked, return_tensors=True, **more)
    chat = not isinstance(asked, str)
    before = (pipe.tokenizer.apply_chat_template(asked, add_generation_prompt=True) if chat else pipe.tokenizer(asked))[
        "input_ids"
    ]
    assert one["generated_token_ids"][: len(before)] == before
    whole, start = (
        pipe.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)
        for ids in (one["generated_token_ids"], before)
    )
    added = whole[len(start) :]
    if chat and return_full_text:
        return {"generated_text": [*asked, {"role": "assistant", "content": added}]}
    return {"generated_text": asked + added if return_full_text else added}


def check_answers(one, form, predictor, odd):
    """The answers to texts or conversations are those of transformers on the weights of the version."""
    inputs = [({"role": "user", "content": text},) for text in odd] if form == "messages" else odd
    asked = [list(value) if isinstance(value, tuple) else value for value in inputs]
    theirs = one.pipeline("text-generation")
    for more in ({}, {"num_beams": 3, "no_repeat_ngram_size": 2, "return_full_text": False}):
        expected = [[pipeline_answer(theirs, one, **more)] for one in asked]
        found = predictor.predict(inputs, more)
        assert [len(answer) for answer in found] == [1] * len(odd)
        assert found == expected


@pytest.mark.parametrize(("kind", "form"), QUICK)
def test_answers_equal_those_of_the_pipeline_on_the_weights(taught, answering, kind, form, odd):
    one = taught(kind, form)
    assert one.outcome.version.number == 1
    check_answers(one, form, answering(one), odd)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "form"), SLOW)
def test_every_architecture_answers_as_the_pipeline_does(taught, answering, kind, form, odd):
    one = taught(kind, form)
    check_answers(one, form, answering(one), odd)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_an_answer_is_the_same_alone_and_in_a_batch(taught, answering, variant, odd):
    predictor = answering(taught("gpt2", "text"), variant)
    assert predictor.predict(odd) == [predictor.predict([text])[0] for text in odd]


EITHER = [*QUICK, pytest.param("llama", "messages", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("kind", "form"), EITHER)
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_golden_cases_replay(taught, answering, variant, kind, form):
    assert replay(answering(taught(kind, form), variant)) == 8


@pytest.mark.parametrize(("kind", "form"), EITHER)
def test_int8_is_smaller_and_near(taught, kind, form):
    release = taught(kind, form).outcome.release
    assert release.sizes["int8"] < release.sizes["fp32"]
    assert 0 < release.parities["int8"].largest < 1
    assert release.parities["fp32"].largest < 1e-4


def test_the_last_layer_is_quantized_where_it_is_the_embeddings_too(taught):
    graph = onnx.load(taught("gpt2", "text").bundle / "onnx/int8/model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    # Four products in its layer, and the last layer.
    assert kinds.count("MatMulIntegerToFloat") == 5
    largest = max(graph.initializer, key=lambda one: math.prod(one.dims))
    assert largest.data_type == onnx.TensorProto.INT8


@pytest.mark.slow
def test_the_measured_perplexity_is_that_of_torch(taught, plan_of_taught):
    """Over the test rows: each answer and its end token, given the conversation before it."""
    one = taught("llama", "prompt")
    plan = plan_of_taught(one)
    model = AutoModelForCausalLM.from_pretrained(one.weights)
    losses, tokens = 0.0, 0
    tokenizer = AutoTokenizer.from_pretrained(one.weights)
    for asked, answer in zip(plan.prepared.test.data.inputs(), plan.prepared.test.data.targets(), strict=True):
        before = tokenizer(asked)["input_ids"]
        after = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
        losses += float(functional.cross_entropy(logits, torch.tensor(after), reduction="sum"))
        tokens += len(after)
    metrics = one.outcome.release.evaluations["fp32"].metrics
    assert metrics["perplexity"] == pytest.approx(np.exp(losses / tokens), rel=1e-4)
    assert set(metrics) == {"perplexity", "rougeL"}
    assert 0 < metrics["rougeL"] < 1


def test_so_many_rows_are_answered_as_asked(taught, answering, looked_at, writer_base, rows):
    plan, _ = looked_at("text-generation", writer_base("gpt2"), rows["prompt"], train={"max_length": 96})
    predictor = answering(taught("gpt2", "text"))

    def answered(rows):
        options = plan.prepared.options.model_copy(update={"generated_rows": rows})
        asked = replace(plan, prepared=replace(plan.prepared, options=options))
        return len(written_answers(predictor, plan.prepared.test, asked).scores)

    assert [answered(rows) for rows in (1, 2, 20)] == [1, 2, 20]


@pytest.fixture
def plan_of_taught(tmp_path):
    from tunewright.job.recipe import prepare_all
    from tunewright.registry.settings import RegistrySettings

    def again(one):
        registry = RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")
        return prepare_all(one.settings, registry, tmp_path / "look")[0]

    return again


@pytest.mark.parametrize("kind", sorted(Decoder.architectures))
def test_a_packed_text_learns_as_it_does_alone(looked_at, writer_base, rows, kind):
    plan, (train, _) = looked_at("text-generation", writer_base(kind), rows["text"], train={"max_length": 64})
    model = plan.prepared.task.graph.build(plan).eval()
    batch = train.batch(range(3))
    assert batch["input_ids"].shape == (3, 64)
    assert (batch["learned"].sum(axis=1) > 50).all()
    targets = batch.pop("targets")
    with torch.no_grad():
        logits = learned_logits(model, batch, use_cache=False)
        together = functional.cross_entropy(logits, targets, reduction="sum")
        alone = []
        for ids, places in zip(batch["input_ids"], batch["position_ids"], strict=True):
            starts = [*(places == 0).nonzero()[:, 0].tolist(), 64]
            for start, end in itertools.pairwise(starts):
                piece = ids[start:end][None]
                logits = model(piece).logits[0, :-1]
                alone.append(functional.cross_entropy(logits, piece[0, 1:], reduction="sum"))
    assert len(alone) > 6
    assert float(together) == pytest.approx(float(sum(alone)), rel=1e-5)


def test_rows_are_full_and_no_piece_is_a_single_token():
    documents = [list(range(10, 17)), [3, 4], [5], list(range(20, 31))]
    found = list(packed(documents, 8))
    pieces = [[ids for ids, _ in row] for row in found]
    assert pieces == [[list(range(10, 17))], [[3, 4], list(range(20, 26))], [list(range(26, 31))]]
    assert found[1][0][1] == [4, NO_LABEL]
    assert found[2][0][1] == [27, 28, 29, 30, NO_LABEL]


@pytest.mark.parametrize("template", [None, LLAMA2])
def test_only_the_assistants_turns_are_learned(looked_at, writer_base, template):
    """With marks in the template (ChatML, which is used where there is none) and without (as Llama 2 has it)."""
    base = writer_base("llama", chat_template=template)
    _, (train, _) = looked_at(
        "text-generation", base, [{"messages": [{"role": "user", "content": f"{at}"}, *CHAT[1:]]} for at in range(30)]
    )
    tokenizer = AutoTokenizer.from_pretrained(base)
    learned = tokenizer.decode(train.batch([0])["targets"])
    said = ["der Hund", "ein groß Katze"]
    ends = [f"{text}</s>" if template is None else f"{text} </s>" for text in said]
    assert [part.strip() for part in learned.replace("</s>", "</s>|").split("|")[:-1]] == ends


def test_only_the_response_is_learned(looked_at, writer_base, rows):
    base = writer_base("gpt2")
    plan, (train, _) = looked_at("text-generation", base, rows["prompt"])
    tokenizer = AutoTokenizer.from_pretrained(base)
    answers = plan.prepared.train.data.targets()
    assert [tokenizer.decode(train.batch([row])["targets"]) for row in range(5)] == [f"{a}</s>" for a in answers[:5]]


def test_a_turn_ends_with_its_own_token_where_there_is_one(looked_at, writer_base, rows):
    base = writer_base("qwen2", tokens=["<|im_start|>", "<|im_end|>"])
    plan, _ = looked_at("text-generation", base, rows["messages"])
    end = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids("<|im_end|>")
    model = plan.prepared.task.model_file(plan, {"fp32": _variant()})
    assert model.options["generation"]["eos_token_id"] == [1, end]
    assert plan.encoder.template.count("<|im_end|>") == 2


def _variant():
    from tunewright.serving.bundle.model_file import Variant

    return Variant(file="onnx/fp32/model.onnx", batching="padded", bytes=1, golden_tolerance=1)


def test_line_breaks_of_a_text_stay(looked_at, writer_base):
    base = writer_base("gpt2")
    _, (train, _) = looked_at(
        "text-generation", base, [{"prompt": f"{at}\n\n", "response": "x\n  y"} for at in range(30)]
    )
    ids = train.batch([0])["input_ids"][0]
    assert AutoTokenizer.from_pretrained(base).decode(ids).endswith("\n\nx\n  y</s>")


def test_what_is_left_of_a_long_answer_is_learned_and_a_long_prompt_left_out(looked_at, writer_base, rows, capsys):
    long = [{"prompt": "the dog " * 40, "response": "der Hund"}, {"prompt": "the", "response": "der Hund " * 40}] * 3
    _, (train, _) = looked_at(
        "text-generation",
        writer_base("gpt2"),
        [*long, *rows["prompt"]],
        data={"test_fraction": 0.02},
        train={"max_length": 64},
    )
    assert train.lengths.max() == 64
    assert train.truncated >= 1
    assert "fill a row of 64 tokens and are left out: no token of an answer is left" in capsys.readouterr().out
    labels = [train.batch([row])["targets"] for row in range(len(train))]
    assert min(map(len, labels)) > 0


BAD = [
    ({"messages": []}, "column 'messages' is empty; fill it, remove the row or set data.drop_empty"),
    ({"messages": "hello"}, "column 'messages' is a text that is not JSON"),
    ({"messages": [CHAT[0]]}, "column 'messages' holds no turn of the assistant"),
    ({"messages": [CHAT[1]]}, "column 'messages' holds no message before the assistant's"),
    ({"messages": [{"role": "bot", "content": "x"}]}, "column 'messages' holds the role 'bot' (message 1)"),
    ({"messages": [CHAT[0], {"role": "assistant", "content": " "}]}, "holds a message without text (2 of 2)"),
    ({"messages": [{"from": "user", "value": "x"}]}, 'holds a message (1 of 1) that is not {"role": ..., "content"'),
    ({"prompt": "", "response": "x"}, "column 'prompt' is empty"),
    ({"prompt": "x", "response": None}, "column 'response' is empty"),
    ({"text": 3}, "column 'text' is int, not text"),
]


@pytest.mark.parametrize(("row", "fault"), BAD)
def test_a_faulty_row_is_named(looked_at, writer_base, rows, row, fault):
    good = rows["prompt" if "prompt" in row else next(iter(row))]
    with pytest.raises(DataError) as caught:
        looked_at("text-generation", writer_base("gpt2"), [*good[:3], row])
    assert fault in str(caught.value)
    assert "line 4" in str(caught.value)


def test_a_template_that_refuses_a_conversation_is_said(looked_at, writer_base, rows):
    base = writer_base("llama", chat_template="{{ raise_exception('only poems') }}")
    with pytest.raises(DataError, match="cannot be rendered: the chat template refuses these messages: only poems"):
        looked_at("text-generation", base, rows["messages"])


def test_a_template_that_cannot_be_followed_is_said(looked_at, writer_base):
    template = "{% for m in messages %}{{ loop.revindex }}{{ m.content }}{% endfor %}"
    with pytest.raises(DataError, match=r"mark it with \{% generation %\} in options\.chat_template"):
        looked_at(
            "text-generation",
            writer_base("llama", chat_template=template),
            [{"messages": [{"role": "user", "content": f"{at}"}, *CHAT[1:]]} for at in range(30)],
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"metric": "rougeL"}}, "train.metric is 'rougeL', which is measured once, on the exported files; "),
        ({"gate": {"min": {"rougeL": 0.1}}}, "gate.min names 'rougeL', which plain texts do not have"),
        ({"gate": {"min": {"perplexity": 0.1}}}, "gate.min names 'perplexity', which is an error and has no floor"),
        ({"options": {"chat_template": "/nowhere.jinja"}}, "options.chat_template: /nowhere.jinja cannot be read"),
        ({"options": {"chat_template": "{% for %}"}}, "options.chat_template: the chat template is not one"),
        ({"options": {"generation": {"num_beams": 0}}}, "options.generation.num_beams is 0"),
        ({"train": {"focal_gamma": 1.0}}, "train.focal_gamma would have no effect: text-generation does not use it"),
    ],
)
def test_a_setting_without_sense_is_refused(looked_at, writer_base, rows, changes, message):
    with pytest.raises(SettingsError) as caught:
        looked_at("text-generation", writer_base("gpt2"), rows["text"], **changes)
    assert message in str(caught.value)


def test_an_architecture_that_cannot_be_served_is_refused_before_training(looked_at, make_base, rows):
    with pytest.raises(
        BaseModelError, match=r"architecture 'bert', which cannot be exported.*gpt2, gpt_neox, granite, llama"
    ):
        looked_at("text-generation", make_base("bert"), rows["text"])


def test_a_base_without_an_end_token_is_refused(looked_at, writer_base, rows):
    base = writer_base("llama", eos_token_id=None)
    (base / "generation_config.json").unlink()
    with pytest.raises(BaseModelError, match="names no end token"):
        looked_at("text-generation", base, rows["text"])


def test_a_prompt_that_fills_the_context_is_refused_with_its_length(taught, answering):
    predictor = answering(taught("gpt2", "text"))
    with pytest.raises(InputError) as caught:
        predictor.predict(["the", "the dog " * 100])
    count = len(predictor.engine.prompter.ids("the dog " * 100))
    assert str(caught.value) == (
        f"prompt 1 has {count} tokens, which leaves no room for an answer: together they may have 128"
    )


def test_a_version_of_texts_does_not_chat(taught):
    bundle = taught("gpt2", "text").bundle
    assert json.loads((bundle / "model.json").read_text())["options"]["chat"] is False
    assert not (bundle / "chat_template.jinja").exists()


@pytest.mark.slow
def test_a_version_of_messages_chats_with_its_template(taught):
    bundle = taught("llama", "messages").bundle
    assert json.loads((bundle / "model.json").read_text())["options"]["chat"] is True
    assert "<|im_start|>" in (bundle / "chat_template.jinja").read_text()


def test_labels_of_padding_are_not_learned(looked_at, writer_base, rows):
    _, (train, _) = looked_at("text-generation", writer_base("gpt2"), rows["prompt"])
    batch = train.batch([0, 1, 2, 3])
    assert NO_LABEL not in batch["targets"].tolist()
    assert batch["learned"].sum() == len(batch["targets"])
    assert not (batch["learned"] & (batch["attention_mask"] == 0)).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "form", "lora"),
    [
        ("gpt2", "messages", {"rank": 4}),
        ("llama", "prompt", {"rank": 4}),
        ("llama", "messages", {"rank": 4, "quantization": "nf4"}),
    ],
)
def test_adapters_are_merged_into_what_is_served(teach, writer_base, rows, answering, odd, kind, form, lora):
    options, train = {"generation": {"max_new_tokens": LENGTH}}, {"max_length": 96, "lora": lora, "epochs": 1}
    one = teach("text-generation", writer_base(kind), rows[form], options=options, train=train)
    assert not [name for name in AutoModelForCausalLM.from_pretrained(one.weights).state_dict() if "lora" in name]
    check_answers(one, form, answering(one), odd)
