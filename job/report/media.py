"""Images and recordings of single rows, made small enough that a page can hold them."""

import base64
import io

from tunewright.job.report.html import Html, picture, player
from tunewright.serving.errors import InputError, TooLarge

_THUMBNAIL = 96
"""Pixels of a thumbnail, at most, in either direction."""
SECONDS = 10
"""Of a recording that can be heard."""
_RATE = 16_000
"""Hz at which it is heard: speech is whole, and the lowest rate that every browser plays well."""


def image(data: bytes) -> Html | None:
    """A small JPEG; None for what cannot be read."""
    from tunewright.serving.media import image_file

    try:
        read = image_file.decode(data)
    except (InputError, TooLarge):
        return None
    read.thumbnail((_THUMBNAIL, _THUMBNAIL))
    made = io.BytesIO()
    read.convert("RGB").save(made, "JPEG", quality=70)
    return picture(_address(made, "image/jpeg"), "the image of this row")


def recording(data: bytes) -> Html | None:
    """The first seconds as a small MP3, to be played; None for what cannot be read."""
    import soundfile  # type: ignore[import-untyped]

    from tunewright.serving.media import audio_file

    try:
        samples, rate = audio_file.decode(data, heard_seconds=SECONDS)
    except (InputError, TooLarge):
        return None
    heard = audio_file.resample(samples[: SECONDS * rate], rate, _RATE).clip(-1, 1)
    made = io.BytesIO()
    soundfile.write(made, heard, _RATE, format="MP3")
    return player(_address(made, "audio/mpeg"), "the recording of this row")


def _address(made: io.BytesIO, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(made.getvalue()).decode()}"
