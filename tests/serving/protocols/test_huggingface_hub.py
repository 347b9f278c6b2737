"""`huggingface_hub.InferenceClient` at the address of a server: each of its calls for our tasks."""

import base64
import warnings

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import UnknownError

from tunewright.serving.tasks.audio_classification import silence
from tunewright.serving.tasks.image_classification import EXAMPLE

FILES = [("image", "a.png", base64.b64decode(EXAMPLE)), ("audio", "a.wav", base64.b64decode(silence()))]
WHOLE = "abcdefghijkl"


@pytest.fixture
def ask(served):
    """ask("reviews"): a client of a server of that kind of model."""
    return lambda kind: InferenceClient(model=served(kind).url, provider="hf-inference", timeout=30)


def test_text_classification_keeps_every_label(ask):
    found = ask("reviews").text_classification("This product is amazing!")
    assert [one.label for one in found] == ["positive", "negative"]
    [best] = ask("reviews").text_classification("I hate it", top_k=1, function_to_apply="sigmoid")
    assert best.label == "negative"


def test_token_classification(ask):
    text = "Marie Curie was born in Warsaw ."
    found = ask("tags").token_classification(text, aggregation_strategy="simple", ignore_labels=["O"], stride=2)
    assert [(one.entity_group, one.word) for one in found] == [("PER", "Marie Curie"), ("LOC", "Warsaw")]
    assert len(ask("tags").token_classification(text, aggregation_strategy="none")) == 3


def test_question_answering(ask):
    asked = {"question": "born ?", "context": "Marie Curie was born in Warsaw ."}
    assert ask("spans").question_answering(**asked).answer == "Warsaw"
    more = {"align_to_words": True, "doc_stride": 4, "handle_impossible_answer": False, "max_answer_len": 5}
    found = ask("spans").question_answering(**asked, **more, max_question_len=8, max_seq_len=24, top_k=2)
    assert (len(found), found[0].answer) == (2, "Warsaw")


def test_fill_mask(ask):
    found = ask("masks").fill_mask("Marie was born in [MASK] .")
    assert (len(found), found[1].token_str, found[1].sequence) == (5, "Warsaw", "Marie was born in Warsaw .")
    [only] = ask("masks").fill_mask("Marie [MASK]", targets=["Curie"], top_k=1)
    assert only.token_str == "Curie"


def test_feature_extraction_gives_a_row_a_text(ask):
    one = ask("vectors").feature_extraction("This product is amazing!", normalize=True, truncate=True)
    assert one.shape == (1, 3)
    assert np.linalg.norm(one) == pytest.approx(1)
    more = {"dimensions": 2, "truncation_direction": "right", "encoding_format": "float"}
    assert ask("vectors").feature_extraction(["great", "sad"], **more).shape == (2, 2)


@pytest.mark.parametrize("kind", ["vectors", "similarity"])
def test_sentence_similarity(ask, kind):
    found = ask(kind).sentence_similarity("I love it", other_sentences=["great", "I love it", "terrible"])
    assert [type(one) for one in found] == [float] * 3
    if kind == "vectors":
        assert found[1] == pytest.approx(1)
        assert found[0] > found[2]


def test_text_generation(ask):
    client = ask("chat")
    assert client.text_generation("abc") == WHOLE
    assert client.text_generation("abc", return_full_text=False, max_new_tokens=2) == "de"
    assert client.text_generation("abc", stop=["fg"], return_full_text=False) == "defg"
    asked = {"do_sample": True, "seed": 3, "temperature": 0.001, "top_k": 2, "top_p": 0.9, "repetition_penalty": 1.0}
    assert client.text_generation("abc", **asked) == WHOLE
    assert client.text_generation("abc", temperature=0.001) == WHOLE
    neutral = {"best_of": 1, "decoder_input_details": False, "watermark": False, "typical_p": 1.0, "stream": False}
    assert client.text_generation("abc", **neutral, frequency_penalty=0.0, do_sample=False) == WHOLE


