"""Who is trusted with what: a folder, a file, or one that says it for each model and alias."""

import pytest

from tunewright.registry.errors import SettingsError
from tunewright.registry.trust.trusted import read_trusted


def test_all_keys_of_a_folder_or_of_a_file_are_trusted_with_everything(tmp_path, key):
    ci, release = key("ci").public, key("release").public
    folder = tmp_path / "trusted"
    folder.mkdir()
    texts = [(tmp_path / f"keys/{name}.pub.pem").read_text() for name in ("ci", "release")]
    for name, text in zip(("a.pem", "b.pem"), texts, strict=True):
        (folder / name).write_text(text)
    (folder / "notes.txt").write_text("of no interest")
    assert read_trusted(folder).of("reviews") == [ci, release]
    (tmp_path / "both.pem").write_text("".join(texts))
    assert read_trusted(tmp_path / "both.pem").of("reviews", "production") == [ci, release]


def test_the_entry_that_says_most_holds_alone(tmp_path, key):
    ci, release, other = (key(name).public for name in ("ci", "release", "other"))
    (tmp_path / "keys/trusted.yaml").write_text(
        '"*": other.pub.pem\nreviews: [ci.pub.pem, other.pub.pem]\nreviews@production: [release.pub.pem]\n'
    )
    trusted = read_trusted(tmp_path / "keys/trusted.yaml")
    assert trusted.of("reviews") == [ci, other]
    assert trusted.of("reviews", "staging") == [ci, other]
    assert trusted.of("reviews", "production") == [release]
    assert trusted.of("topics", "production") == [other]


def test_who_is_not_named_is_not_trusted(tmp_path, key):
    key("ci")
    (tmp_path / "keys/trusted.yaml").write_text("reviews: ci.pub.pem\n")
    assert read_trusted(tmp_path / "keys/trusted.yaml").of("topics") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no keys; expected who is trusted with what, as in 'reviews: [ci.pem]'"),
        ("- a", "names no keys; expected who is trusted with what, as in 'reviews: [ci.pem]'"),
        ("a: [", "is no YAML: "),
        ("Reviews: [a.pem]", "'Reviews' is not understood; expected files, "),
        ("reviews@: [a.pem]", "'reviews@' is not understood; expected files, "),
        ("reviews: 7", "'reviews' is not understood; expected files, "),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_a_sentence(write, text, said):
    path = write("trusted.yaml", text.encode())
    with pytest.raises(SettingsError) as error:
        read_trusted(path)
    assert str(error.value).startswith(f"REGISTRY_TRUSTED_KEYS: {path}")
    assert said in str(error.value)


def test_places_without_keys_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "empty", f"the folder {tmp_path}/empty holds no *.pem, so that nobody would be trusted"),
        (tmp_path / "no.yaml", f"{tmp_path}/no.yaml cannot be read (No such file or directory); expected YAML"),
    ):
        with pytest.raises(SettingsError) as error:
            read_trusted(path)
        assert str(error.value) == f"REGISTRY_TRUSTED_KEYS: {said}"
