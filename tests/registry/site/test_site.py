"""A registry as pages: what they hold, that nothing of a registry is markup, that a folder is whole."""

import json
import re
from html.parser import HTMLParser

import pytest

from tunewright.registry.site import site as site_of_a_registry
from tunewright.registry.site.plot import Point, course, fits
from tunewright.registry.site.site import MARK
from tunewright.registry.stores.store import open_store
from tunewright.registry.trust.keys import Signer
from tunewright.registry.trust.signature import of_version, sign
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import summarize
from tunewright.registry.versions.reference import resolve


class Page(HTMLParser):
    """The tags of a page and where its links go."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src") and not value.startswith("#")]

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def site(store, run, tmp_path):
    code, out, err = run("site", str(tmp_path / "site"))
    assert (code, out, err) == (0, f"2 models and 4 versions, in {tmp_path / 'site/index.html'}\n", "")
    return tmp_path / "site"


def paths(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_page_is_there_and_every_link_leads_to_one(site):
    assert paths(site) == [
        MARK,
        "index.html",
        "models/churn/1/index.html",
        "models/churn/index.html",
        *("models/reviews/1/" + name for name in ("index.html", "report.html")),
        *(f"models/reviews/{n}/{name}.html" for n in (2, 3) for name in ("difference", "index", "report")),
        "models/reviews/index.html",
    ]
    for path in site.rglob("*.html"):
        if path.name != "report.html":
            links = [one for one in Page(path.read_text()).links if one != "data:,"]
            assert [one for one in links if not (path.parent / one).is_file()] == []


def test_what_a_registry_holds_is_text(site):
    for path in site.rglob("*.html"):
        if path.name != "report.html":
            assert "script" not in Page(path.read_text()).tags, path
    assert '<script>alert(1)</script> & "more" \'' in Page((site / "models/reviews/index.html").read_text()).words


def test_a_version_names_the_keys_under_which_it_is_signed(store, run, tmp_path):
    signer = Signer(bytes(32))
    sign(store, of_version(resolve(store, "reviews:2")), signer)
    store.create("signatures/reviews/x.json", b"{}")
    assert run("site", str(tmp_path / "site"))[0] == 0
    told = {n: Page((tmp_path / f"site/models/reviews/{n}/index.html").read_text()).words for n in (1, 2)}
    assert signer.public.id in told[2]
    assert "signed under" not in told[1]


def test_a_report_of_whoever_has_published_it_runs_nothing(site):
    text = (site / "models/reviews/2/report.html").read_text()
    assert text.startswith(
        '<!doctype html>\n<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
    )


def test_the_pages_tell_the_history_the_figures_and_what_changed(site):
    model = Page((site / "models/reviews/index.html").read_text())
    assert model.tags.count("svg") == 2
    for said in ("accuracy 0.850 (0.750 to 0.900)", "rolled back", "#released", "Where production has pointed"):
        assert said in model.words
    version = Page((site / "models/reviews/2/index.html").read_text()).words
    for said in ("int8 (served by default)", "0.8000 to 0.9500", "train.epochs", "What is different from version 1"):
        assert said in version
    assert "production" in version  # after the rollback
    changed = Page((site / "models/reviews/2/difference.html").read_text()).words
    assert re.search(r"settings\s*train.epochs\s*1\s*2", changed)
    assert "auc" in Page((site / "models/churn/1/index.html").read_text()).words


def test_a_yanked_version_is_told_and_not_the_latest(store, run, tmp_path):
    run("yank", "reviews:3", "--why", "last year's prices")
    run("site", str(tmp_path / "site"))
    assert "yanked: last year's prices" in Page((tmp_path / "site/models/reviews/index.html").read_text()).words
    assert ": last year's prices" in Page((tmp_path / "site/models/reviews/3/index.html").read_text()).words
    assert "the latest 2 of" in Page((tmp_path / "site/models/reviews/index.html").read_text()).words


def test_a_second_run_takes_the_place_of_the_first_and_leaves_files_of_others(site, run, tmp_path, write):
    run("publish", str(write("other/model.bin", b"x").parent), "--name", "other")
    assert run("delete", "churn:1")[0] == 0
    mine = [write("site/CNAME", b"mine"), write("site/.git/HEAD", b"mine"), write("site/models/notes.txt", b"mine")]
    assert run("site", str(site), "--json")[0] == 0
    assert "models/other/1/index.html" in paths(site)
    assert not (site / "models/churn").exists()
    assert [path.read_bytes() for path in mine] == [b"mine"] * 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_stands_in_the_way_of_a_page_is_left_alone(site, run, write, tmp_path):
    run("publish", str(write("other/model.bin", b"x").parent), "--name", "other")
    before = {path: (site / path).read_bytes() for path in paths(site)}
    (tmp_path / "elsewhere").mkdir()
    (site / "models/other").symlink_to(tmp_path / "elsewhere")
    said = f"error: {site / 'models/other'} is not of an older run, and stands in the way; choose another folder\n"
    assert run("site", str(site)) == (2, "", said)
    assert {path: (site / path).read_bytes() for path in paths(site)} == before
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_figures_that_no_drawing_can_show_stop_nobody(store, run, tmp_path, write):
    for value in (1e308, -1e308):
        made = {"w.bin": write(f"{value}/w.bin", str(value).encode())}
        said = summarize("x", "auc", value, None)
        publish(store, "far", made, run_id="up" if value > 0 else "down", config={}, summary=said)
    code, _, err = run("site", str(tmp_path / "site"))
    fault = "auc of far goes from -1e+308 to 1e+308, which no drawing can show; it is left out"
    assert (code, err) == (1, f"error: {fault}\n")
    assert fault in Page((tmp_path / "site/index.html").read_text()).words
    assert {"models/far/2/index.html", "models/reviews/3/report.html"} <= set(paths(tmp_path / "site"))


def test_a_model_that_makes_no_page_stops_no_other(store, run, tmp_path, monkeypatch):
    # No record is known that gets this far: what is checked is the net below.
    drawn = site_of_a_registry.version_page

    def trip(model, *words, **more):
        return drawn(model, *words, **more) if model.name != "churn" else 1 / 0

    monkeypatch.setattr(site_of_a_registry, "version_page", trip)
    code, out, err = run("site", str(tmp_path / "site"))
    said = "churn is left out: what it holds makes no page (ZeroDivisionError: division by zero)"
    assert (code, out.startswith("1 model and 3 versions"), err) == (1, True, f"error: {said}\n")
    assert said in Page((tmp_path / "site/index.html").read_text()).words
    assert not (tmp_path / "site/models/churn").exists()


def test_a_folder_of_somebody_is_left_alone(store, run, write):
    theirs = write("theirs/notes.txt", b"mine").parent
    said = f"error: {theirs} holds files already; choose a folder that is new or empty\n"
    assert run("site", str(theirs)) == (2, "", said)
    assert paths(theirs) == ["notes.txt"]


def test_what_cannot_be_read_is_told_and_the_rest_is_there(store, run, tmp_path):
    version = resolve(store, "reviews:2")
    key = tmp_path / "registry" / blob_key(version.digest)
    key.chmod(0o644)
    key.write_bytes(b"{}")
    code, out, err = run("site", str(tmp_path / "site"), "--json")
    told = json.loads(out)
    assert (code, told["versions"]) == (1, 4)
    assert all("reviews:2" in fault and f"error: {fault}\n" in err for fault in told["faults"])
    assert "Its files cannot be read" in (tmp_path / "site/models/reviews/2/index.html").read_text()
    assert told["faults"][0] in Page((tmp_path / "site/index.html").read_text()).words
    assert "models/reviews/3/report.html" in paths(tmp_path / "site")


def test_a_place_without_a_registry_gets_no_pages(run, monkeypatch, tmp_path):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "nowhere"))
    code, _, err = run("site", str(tmp_path / "site"))
    assert (code, err.startswith("error: there is no registry in")) == (2, True)
    assert not (tmp_path / "site").exists()


def test_a_bucket_becomes_pages_too(run, s3_uri, monkeypatch, tmp_path, write):
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    run("publish", str(write("made/model.bin", b"x").parent), "--name", "trees", "--metric", "auc=0.5")
    assert run("site", str(tmp_path / "site"))[0] == 0
    assert s3_uri in Page((tmp_path / "site/index.html").read_text()).words
    assert open_store(s3_uri).uri == s3_uri


@pytest.mark.parametrize("values", [(1e308, -1e308), (1.7e308, 1.7e308), (0.0, 1e-310)])
def test_what_has_no_room_in_a_drawing_is_told(values):
    assert not fits([Point("1", one) for one in values])


@pytest.mark.parametrize("values", [(1e308, 0.5), (0.5,), (0.5, 0.5), (0.0, 0.0), (-3.0, 1e6), (1, 2, 1, 300)])
def test_a_drawing_stays_within_its_frame(values):
    for steps in (False, True):
        drawn = course("x", "y", [Point("2026-11-27", one, (one - 1, one + 1)) for one in values], steps=steps)
        xs = [float(one) for one in re.findall(r'cx="([0-9.-]+)"', drawn)]
        ys = [float(one) for one in re.findall(r'cy="([0-9.-]+)"', drawn)]
        assert len(xs) == len(values)
        assert xs == sorted(xs)
        assert all(0 <= x <= 560 for x in xs)
        assert all(0 <= y <= 240 for y in ys)
        assert 1 <= drawn.count('class="grid"') <= 8
