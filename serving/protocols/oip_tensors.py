"""Tensors of the Open Inference Protocol: in JSON, or in bytes behind it.

In bytes a string has four bytes with its length before it, the small end first; a number its usual bytes.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.serving.errors import InputError, Malformed, shown
from tunewright.serving.protocols.plain import object_of
from tunewright.serving.protocols.protocol import Call, Reply
from tunewright.serving.request.json_text import kind_of, read_json, to_json

HEADER = "Inference-Header-Content-Length"
"""How many bytes of a body are JSON, where tensors follow."""
_MOST_AXES = 8
"""Of a tensor; a product of any number of sizes takes long."""
_LENGTH = struct.Struct("<I")

Item = str | bytes


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of an answer: rows of strings, numbers or vectors of numbers."""

    name: str
    rows: Sequence[object]

    @property
    def is_text(self) -> bool:
        """Whether it is of strings."""
        return isinstance(self.rows[0], str)

    def described(self) -> dict[str, object]:
        """The tensor without its data."""
        return {"name": self.name, "datatype": "BYTES" if self.is_text else "FP32", "shape": list(self._array.shape)}

    def plain(self) -> list[object]:
        """The data for JSON."""
        data: list[object] = list(self.rows) if self.is_text else self._array.ravel().tolist()
        return data

    def packed(self) -> bytes:
        """The data in bytes."""
        if not self.is_text:
            return self._array.astype("<f4").tobytes()
        return b"".join(_LENGTH.pack(len(text)) + text for text in (str(row).encode() for row in self.rows))

    @property
    def _array(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.object_ | np.float32]]":
        return np.array(self.rows, dtype=object if self.is_text else np.float32)


def read_body(call: Call) -> tuple[dict[str, object], bytes]:
    """The JSON of a body, and the bytes of the tensors behind it."""
    told = call.headers.get(HEADER.lower())
    if told is None:
        size = len(call.body)
    elif told.isdecimal() and int(told) <= len(call.body):
        size = int(told)
    else:
        raise Malformed(f"{HEADER} is {shown(told)}, but the body has {len(call.body)} bytes")
    content = read_json(call.body[:size])
    if not isinstance(content, dict):
        raise Malformed(f'the body is {kind_of(content)}; send an object: {{"inputs": [...]}}')
    return content, call.body[size:]


def read_inputs(tensors: object, packed: bytes) -> Iterator[tuple[str, list[Item]]]:
    """The name and the items of each tensor. `packed`: the bytes of those that are not in the JSON, one by one."""
    if not isinstance(tensors, list) or not tensors:
        raise InputError(f"'inputs' is {shown(tensors)}; send a list of tensors")
    at = 0
    for index, tensor in enumerate(tensors):
        place = f"inputs[{index}]"
        match tensor:
            case {"name": str(name), "datatype": "BYTES", "shape": list(shape), **rest}:
                size = _binary_size(rest, place)
                if size is None:
                    items = list(_flat(rest.get("data"), place, _MOST_AXES))
                else:
                    items = _unpacked(packed[at : at + size], size, place)
                    at += size
                _check_count(items, shape, place)
                yield name, items
            case {"datatype": str(datatype)} if datatype != "BYTES":
                raise InputError(f"{place}.datatype is {shown(datatype)}; texts and files are BYTES")
            case _:
                form = '{"name": ..., "shape": [n], "datatype": "BYTES", "data": [...]}'
                raise InputError(f"{place} is {shown(tensor)}; send {form}")
    if at != len(packed):
        raise InputError(f"{len(packed) - at} bytes follow the last tensor")


def write_reply(head: Mapping[str, object], outputs: Sequence[tuple[Output, bool]]) -> Reply:
    """The reply with these tensors, those that are marked in bytes."""
    described, packed = [], b""
    for output, is_binary in outputs:
        if is_binary:
            data = output.packed()
            described.append({**output.described(), "parameters": {"binary_data_size": len(data)}})
            packed += data
        else:
            described.append({**output.described(), "data": output.plain()})
    content = to_json({**head, "outputs": described})
    if not any(is_binary for _, is_binary in outputs):
        return Reply(content)
    return Reply(content + packed, media_type="application/octet-stream", headers={HEADER: str(len(content))})


def _binary_size(rest: Mapping[object, object], place: str) -> int | None:
    """The bytes of a tensor, where it is in bytes."""
    size = object_of(rest.get("parameters"), f"{place}.parameters").get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InputError(f"{place}.parameters.binary_data_size is {shown(size)}; send a number of bytes")
    return size


def _flat(data: object, place: str, depth: int) -> Iterator[Item]:
    """The strings of nested lists, which are flat or as deep as the shape."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list) and depth:
        for one in data:
            yield from _flat(one, place, depth - 1)
    else:
        raise InputError(f"{place}.data is {shown(data)}; send a list of strings")


def _unpacked(data: bytes, size: int, place: str) -> list[Item]:
    if len(data) < size:
        raise InputError(f"{place} is said to have {size} bytes, but {len(data)} are there")
    items: list[Item] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH.size
        if end > len(data) or (stop := end + _LENGTH.unpack_from(data, at)[0]) > len(data):
            raise InputError(f"{place}: a string in it ends behind its {size} bytes")
        items.append(data[end:stop])
        at = stop
    return items


def _check_count(items: Sequence[Item], shape: Sequence[object], place: str) -> None:
    sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool) and size >= 0]
    if len(sizes) < len(shape) or len(shape) > _MOST_AXES:
        raise InputError(f"{place}.shape is {shown(shape)}; send a list of at most {_MOST_AXES} sizes")
    wanted = math.prod(sizes)
    if wanted != len(items):
        raise InputError(f"{place}.shape is {shown(shape)}, which is for {wanted} strings; there are {len(items)}")
