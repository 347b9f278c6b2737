"""Answers of `generate`, token for token those of `model.generate` of transformers on the same weights.

The models are tiny and random, made so that their answers vary: a plain random model of two layers repeats one token.
transformers answers each prompt alone, this program all prompts in one batch, so that each comparison also says that
a row does not depend on its batch mates.
"""

import json
import shutil
from collections import Counter
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from writing_models import CAUSAL, SEQ2SEQ, VOCABULARY, vary

from tunewright.job.export.generation import export_graphs
from tunewright.serving.errors import DeadlineExceeded, InputError, ModelFault
from tunewright.serving.generation.caches import Onnx
from tunewright.serving.generation.graph import CausalGraph, Seq2SeqGraph
from tunewright.serving.generation.loop import Ask, Call, Loop, generate
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.runtime.session import TimeLimit

START = 2
BEFORE = Path(__file__).parent / "before"
KEPT = Path(__file__).parents[2] / "reference/graphs"
PROMPTS = [[11], [7, 33, 48, 21, 9, 60, 17], [5, 5, 40], [52, 8, 19, 30, 44, 12, 25, 3, 61, 38, 27]]

QUICK = ("gpt2", "t5")
WRITERS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in (*CAUSAL, *SEQ2SEQ)]
"""An export takes ten seconds, so `make test` looks at one architecture of each kind, of which one is exported."""
SEARCHES = {
    "greedy": {},
    "greedy-penalty": {"repetition_penalty": 1.4},
    "greedy-ngrams": {"no_repeat_ngram_size": 2, "min_new_tokens": 9},
    "beams": {"num_beams": 4},
    "beams-penalty": {"num_beams": 4, "repetition_penalty": 1.4, "length_penalty": 2.0, "early_stopping": True},
    "beams-ngrams": {"num_beams": 4, "no_repeat_ngram_size": 2, "length_penalty": 0.3},
    "beams-never": {"num_beams": 3, "early_stopping": "never", "min_new_tokens": 9, "length_penalty": 0.7},
    "beams-forced": {"num_beams": 4, "forced_bos_token_id": 6, "forced_eos_token_id": 4},
}


class Tiny:
    """One random model, in torch and as ONNX files."""

    def __init__(self, model, folder):
        self.model, self.folder = model, folder
        self.is_seq2seq = model.config.is_encoder_decoder
        self.model.generation_config = transformers.GenerationConfig()
        self.graph = self.open()

    def open(self, **options):
        return (Seq2SeqGraph if self.is_seq2seq else CausalGraph)(self.folder, **options)

    def settings(self, **fields):
        start = {"decoder_start_token_id": START} if self.is_seq2seq else {}
        return {"max_new_tokens": 16, **start, **fields}

    def expected(self, prompt, tokenizer=None, **fields):
        """What transformers answers to the prompt alone."""
        ids = torch.tensor([prompt])
        config = transformers.GenerationConfig(**{"pad_token_id": 0, **self.settings(**fields)})
        mask = torch.ones_like(ids)
        found = self.model.generate(ids, attention_mask=mask, generation_config=config, tokenizer=tokenizer)[0].tolist()
        return found[1 if self.is_seq2seq else len(prompt) :]

    def generated(self, prompts=PROMPTS, graph=None, decode=None, **fields):
        settings = GenerationSettings(**self.settings(**fields))
        return generate(graph or self.graph, prompts, settings, decode=decode)

    def answers(self, prompts=PROMPTS, **fields):
        return [answer.ids for answer in self.generated(prompts, **fields)]


@pytest.fixture(scope="session")
def tiny(writer_graphs, tmp_path_factory):
    """tiny("gpt2"): a random model of that architecture, exported; T5 is kept, unless it shall be `anew`."""

    @cache
    def make(name, anew=False):
        if name in CAUSAL:
            return Tiny(*writer_graphs(name)[:2])
        torch.manual_seed(0)
        model = SEQ2SEQ[name]().eval()
        vary(model)
        if name == "t5" and not anew:
            model.load_state_dict(load_file(KEPT / "t5/model.safetensors"))
            return Tiny(model, KEPT / "t5")
        folder = tmp_path_factory.mktemp(name)
        export_graphs(model, folder)
        return Tiny(model, folder)

    return make


