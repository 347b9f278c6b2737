"""The command line: what each command prints, and the exit code of each kind of mistake."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunewright.registry.program import main
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.layout import blob_key, version_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import summarize, who


@pytest.fixture
def registry(tmp_path, monkeypatch, publish_version):
    """A folder with `reviews:1` and `reviews:2`, named by REGISTRY_URI."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    store = open_store(str(tmp_path / "registry"))
    publish_version(store, "run-1")
    publish_version(store, "run-2")
    return store


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("list", ["--json"]),
        ("show", ["--json", "--open"]),
        ("diff", ["--html", "--json", "--rows"]),
        ("pull", ["--force", "--json", "--to", "--update", "--variant"]),
        ("publish", ["--json", "--metric", "--name", "--run-id", "--task", "--why"]),
        ("copy", ["--as", "--json", "--to", "--to-profile"]),
        ("promote", ["--dry-run", "--force", "--json", "--to", "--why", "--reason"]),
        ("gates", ["--json", "--remove", "--set", "--why"]),
        ("rollback", ["--from", "--json", "--to", "--why", "--reason"]),
        ("unalias", ["--json", "--why"]),
        ("canary", ["--end", "--json", "--reason"]),
        ("delete", ["--json", "--why"]),
        ("history", ["--json"]),
        ("yank", ["--json", "--why"]),
        ("unyank", ["--json", "--why"]),
        ("tag", ["--json"]),
        ("untag", ["--json"]),
        ("describe", ["--json"]),
        ("search", ["--json", "--metric", "--tag", "--task"]),
        ("verify", ["--json"]),
        ("gc", ["--delete", "--grace", "--held-within", "--json", "--keep-last"]),
        ("stats", ["--json"]),
        ("cache", ["--json", "--prune"]),
        ("sign", ["--entry", "--json", "--key", "--yank"]),
        ("repair", ["--from", "--json"]),
    ],
)
def test_the_options_of_each_command_are_frozen(capsys, command, options):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert "reviews@production" in said
    assert "REGISTRY_URI" in said
    assert "REGISTRY_CACHE" in said
    words = said.replace("[", " ").replace("]", " ").replace(",", " ").split()
    assert sorted({word for word in words if word.startswith("--")}) == sorted({*options, "--help"})


def test_an_output_that_takes_nothing_is_one_sentence(registry, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list"]) == 1
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list"]) == 1
    assert capsys.readouterr().err == (
        "error: what was found cannot be written to standard output (No space left on device); look where it goes\n"
        "error: there is no standard output to write to: it is closed; look where it goes\n"
    )


def test_an_empty_registry_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "none"))
    assert run("list") == (0, f"there are no models in {tmp_path / 'none'} yet\n", "")
    assert run("list", "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("words", [["verify"], ["verify", "reviews"], ["gc"], ["gc", "--delete"], ["stats", "--json"]])
def test_upkeep_of_a_place_without_a_registry_is_refused(run, tmp_path, monkeypatch, words):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "typo"))
    said = f"error: there is no registry in {tmp_path / 'typo'}: nothing was ever published there; look at REGISTRY_URI"
    assert run(*words) == (2, "", f"{said} or --registry\n")
    assert list(tmp_path.iterdir()) == []


def test_upkeep_of_a_registry_whose_only_publication_broke_off_is_done(run, tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path))
    probe(open_store(str(tmp_path)))
    assert run("verify") == (0, "", "")
    assert run("gc")[0] == run("stats")[0] == 0


@pytest.mark.parametrize(
    "words", [["list"], ["list", "reviews"], ["search", "--tag", "x"], ["verify"], ["gc"], ["stats"], ["show", "m:1"]]
)
def test_a_file_in_place_of_the_registry_is_refused(run, tmp_path, monkeypatch, words):
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "file"))
    expected = "expected a folder that can be written, or s3://bucket/prefix"
    assert run(*words) == (2, "", f"error: {tmp_path / 'file'} is a file; {expected}\n")


