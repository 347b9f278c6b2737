import hashlib
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest

from tunewright.job.data.dataset import DatasetWriter, Place, open_dataset
from tunewright.job.data.doctor.side import Side


@pytest.fixture
def side(tmp_path):
    """side(rows, name): rows of (text, label or number) as a side, read from a file of a header and these lines."""

    def make(rows, name="train"):
        path = tmp_path / f"{name}.arrow"
        kind = pa.float64() if isinstance(rows[0][1], float) else pa.list_(pa.string())
        with closing(DatasetWriter(path, (pa.large_string(), kind))) as writer:
            for line, (text, target) in enumerate(rows, 2):
                writer.add(text, target if isinstance(target, float) else [target], Place(0, line))
        keys = [hashlib.blake2b(text.casefold().encode(), digest_size=8).digest() for text, _ in rows]
        numbers = np.frombuffer(b"".join(keys), dtype=np.uint64)
        labels = (lambda target: []) if isinstance(rows[0][1], float) else (lambda target: target)
        return Side(name, open_dataset(path), numbers, lambda value: (value,), labels, [f"{name}.csv"])

    return make


@pytest.fixture
def texts():
    """texts(n): so many different texts of a dozen words."""

    def make(count, seed=0):
        words = "river stone market paper glass winter garden music engine coffee bridge cloud letter table".split()
        random = np.random.default_rng(seed)
        return [" ".join(random.choice(words, 12)) for _ in range(count)]

    return make
