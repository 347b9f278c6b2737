"""The page at `/`, over HTTP and in a real browser."""

import gzip
import io
import json
import re
import threading
import tomllib
import wave
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import uvicorn
from PIL import Image
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount

from tunewright.registry.versions.record import Version
from tunewright.serving.http.app import create_app
from tunewright.serving.http.server import listen, web_config
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.live.shadow import Comparison, Shadow
from tunewright.serving.live.slot import Slot
from tunewright.serving.predictor import open_predictor
from tunewright.serving.settings import Limits, ServingSettings
from tunewright.serving.watch.meters import Meters

ROOT = Path(__file__).parents[3]
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = ("", "page/page.css", "page/page.js")
IN_A_BROWSER = pytest.mark.slow


@pytest.fixture(scope="module")
def client(served):
    return served("reviews").client


def get(client, path, **headers):
    return client.get("/" + path, headers={**HTML, **headers})


@pytest.mark.parametrize("path", FILES)
def test_files_are_packed_and_known_by_their_tag(client, path):
    reply = get(client, path)
    assert (reply.status_code, reply.headers["Content-Encoding"]) == (200, "gzip")
    plain = get(client, path, **{"Accept-Encoding": "identity"})
    assert plain.content == reply.content
    assert "Content-Encoding" not in plain.headers
    again = get(client, path, **{"If-None-Match": reply.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_small(client):
    assert sum(len(gzip.compress(get(client, path).content)) for path in FILES) < 20_000


def test_a_wheel_holds_the_files_of_the_page():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["tunewright.serving"]
    held = {path for pattern in patterns for path in (ROOT / "serving").glob(pattern)}
    assert held == {path for path in (ROOT / "serving/page").iterdir() if path.suffix in (".html", ".css", ".js")}


def test_the_page_may_run_nothing_but_its_own_files(client):
    policy = get(client, "").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    text = get(client, "").text
    assert not re.search(r"https?://|\son\w+=|style=|<script>", text), "an address elsewhere, or code in the page"
    for path in FILES[1:]:
        assert "http" not in get(client, path).text.replace("https a page", "")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", get(client, FILES[2]).text)


def test_addresses_are_relative_so_that_a_prefix_may_stand_before_them(client):
    assert not re.search(r"(href|src)=\"/", get(client, "").text)
    assert not re.search(r"(ask|fetch)\([\"'`]/", get(client, FILES[2]).text)


def test_the_facts_are_those_of_the_version(client, reviews):
    told = client.get("/page/facts").json()
    model = json.loads((reviews / "model.json").read_text())
    (one,) = told["models"]
    assert (one["name"], one["version"], one["variant"]) == ("reviews", 3, "fp32")
    assert one["labels"] == model["labels"]
    assert one["left_out"] == model["left_out"]
    assert one["purpose"] == "Labels texts: negative, positive."
    assert one["explainable"]
    assert not one["writes"]
    assert set(one["parameters"]) == {"top_k", "function_to_apply", "min_score"}
    assert told["limits"]["inputs"] == 256


def test_the_facts_of_what_writes_tell_its_own_defaults(served):
    (one,) = served("chat").client.get("/page/facts").json()["models"]
    assert one["parameters"]["max_new_tokens"]["default"] == 20
    assert (one["context"], one["chat"], one["purpose"]) == (64, True, "Answers in a conversation.")


# ------------------------------------------------------------------------------------------------ in a browser


def try_it(browser, served, kind, **typed):
    """The page of a model of that kind, with what a person types, and its answer."""
    browser.open(served(kind).url + "/")
    for name, text in typed.items():
        browser.fill(f"in-{name}", text)
    browser.send()
    require_quiet(browser, served(kind).url)
    return browser.text("#answers")


def require_quiet(browser, url):
    """No complaint of the browser, nobody else asked."""
    assert [one for one in browser.said if one[0] != "asked"] == []
    assert {
        one for kind, one in browser.said if kind == "asked" and not one.startswith((url, "blob:", "data:"))
    } == set()


def explain(browser):
    browser.run("document.querySelector('.why button').click()")
    browser.until("document.querySelector('.why') && !document.querySelector('.why > button')")
    return browser.text(".why")


@IN_A_BROWSER
def test_a_text_is_labelled_and_explained(browser, served):
    answer = try_it(browser, served, "reviews", text="A great lamp <b>&amp; it</b> arrived broken 😀 twice.")
    assert [line for line in answer.split("\n") if line in ("negative", "positive")]
    assert "What" in explain(browser)
    parts = browser.run("[...document.querySelectorAll('.part')].map((part) => part.textContent)")
    assert {"great", "broken", "😀", "twice", "<", "b"} <= {part.strip() for part in parts} | set("".join(parts))
    assert browser.run("document.querySelector('.passage').textContent") == (
        "A great lamp <b>&amp; it</b> arrived broken 😀 twice."
    )
    require_quiet(browser, served("reviews").url)
    browser.shot("text-classification")


@IN_A_BROWSER
def test_the_training_rows_most_like_a_text_are_shown(browser, served):
    try_it(browser, served, "remembered", text="A great lamp, but it arrived broken.")
    browser.run("document.querySelectorAll('.why button')[1].click()")
    browser.until("document.querySelector('[aria-label=\"Nearest training rows\"] tbody tr')")
    rows = browser.run("[...document.querySelectorAll('.why tbody tr')].map((row) => row.innerText.split('\\t'))")
    assert [len(row) for row in rows] == [4] * 5
    assert rows[0][0] == "negative"
    assert document_focus(browser) == "why"
    require_quiet(browser, served("remembered").url)
    browser.shot("text-classification-nearest")


def document_focus(browser):
    return browser.run("document.activeElement.className")


@IN_A_BROWSER
def test_a_label_of_several_says_when_it_is_reached(browser, served):
    assert "the score reaches the label's own threshold" in try_it(browser, served, "emotions", text="I love it!")
    browser.shot("text-classification-multi-label")


@IN_A_BROWSER
def test_a_pair_has_two_fields(browser, served):
    answer = try_it(browser, served, "entailment", text="A man plays.", text_pair="Somebody makes music.")
    assert "entailment" in answer
    explain(browser)
    browser.shot("text-classification-pair")
    answer = try_it(browser, served, "similarity", text="A great guitar.", text_pair="A great manual.")
    assert "score" in answer
    assert "SECOND TEXT" in explain(browser).upper()
    browser.shot("text-regression")


@IN_A_BROWSER
def test_vectors_are_compared(browser, served):
    answer = try_it(browser, served, "vectors", text="I love it", others="This is great\nThe manual is late")
    assert "Cosine similarity to the first text." in answer
    browser.shot("feature-extraction")


@IN_A_BROWSER
def test_entities_are_marked_in_their_text(browser, served):
    try_it(browser, served, "tags", text="😀 Marie Curie was born in Warsaw .")
    marks = browser.run("[...document.querySelectorAll('.passage mark')].map((one) => one.firstChild.textContent)")
    assert marks == ["Marie Curie", "Warsaw"]
    assert "Why is this an entity?" in explain(browser)
    heaviest = "document.querySelector('.part[style]').parentElement"
    assert browser.run(f"!!{heaviest}")
    browser.shot("token-classification")


@IN_A_BROWSER
def test_an_answer_is_marked_in_its_context(browser, served):
    context = "Marie Curie was born in Warsaw ."
    answer = try_it(browser, served, "spans", question="born in ?", context=context)
    assert answer.split("\n\n")[1] == "Warsaw"
    assert browser.text(".passage mark") == "Warsaw"
    assert "Context" in explain(browser)
    browser.shot("question-answering")


@IN_A_BROWSER
def test_masks_are_filled(browser, served):
    answer = try_it(browser, served, "masks", text="Marie was born in [MASK] .")
    assert "Warsaw" in answer
    browser.shot("masked-language-modelling")


@IN_A_BROWSER
@pytest.mark.parametrize("task", ["translation", "summarization"])
def test_a_text_is_written_piece_by_piece(browser, served, task):
    assert "abcdefghijkl" in try_it(browser, served, task, text="abc")
    browser.shot(task)


@IN_A_BROWSER
def test_a_conversation_goes_on(browser, served):
    browser.open(served("chat").url + "/")
    browser.fill("in-message", "ab")
    browser.press("Enter")
    browser.until("document.querySelectorAll('#log li').length == 2 && !document.querySelector('.writing')")
    assert browser.text("#log .assistant span:last-child").strip() == "cdefghijkl"
    browser.fill("in-message", "ef")
    browser.send()
    assert browser.run("document.querySelectorAll('#log li').length") == 4
    require_quiet(browser, served("chat").url)
    browser.shot("text-generation-chat")


def picture(path):
    image = Image.new("RGB", (320, 200), (40, 90, 160))
    image.paste((230, 180, 40), (180, 60, 290, 170))
    image.save(path)
    return path


def sound(path):
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64_000))
    path.write_bytes(content.getvalue())
    return path