def test_text_generation_with_details(ask):
    found = ask("chat").text_generation("abc", details=True, return_full_text=False, stop=["ef"])
    assert (found.generated_text, found.details.finish_reason) == ("def", "stop_sequence")
    assert (found.details.generated_tokens, found.details.input_length) == (3, 3)
    assert [(one.id, one.text) for one in found.details.tokens] == [(6, "d"), (7, "e"), (8, "f")]
    assert ask("chat").text_generation("abc", details=True).details.finish_reason == "eos_token"
    grammar = {"type": "regex", "value": "d(e|x)f"}
    assert ask("chat").text_generation("abc", grammar=grammar, truncate=2, return_full_text=False) == "def"


def test_text_generation_as_a_stream(ask):
    client = ask("chat")  # which closes its streams when nothing holds it any more
    assert "".join(client.text_generation("abc", stream=True)) == "defghijkl"
    *tokens, last = client.text_generation("abc", stream=True, details=True, max_new_tokens=4, top_n_tokens=2)
    assert [one.token.text for one in tokens] == ["d", "e", "f", "g"]
    assert [one.token.id for one in tokens] == [6, 7, 8, 9]
    assert [one.top_tokens[0].text for one in tokens] == ["d", "e", "f", "g"]
    assert [one.index for one in (*tokens, last)] == [1, 2, 3, 4, 5]
    assert [one.generated_text for one in tokens] == [None] * 4
    assert (last.generated_text, last.details.finish_reason) == ("defg", "length")
    assert last.details.generated_tokens == 4
    *tokens, last = client.text_generation("abc", stream=True, details=True)
    assert (len(tokens), last.token.id, last.token.special, last.index) == (9, 1, True, 10)
    assert (last.generated_text, last.details.finish_reason) == ("defghijkl", "eos_token")
    assert last.details.generated_tokens == 10


@pytest.mark.parametrize("address", ["", "/", "/v1", "/v1/chat/completions"])
def test_chat_completion(served, address):
    client = InferenceClient(base_url=served("chat").url + address, timeout=30)
    messages = [{"role": "user", "content": "abc"}]
    found = client.chat_completion(messages, max_tokens=3, logprobs=True, top_logprobs=1)
    assert (found.choices[0].message.content, found.usage.completion_tokens) == ("def", 3)
    chunks = client.chat_completion(messages, stream=True, stream_options={"include_usage": True})
    told = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in told) == "defghijkl"


def test_what_a_server_of_the_hub_has_and_this_one_has_not_is_refused_by_name(ask):
    with pytest.raises(UnknownError) as caught:
        ask("chat").text_generation("abc", best_of=3)
    assert str(caught.value) == "'best_of' is 3; this server has no such thing: send null or 1"


def test_translation_and_summarization(ask):
    assert ask("translation").translation("ab").translation_text == WHOLE
    assert ask("summarization").summarization("ab", clean_up_tokenization_spaces=True).summary_text == WHOLE
    more = {"generate_parameters": {"max_new_tokens": 3}, "truncation": "longest_first"}
    assert ask("translation").translation("ab", **more).translation_text == "abc"


@pytest.mark.parametrize(("kind", "name", "content"), FILES, ids=["image", "audio"])
def test_files_as_bytes_and_from_a_path_with_and_without_parameters(ask, tmp_path, kind, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    call = getattr(ask(kind), f"{kind}_classification")
    for file in (content, path, str(path)):
        assert {one.label for one in call(file)} == {"no", "yes"}
        assert len(call(file, top_k=1)) == 1


def test_a_server_says_what_it_is_and_that_it_is_well(ask):
    assert ask("reviews").health_check() is True
    found = ask("reviews").get_endpoint_info()
    assert (found["model_id"], found["max_input_length"]) == ("reviews", 32)
    assert found["model_type"]["classifier"]["id2label"] == {"0": "negative", "1": "positive"}
    assert ask("vectors").get_endpoint_info()["model_type"] == {"embedding": {"pooling": "mean"}}
    assert set(ask("similarity").get_endpoint_info()["model_type"]) == {"reranker"}


@pytest.fixture(autouse=True)
def _calm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