def _end_token(model):
    """A token that ends some of the answers before their limit."""
    return model.expected(PROMPTS[1])[6]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", WRITERS)
def test_answers_equal_those_of_transformers(tiny, name, search):
    model = tiny(name)
    fields = {"eos_token_id": _end_token(model), **SEARCHES[search]}
    expected = [model.expected(prompt, **fields) for prompt in PROMPTS]
    assert model.answers(**fields) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CAUSAL, *SEQ2SEQ])
def test_answers_to_random_prompts_equal_those_of_transformers(tiny, name):
    model = tiny(name, name == "t5")
    generator = np.random.default_rng(1)
    prompts = [generator.integers(3, VOCABULARY, length).tolist() for length in (1, 30, 2, 9, 17, 1)]
    for search in SEARCHES.values():
        fields = {"eos_token_id": [_end_token(model), 5], "max_new_tokens": 40, **search}
        assert model.answers(prompts, **fields) == [model.expected(prompt, **fields) for prompt in prompts]


@pytest.mark.slow
def test_the_graphs_that_are_kept_take_and_give_what_those_of_today_do(tiny):
    for file in ("encoder_model.onnx", "decoder_model.onnx"):
        kept, made = (onnx.load(tiny("t5", anew).folder / file).graph for anew in (False, True))
        assert [kept.input, kept.output] == [made.input, made.output]


@pytest.mark.parametrize("name", WRITERS)
def test_the_models_of_these_tests_do_not_repeat_themselves(tiny, name):
    answers = tiny(name).answers()
    assert len(set(map(tuple, answers))) == len(PROMPTS)
    assert np.mean([len(set(answer)) for answer in answers]) > 3


@pytest.mark.slow
def test_a_beam_search_ends_early_as_it_does_in_transformers(tiny):
    """With an end token for which the three ways to end differ."""
    model, ended = tiny("llama"), {}
    for early in (False, True, "never"):
        fields = {"num_beams": 2, "early_stopping": early, "length_penalty": 1.5, "eos_token_id": 55}
        ended[early] = [model.expected(prompt, **fields) for prompt in PROMPTS]
        assert model.answers(**fields) == ended[early]
    assert ended[False] != ended[True] != ended["never"] != ended[False]


@pytest.mark.slow
def test_searches_that_end_at_different_times_do_not_touch_each_other(tiny):
    model = tiny("llama")
    for end in range(3, VOCABULARY - 4, 5):
        fields = {"num_beams": 2, "eos_token_id": [end, end + 1, end + 2], "early_stopping": True}
        alone = [model.answers([prompt], **fields)[0] for prompt in PROMPTS]
        for first, second in permutations(range(len(PROMPTS)), 2):
            assert model.answers([PROMPTS[first], PROMPTS[second]], **fields) == [alone[first], alone[second]]


@pytest.mark.parametrize("name", ["gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama", "bart"))])
@pytest.mark.parametrize("beams", [1, 4])
def test_an_answer_is_the_same_alone_and_in_a_batch(tiny, name, beams):
    model = tiny(name)
    fields = {"num_beams": beams, "repetition_penalty": 1.2, "eos_token_id": _end_token(model)}
    assert model.answers(**fields) == [model.answers([prompt], **fields)[0] for prompt in PROMPTS]


def test_the_rules_do_not_see_padding_as_those_of_transformers_do_not(tiny):
    """Of transformers 4 they did: its answer to a short prompt depended on the batch."""
    model = tiny("gpt2")
    short, long = PROMPTS[0], PROMPTS[3]
    pad = model.expected(short)[0]
    config = transformers.GenerationConfig(max_new_tokens=16, repetition_penalty=1.4, pad_token_id=pad)
    ids = torch.tensor([[pad] * (len(long) - 1) + short, long])
    mask = torch.tensor([[0] * (len(long) - 1) + [1], [1] * len(long)])
    batched = model.model.generate(ids, attention_mask=mask, generation_config=config)[0, len(long) :].tolist()
    alone = model.expected(short, repetition_penalty=1.4)
    assert batched == alone
    assert model.answers([short, long], repetition_penalty=1.4)[0] == alone


