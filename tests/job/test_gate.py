import pytest

from job.errors import GateFailed, SettingsError
from job.evaluate import Evaluation
from job.gate import check_floor, check_metrics, drop_reason
from job.settings import GateSettings

MEASURED = ("accuracy", "macro_f1", "rmse")


def measured(**metrics):
    return Evaluation(metrics, {}, [], 1.0, rows=200)


def refusal(make_settings, **changes):
    with pytest.raises(SettingsError) as caught:
        check_metrics(make_settings(**changes), MEASURED)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gate": {"min": {"bleu": 0.3}}}, "gate.min names 'bleu'; this task measures accuracy, macro_f1, rmse"),
        ({"train": {"metric": "bleu"}}, "train.metric names 'bleu'; this task measures accuracy, macro_f1, rmse"),
        (
            {"gate": {"min": {"rmse": 0.3}}},
            "gate.min names 'rmse', which is an error and has no floor; use another metric",
        ),
        (
            {"gate": {"min": {"accuracy": 80}}},
            "gate.min.accuracy is 80, but accuracy is at most 1; 80 % is written 0.8",
        ),
        ({"gate": {"max_drop": {"fp16": 0.1}}}, "gate.max_drop names 'fp16'; it may name int8"),
        ({"gate": {"max_drop": {"fp32": 0.1}}}, "gate.max_drop names 'fp32'; it may name int8"),
    ],
)
def test_what_will_not_be_measured_is_said_before_training(make_settings, changes, sentence):
    assert refusal(make_settings, **changes) == sentence


def test_the_default_for_int8_is_no_mistake_where_int8_is_not_made(make_settings):
    check_metrics(make_settings(export={"variants": ["fp32"]}, gate={"min": {"accuracy": 0.5}}), MEASURED)


def test_every_floor_that_is_missed_is_told():
    gate = GateSettings(min={"accuracy": 0.9, "macro_f1": 0.8, "mcc": 0.1})
    with pytest.raises(GateFailed) as caught:
        check_floor(gate, measured(accuracy=0.85, macro_f1=0.7, mcc=0.5))
    assert str(caught.value) == (
        "the fp32 file did not pass on 200 test rows: accuracy is 0.8500, the gate asks for 0.9; "
        "macro_f1 is 0.7000, the gate asks for 0.8; nothing was registered"
    )


def test_a_figure_that_is_no_number_does_not_pass():
    with pytest.raises(GateFailed, match="accuracy is nan"):
        check_floor(GateSettings(min={"accuracy": 0.1}), measured(accuracy=float("nan")))


def test_a_floor_that_is_just_reached_passes():
    check_floor(GateSettings(min={"accuracy": 0.9}), measured(accuracy=0.9))


def test_a_variant_that_loses_too_much_has_a_reason():
    gate = GateSettings(max_drop={"int8": 0.01})
    reason = drop_reason(gate, "int8", "accuracy", measured(accuracy=0.9), measured(accuracy=0.88))
    assert reason == "accuracy falls from 0.9000 to 0.8800 (may lose 0.01)"


def test_an_error_may_rise_by_a_share_of_itself():
    gate = GateSettings(max_drop={"int8": 0.01})
    fp32 = measured(perplexity=20.0)
    assert drop_reason(gate, "int8", "perplexity", fp32, measured(perplexity=20.19)) is None
    assert drop_reason(gate, "int8", "perplexity", fp32, measured(perplexity=15.0)) is None
    reason = drop_reason(gate, "int8", "perplexity", fp32, measured(perplexity=20.4))
    assert reason == "perplexity rises from 20.0000 to 20.4000 (may rise by 1.0%)"
    assert drop_reason(gate, "int8", "perplexity", fp32, measured(perplexity=float("nan"))) is not None


@pytest.mark.parametrize(("variant", "accuracy"), [("int8", 0.895), ("int8", 0.95), ("fp32", 0.9), ("other", 0.1)])
def test_a_variant_that_loses_little_or_has_no_limit_has_none(variant, accuracy):
    gate = GateSettings(max_drop={"int8": 0.01})
    assert drop_reason(gate, variant, "accuracy", measured(accuracy=0.9), measured(accuracy=accuracy)) is None


def test_a_variant_whose_figure_is_no_number_is_left_out():
    gate = GateSettings(max_drop={"int8": 0.01})
    assert drop_reason(gate, "int8", "accuracy", measured(accuracy=0.9), measured(accuracy=float("nan")))
