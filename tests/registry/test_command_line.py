"""The command `tunewright`, as a person types it."""

import subprocess
import sys
from importlib import metadata

import pytest

from tunewright.registry import command_line


def run(*words, without=()):
    """The end of a process with these words, in a Python where some modules are not there."""
    code = f"import sys; sys.modules.update(dict.fromkeys({without!r})); sys.argv = {['tunewright', *words]!r}; "
    code += "from tunewright.registry.command_line import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_alone_it_lists_what_there_is(capsys):
    assert command_line.main([]) == 0
    said = capsys.readouterr().out
    for group in command_line.found():
        for name, what in group.commands.items():
            assert f"\n  {name:10} {what}\n" in said
    assert "pip install" not in said
    assert all(f"\n  {code} " in said for code in (0, 1, 2, 3, 4, 75, 130))


def test_every_group_is_registered_under_the_entry_points():
    groups = {entry.value for entry in metadata.entry_points(group=command_line.ENTRY_POINTS)}
    assert groups == {f"tunewright.{room}.command_line:GROUP" for room in ("job", "serving", "registry")}


def test_the_same_as_a_module():
    done = subprocess.run([sys.executable, "-m", "tunewright"], capture_output=True, text=True, check=True)
    assert done.stdout == run().stdout


ENDED = """
import signal, sys
from tunewright.registry.command_line import raise_ctrl_c
signal.signal(signal.SIGINT, raise_ctrl_c)
try:
    exec("import signal; signal.raise_signal(signal.SIGINT); len('')")
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_in_code_made_at_run_time_leaves_the_exit_code_alone(tmp_path):
    (tmp_path / "ended.py").write_text(ENDED)
    assert subprocess.run([sys.executable, "-m", "ended"], cwd=tmp_path, check=False).returncode == 130


def test_the_version_is_that_of_the_distribution():
    done = run("--version")
    assert (done.stdout, done.returncode) == (f"tunewright {metadata.version('tunewright')}\n", 0)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("trian", "unknown command 'trian'; did you mean train?"),
        ("serv", "unknown command 'serv'; did you mean serve?"),
        (
            "--verison",
            "unknown command '--verison'; the commands are init, train, import, check, tune, suggest, label, runs, "
            "predict, submit, jobs, cancel, serve",
        ),
    ],
)
def test_a_word_that_is_no_command(word, sentence, capsys):
    assert command_line.main([word]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [("train", "torch", "job"), ("check", "transformers", "job"), ("serve", "onnxruntime", "serving")],
)
def test_a_command_without_its_packages_names_the_extra(command, missing, extra):
    done = run(command, without=(missing,))
    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr == f"error: {command} needs more packages: pip install 'tunewright[{extra}]'\n"
    assert f"(not here: pip install 'tunewright[{extra}]'):\n" in run(without=(missing,)).stdout


def test_a_room_that_is_not_there_is_left_out():
    done = run(without=("tunewright.job",))
    assert done.returncode == 0
    assert "train" not in done.stdout
    assert "serve " in done.stdout


@pytest.mark.parametrize("place", ["before", "behind", "with an equals sign"])
def test_the_registry_is_named_on_any_command(place, tmp_path):
    uri = str(tmp_path / "here")
    words = {
        "before": ("--registry", uri, "list"),
        "behind": ("list", "--registry", uri),
        "with an equals sign": ("list", f"--registry={uri}"),
    }[place]
    assert run(*words).stdout == f"there are no models in {uri} yet\n"


def test_what_stands_behind_two_dashes_is_no_option():
    done = run("list", "--", "--registry")
    assert done.returncode == 2
    assert "'--registry' is not a model name" in done.stderr


@pytest.mark.parametrize("words", [("list", "--registry"), ("list", "--registry="), ("list", "--registry", "--json")])
def test_a_registry_without_an_address_is_refused(words):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: --registry is given without an address; expected s3://bucket/prefix or a folder\n")


@pytest.mark.parametrize("words", [(), ("--version",), ("list", "--help"), ("serve", "--help"), ("train", "--help")])
def test_help_imports_nothing_that_trains(words):
    heavy = ("torch", "transformers", "pyarrow", "onnx", "sklearn", "tunewright.job.settings.file")
    code = f"import sys; sys.argv = {['tunewright', *words]!r}\n"
    code += "from tunewright.registry.command_line import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += f"print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_ctrl_c_before_a_room_is_imported_is_one_sentence(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert command_line.main(["list"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
