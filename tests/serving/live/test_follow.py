"""Following a reference: a version that has proven to work takes over, and nothing else does."""

import gc
import json
import threading
import time
import weakref
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from processes import wait_until

from tunewright.registry.versions.alias import move, rollback
from tunewright.registry.versions.canary import begin, end
from tunewright.registry.versions.layout import blob_key, trial_key
from tunewright.serving.errors import BundleError, NotLoaded
from tunewright.serving.live.follow import Pace
from tunewright.serving.live.model import Visit
from tunewright.serving.watch.meters import SWAPS


def events(capsys):
    """What was told since this was last asked."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


def swaps(house):
    page = house.models.meters.page().decode()
    lines = [line for line in page.splitlines() if line.startswith("tunewright_swaps_total{")]
    found = {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}
    assert set(found) == set(SWAPS)
    return {outcome: count for outcome, count in found.items() if count}


def test_the_version_that_an_alias_moves_to_answers(house, second):
    assert (house.version(), house.step()) == ("reviews:1", "positive")
    house.publish(second)
    assert (house.step(), house.version()) == ("good", "reviews:2")
    rollback(house.store, "reviews", "production")
    assert (house.step(), house.version()) == ("positive", "reviews:1")
    said = house.status()
    assert (said["state"], said["version"], said["followed"]) == ("ready", 1, True)
    assert (said["last_swap"]["from"], said["last_swap"]["to"]) == ("reviews:2", "reviews:1")
    assert swaps(house) == {"swapped": 2}


def test_a_version_that_is_replaced_is_gone_at_once_and_nobody_had_to_look_for_it(house, second):
    house.publish(second)
    with house.served() as client:
        assert client.post("/predict", json={"inputs": "great"}).status_code == 200
    gone, looks = weakref.ref(house.models.default), []
    gc.callbacks.append(lambda _, about: looks.append(about["generation"]))
    gc.disable()  # it looks when it is told to
    try:
        house.step()
    finally:
        gc.enable()
        gc.callbacks.pop()
    assert gone() is None
    assert 2 not in looks, "a look through all objects stops every thread"


def test_a_move_away_and_back_between_two_looks_loads_nothing(house, second):
    service = house.models.default
    house.publish(second)
    rollback(house.store, "reviews", "production")
    assert house.step() == "positive"
    assert house.models.default is service
    assert house.status()["last_failure"] is None


def broken(case, second, tmp_path):
    """A version that cannot serve, as files to publish."""
    files = {str(path.relative_to(second)): path for path in second.rglob("*") if path.is_file()}
    if case == "graph":
        (tmp_path / "graph").write_bytes(b"this is no graph")
        return files | {"onnx/fp32/model.onnx": tmp_path / "graph"}
    model = json.loads((second / "model.json").read_text())
    if case == "golden":
        model["golden"] = [{"inputs": "great", "outputs": {"fp32": [100.0, 0.0]}}]
    elif case == "task":
        model["task"] = "divination"
    (tmp_path / "model.json").write_text(json.dumps(model))
    return files | {"model.json": tmp_path / "model.json"}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("graph", "ONNX Runtime refuses "),
        ("golden", "golden case 0 of variant fp32 differs by "),
        ("task", "this version's task is 'divination'; this program answers: "),
    ],
)
def test_a_version_that_cannot_serve_changes_nothing(house, second, tmp_path, capsys, case, reason):
    house.publish(broken(case, second, tmp_path))
    capsys.readouterr()
    assert house.step() == "positive"
    failure = house.status()["last_failure"]
    assert failure["reason"].startswith(reason)
    assert (failure["version"], failure["tries"], house.status()["state"]) == ("reviews:2", 1, "ready")
    moved, event = events(capsys)
    assert (moved["event"], moved["version"]) == ("moved", "reviews:2")
    assert (event["event"], event["level"], event["version"], event["kept"]) == (
        "swap_failed",
        "error",
        "reviews:2",
        "reviews:1",
    )
    assert event["message"].startswith(
        f"reviews@production cannot be taken to reviews:2; reviews:1 answers on: {reason}"
    )
    assert swaps(house) == {"refused": 1}


@pytest.mark.parametrize("spoil", ["missing", "flipped"])
def test_a_version_with_a_damaged_file_changes_nothing(house, second, tmp_path, spoil):
    version = house.publish(second, alias=None)
    manifest = json.loads(house.store.read(blob_key(version.digest)))
    digest = next(
        layer["digest"]
        for layer in manifest["layers"]
        if layer["annotations"]["org.cncf.model.filepath"] == "model.json"
    )
    blob = tmp_path / "registry" / blob_key(digest)
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.unlink() if spoil == "missing" else blob.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    move(house.store, "reviews", "production", 2)
    assert house.step() == "positive"
    assert (house.status()["version"], swaps(house)) == (1, {"damaged": 1})
    blob.write_bytes(whole)
    time.sleep(0.25)
    assert (house.step(), house.status()["last_failure"]) == ("good", None)


def test_a_version_that_failed_is_tried_again_after_a_while_that_doubles(house, second, tmp_path, capsys):
    house.publish(broken("golden", second, tmp_path))
    capsys.readouterr()
    for _ in range(5):
        house.step()
    assert house.status()["last_failure"]["tries"] == 1
    time.sleep(0.25)
    for _ in range(5):
        house.step()
    assert house.status()["last_failure"]["tries"] == 2
    assert [one["event"] for one in events(capsys)] == ["moved", "swap_failed"], "the same reason is told once"
    house.publish(second)
    assert house.step() == "good", "another version is taken at once"


def test_what_a_request_holds_is_closed_once_it_is_done(house, second):
    begun, done = threading.Event(), threading.Event()

    def request():
        with house.models.visited(Visit()) as seen:
            service = seen.find()
            begun.set()
            assert done.wait(30)
            return service.predictor.predict(["great"])[0][0]["label"], seen.find().predictor.predict(["great"])

    answered = Future()
    thread = threading.Thread(target=lambda: answered.set_result(request()))
    thread.start()
    assert begun.wait(30)
    house.publish(second)
    swapping = threading.Thread(target=house.step)
    swapping.start()
    wait_until(lambda: house.label() == "good")
    time.sleep(0.1)
    assert swapping.is_alive(), "the old version waits for its last request"
    done.set()
    old, new = answered.result(30)
    assert (old, new[0][0]["label"]) == ("positive", "good")
    thread.join()
    swapping.join()


def test_the_latest_version_is_followed_and_a_pinned_one_is_not(make_house, reviews, second):
    made = make_house("latest pinned:1")
    for name in ("latest", "pinned"):
        made.publish(reviews, name)
    made.follower.bring_all()
    for name in ("latest", "pinned"):
        made.publish(second, name)
    made.step()
    assert (made.version("latest"), made.version("pinned")) == ("latest:2", "pinned:1")
    assert [model["followed"] for model in made.models.status()] == [True, False]


def test_the_thread_polls_by_itself_and_takes_one_move_after_the_other(house, second, reviews):
    house.follower._pace.poll_seconds = 0.05
    house.follower.start()
    for bundle, label in ((second, "good"), (reviews, "positive"), (second, "good")):
        house.publish(bundle)
        wait_until(lambda label=label: house.label() == label)
    wait_until(lambda: swaps(house) == {"swapped": 3})  # counted after it answers
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "close"])


def test_polling_can_be_off(house, second):
    house.follower._pace.poll_seconds = 0
    house.follower.start()
    house.publish(second)
    time.sleep(0.3)
    assert house.label() == "positive"


@pytest.mark.slow
def test_models_that_are_longest_not_asked_go_out_of_memory_and_come_back_when_asked(make_house, reviews):
    names = ("one", "two", "three")
    made = make_house(" ".join(names))
    for name in names:
        made.publish(reviews, name)
    made.follower.bring_all()
    most = max(model["memory_bytes"] for model in made.models.status())

    made = make_house(" ".join(names), memory_bytes=2 * most + 1)
    made.follower.bring_all()
    states = {model["name"]: model["state"] for model in made.models.status()}
    assert states == {"one": "unloaded", "two": "ready", "three": "ready"}
    with pytest.raises(NotLoaded, match=r"^one is not loaded; try again in some seconds$"):
        made.label("one")
    made.label("two")
    made.follower.start()
    loading = [made.follower.want(made.models.model("one")) for _ in range(3)]
    assert len({id(one) for one in loading}) == 1, "one load for all who wait"
    loading[0].result(30)
    states = {model["name"]: model["state"] for model in made.models.status()}
    assert states == {"one": "ready", "two": "ready", "three": "unloaded"}
    assert made.label("one") == "positive"


def test_a_store_that_goes_away_is_told_once_and_what_is_loaded_answers_on(
    make_house, s3_uri, faults, reviews, second, capsys, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    made = make_house(uri=s3_uri)
    made.publish(reviews)
    made.follower.bring_all()
    faults.requests.clear()
    assert made.step() == "positive"
    assert [method for method, _ in faults.requests] == ["HEAD", "HEAD"]  # a move, and a canary
    capsys.readouterr()
    upstream, faults.upstream = faults.upstream, urlsplit("http://127.0.0.1:9")
    for _ in range(2):
        assert made.step() == "positive"
    assert made.follower._pace.misses == 2
    [event] = events(capsys)
    assert (event["event"], event["level"]) == ("store_unreachable", "warning")
    faults.upstream = upstream
    made.publish(second)
    assert (made.step(), made.follower._pace.misses) == ("good", 0)
    assert [one["event"] for one in events(capsys)] == ["moved", "swapped", "store_back"]


def test_questions_are_spread_and_rarer_while_the_store_is_away():
    pace = Pace(10.0)
    assert all(8 <= pace.pause() <= 12 for _ in range(100))
    pace.misses = 2
    assert all(32 <= pace.pause() <= 48 for _ in range(100))
    pace.misses = 20
    assert all(48 <= pace.pause() <= 72 for _ in range(100))
    assert Pace(0.0).pause() is None


def test_a_canary_of_the_registry_answers_its_share_until_it_ends_or_takes_over(house, second, capsys):
    house.publish(second, alias=None)
    house.step()
    assert house.status()["canary"] is None
    begin(house.store, "reviews", "production", 2, 100)
    assert (house.step(), house.version()) == ("positive", "reviews:1")
    assert (house.status()["canary"]["version"], house.status()["canary"]["percent"]) == (2, 100)
    with house.served() as client:
        reply = client.post("/predict", json={"inputs": "great"})
        assert (reply.headers["X-Tunewright-Model"], reply.json()[0]["label"]) == ("reviews:2/fp32", "good")
    end(house.store, "reviews", "production")
    house.step()
    assert house.status()["canary"] is None
    begin(house.store, "reviews", "production", 2, 10)
    house.step()
    before = house.models.model("reviews").canary.slot.service
    begin(house.store, "reviews", "production", 2, 20)
    house.step()
    assert house.models.model("reviews").canary.slot.service is before
    trial = house.models.model("reviews").canary.slot.service
    house.promote(2)
    assert (house.step(), house.status()["canary"]) == ("good", None)
    assert house.models.default is trial  # which is not loaded again
    told = [event["event"] for event in events(capsys) if event["event"].startswith("canary")]
    assert told == ["canary_began", "canary_ended", "canary_began", "canary_began", "canary_ended"]


def test_a_canary_that_cannot_be_read_keeps_no_server_from_answering(house, capsys):
    path = Path(house.store.uri) / trial_key("reviews", "production", 1)
    path.parent.mkdir(parents=True)
    path.write_text("rubbish")
    assert [(house.step(), house.status()["canary"]) for _ in range(2)] == [("positive", None)] * 2
    (told,) = [event for event in events(capsys) if event["event"] == "canary_unreadable"]
    assert told["message"].startswith("nothing is tried beside reviews@production: ")
    assert told["level"] == "warning"


def test_a_canary_that_cannot_be_loaded_answers_nothing_and_is_told_once(house, second, tmp_path, capsys):
    version = house.publish(second, alias=None)
    blob = tmp_path / "registry" / blob_key(version.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"{}")
    begin(house.store, "reviews", "production", 2, 100)
    for _ in range(2):
        house.step()
    assert house.status()["canary"] is None
    assert [event["event"] for event in events(capsys)].count("swap_failed") == 1


def test_whole_numbers_are_not_computed_on_a_gpu(make_house, reviews):
    house = make_house(variant="int8", provider="cuda")
    version = house.publish(reviews)
    with pytest.raises(BundleError) as caught:
        house.follower.bring_all()
    assert str(caught.value) == (
        f"the variant int8 of {version} is made for processors, and SERVING_PROVIDER is cuda; set "
        "SERVING_VARIANT=fp32, or leave SERVING_PROVIDER out"
    )
