"""Things by name: built in, and of installed packages. `tests/job/test_plugins.py` installs some."""

import pytest

from tunewright.registry.errors import PluginError
from tunewright.registry.plugins import Catalogue, Modules


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package("one", "a = module:A", "A = 1") installs a distribution."""

    def make(name, entry, code):
        folder = tmp_path / name
        info = folder / f"{name}-0.3.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[tunewright.numbers]\n{entry}\n")
        (folder / f"{name}_module.py").write_text(code)
        monkeypatch.syspath_prepend(folder)

    return make


def catalogue():
    return Catalogue("number", "tunewright.numbers", int, {"one": 1})


def test_what_is_built_in_and_what_is_installed_stand_side_by_side(package):
    package("more", "two = more_module:TWO", "TWO = 2")
    numbers = catalogue()
    assert list(numbers) == ["one", "two"]
    assert (numbers["one"], numbers["two"]) == (1, 2)
    assert (numbers.requirement("one"), numbers.requirement("two")) == ("", "more==0.3")
    assert "three" not in numbers
    with pytest.raises(KeyError):
        numbers["three"]


def test_nothing_is_imported_before_it_is_asked_for(package):
    package("broken", "two = broken_module:TWO", "raise RuntimeError('asked for')")
    numbers = catalogue()
    assert "two" in numbers
    numbers.refuse_clashes()
    with pytest.raises(PluginError, match=r"'two' of broken 0\.3 .* cannot be imported: RuntimeError: asked"):
        numbers["two"]


def test_two_packages_with_one_name_are_named(package):
    package("first", "two = first_module:TWO", "TWO = 2")
    package("second", "two = second_module:TWO", "TWO = 2")
    with pytest.raises(PluginError, match=r"is of (first|second) 0\.3 and of (first|second) 0\.3; a name belongs to"):
        catalogue().refuse_clashes()


def test_a_module_is_imported_when_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/__init__.py").write_text("")
    for name in ("one_more", "broken"):
        (tmp_path / f"shelf/{name}.py").write_text("1 / 0" if name == "broken" else "HERE = True")
    monkeypatch.syspath_prepend(tmp_path)
    modules = Modules("shelf", "one-more", "broken")
    assert (list(modules), len(modules), "broken" in modules, "two" in modules) == (
        ["one-more", "broken"],
        2,
        True,
        False,
    )
    assert modules["one-more"].HERE
    with pytest.raises(KeyError):
        modules["two"]
