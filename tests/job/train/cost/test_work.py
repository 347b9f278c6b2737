import pytest
import torch

from tunewright.job.model.build import build_classifier
from tunewright.job.model.layers import blocks, choose_layers
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.cost.work import Work, WorkCounter, pace_of


@pytest.fixture
def counter(fetch, tiny_base):
    """counter(**settings): what counts the work of the tiny model, and the weights of one of its layers."""

    def made(passes=1, **values):
        settings = TrainSettings(**values)
        model = build_classifier(fetch(tiny_base), ["no", "yes"], settings)
        choose_layers(model, settings)
        of_layer = sum(weight.numel() for weight in blocks(model)[0].parameters())
        return WorkCounter(model, passes=passes), of_layer

    return made


BATCH = {"input_ids": torch.ones(2, 5, dtype=torch.int64), "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])}


def test_a_model_of_which_all_learns_needs_six_operations_a_weight_and_twelve_a_pair_of_tokens(counter):
    count, of_layer = counter()
    tokens, pairs, hidden, layers = 8, 5 * 5 + 3 * 3, 32, 2
    flop = 6 * layers * of_layer * tokens + 12 * layers * hidden * pairs
    assert count(BATCH, 8, 2) == Work(2, 8, 10, flop)
    assert counter(passes=2)[0](BATCH, 8, 2).flop == 2 * flop


def test_layers_that_do_not_learn_need_the_way_there_alone(counter):
    count, of_layer = counter(layers=1)
    both, pairs, hidden = 8 * of_layer, 34, 32
    # Of the learning layer nothing below needs a gradient, but for its first weight.
    assert count(BATCH, 8, 2).flop == pytest.approx((2 + 6) * both + (4 + 12) * hidden * pairs, rel=0.1)
    assert counter(layers="head")[0](BATCH, 8, 2).flop == 2 * (2 * both + 4 * hidden * pairs)


def test_of_files_only_the_rows_are_counted(counter):
    assert counter()[0]({"pixel_values": torch.ones(2, 3, 4, 4)}, 2, 2) == Work(2)
    assert counter()[0]({**BATCH, "decoder_input_ids": BATCH["input_ids"]}, 15, 2) == Work(2, 15, 20)


def test_the_texts_of_a_packed_row_see_none_of_each_other(counter):
    places = torch.tensor([[0, 1, 2, 0, 1]])
    packed = counter()[0]({"input_ids": places, "position_ids": places}, 5, 1)
    alone = [counter()[0]({"input_ids": one, "attention_mask": torch.ones_like(one)}, 5, 1)
             for one in (places[:, :3], places[:, 3:])]  # fmt: skip
    assert packed.flop == sum(one.flop for one in alone)


def test_a_pace_says_what_is_known():
    pace = pace_of(Work(100, 2000, 2500, 3e9), 2.0)
    assert pace.text == "50 rows/s, 1,000 tokens/s beside 20.0% padding, 1.5 GFLOP/s of the model"
    assert pace_of(Work(100), 2.0).text == "50 rows/s"
    assert pace_of(Work(), 2.0) is None
    assert pace_of(Work(1, 2, 3, 4.0).plus(Work(1, 1, 1, 1.0)), 1.0).rows_per_second == 2
