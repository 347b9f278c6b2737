"""Text regression, answered."""

import numpy as np
import pytest

from tunewright.serving.errors import InputError

PAIRS = [("A man plays music.", "Somebody makes music."), ("A great lamp.", "I hate it.")]


def test_the_answer_is_the_number_of_the_model_under_the_name_of_its_column(similarity, open_bundle):
    predictor = open_bundle(similarity)
    logits = np.stack(predictor.outputs(PAIRS))
    assert predictor.predict(PAIRS) == [[{"label": "score", "score": float(row[0])}] for row in logits]
    assert logits[0] != logits[1]


def test_there_is_no_parameter(similarity, open_bundle):
    with pytest.raises(InputError, match=r"^unknown parameter 'top_k'; text-regression knows: none$"):
        open_bundle(similarity).predict(PAIRS, {"top_k": 1})