@pytest.mark.parametrize("form", ["decoder_model_merged.onnx", "decoder_model.onnx"])
def test_versions_made_before_the_encoder_handed_out_caches_answer_as_they_did(form, tmp_path):
    """Graphs and answers of a tiny BART, written with transformers 4.57: one decoder with two branches, and two."""
    files = [form] if "merged" in form else [form, "decoder_with_past_model.onnx"]
    for file in ("encoder_model.onnx", *files):
        shutil.copy(BEFORE / file, tmp_path)
    graph, told = Seq2SeqGraph(tmp_path), json.loads((BEFORE / "answers.json").read_text())
    for search in told["searches"].values():
        settings = GenerationSettings(max_new_tokens=12, decoder_start_token_id=START, **search["fields"])
        assert [answer.ids for answer in generate(graph, told["prompts"], settings)] == search["answers"]
    [answer] = generate(graph, told["prompts"][:1], GenerationSettings(max_new_tokens=3, decoder_start_token_id=START))
    assert graph.scores(told["prompts"][0], [START, *answer.ids[:2]]).argmax(-1).tolist() == answer.ids


@pytest.fixture
def runs(monkeypatch):
    """Rows of each run of a graph."""
    rows = []
    run = Onnx.run

    def counted(onnx, outputs, inputs, limit):
        rows.append(len(inputs["input_ids"]))
        return run(onnx, outputs, inputs, limit)

    monkeypatch.setattr(Onnx, "run", counted)
    return rows


@pytest.mark.parametrize("beams", [1, 3])
def test_complete_rows_leave_the_batch(tiny, beams, runs):
    model = tiny("gpt2")
    end = _end_token(model)
    found = model.generated(num_beams=beams, eos_token_id=end, early_stopping=beams > 1)
    assert {answer.finish for answer in found} == {"eos", "length"}
    assert runs[0] == len(PROMPTS)
    assert runs[1] == len(PROMPTS) * beams
    assert runs[-1] < runs[1]


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_tokens_are_streamed_as_they_are_written(tiny, name):
    model = tiny(name)
    settings = GenerationSettings(**model.settings(eos_token_id=_end_token(model)))
    heard = []
    found = generate(model.graph, PROMPTS, settings, on_tokens=lambda prompt, ids: heard.append((prompt, ids)))
    assert all(len(ids) == 1 for _, ids in heard)
    assert sorted(prompt for prompt, _ in heard[: len(PROMPTS)]) == [0, 1, 2, 3]
    for index, answer in enumerate(found):
        assert [ids[0] for prompt, ids in heard if prompt == index] == answer.ids


def test_the_answer_of_a_beam_search_is_streamed_whole(tiny):
    model = tiny("t5")
    heard = {}
    settings = GenerationSettings(**model.settings(num_beams=3))
    found = generate(model.graph, PROMPTS, settings, on_tokens=heard.__setitem__)
    assert heard == {index: answer.ids for index, answer in enumerate(found)}


def test_a_listener_that_leaves_ends_the_generation(tiny):
    heard = []

    def leave(_, ids):
        heard.append(ids)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        generate(tiny("gpt2").graph, PROMPTS, GenerationSettings(), on_tokens=leave)
    assert len(heard) == 1


@pytest.mark.parametrize(
    "fields", [{"temperature": 2.0, "top_k": 0}, {"temperature": 3.0, "top_k": 5}, {"temperature": 3.0, "top_p": 0.7}]
)
def test_tokens_are_drawn_as_often_as_they_are_likely(tiny, fields):
    """The distribution that transformers draws from, against the first tokens of 4,000 answers."""
    model, draws = tiny("gpt2"), 4000
    config = transformers.GenerationConfig(
        do_sample=True, max_new_tokens=1, output_scores=True, return_dict_in_generate=True, pad_token_id=0, **fields
    )
    scores = model.model.generate(torch.tensor([PROMPTS[1]]), generation_config=config).scores[0][0]
    likely = torch.softmax(scores, dim=-1).numpy()
    answers = model.answers([PROMPTS[1]] * draws, max_new_tokens=1, do_sample=True, **fields)
    counts = Counter(answer[0] for answer in answers)
    drawn = np.array([counts[token] for token in range(VOCABULARY)]) / draws
    assert not drawn[likely == 0].any()
    assert np.abs(drawn - likely).max() < 5 * np.sqrt(0.25 / draws)