@IN_A_BROWSER
@pytest.mark.parametrize("kind", ["image", "audio"])
def test_a_file_is_chosen_shown_answered_and_explained(browser, served, kind, tmp_path):
    url = served(kind).url
    browser.open(url + "/")
    browser.send()
    assert browser.text("#fault") == f"choose {'an image' if kind == 'image' else 'a recording'} first"
    browser.choose_file(f"in-{kind}", picture(tmp_path / "it's.png") if kind == "image" else sound(tmp_path / "a.wav"))
    browser.until("document.querySelector('#preview > *')")
    browser.until("document.querySelector('#snippet').textContent.includes('base64 -w0')")
    browser.send()
    assert "yes" in browser.text("#answers")
    # The little model answers every file alike.
    assert "Nothing in this input decides it" in explain(browser)
    require_quiet(browser, url)
    browser.shot(f"{kind}-classification")


@IN_A_BROWSER
def test_no_text_becomes_part_of_the_page(browser, make_bundle, recipe, serve_bundle):
    evil = "<img src=x onerror=document.title='broken'>"
    with serve_bundle(make_bundle(recipe(labels=(evil, "positive")))) as (client, _):
        browser.open(str(client.base_url) + "/")
        browser.fill("in-text", f"great {evil} <script>document.title='broken'</script>")
        browser.send()
        explain(browser)
        assert browser.run("document.querySelectorAll('main img, main script').length") == 0
        assert evil in browser.text("#answers")
        assert browser.run("document.title") == "reviews:3: Tunewright"
        require_quiet(browser, str(client.base_url))


