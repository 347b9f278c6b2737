import numpy as np
import pyarrow as pa
import pytest

from tunewright.job.batches.kept import encode_or_reuse
from tunewright.job.batches.text import encode
from tunewright.job.data.dataset import DatasetWriter, open_dataset


@pytest.fixture
def kept(encoder, tmp_path):
    """kept(texts, **asked): their token ids, and whether they were made anew."""

    def rows(texts, **asked):
        writer = DatasetWriter(tmp_path / "rows.arrow", (pa.large_string(), pa.string()))
        for text in texts:
            writer.add(text, "x")
        writer.close()
        data, made = open_dataset(tmp_path / "rows.arrow"), []

        def make(folder):
            made.append(folder)
            return encode(data, encoder, targets, folder, on_rows=lambda _: None)

        targets = np.arange(len(texts))
        return encode_or_reuse(data, asked, make, targets, tmp_path / "encoded"), bool(made)

    return rows


TEXTS = ["good", "a bad day", "time " * 200]


def same(one, other):
    rows = [(split.row(at).ids, split.row(at).type_ids) for split in (one, other) for at in range(len(TEXTS))]
    return rows[:3] == rows[3:] and one.truncated == other.truncated and np.array_equal(one.targets, other.targets)


def test_what_was_encoded_is_not_encoded_again(kept):
    first, made = kept(TEXTS, limit=3)
    again, anew = kept(TEXTS, limit=3)
    assert (made, anew) == (True, False)
    assert same(first, again)
    assert first.truncated == 1


def test_other_texts_or_settings_are_encoded(kept):
    kept(TEXTS, limit=3)
    assert kept(TEXTS, limit=4)[1]
    assert kept([*TEXTS[:2], "other"], limit=3)[1]


@pytest.mark.parametrize("name", ["ids.i32", "starts.npy", "encoded.json"])
def test_what_is_broken_is_made_anew(kept, tmp_path, name):
    first, _ = kept(TEXTS)
    (path,) = (tmp_path / "encoded").rglob(name)
    # Another file in its place: the first rows still read the old one.
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"?")
    again, anew = kept(TEXTS)
    assert anew
    assert same(first, again)
    assert not kept(TEXTS)[1]


def test_the_sets_used_last_are_kept(kept, tmp_path):
    for limit in range(14):
        kept(TEXTS, limit=limit)
    assert len(list((tmp_path / "encoded").iterdir())) == 12
    assert not kept(TEXTS, limit=13)[1]
