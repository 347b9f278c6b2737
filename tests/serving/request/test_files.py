"""Images and audio inside JSON."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.request.files import read_bytes
from tunewright.serving.tasks import TASKS


@given(
    st.binary(min_size=1), st.sampled_from(["", "data:;base64,", "data:image/png;base64,", "DATA:audio/wav;BASE64,"])
)
def test_bytes_come_back_from_base64_and_from_a_data_uri(data, head):
    assert read_bytes(head + base64.b64encode(data).decode()) == data


def test_line_breaks_are_no_part_of_the_content():
    assert read_bytes(base64.encodebytes(bytes(100)).decode()) == bytes(100)


@given(st.text())
def test_any_text_is_bytes_or_an_error_of_the_request(text):
    # Any other exception fails the test.
    with contextlib.suppress(InputError):
        assert read_bytes(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the content is empty; send the bytes of a file in base64"),
        ("data:image/png;base64,", "the content is empty; send the bytes of a file in base64"),
        ("YWJj?", "'YWJj?' is not base64; send the bytes of the file in base64, or a data: URI"),
        ("YWJ", "'YWJ' is not base64; send the bytes of the file in base64, or a data: URI"),
        ("YWJé", "'YWJé' is not base64; send the bytes of the file in base64, or a data: URI"),
        (
            "data:text/plain,hello",
            "'data:text/plain,hello' is a data: URI without base64; send data:<type>;base64,<content>",
        ),
        (
            "https://example.com/cat.png",
            "'https://example.com/cat.png' is an address, and this program fetches nothing; send the content in base64",
        ),
    ],
)
def test_what_is_no_content_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(InputError) as caught:
        read_bytes(text)
    assert str(caught.value) == sentence


def test_content_over_the_limit_is_refused_before_it_is_decoded():
    assert read_bytes(base64.b64encode(bytes(9)).decode(), max_bytes=9) == bytes(9)
    with pytest.raises(InputError) as caught:
        read_bytes(base64.b64encode(bytes(1_000_000)).decode(), max_bytes=999_000)
    assert str(caught.value) == "the content has more than 999,000 bytes once decoded; send a smaller file"


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_reads_files_takes_bodies_that_hold_some(name, make_bundle):
    described = read_model_file(make_bundle()).model_copy(update={"task": name})
    reads_files = name.startswith(("image-", "audio-"))
    with contextlib.suppress(BundleError):  # of tasks that say more in model.json
        assert TASKS[name].shapes(described).body_bytes == (32 << 20 if reads_files else 1 << 20)
