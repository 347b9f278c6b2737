"""What the measurements of the server say before there is anything to measure."""

from pathlib import Path

import pytest


def test_before_the_first_version_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path))
    from registered import pulled

    with pytest.raises(SystemExit) as caught:
        pulled("reviews@production")
    assert str(caught.value) == (
        f"there is no model 'reviews' in {tmp_path}; it holds no models yet; run `make train` first, or name another "
        "version with --model"
    )
