"""What a server keeps of the requests it answers, and what `tunewright drift` makes of it."""

import json

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.drift import main
from tunewright.serving.errors import SettingsError
from tunewright.serving.profile.profile import PROFILE_FILE, profile_of
from tunewright.serving.profile.rows import observations
from tunewright.serving.watch.feedback import Feedback, Place
from tunewright.serving.watch.redaction import redaction


@pytest.fixture
def observed(reviews, open_bundle):
    """A function: the profile of texts, as a job would keep it."""
    predictor = open_bundle(reviews)
    return lambda texts: profile_of(observations(predictor, texts, unknown_id=None))


@pytest.fixture
def seen_by(reviews, open_bundle):
    """A function: a Feedback that has seen the answers to some texts, each a request of its own."""
    predictor, model = open_bundle(reviews), read_model_file(reviews)

    def see(texts, place, reference=None, number=1):
        feedback = Feedback(model, "reviews", number, unknown_id=None, reference=reference, place=place)
        parameters = predictor.task.read_parameters({}, model)
        for text in texts:
            rows = predictor.prepare([text], parameters)
            answers = predictor.answers(rows, parameters)
            feedback.count(rows[0], answers[0])
            feedback.sample([text], answers)
        feedback.close()
        return feedback

    return see


def place_in(folder, *, share=1.0, redact="email,number"):
    return Place(open_store(str(folder)), share=share, seconds=3600, redact=redaction(redact.split(",")))


def test_samples_are_rows_that_the_next_job_reads(seen_by, tmp_path):
    seen_by(["great, ask ada@example.org or +44 20 7946 0000", "bad"], place_in(tmp_path))
    [file] = (tmp_path / "reviews/1/samples").iterdir()
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert first["text"] == "great, ask [email] or [number]"
    assert second["text"] == "bad"
    assert set(first) == {"id", "time", "version", "text", "predicted_label", "predicted_score"}


def test_without_a_share_only_counts_are_kept(seen_by, tmp_path):
    seen_by(["great", "bad"], place_in(tmp_path, share=0.0))
    assert [path.name for path in (tmp_path / "reviews/1").iterdir()] == ["counts"]
    [file] = (tmp_path / "reviews/1/counts").iterdir()
    assert json.loads(file.read_text())["rows"] == 2
    assert "great" not in file.read_text()


def test_drift_is_seen_in_the_process(seen_by, observed, tmp_path):
    reference = observed(["great"] * 100 + ["bad"] * 100)
    moved = {one.feature: one.verdict for one in seen_by(["great " * 30] * 100, None, reference).drifts()}
    assert moved["tokens"] == "large"
    same = {one.feature: one.verdict for one in seen_by(["great", "bad"] * 50, None, reference).drifts()}
    assert set(same.values()) == {"same"}


def test_a_store_that_is_gone_is_said_once_and_delays_nobody(seen_by, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    seen_by(["great"], place_in(tmp_path / "file"))
    assert len([one for one in caplog.records if "cannot be written" in one.message]) == 1


def test_an_unknown_redactor_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"names 'emails'; there is: email, url, number, digits"):
        redaction(["emails"])


@pytest.fixture
def version(reviews, observed, tmp_path, monkeypatch):
    """A registry with reviews:1, measured on short texts."""
    profile = tmp_path / PROFILE_FILE
    profile.write_text(observed(["great"] * 100 + ["bad"] * 100).model_dump_json())
    files = {str(path.relative_to(reviews)): path for path in reviews.rglob("*") if path.is_file()}
    publish(open_store(str(tmp_path / "registry")), "reviews", {**files, PROFILE_FILE: profile}, run_id="run-1")
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "feedback"


def test_the_command_tells_what_has_moved(version, seen_by, tmp_path, capsys):
    # Two servers, which know nothing of each other.
    seen_by(["great " * 30] * 60, place_in(version))
    seen_by(["bad " * 30] * 60, place_in(version, share=0.0))
    words = ["drift", "reviews:1", "--feedback", str(version)]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert "reviews:1: 120 rows met in the last 7 days" in table
    assert [line.split()[3] for line in table.splitlines() if line.split()[:1] == ["tokens"]] == ["large"]
    assert main([*words, "--fail-on", "large"]) == 1
    assert main([*words, "--json", "--samples", str(tmp_path / "recent.jsonl")]) == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["rows"] == 120
    assert len((tmp_path / "recent.jsonl").read_text().splitlines()) == 60


def test_the_command_says_what_is_missing(version, capsys, monkeypatch):
    monkeypatch.delenv("SERVING_FEEDBACK__URI", raising=False)
    assert main(["drift", "reviews:1"]) == 2
    assert "give --feedback URI" in capsys.readouterr().err
    assert main(["drift", "reviews:1", "--feedback", str(version)]) == 0
    assert "no server has left counts in the last 7 days" in capsys.readouterr().out
    assert main(["drift", "reviews:7", "--feedback", str(version)]) == 2
    assert "there is no version 7" in capsys.readouterr().err


def test_a_version_without_a_profile_is_told(published, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(published))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    assert main(["drift", "reviews:1", "--feedback", str(tmp_path / "feedback")]) == 2
    assert "holds no profile.json" in capsys.readouterr().err
