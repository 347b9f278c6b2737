"""Images and audio: their bytes as text inside JSON, or as they are."""

import pybase64

from tunewright.serving.errors import InputError, shown
from tunewright.serving.request.several import read_several

MAX_BYTES = 64 << 20
"""Bytes of one image or recording, where the caller sets no other limit."""
BODY_BYTES = 32 << 20
"""Bytes of a request with files in it, where the settings set no other limit."""


def read_files(inputs: object, name: str) -> tuple[list[bytes], bool]:
    """The bytes of the files of a request, each bytes, base64 or `{name: base64}`; whether they came as a list."""
    return read_several(inputs, lambda item, place: read_file(item, name, place), "file in base64")


def read_file(item: object, name: str, place: str) -> bytes:
    """The bytes of one file."""
    content = item.get(name) if isinstance(item, dict) and set(item) == {name} else item
    if isinstance(content, bytes):
        if not content:
            raise InputError(f"{place} is empty; send the bytes of a file")
        return content
    if not isinstance(content, str):
        raise InputError(f'{place} is {shown(item)}; send a file in base64, or {{"{name}": base64}}')
    try:
        return read_bytes(content)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def read_bytes(text: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a `data:` URI in base64, or of plain base64 (line breaks allowed); InputError for anything else."""
    content = _payload(text)
    try:
        decoded = _decoded(content)
    except ValueError as error:
        raise InputError(_not_base64(text)) from error
    if len(decoded) > max_bytes:
        raise InputError(f"the content has more than {max_bytes:,} bytes once decoded; send a smaller file")
    if not decoded:
        raise InputError("the content is empty; send the bytes of a file in base64")
    return decoded


def _decoded(content: str) -> bytes:
    try:
        return pybase64.b64decode(content, validate=True)
    except ValueError:
        # Line breaks are rare, and looking for them takes longer than decoding.
        return pybase64.b64decode("".join(content.split()), validate=True)


def _payload(text: str) -> str:
    if text[:5].lower() != "data:":
        return text
    head, comma, payload = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InputError(f"{shown(text)} is a data: URI without base64; send data:<type>;base64,<content>")
    return payload


def _not_base64(text: str) -> str:
    if "://" in text[:20]:
        return f"{shown(text)} is an address, and this program fetches nothing; send the content in base64"
    return f"{shown(text)} is not base64; send the bytes of the file in base64, or a data: URI"
