"""The documents say what the code says."""

import importlib.util
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import generate
from tunewright.job.errors import SettingsError
from tunewright.job.settings.load import load_settings
from tunewright.registry import command_line
from writers import house

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_what_follows_the_code_is_written_from_the_code():
    for folder, written in (
        (generate.REFERENCE, generate.pages()),
        (generate.DRAWINGS, generate.architecture.drawings()),
    ):
        assert {path.name for path in folder.iterdir()} == set(written)
        for name, text in written.items():
            assert (folder / name).read_text() == text, f"{name}: run `make docs`"
    for name in generate.FILLED:
        assert generate.filled(name) == (ROOT / name).read_text(), f"{name}: run `make docs`"


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 170


def test_the_pages_name_files_that_are_there():
    """What a page names in backticks, from a room on; `X` stands for any."""
    told = re.compile(r"`((?:job|serving|registry|tests|docs|k8s|requirements|\.ci)/[\w./-]*)`")
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for name in told.findall(page.read_text()):
            assert (ROOT / name).exists() or "X" in name, f"{page.relative_to(ROOT)} names {name}"


def test_the_tree_leaves_no_room_or_file_unnamed():
    shown = {name.rstrip("/") for name in house.FILES} | set(house.ROOMS)
    for room in house.ROOMS:
        folders = {path.parent for path in (ROOT / room).rglob("*.py")}
        assert folders <= {ROOT / room, *house.wings(room)}, f"{room}: a folder of modules without an __init__.py"
    hidden = {".git", ".venv", "var", ".gitignore", ".dockerignore", "build"}
    for path in ROOT.iterdir():
        tool = (path.name.startswith(".") and path.name.endswith("_cache")) or path.suffix == ".egg-info"
        document = path.suffix == ".md" or path.name == "LICENSE"
        assert path.name in shown | hidden or tool or document or path.name == ".hypothesis", f"{path.name} has no line"


def test_every_module_says_what_it_is():
    for room in ("registry", "serving", "job"):
        for path in (ROOT / room).rglob("*.py"):
            assert path.read_text().startswith('"""'), f"{path.relative_to(ROOT)} has no docstring"


def test_every_link_between_documents_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} points at {target}"


def test_every_page_has_its_place_in_the_site():
    said = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs")
        assert name.parts[0] == "decisions" or f"{name}\n" in said, f"mkdocs.yml does not name {name}"


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="mkdocs-material is not installed: `make install`")
def test_the_site_is_whole_and_asks_nobody(tmp_path):
    """A dead link ends the build; and no script, style, font or picture comes from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "-q", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?([^\"' >]+)", page.read_text()
        )
        assert not [address for address in fetched if "//" in address], page.name


def test_a_list_or_table_begins_after_an_empty_line():
    """A code host bears it; the site would show one paragraph."""
    begins = re.compile(r"- |\||\d+\. ")
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for before, line in itertools.pairwise(text.splitlines()):
            apart = not before or before.startswith(("#", "  ", "<!--")) or begins.match(before)
            assert apart or not begins.match(line), f"{page.relative_to(ROOT)}: no empty line above {line!r}"


def test_every_make_target_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert target in targets, f"{page.relative_to(ROOT)} names make {target}"


def test_every_example_of_settings_is_understood(tmp_path):
    """Examples may leave out what another one says; what they say is right."""
    file = tmp_path / "job.yaml"
    for page in PAGES:
        for example in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
            file.write_text(example)
            try:
                load_settings(["--config", str(file)], "tunewright check")
            except SettingsError as error:
                wrong = [mistake for mistake in str(error).splitlines() if not mistake.endswith(" must be set")]
                assert not wrong, f"{page.relative_to(ROOT)}: {wrong}"


def test_every_command_in_the_documents_exists():
    commands = {name for group in command_line.found() for name in group.commands}
    for page in PAGES:
        code = re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.S)
        named = {
            name for part in code for name in re.findall(r"(?:^|`|\$ )tunewright ([a-z]+(?:-[a-z]+)*)", part, re.M)
        }
        assert named <= commands, f"{page.relative_to(ROOT)} names {named - commands}"


def test_every_dependency_has_its_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    for requirement in wanted:
        name = re.split(r"[\[<>=~ ]", requirement)[0]
        assert name == "tunewright" or f"`{name}`" in page, f"{name} has no line in 0002-dependencies.md"