def test_a_seed_gives_the_same_answer_alone_and_in_any_batch(tiny):
    model = tiny("gpt2")
    fields = {"do_sample": True, "temperature": 2.0, "seed": 7}
    batched = model.answers(**fields)
    assert batched == model.answers(**fields)
    assert batched == [model.answers([prompt], **fields)[0] for prompt in PROMPTS]
    assert batched[::-1] == model.answers(PROMPTS[::-1], **fields)
    assert batched != model.answers(**{**fields, "seed": 8})


def test_without_a_seed_answers_differ(tiny):
    model = tiny("gpt2")
    answers = model.answers([PROMPTS[1]] * 8, do_sample=True, temperature=2.0)
    assert len(set(map(tuple, answers))) > 1


@pytest.fixture(scope="module")
def tokenizer():
    """64 tokens of one or two letters, so that a stop string may begin and end within a token."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{a}{b}" for a in "aeiou" for b in letters)][: VOCABULARY - 1]
    built = Tokenizer(models.WordLevel({word: index for index, word in enumerate([*words, "?"])}, unk_token="?"))
    built.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    built.decoder = decoders.Fuse()
    return built


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["gpt2", pytest.param("llama", marks=pytest.mark.slow)])
def test_a_stop_string_ends_the_answer_where_it_does_in_transformers(tiny, tokenizer, name, beams):
    """Causal models only: transformers hands the tokenizer on to the model, which an encoder-decoder refuses."""
    model = tiny(name)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    finishes = set()
    for prompt in PROMPTS:
        text = tokenizer.decode(model.answers([prompt], num_beams=beams)[0])
        fields = {"num_beams": beams, "stop_strings": [text[4:7], "never there"]}
        [found] = model.generated([prompt], decode=tokenizer.decode, **fields)
        assert found.ids == model.expected(prompt, tokenizer=theirs, **fields)
        assert (text[4:7] in tokenizer.decode(found.ids)) == (found.finish == "stop")
        finishes.add(found.finish)
    assert "stop" in finishes


def test_a_stop_string_is_found_at_any_place_of_a_long_answer(tiny, tokenizer):
    model = tiny("gpt2")
    [plain] = model.answers([PROMPTS[1]], max_new_tokens=100)
    for end in (1, 30, 99):
        stop = tokenizer.decode(plain[max(0, end - 7) : end + 1])
        [found] = model.generated([PROMPTS[1]], max_new_tokens=100, stop_strings=stop, decode=tokenizer.decode)
        assert found.finish == "stop"
        assert tokenizer.decode(found.ids).endswith(stop)


def test_stop_strings_need_a_decoder(tiny):
    with pytest.raises(ValueError, match=r"^stop strings need a decode function$"):
        tiny("gpt2").generated(stop_strings="x")


@pytest.mark.parametrize("beams", [1, 4])
def test_an_answer_ends_where_the_context_of_the_model_ends(tiny, beams):
    model = tiny("gpt2")
    context = 16
    found = model.generated(graph=model.open(context=context), num_beams=beams)
    assert [len(prompt) + len(answer.ids) for prompt, answer in zip(PROMPTS, found, strict=True)] == [16] * 4
    assert {answer.finish for answer in found} == {"length"}
    for prompt, answer in zip(PROMPTS, found, strict=True):
        assert answer.ids == model.expected(prompt, num_beams=beams, max_new_tokens=context - len(prompt))


def test_a_prompt_that_fills_the_context_is_refused(tiny):
    model = tiny("gpt2")
    with pytest.raises(InputError) as caught:
        model.generated([[3], [4] * 16], graph=model.open(context=16))
    assert str(caught.value) == (
        "prompt 1 has 16 tokens, which leaves no room for an answer: together they may have 16"
    )


def test_an_empty_prompt_is_refused(tiny):
    with pytest.raises(InputError, match=r"^prompt 1 is empty: the model has no token to go on from$"):
        tiny("t5").generated([[3], []])


def test_no_prompts_have_no_answers(tiny):
    assert tiny("t5").generated([]) == []


def test_a_token_that_the_model_lacks_is_refused(tiny):
    with pytest.raises(InputError, match=r"^forced_bos_token_id is 64, but the model's tokens are 0 to 63$"):
        tiny("t5").generated(forced_bos_token_id=VOCABULARY)
    with pytest.raises(InputError, match=r"^decoder_start_token_id is 99, but the model's tokens are 0 to 63$"):
        tiny("t5").generated(decoder_start_token_id=99)


def test_an_endless_answer_ends_at_the_limit(tiny):
    model = tiny("t5")
    settings = GenerationSettings(**model.settings(max_new_tokens=1_000_000))
    with TimeLimit(0.1) as limit, pytest.raises(DeadlineExceeded, match=r"^the model did not answer within 0\.1 s$"):
        generate(model.graph, PROMPTS, settings, limit=limit)


def settings_of(model, **fields):
    return GenerationSettings(**model.settings(**fields))


def asked(prompt, settings, call=None, tell=None):
    """A prompt to be answered, and the list that its answer comes into."""
    ended = []
    return Ask(prompt, settings, call or Call(), ended.append, tell), ended


def run_out(loop):
    while not loop.is_idle:
        loop.turn()


MIXED = [
    {},
    {"num_beams": 3},
    {"do_sample": True, "temperature": 2.0, "seed": 3},
    {"repetition_penalty": 1.4, "max_new_tokens": 5},
    {"num_beams": 2, "no_repeat_ngram_size": 2, "max_new_tokens": 9},
    {"do_sample": True, "temperature": 3.0, "top_p": 0.8, "seed": 9},
]


@pytest.mark.parametrize("name", WRITERS)
def test_who_comes_later_shares_the_steps_and_is_answered_as_alone(tiny, name, runs):
    model = tiny(name)
    wanted = [(PROMPTS[place % 4], settings_of(model, **fields)) for place, fields in enumerate(MIXED * 2)]
    alone = [generate(model.graph, [prompt], settings) for prompt, settings in wanted]
    steps_alone = len(runs)
    loop, found = Loop(model.graph), []
    for prompt, settings in wanted:
        ask, ended = asked(prompt, settings)
        loop.put([ask])
        loop.turn()
        found.append(ended)
    run_out(loop)
    assert found == alone
    assert max(runs[steps_alone:]) > 3
    assert len(runs) - steps_alone < steps_alone


def test_rows_of_an_encoder_decoder_wait_for_those_behind_them_once(tiny, runs):
    """Their decoder has no place for padding, so that only rows of one length share steps."""
    model = tiny("t5")
    loop, found = Loop(model.graph), []
    for prompt in PROMPTS:
        ask, ended = asked(prompt, settings_of(model, max_new_tokens=60))
        loop.put([ask])
        for _ in range(4):
            loop.turn()
        found.append(ended)
    del runs[:]
    run_out(loop)
    assert max(runs) >= 3
    assert [answer.ids for [answer] in found] == model.answers(max_new_tokens=60)


def test_versions_of_before_share_steps_too(tmp_path):
    for file in ("encoder_model.onnx", "decoder_model_merged.onnx"):
        shutil.copy(BEFORE / file, tmp_path)
    graph, told = Seq2SeqGraph(tmp_path), json.loads((BEFORE / "answers.json").read_text())
    for search in told["searches"].values():
        settings = GenerationSettings(max_new_tokens=12, decoder_start_token_id=START, **search["fields"])
        loop, found = Loop(graph), []
        for prompt in told["prompts"]:
            ask, ended = asked(prompt, settings)
            loop.put([ask])
            loop.turn()
            found.append(ended)
        run_out(loop)
        assert [answer.ids for [answer] in found] == search["answers"]


def test_a_long_prompt_is_read_in_pieces_while_others_go_on(tiny, runs):
    model = tiny("gpt2")
    long = [*PROMPTS[3], *PROMPTS[1]] * 3
    expected = model.answers([long, PROMPTS[0]])
    heard = []
    loop = Loop(model.graph, tokens_per_run=8)
    first, short = asked(PROMPTS[0], settings_of(model), tell=lambda *_: heard.append("short"))
    second, whole = asked(long, settings_of(model), tell=lambda *_: heard.append("long"))
    loop.put([first])
    loop.turn()
    loop.put([second])
    run_out(loop)
    assert [whole[0].ids, short[0].ids] == expected
    assert heard.index("long") == 1 + len(long) // 8


@pytest.mark.parametrize("name", [name for name in WRITERS if name.values[0] in CAUSAL])
def test_prompts_that_begin_alike_read_the_beginning_once(tiny, name, monkeypatch):
    model, fed = tiny(name), []
    run = Onnx.run

    def counted(onnx, outputs, inputs, limit):
        fed.append(inputs["input_ids"].size)
        return run(onnx, outputs, inputs, limit)

    system = np.random.default_rng(0).integers(3, VOCABULARY, 30).tolist()
    prompts = [[*system, *prompt] for prompt in PROMPTS] + PROMPTS[1:]
    expected = [model.answers([prompt])[0] for prompt in prompts]
    monkeypatch.setattr(Onnx, "run", counted)
    loop = Loop(model.graph)
    for turn in range(3):
        del fed[:]
        pairs = [asked(prompt, settings_of(model)) for prompt in prompts]
        for ask, _ in pairs:
            loop.put([ask])
            if turn < 2:
                run_out(loop)
        run_out(loop)
        assert [answer.ids for _, [answer] in pairs] == expected
        written = sum(len(answer) - 1 for answer in expected)
        if not turn:
            assert sum(fed) == sum(map(len, prompts)) + written - (len(PROMPTS) - 2) * len(system)
    # All at once: rows of unequal length, each going on from what is known of it.
    assert sum(fed) < sum(map(len, prompts)) + written - 2 * len(system)


def test_prompts_of_a_variant_that_runs_alone_share_no_run(tiny, runs):
    model = tiny("gpt2")
    expected = model.answers()
    del runs[:]
    loop = Loop(model.graph, tokens_per_run=0)
    pairs = [asked(prompt, settings_of(model)) for prompt in PROMPTS]
    loop.put([ask for ask, _ in pairs])
    run_out(loop)
    assert [answer.ids for _, [answer] in pairs] == expected
    assert set(runs) == {1}


def test_the_likelihoods_of_tokens_are_those_of_the_model(tiny):
    """Before any rule, so that they say the same whatever was asked for."""
    model, told = tiny("gpt2"), []
    settings = settings_of(model, repetition_penalty=1.4, do_sample=True, temperature=2.0, seed=4)
    ended = []
    ask = Ask(PROMPTS[1], settings, Call(), ended.append, lambda ids, likelihoods: told.extend(likelihoods), top=3)
    loop = Loop(model.graph)
    loop.put([ask, asked(PROMPTS[3], settings)[0]])
    run_out(loop)
    [answer] = ended
    assert answer.likelihoods == told
    log_TV = torch.log_softmax(torch.from_numpy(model.graph.scores([*PROMPTS[1], *answer.ids])), -1)[
        len(PROMPTS[1]) - 1 :
    ]
    for log_V, token, likelihood in zip(log_TV, answer.ids, told, strict=False):
        assert likelihood.logprob == pytest.approx(float(log_V[token]), abs=1e-4)
        best = torch.topk(log_V, 3)
        assert [id for id, _ in likelihood.top] == best.indices.tolist()
        assert [logprob for _, logprob in likelihood.top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_who_gives_up_leaves_and_the_others_stay(tiny, runs):
    model = tiny("gpt2")
    limit, left = TimeLimit(60), Call()
    late, told = asked(PROMPTS[1], settings_of(model, max_new_tokens=500), Call(limit))
    gone, nothing = asked(PROMPTS[2], settings_of(model, max_new_tokens=500), left)
    waits, refused = asked(PROMPTS[2], settings_of(model), Call(limit))
    stays, answer = asked(PROMPTS[3], settings_of(model))
    loop = Loop(model.graph)
    loop.put([late, gone, stays])
    loop.turn()
    loop.put([waits])
    limit.end()
    left.is_left = True
    loop.turn()
    assert runs[-1] == 3
    run_out(loop)
    assert runs[-1] == 1
    assert [str(error) for error in (*told, *refused)] == ["the model did not answer within 60 s"] * 2
    assert [str(error) for error in nothing] == ["nobody waits for this answer any more"]
    assert [answer[0].ids] == model.answers([PROMPTS[3]])


def test_a_row_that_its_own_rules_leave_no_token_fails_alone(tiny):
    model = tiny("gpt2")
    bad, error = asked(PROMPTS[1], settings_of(model, no_repeat_ngram_size=1, max_new_tokens=100))
    good, answer = asked(PROMPTS[1], settings_of(model, max_new_tokens=70))
    loop = Loop(model.graph)
    loop.put([bad, good])
    run_out(loop)
    assert [str(one) for one in error] == ["no_repeat_ngram_size 1 leaves no token that could follow"]
    assert [answer[0].ids] == model.answers([PROMPTS[1]], max_new_tokens=70)


def test_a_fault_of_the_graph_ends_those_in_its_run_alone(tiny):
    model = tiny("gpt2")
    good, answer = asked(PROMPTS[1], settings_of(model))
    bad, error = asked([VOCABULARY + 5], settings_of(model))
    loop = Loop(model.graph)
    loop.put([good])
    loop.turn()
    loop.put([bad])
    run_out(loop)
    assert len(error) == 1
    assert "indices element out of data bounds" in str(error[0])
    assert [answer[0].ids] == model.answers([PROMPTS[1]])


def test_a_fault_of_the_loop_itself_leaves_nobody_waiting(tiny):
    model = tiny("gpt2")
    loop = Loop(model.graph, cache_bytes=30 * model.graph.bytes_per_token)
    pairs = [asked(prompt, settings_of(model)) for prompt in PROMPTS]
    loop.put([ask for ask, _ in pairs])
    loop.turn()
    fault = RuntimeError("a fault")
    loop.fail(fault)
    assert loop.is_idle
    assert [ended for _, ended in pairs] == [[fault]] * 4
    again, answer = asked(PROMPTS[0], settings_of(model))
    loop.put([again])
    run_out(loop)
    assert [answer[0].ids] == model.answers(PROMPTS[:1])


def test_what_does_not_fit_into_the_caches_waits_its_turn(tiny, runs):
    model = tiny("gpt2")
    expected = model.answers(PROMPTS * 2)
    del runs[:]
    loop = Loop(model.graph, cache_bytes=2 * (16 + 10) * model.graph.bytes_per_token)
    pairs = [asked(prompt, settings_of(model)) for prompt in PROMPTS * 2]
    loop.put([ask for ask, _ in pairs])
    run_out(loop)
    assert [answer.ids for _, [answer] in pairs] == expected
    assert 2 <= max(runs) <= 4


def test_callers_take_turns(tiny):
    """Whoever asks for many answers at once holds up nobody who asks for one."""
    model = tiny("gpt2")
    loop = Loop(model.graph, cache_bytes=4 * 8 * model.graph.bytes_per_token)
    ended = []
    bulk, single = Call(), Call()

    def ask(name, call):
        return Ask([7] * 4, settings_of(model, max_new_tokens=4), call, lambda _: ended.append(name))

    loop.put([ask("bulk", bulk) for _ in range(12)])
    loop.turn()
    loop.put([ask("single", single)])
    run_out(loop)
    assert ended.index("single") < 8


@pytest.fixture(scope="module")
def not_finite(tmp_path_factory):
    """The graphs of a model that answers with numbers that are not finite."""
    torch.manual_seed(0)
    model = CAUSAL["llama"]()
    with torch.no_grad():
        model.lm_head.weight[40] = torch.nan
    export_graphs(model, folder := tmp_path_factory.mktemp("not-finite"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"num_beams": 3}, {"do_sample": True}])
def test_numbers_that_are_not_finite_are_a_fault_of_the_model(not_finite, fields):
    with pytest.raises(ModelFault, match=r"^the model answered with a number that is not finite"):
        generate(CausalGraph(not_finite), PROMPTS, GenerationSettings(**fields))
