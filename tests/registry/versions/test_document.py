"""Small JSON documents: one form, read strictly, sealed."""

import pytest

from tunewright.registry.errors import CorruptObject
from tunewright.registry.versions.document import canonical, parse, seal, unseal


def test_equal_values_are_equal_bytes():
    assert canonical({"b": 1, "a": "ü"}) == canonical({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'.encode()


def test_a_sealed_document_comes_back():
    assert unseal(seal({"number": 17, "name": "reviews"}), "it") == {"number": 17, "name": "reviews"}


def test_every_flipped_bit_is_noticed():
    data = seal({"number": 17, "name": "reviews"})
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptObject):
            unseal(bytes(damaged), "it")


def test_a_changed_document_is_named():
    data = seal({"number": 17}).replace(b"17", b"16")
    with pytest.raises(CorruptObject, match="the record was changed or damaged: its content does not match"):
        unseal(data, "the record")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"a":1,"a":2}', "it is not a valid JSON document: the key 'a' stands twice"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b"[1]", "it is not a JSON object but a list"),
        (b"{", "it is not a valid JSON document"),
        (b"\xff", "it is not a valid JSON document"),
        (b'{"a":' + b"[" * 100_000, "it is not a valid JSON document"),
    ],
)
def test_what_is_not_strictly_json_is_refused(data, sentence):
    with pytest.raises(CorruptObject) as error:
        parse(data, "it")
    assert sentence in str(error.value)
