import json
import subprocess

from tunewright.job.report import lineage


def facts_of(made):
    return json.loads((made("single").pulled() / "lineage.json").read_text())


def test_every_setting_is_written_down(made):
    one = made("single")
    assert facts_of(made)["settings"] == one.settings.model_dump(mode="json")


def test_the_files_that_were_read_are_told_with_their_digests(made):
    files = facts_of(made)["data"]["files"]["train"]
    assert [file["address"] for file in files] == [made("single").settings.data.train]
    assert len(files[0]["sha256"]) == 64


def test_packages_and_hardware_are_told(made):
    facts = facts_of(made)
    assert facts["packages"]["transformers"].startswith("5.24.")
    assert facts["hardware"]["torch_threads"] >= 1
    assert facts["hardware"]["gpu"] is None or isinstance(facts["hardware"]["gpu"], str)


def test_the_parameters_that_learned_are_counted(made):
    counted = facts_of(made)["parameters"]
    assert 0 < counted["learning"] == counted["total"]


def test_the_commit_is_the_one_the_image_states(monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_COMMIT", "abc123")
    assert lineage._code() == "abc123"


def test_the_commit_is_asked_of_git_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("TUNEWRIGHT_COMMIT", raising=False)
    (tmp_path / "job/report").mkdir(parents=True)
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "job/report/lineage.py"))
    assert lineage._code() is None
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    assert len(lineage._code()) == 40