def test_a_place_that_can_hold_no_registry_is_told(run, registry, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    expected = "expected a folder that can be written, or s3://bucket/prefix\n"
    code, _, err = run("copy", "reviews:1", "--to", str(tmp_path / "file"))
    assert (code, err) == (2, f"error: {tmp_path / 'file'} is a file; {expected}")
    place = tmp_path / "file/below"
    said = f"error: {place} cannot hold a registry: the folder {tmp_path / 'file'} cannot be made (File exists); "
    assert run("copy", "reviews:1", "--to", str(place)) == (2, "", said + expected)


def test_a_model_whose_versions_are_all_deleted_is_told_as_such(run, registry, publish_version):
    publish_version(registry, "run-1", name="other")
    run("delete", "other:1")
    said = f"error: all versions of the model 'other' in {registry.uri} are deleted; there are reviews\n"
    for command in ("list", "verify", "show"):
        assert run(command, "other") == (2, "", said)
    run("delete", "reviews:1")
    run("delete", "reviews:2")
    assert run("list", "nobody")[2].startswith("error: there is no model 'nobody' in ")


def test_models_are_listed_with_their_aliases(run, registry):
    run("promote", "reviews:1", "production")
    code, out, _ = run("list")
    assert (code, out.splitlines()) == (
        0,
        ["MODEL    LATEST  METRIC  ALIASES", "reviews  2       -       production -> 1"],
    )
    (listed,) = json.loads(run("list", "--json")[1])
    assert listed.pop("summary")["metric"] is None
    assert listed == {"name": "reviews", "latest": 2, "aliases": {"production": 1}}


def test_versions_are_listed_newest_first(run, registry):
    run("promote", "reviews:1", "production")
    _, out, _ = run("list", "reviews")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["VERSION", "CREATED", "SIZE", "METRIC", "ALIASES", "RUN"]
    assert [(line[0], line[-1]) for line in lines[1:]] == [("reviews:2", "run-2"), ("reviews:1", "run-1")]
    assert json.loads(run("list", "reviews", "--json")[1])[0]["aliases"] == ["production"]


def test_the_report_of_a_version_is_fetched_and_its_path_told(run, registry, publish_version, tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    page = tmp_path / "report.html"
    page.write_text("<!doctype html>")
    files = {"model.json": page, "report/report.html": page}
    publish(registry, "told", files, run_id="run-9", config={})
    code, out, _ = run("show", "told", "--open")
    assert code == 0
    path = Path(out.strip())
    assert path.is_relative_to(tmp_path / "cache")
    assert path.read_text() == "<!doctype html>"
    assert [one.name for one in path.parents[1].iterdir()] == ["report"]
    assert run("show", "reviews:1", "--open") == (
        2,
        "",
        "error: reviews:1 carries no page (report/report.html): an earlier release or another program made it; "
        "`tunewright show reviews:1` lists what it carries\n",
    )


def test_a_version_is_shown_with_its_files_and_config(run, registry):
    code, out, _ = run("show", "reviews:1")
    assert code == 0
    for text in (
        "version  reviews:1",
        "run      run-1",
        "task     text-classification",
        "onnx/int8/model.onnx  3.6 kB",
    ):
        assert text in out
    shown = json.loads(run("show", "reviews", "--json")[1])
    assert (shown["number"], shown["config"]) == (2, {"task": "text-classification"})
    assert shown["files"][0]["path"] == "model.json"


def test_control_sequences_do_not_reach_the_terminal(run, registry, bundle):
    from tunewright.registry.versions.publish import publish

    publish(registry, "evil", bundle, run_id="r", config={"task": "\x1b[2J\x07gone"})
    assert "task     ?[2J?gone" in run("show", "evil")[1]


def test_a_variant_is_pulled_without_the_others(run, registry, tmp_path):
    code, out, _ = run("pull", "reviews:1", "--to", str(tmp_path / "out"), "--variant", "int8")
    assert (code, out) == (0, f"reviews:1: 4 files, 3.7 kB, in {tmp_path / 'out'}\n")
    assert [path.name for path in (tmp_path / "out/onnx").iterdir()] == ["int8"]


def test_a_variant_that_is_not_there_is_refused_before_anything_is_fetched(run, registry, tmp_path):
    code, _, err = run("pull", "reviews:1", "--to", str(tmp_path / "out"), "--variant", "fp16")
    assert (code, err) == (2, "error: reviews:1 has no variant 'fp16'; it has fp32, int8\n")
    assert not (tmp_path / "out").exists()


def test_an_alias_moves_and_comes_back(run, registry):
    assert run("promote", "reviews:1", "production")[1] == "reviews@production -> 1 (before: nothing)\n"
    assert run("promote", "reviews", "production", "--reason", "better")[1] == "reviews@production -> 2 (before: 1)\n"
    assert run("rollback", "reviews@production", "--from", "2")[1] == "reviews@production: 2 -> 1\n"
    assert run("rollback", "reviews@production", "--from", "2")[1] == "reviews@production points at 1 already\n"
    lines = run("history", "reviews@production")[1].splitlines()
    assert lines[0].split() == ["MOVED", "TO", "FROM", "KIND", "WHO", "WHERE", "WHY"]
    assert [line.split()[1:] for line in lines[1:]] == [
        ["1", "2", "rollback", who(), "-", "back", "from", "2"],
        ["2", "1", "move", who(), "-", "better"],
        ["1", "move", who(), "-"],
    ]
    assert len(json.loads(run("history", "reviews@production", "--json")[1])) == 3


def test_why_an_alias_went_back_is_kept(run, registry):
    for number in (1, 2):
        run("promote", f"reviews:{number}", "production", "--why", "it is the one")
    run("rollback", "reviews@production", "--why", "it shouts at customers")
    assert run("history", "reviews@production")[1].splitlines()[1].endswith(f"{who()}  -      it shouts at customers")


def test_an_alias_is_removed_and_brought_back(run, registry):
    run("promote", "reviews:1", "production")
    for said in ("reviews@production: 1 -> nothing", "reviews@production points nowhere already"):
        assert run("unalias", "reviews@production", "--why", "sold") == (0, f"{said}\n", "")
    assert "production" not in run("list")[1]
    assert run("rollback", "reviews@production", "--to", "1")[1] == "reviews@production: nothing -> 1\n"
    lines = [line.split()[1:] for line in run("history", "reviews@production")[1].splitlines()[1:]]
    assert lines == [
        ["1", "rollback", who(), "-", "back", "from", "nowhere"],
        ["-", "1", "remove", who(), "-", "sold"],
        ["1", "move", who(), "-"],
    ]


def test_what_is_done_is_told_as_json(run, registry, tmp_path):
    def told(*words):
        code, out, err = run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    for number in (1, 2):
        made = told("promote", f"reviews:{number}", "production", "--why", "better")
        assert (made["number"], made["previous"], made["reason"], made["who"]) == (
            number,
            number - 1 or None,
            "better",
            who(),
        )
    assert told("canary", "reviews@production", "reviews:1", "10")["weights"] == {"1": 10, "2": 90}
    back = told("rollback", "reviews@production")
    assert back | {"yanked": None} == told("history", "reviews@production")[-1]
    assert told("unalias", "reviews@production")["kind"] == "remove"
    pulled = told("pull", "reviews:1", "--to", str(tmp_path / "out"))
    assert (pulled["number"], pulled["files"], pulled["folder"]) == (1, 5, str(tmp_path / "out"))
    assert told("repair", "reviews:1", "--from", pulled["folder"]) == {"version": "reviews:1", "mended": [], "left": []}
    assert told("delete", "reviews:2", "--why", "old")["reason"] == "old"
    assert [one["version"] for one in told("verify")["versions"]] == ["reviews:1"]


def test_damage_is_told_as_json(run, registry, tmp_path):
    blob = max((tmp_path / "registry/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.unlink()
    code, out, _ = run("verify", "reviews:1", "--json")
    told = json.loads(out)
    assert (code, told["shared"]) == (1, {f"sha256:{blob.name}": ["reviews:1", "reviews:2"]})
    assert told["versions"][0]["problems"][0].endswith(" is missing")
    code, out, _ = run("repair", "reviews:1", "--from", str(tmp_path), "--json")
    assert (code, len(json.loads(out)["left"])) == (1, 1)


def test_a_rollback_from_and_to_is_one_too_many(capsys):
    with pytest.raises(SystemExit):
        main(["rollback", "reviews@production", "--from", "2", "--to", "1"])
    assert "error: argument --to: not allowed with argument --from" in capsys.readouterr().err


def test_lists_tell_how_good_a_version_is(run, registry, bundle):
    summary = summarize("text-classification", "accuracy", 0.9123, (0.8941, 0.9284))
    publish(registry, "reviews", bundle, run_id="run-3", summary=summary)
    spoken = "accuracy 0.912 (0.894 to 0.928)"
    assert run("list")[1].splitlines()[1] == f"reviews  3       {spoken}"
    assert [spoken in line for line in run("list", "reviews")[1].splitlines()] == [False, True, False, False]
    shown = run("show", "reviews")[1]
    assert f"metric   {spoken}\n" in shown
    assert f"by       {who()}\n" in shown
    assert json.loads(run("list", "reviews", "--json")[1])[2]["summary"]["interval"] == [0.8941, 0.9284]


def test_a_deleted_version_leaves_the_list_and_keeps_its_number(run, registry, publish_version):
    run("promote", "reviews:1", "production")
    assert run("delete", "reviews:1") == (
        2,
        "",
        "error: reviews@production points at version 1: promote another version to production, or `tunewright unalias "
        "reviews@production`, before this one is deleted\n",
    )
    code, out, _ = run("delete", "reviews:2", "--why", "learned from test rows")
    assert (code, out.startswith(f"reviews:2 is deleted by {who()} (")) == (0, True)
    stay = "; its number is not given again, and its files stay until `tunewright gc --delete` a week later\n"
    assert out.endswith(stay)
    assert run("delete", "reviews:2") == (0, out, "")
    assert "reviews:2" not in run("list", "reviews")[1]
    assert run("show", "reviews")[1].startswith("version  reviews:1\n")
    assert "learned from test rows\n" in run("show", "reviews:2")[1]
    code, _, err = run("promote", "reviews:2", "production")
    assert (code, err.endswith("): learned from test rows; choose another version\n")) == (2, True)
    assert publish_version(registry, "run-3").number == 3


def test_a_damaged_version_fails_its_verification(run, registry, tmp_path):
    assert run("verify", "reviews:1") == (0, "reviews:1: 5 files, 15.7 kB: all digests match\n", "")
    blob = max((tmp_path / "registry/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x" * blob.stat().st_size)
    code, out, _ = run("verify", "reviews:1")
    assert code == 1
    assert "onnx/fp32/model.onnx: the blob" in out
    shared = f"reviews:1: 5 files, 15.7 kB: 1 problem\nsha256:{blob.name} is part of reviews:1, reviews:2\n"
    assert out.endswith(shared)


def test_a_model_and_everything_is_verified(run, registry, publish_version):
    publish_version(registry, "run-1", name="other")
    whole = [f"{version}: 5 files, 15.7 kB: all digests match\n" for version in ("other:1", "reviews:1", "reviews:2")]
    assert run("verify") == (0, "".join(whole), "")
    assert run("verify", "reviews") == (0, "".join(whole[1:]), "")
    assert run("verify", "reviews@latest") == (0, whole[2], "")
    registry.delete(version_key("reviews", 1))
    missing = f"error: the record of reviews:1 is not in {registry.uri}, and nothing tells that it was deleted\n"
    assert run("verify") == (1, whole[0] + whole[2], missing)
    assert run("verify", "nobody")[0] == 2


def test_a_damaged_version_is_mended(run, registry, tmp_path):
    run("pull", "reviews:1", "--to", str(tmp_path / "files"))
    repair = ("repair", "reviews:1", "--from", str(tmp_path / "files"))
    assert run(*repair) == (0, "reviews:1: all digests match, there is nothing to mend\n", "")
    blob = max((tmp_path / "registry/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert run(*repair) == (0, "reviews:1: put back onnx/fp32/model.onnx\n", "")
    assert run("verify", "reviews:2")[0] == 0
    blob.unlink()
    (tmp_path / "files/onnx/fp32/model.onnx").unlink()
    code, out, _ = run(*repair)
    assert (code, out.startswith("onnx/fp32/model.onnx: the blob ")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "reviews:9"], "there is no version 9 of 'reviews'"),
        (["show", "Reviews"], "'Reviews' is not a model name"),
        (["list", "other"], "there is no model 'other'"),
        (["promote", "reviews:1", "latest"], "the alias 'latest' is reserved"),
        (["rollback", "reviews:1"], "'reviews:1' names no alias; expected name@alias, as in reviews@production"),
        (
            ["repair", "reviews:1", "--from", "/no/where"],
            "'/no/where' is no folder; expected one with the files of",
        ),
        (["rollback", "reviews@production"], "there is no alias 'production' of 'reviews'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(run, registry, arguments, sentence):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_misspelt_setting_is_exit_code_2(run, monkeypatch):
    monkeypatch.setenv("REGISTRY_URL", "x")
    assert run("list") == (2, "", "error: the variable REGISTRY_URL is not known; did you mean REGISTRY_URI?\n")


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE", "https_proxy"]
)
def test_a_line_break_in_what_a_secret_sets_is_exit_code_2(run, s3_uri, monkeypatch, name):
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    monkeypatch.setenv(name, "secret\n")
    code, _, err = run("list")
    assert code == 2
    assert err.startswith(f"error: {name} holds a ")
    assert "set it without the line break at its end" in err
    assert "secret\n" not in err
    assert err.count("\n") == 1


def test_credentials_that_do_not_allow_it_are_exit_code_2(run, s3_uri, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert run("list") == (
        2, "", "error: The config profile (nobody) could not be found; check AWS_PROFILE: the AWS configuration has "
        "none\n",
    )  # fmt: skip


def test_a_store_that_does_not_answer_is_exit_code_1(run, s3_uri, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    code, _, err = run("list")
    assert code == 1
    assert err.startswith("error: nothing answers at http://127.0.0.1:1; check AWS_ENDPOINT_URL_S3")


def test_an_interrupt_is_exit_code_130_without_a_traceback(s3_uri, faults, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", s3_uri)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    faults.inject("503 SlowDown", "GET", times=99)
    process = subprocess.Popen([sys.executable, "-m", "tunewright", "list"], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not faults.requests and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: interrupted\n")


def test_a_pull_reads_the_manifest_once(faulty_uri, faults, publish_version, run, monkeypatch, tmp_path):
    monkeypatch.setenv("REGISTRY_URI", faulty_uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    manifest = blob_key(publish_version(open_store(faulty_uri), "run-1").digest)
    for words in ((), ("--to", str(tmp_path / "to"))):
        faults.requests.clear()
        assert run("pull", "reviews:1", *words)[0] == 0
        assert [method for method, path in faults.requests if path.endswith(manifest)] == ["GET"]


@pytest.mark.slow
def test_the_first_process_of_a_container_ends_at_once(tmp_path):
    program = "import sys; from tunewright.registry.program import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "storage-initializer", "tunewright://reviews", str(tmp_path / "to")]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        given = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
        given |= {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{silent.getsockname()[1]}", "REGISTRY_URI": "s3://models"}
        apart = ["unshare", "-r", "--pid", "--fork", "--kill-child", *words]
        outside = subprocess.Popen(apart, env=os.environ | given, cwd=tmp_path)
        try:
            connection, _ = silent.accept()  # it waits for an answer now
            with connection:
                (first,) = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
                os.kill(int(first), signal.SIGTERM)
                assert outside.wait() == 128 + signal.SIGTERM
        finally:
            outside.kill()
            outside.wait()


def test_the_registry_imports_quickly_and_without_boto3():
    program = "import sys, tunewright.registry.program; print('boto3' in sys.modules or 'botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout == "False\n"


def test_a_command_does_not_import_what_others_need():
    program = (
        "import sys; from tunewright.registry.arguments import command_of, parser; import tunewright.registry.program; "
        "parser('list'), command_of('list'); "
        "others = ('tunewright.registry.gates', 'tunewright.registry.oci'); "
        "print([name for name in sys.modules if name.startswith(others)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout == "[]\n"


def test_a_canary_is_begun_told_and_ended(registry, run):
    run("promote", "reviews:1", "production")
    assert run("canary", "reviews@production") == (0, "reviews@production -> 1: 100 %\n", "")
    assert run("canary", "reviews@production", "reviews:2", "10")[1] == "reviews@production -> 1: 90 %, 2: 10 %\n"
    assert run("canary", "reviews@production")[1] == "reviews@production -> 1: 90 %, 2: 10 %\n"
    assert run("canary", "reviews@production", "--end")[1] == "reviews@production -> 1: 100 %\n"
    assert run("list")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--end"], "nothing is tried beside reviews@production: there is nothing to end"),
        (["reviews:2"], "no percentage is given; say reviews:2 10 for a tenth of the requests"),
        (["reviews:2", "10", "--end"], "--end is given with a version; say one of the two"),
        (["reviews:1", "10"], "reviews@production points at version 1: there is nothing to try beside it"),
    ],
)
def test_a_canary_that_cannot_be_is_one_sentence(registry, run, words, sentence):
    run("promote", "reviews:1", "production")
    assert run("canary", "reviews@production", *words) == (2, "", f"error: {sentence}\n")
