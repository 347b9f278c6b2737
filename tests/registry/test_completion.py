"""What a shell completes, asked of the shell itself where it is here."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from tunewright.registry import command_line
from tunewright.registry.completion import SHELLS, script

ASK = """
source "$1"; shift
COMP_WORDS=(tunewright "$@"); COMP_CWORD=$#; COMPREPLY=()
completes=$(complete -p tunewright | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
$completes tunewright "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Shell to the file with its script."""
    folder = tmp_path_factory.mktemp("completion")
    files = {shell: folder / f"tunewright.{shell}" for shell in SHELLS}
    for shell, file in files.items():
        file.write_text(script(shell, command_line.found()))
    return files


@pytest.fixture(scope="module")
def ask(written):
    """ask("train", "--data.f"): what bash offers for the last word."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")

    def asked(*words):
        done = subprocess.run(
            ["bash", "-c", ASK, "ask", str(written["bash"]), *words], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.split()

    return asked


def test_every_command_is_offered(ask):
    assert ask("") == [name for group in command_line.found() for name in group.commands]
    assert ask("tr") == ["train"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("promote", "--"), ["--help", "--to", "--force", "--why", "--reason", "--dry-run", "--json", "--registry"]),
        (("serve", "--"), ["--help", "--registry"]),
        (("completion", ""), list(SHELLS)),
        (("suggest", "--cand"), ["--candidates"]),
        (("check", "--data.f"), ["--data.format"]),
        (("train", "--data.format", "js"), ["json", "jsonl"]),
        (("train", "--data.header", ""), ["true", "false"]),
        (("train", "--export.variants", ""), ["fp32", "int8"]),
        (("train", "--train.class_weights", ""), ["balanced", "effective"]),
        (("train", "--task", "image-"), ["image-classification", "image-regression", "image-text-classification"]),
    ],
)
def test_flags_settings_and_their_words_are_offered(ask, words, offered):
    assert ask(*words) == offered


def test_files_and_folders_are_offered_where_they_belong(ask, tmp_path):
    (tmp_path / "job.yaml").touch()
    (tmp_path / "registry").mkdir()
    assert ask("train", "--config", f"{tmp_path}/j") == [f"{tmp_path}/job.yaml"]
    assert ask("list", "--registry", f"{tmp_path}/") == [f"{tmp_path}/registry"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_can_read_its_script(written, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    subprocess.run([shell, "-n", str(written[shell])], check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_names_the_settings(written, shell):
    assert "data.columns" in written[shell].read_text()


def test_a_room_whose_packages_are_missing_has_its_commands_without_flags():
    job, *others = command_line.found()
    assert "train" in job.commands
    said = script("bash", [replace(job, needs=("no_such_package",)), *others])
    assert "train" in said
    assert "--data.columns" not in said
    assert "--reason" in said


def test_the_command_prints_it(written, capsys):
    assert command_line.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == written["zsh"].read_text()


def test_a_shell_that_is_not_known(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["completion", "csh"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument shell: invalid choice: 'csh' (choose from ")
    assert said.endswith(" (tunewright completion --help tells what can be said)\n")
