"""Graphs with caches, run as a server runs them, against torch on each row alone, whole and without a cache."""

import numpy as np
import pytest
import torch
from writing_models import CAUSAL, SEQ2SEQ, VOCABULARY

from tunewright.job.export.trace import by_torch
from tunewright.job.learners.causal import Decoder
from tunewright.job.learners.text_to_text import EncoderDecoder

FED = [9, *[1] * 10, 3]
"""Tokens of a prompt, ten alone and three at once, which passes a window of 8. The exporter traces 3 after 5."""
LENGTHS = [9, 5, 2]
"""Tokens of the rows' prompts."""
START = 2
QUICK = ("gpt2",)
"""An export takes ten seconds: `make test` looks at one architecture, which other tests of this process export too."""


def marked(kinds):
    return [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in sorted(kinds)]


def empty(session, rows, of=""):
    """Caches of no token."""
    wanted = [one for one in session.get_inputs() if one.name.startswith("past_key_values.") and of in one.name]
    return {one.name: np.zeros((rows, one.shape[1], 0, one.shape[3]), np.float32) for one in wanted}


def past_name(present):
    return f"past_key_values.{present.removeprefix('present.')}"


def run(session, inputs, caches):
    """Logits, and the caches after the tokens that were fed."""
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, {**inputs, **caches}), strict=True))
    grown = {past_name(name): found[name] for name in names if name != "logits"}
    return found["logits"], caches | grown


def random_ids(*shape):
    return np.random.default_rng(3).integers(3, VOCABULARY, shape)


def left_padded_logits(session, ids, mask):
    """Logits of all tokens, fed piece by piece."""
    named = {one.name for one in session.get_inputs()}
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    logits, start, caches = [], 0, empty(session, len(ids))
    for tokens in FED:
        end = start + tokens
        inputs = {
            "input_ids": ids[:, start:end],
            "attention_mask": mask[:, :end],
            "position_ids": positions[:, start:end],
        }
        found, caches = run(session, {name: values for name, values in inputs.items() if name in named}, caches)
        logits.append(found)
        start = end
    return np.concatenate(logits, axis=1)


def check_decoder(one):
    ids = random_ids(len(LENGTHS), sum(FED))
    mask = np.ones_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, : FED[0] - length] = mask[row, : FED[0] - length] = 0
    found = left_padded_logits(one.sessions[-1], ids, mask)
    for row, length in enumerate(LENGTHS):
        start = FED[0] - length
        with torch.no_grad():
            alone = one.model(torch.from_numpy(ids[row : row + 1, start:])).logits[0].numpy()
        assert np.abs(found[row, start:] - alone).max() < 1e-4


def check_both(one):
    encoder, decoder = one.sessions
    sources, ids = random_ids(len(LENGTHS), max(LENGTHS)), random_ids(len(LENGTHS), sum(FED))
    ids[:, 0] = START
    mask = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype(np.int64)
    sources *= mask
    names = [output.name for output in encoder.get_outputs()]
    cross = encoder.run(names, {"input_ids": sources, "attention_mask": mask})
    caches = dict(zip((past_name(name) for name in names), cross, strict=True)) | empty(decoder, len(ids), ".decoder")
    logits, start = [], 0
    for tokens in FED:
        inputs = {"input_ids": ids[:, start : start + tokens], "encoder_attention_mask": mask}
        found, caches = run(decoder, inputs, caches)
        logits.append(found)
        start += tokens
    found = np.concatenate(logits, axis=1)
    for row, length in enumerate(LENGTHS):
        asked = {"input_ids": sources[row : row + 1, :length], "decoder_input_ids": ids[row : row + 1]}
        with torch.no_grad():
            alone = one.model(**{name: torch.from_numpy(part) for name, part in asked.items()}).logits[0].numpy()
        assert np.abs(found[row] - alone).max() < 1e-4


@pytest.mark.parametrize("kind", marked(Decoder.architectures))
def test_a_decoder_answers_left_padded_rows_as_torch_each_alone(written, kind):
    check_decoder(written(kind))


@pytest.mark.parametrize("kind", marked(EncoderDecoder.architectures))
def test_a_decoder_of_sources_answers_padded_rows_as_torch_each_alone(written, kind):
    check_both(written(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mistral", "bart"])
def test_torch_s_own_exporter_gives_graphs_with_caches_that_answer_alike(written, kind):
    """But for T5 and its kin, whose code it cannot trace."""
    other = written(kind, by_torch)
    (check_decoder if kind in CAUSAL else check_both)(other)
    for ours, theirs in zip(written(kind).sessions, other.sessions, strict=True):
        assert [node.name for node in ours.get_inputs()] == [node.name for node in theirs.get_inputs()]
        assert [node.name for node in ours.get_outputs()] == [node.name for node in theirs.get_outputs()]


def test_every_architecture_that_is_accepted_has_a_tiny_model_here():
    assert set(CAUSAL) == set(Decoder.architectures)
    assert set(SEQ2SEQ) == set(EncoderDecoder.architectures)


@pytest.mark.parametrize(("kind", "heads"), [("gpt2", 4), pytest.param("mistral", 2, marks=pytest.mark.slow)])
def test_a_decoder_names_its_tensors_and_only_rows_and_tokens_vary(written, kind, heads):
    session = written(kind).sessions[-1]
    shapes = {one.name: one.shape for one in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["input_ids"] == shapes["position_ids"] == ["batch", "tokens"]
    assert shapes["attention_mask"] == ["batch", "all_tokens"]
    assert shapes["past_key_values.1.value"] == ["batch", heads, "past_tokens", 8]
    assert shapes["logits"] == ["batch", "tokens", VOCABULARY]
    assert shapes["present.1.value"][:2] == ["batch", heads]
    assert shapes["present.1.value"][3] == 8
