"""Files that unfold into far more than was sent, thrown at real servers."""

import base64
import json
import threading
from pathlib import Path

import bombs
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells no peak memory")
MEGABYTES = 64
SLOW = {"FLAC 599 s, 192 kHz, 8 channels", "PNG 7070 x 7070, colours", "200 x FLAC 60 s, 48 kHz"}
SMALL = {"image": base64.b64decode(bombs.GREY), "audio": bombs.silence(1, rate=16_000)}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """A server of each kind."""
    started = {kind: bombs.target_of(kind, tmp_path_factory.mktemp(kind)) for kind in SMALL}
    yield started
    for target in started.values():
        target.close()


NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in bombs.BOMBS]


@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_is_refused_before_it_unfolds(name, targets):
    kind, make = bombs.BOMBS[name]
    cost = targets[kind].ask(make())
    assert cost.status == 413
    assert json.loads(cost.answer)["error_type"] == "TooLarge"
    assert "SERVING_LIMITS__MEDIA_BYTES" in json.loads(cost.answer)["error"]
    assert cost.megabytes < MEGABYTES
    assert targets[kind].ask([SMALL[kind]]).status == 200


def test_what_is_too_large_is_said_with_its_place_and_both_sizes(targets):
    # Each file: 16,000,000 pixels of one byte, and four of each as colours.
    large, answer = bombs.png(4000, 4000, bits=8), targets["image"].ask
    assert json.loads(answer([SMALL["image"], large]).answer)["error"] == (
        "input 1: the file unfolds into 80,064,000 bytes; this server takes at most 67,108,864 from one file, a "
        "quarter of SERVING_LIMITS__MEDIA_BYTES"
    )
    many = [bombs.png(3500, 3500, bits=8)] * 5
    assert json.loads(answer(many).answer)["error"] == (
        "the first 5 files of this request unfold into 306,530,000 bytes; this server takes at most 268,435,456 in one "
        "request (SERVING_LIMITS__MEDIA_BYTES); send fewer or smaller files"
    )


def test_what_is_just_small_enough_takes_no_more_than_it_said(targets):
    cost = targets["image"].ask([bombs.png(3600, 3600, bits=8)] * 4)
    assert cost.status == 200
    # Two at a time, of 65 MB each; of each thread the allocator keeps a picture of 13 MB that was freed.
    assert cost.megabytes < 160


@pytest.mark.parametrize(
    ("kind", "name"), [("image", "WEBP 7000 x 7000, lossless"), ("audio", "FLAC 599 s, 192 kHz, 1 channel")]
)
def test_a_small_request_beside_bombs_is_answered(kind, name, targets):
    body = json.dumps({"inputs": [base64.b64encode(file).decode() for file in bombs.BOMBS[name][1]()] * 20}).encode()
    small = json.dumps({"inputs": base64.b64encode(SMALL[kind]).decode()}).encode()
    throwing = [threading.Thread(target=lambda: [targets[kind].post(body) for _ in range(5)]) for _ in range(4)]
    for one in throwing:
        one.start()
    answers = [targets[kind].post(small)[0] for _ in range(30)]
    for one in throwing:
        one.join()
    assert answers == [200] * 30


def test_a_large_photo_of_a_camera_is_answered(targets):
    assert targets["image"].ask([bombs.picture(8000, 6000, "JPEG")]).status == 200