@IN_A_BROWSER
def test_the_page_waits_for_a_model(browser, reviews):
    meters, limits = Meters(), Limits()
    models = Models(limits=limits, meters=meters)
    with running(create_app(models), models) as url:
        browser.open(url + "/")
        assert browser.text("h1") == "Not ready yet"
        assert browser.text("#fault")
        version = Version("reviews", 3, "sha256:" + "0" * 64, "run-1", "2026-01-31T12:00:00Z", 1)
        service = Service(open_predictor(reviews), version, limits=limits, meters=meters)
        models.put(models.add("reviews@production").main, service)
        browser.until("document.querySelector('h1').innerText === 'reviews'")


@IN_A_BROWSER
def test_a_key_is_asked_for_and_sent(browser, served):
    models, secret = served("reviews").models, "s3cret-of-the-app-0123"
    settings = ServingSettings(model="reviews", keys=SecretStr(f"app: {secret}"))
    with running(create_app(models, settings), models, close=False) as url:
        browser.open(url + "/")
        assert browser.text("#fault").startswith("this server asks for a key: ")
        assert browser.run("document.activeElement.id") == "key"
        browser.fill("key", secret)
        browser.press("Enter")
        browser.until("document.querySelector('h1').innerText === 'reviews'")
        browser.send()
        assert "positive" in browser.text("#answers")
        explain(browser)
        assert "Authorization: Bearer $KEY" in browser.text("#snippet")
        assert secret not in browser.run("document.documentElement.outerHTML")


