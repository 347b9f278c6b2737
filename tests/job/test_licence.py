"""The licence of a base model, where its card or the version it came from names one."""

import json
import os

import pytest

from tunewright.job.licence import licence_of


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# A model\n", "apache-2.0"),
        ("---\r\nlicense: 'MIT'\r\n---\r\n", "MIT"),
        ("---\nlicense: other\n---", "other"),
        ("# A model\nlicense: mit\n", None),
        ("---\ntags: []\n---\nlicense: mit\n", None),
        ("---\nlicense:\n- mit\n---\n", None),
        ("---\nlicense: \x1b[31mmit\n---\n", None),
        ("---\nlicense: " + "x" * 99 + "\n---\n", None),
        ("---" + "\n" * 60_000, None),
        ("", None),
    ],
)
def test_it_stands_above_the_text_of_the_card(tmp_path, card, licence):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert licence_of(tmp_path) == licence


def test_a_folder_without_a_card_tells_none(tmp_path):
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").symlink_to("/etc/hostname")
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").unlink()
    os.mkfifo(tmp_path / "README.md")
    assert licence_of(tmp_path) is None


def test_a_version_tells_that_of_its_own_base_model(tmp_path):
    (tmp_path / "weights").mkdir()
    lineage = tmp_path / "lineage.json"
    for told, licence in (({"base_model": {"licence": "mit"}}, "mit"), ({"base_model": {}}, None), ([], None)):
        lineage.write_text(json.dumps(told))
        assert licence_of(tmp_path / "weights") == licence