@IN_A_BROWSER
def test_the_report_can_be_read_and_runs_nothing(browser, reviews, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(
        "<title>Report: Tunewright</title><script>document.title = 'run'</script><style>p {color: red}</style><p>Good"
    )
    models = Models(limits=Limits(), meters=Meters())
    version = Version("reviews", 3, f"sha256:{0:064x}", "run", "2026-01-31T12:00:00Z", 9)
    models.put(models.add("reviews").main, Service(open_predictor(reviews), version, limits=Limits(), report=page))
    with running(create_app(models), models) as url:
        browser.open(url + "/")
        browser.run("document.querySelector('#facts a').click()")
        browser.until("location.pathname === '/page/report' && document.querySelector('p')")
        assert browser.run("document.title") == "Report: Tunewright"
        assert browser.run("getComputedStyle(document.querySelector('p')).color") == "rgb(255, 0, 0)"


@IN_A_BROWSER
def test_the_page_works_behind_a_prefix(browser, served):
    models = served("reviews").models
    behind = Starlette(routes=[Mount("/some/where", create_app(models))])
    with running(behind, models, close=False) as url:
        browser.open(url + "/some/where/")
        browser.send()
        assert "positive" in browser.text("#answers")
        explain(browser)
        assert f"{url}/some/where/predict" in browser.text("#snippet")
        assert [one for kind, one in browser.said if kind == "asked" and "/some/where/" not in one] == []


@contextmanager
def running(app, models, *, close=True):
    """The address of a server of this application."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(web_config(app, models))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        if close:
            models.close()


@IN_A_BROWSER
def test_the_server_says_what_is_wrong(browser, served):
    browser.open(served("masks").url + "/")
    browser.fill("in-text", "Marie was born .")
    browser.send()
    assert browser.text("#fault") == "text 0 has no mask: put '[MASK]' where a word is to be found"
    assert browser.run("document.querySelector('#fault').getAttribute('role')") == "alert"


def choose(browser, name):
    """The second entry of a list."""
    found = f"document.getElementById('{name}')"
    browser.run(f"{found}.value = '1'; {found}.dispatchEvent(new Event('change'))")


@IN_A_BROWSER
def test_two_models_answer_side_by_side(browser, reviews, emotions, serve_bundle):
    with serve_bundle(reviews) as (client, models):
        version = Version("emotions", 7, "sha256:" + "1" * 64, "run-1", "2026-02-28T12:00:00Z", 1)
        second = Service(open_predictor(emotions), version, limits=models.limits, meters=models.meters)
        models.put(models.add("emotions@production").main, second)
        url = str(client.base_url)
        browser.open(url + "/")
        choose(browser, "other")
        browser.fill("in-text", "I love it!")
        browser.send()
        who = "document.querySelectorAll('#answers .by span:first-child')"
        names = browser.run(f"[...{who}].map((one) => one.innerText)")
        assert names == ["reviews:3/fp32", "emotions:7/fp32"]
        assert "joy" in browser.text("#answers article:last-child")
        browser.shot("side-by-side")
        choose(browser, "model")
        assert browser.text("h1") == "emotions"
        assert "emotions@production" in browser.text("#chips")
        assert f"{url}/models/emotions/predict" in browser.text("#snippet").replace("'", "")
        require_quiet(browser, url)


@IN_A_BROWSER
def test_two_versions_of_a_model_answer_side_by_side(browser, reviews, serve_bundle):
    with serve_bundle(reviews) as (client, models):
        version = Version("reviews", 4, "sha256:" + "4" * 64, "run-2", "2026-03-31T12:00:00Z", 1)
        newer = Service(open_predictor(reviews), version, limits=models.limits, meters=models.meters)
        models.all[0].shadow = Shadow(Slot("reviews@staging"), 0.0, Comparison(texts=False))
        models.put(models.all[0].shadow.slot, newer)
        browser.open(str(client.base_url) + "/")
        choose(browser, "other")
        browser.send()
        who = "document.querySelectorAll('#answers .by span:first-child')"
        assert browser.run(f"[...{who}].map((one) => one.innerText)") == ["reviews:3/fp32", "reviews:4/fp32"]
        assert "/models/reviews:3/predict" in browser.text("#snippet")
        browser.run("for (const one of document.querySelectorAll('.why button')) one.click()")
        browser.until("document.querySelectorAll('.why h3').length == 2")
        require_quiet(browser, str(client.base_url))


@IN_A_BROWSER
def test_what_is_told_follows_the_version_that_answers(browser, reviews, serve_bundle):
    with serve_bundle(reviews) as (client, models):
        browser.open(str(client.base_url) + "/")
        browser.fill("in-text", "I love it!")
        version = Version("reviews", 4, "sha256:" + "4" * 64, "run-2", "2026-03-31T12:00:00Z", 1)
        newer = Service(open_predictor(reviews), version, limits=models.limits, meters=models.meters)
        models.put(models.all[0].main, newer).close()
        browser.send()
        browser.until("document.querySelector('#chips').innerText.includes('version 4')")
        assert "reviews:4" in browser.text("#facts")
        assert browser.run("document.getElementById('in-text').value") == "I love it!"


@IN_A_BROWSER
def test_settings_reach_the_model_and_the_code(browser, served):
    browser.open(served("reviews").url + "/")
    browser.run("document.getElementById('settings').open = true")
    browser.fill("set-top_k", "1")
    browser.send()
    assert browser.run("document.querySelectorAll('.bars li').length") == 1
    assert '"parameters":{"top_k":1}' in browser.text("#snippet")


@IN_A_BROWSER
@pytest.mark.parametrize("kind", ["reviews", "chat", "image"])
def test_the_code_that_is_shown_runs(browser, served, kind, tmp_path):
    """curl and Python as a person would paste them; JavaScript in the browser itself."""
    import subprocess
    import sys

    browser.open(served(kind).url + "/")
    if kind == "image":
        browser.choose_file("in-image", picture(tmp_path / "it's.png"))
        browser.until("document.querySelector('#preview > *')")
        browser.until("document.querySelector('#snippet').textContent.includes(\"it'\")")
    else:
        browser.fill("in-message" if kind == "chat" else "in-text", 'It\'s "great" \\ 😀 $HOME `a` Grüße')
    curl = subprocess.run(["bash", "-c", browser.text("#snippet")], cwd=tmp_path, capture_output=True, check=True)
    answer = json.loads(curl.stdout)
    browser.run("document.getElementById('tab-python').click()")
    code = browser.run("document.getElementById('snippet').textContent")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == str(answer)
    browser.run("document.getElementById('tab-javascript').click()")
    code = browser.run("document.getElementById('snippet').textContent").replace("console.log(", "return (")
    if kind != "image":
        assert browser.run(f"(async () => {{ {code} }})()") == answer


@IN_A_BROWSER
def test_everything_can_be_reached_with_the_keyboard(browser, served):
    browser.open(served("reviews").url + "/")
    reached = []
    for _ in range(14):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.innerText"))
    for wanted in ("Skip to the model", "in-text", "Settings", "Access key", "send", "tab-curl", "copy", "snippet"):
        assert wanted in reached
    browser.run("document.getElementById('tab-curl').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.id") == "tab-python"
    assert browser.text("#snippet").startswith("import json")
    browser.run("document.getElementById('in-text').focus()")
    browser.press("Enter", modifiers=2)
    browser.until("document.querySelector('.bars')")


CONTRAST = """(() => {
  const light = (color) => color.slice(0, 3).map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const read = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const under = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(read(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, [r, g, b, a = 1]) => [r, g, b].map((one, at) => one * a + below[at] * (1 - a)), [255, 255, 255]);
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(".skip")) continue;
    const [one, other] = [light(read(getComputedStyle(element).color)), light(under(element))].sort().reverse();
    if ((one + 0.05) / (other + 0.05) < 4.5) poor.push(`${element.tagName} ${element.className} ${element.innerText}: ${(one + 0.05) / (other + 0.05)}`);
  }
  return poor;
})()"""  # noqa: E501
NAMELESS = """[...document.querySelectorAll('input, textarea, select, button, img, audio, [role=region]')]
  .filter((one) => !(one.labels?.length || one.getAttribute('aria-label') || one.alt || one.innerText?.trim()))
  .map((one) => one.outerHTML)"""


@IN_A_BROWSER
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", ["reviews", "tags", "masks"])
def test_everything_has_a_name_and_can_be_read(browser, served, kind, dark):
    browser.open(served(kind).url + "/", dark=dark)
    if kind == "masks":
        browser.fill("in-text", "nothing")
    browser.send()
    if kind != "masks":
        explain(browser)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run(NAMELESS) == []
    assert browser.run(CONTRAST) == []
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert browser.run("document.documentElement.lang") == "en"
    browser.shot(f"{kind}-{'dark' if dark else 'light'}")


@IN_A_BROWSER
@pytest.mark.parametrize("kind", ["reviews", "tags", "spans", "chat", "image"])
def test_a_narrow_window_scrolls_in_one_direction_only(browser, served, kind):
    browser.open(served(kind).url + "/", width=320, height=640)
    assert browser.run("document.documentElement.scrollWidth") <= 320
    if kind not in ("chat", "image"):
        browser.send()
        assert browser.run("document.documentElement.scrollWidth") <= 320
    browser.shot(f"{kind}-narrow")
