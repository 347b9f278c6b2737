import pytest

from tunewright.job.errors import GateFailed
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.measure.rows.robustness import Flips, Robustness
from tunewright.job.settings.job import GateSettings
from tunewright.job.steps.gate import check_bounds, check_budget, check_flips, drop_reason, short_of_baseline


def measured(**metrics):
    return Evaluation(metrics, {}, [], 1.0, rows=200)


def test_every_floor_that_is_missed_is_told():
    gate = GateSettings(min={"accuracy": 0.9, "macro_f1": 0.8, "mcc": 0.1})
    with pytest.raises(GateFailed) as caught:
        check_bounds(gate, measured(accuracy=0.85, macro_f1=0.7, mcc=0.5))
    assert str(caught.value) == (
        "the fp32 file did not pass on 200 test rows: accuracy is 0.8500, the gate asks for 0.9; "
        "macro_f1 is 0.7000, the gate asks for 0.8; nothing was registered"
    )


def test_a_figure_that_is_no_number_does_not_pass():
    with pytest.raises(GateFailed, match="accuracy is nan"):
        check_bounds(GateSettings(min={"accuracy": 0.1}), measured(accuracy=float("nan")))


def test_a_floor_that_is_just_reached_passes():
    check_bounds(GateSettings(min={"accuracy": 0.9}), measured(accuracy=0.9))


def test_a_file_within_its_budget_passes_and_one_over_it_does_not():
    gate = GateSettings(max_mib=10, max_ms_per_text=2)
    check_budget(gate, "int8", mib=10, ms_per_text=2)
    with pytest.raises(GateFailed) as caught:
        check_budget(gate, "int8", mib=21.5, ms_per_text=2.25)
    assert str(caught.value) == (
        "the int8 file, served by default, is over its budget: it has 21.50 MiB, gate.max_mib allows 10; it takes 2.25 "
        "ms a text, gate.max_ms_per_text allows 2; nothing was registered"
    )


def test_answers_that_change_too_often_do_not_pass():
    kinds = {name: Flips(200, 10, 0.05, (0.03, 0.09)) for name in ("typos", "names")}
    found = Robustness("int8", 500, kinds)
    check_flips(GateSettings(max_flip={"typos": 0.05, "names": 0.1}), found)
    with pytest.raises(GateFailed) as caught:
        check_flips(GateSettings(max_flip={"typos": 0.04, "names": 0}), found)
    assert str(caught.value) == (
        "the int8 file, served by default, answers otherwise what is only written otherwise: typos changes 0.0500 of "
        "200 answers, gate.max_flip allows 0.04; names changes 0.0500 of 200 answers, gate.max_flip allows 0; nothing "
        "was registered"
    )


def test_a_bound_that_no_row_speaks_to_is_told(capsys):
    none = Robustness("fp32", 500, {"names": Flips(0, 0, 0.0, (0.0, 1.0))})
    check_flips(GateSettings(max_flip={"names": 0}), none)
    assert "gate.max_flip.names was not held against anything: it changes none of the test rows" in (
        capsys.readouterr().out
    )


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


def test_every_ceiling_that_is_exceeded_is_told():
    gate = GateSettings(min={"accuracy": 0.5}, max={"rmse": 0.5, "perplexity": 20})
    check_bounds(gate, measured(accuracy=0.6, rmse=0.5, perplexity=19.0))
    with pytest.raises(GateFailed) as caught:
        check_bounds(gate, measured(accuracy=0.6, rmse=0.51, perplexity=float("nan")))
    assert str(caught.value) == (
        "the fp32 file did not pass on 200 test rows: rmse is 0.5100, the gate allows 0.5; "
        "perplexity is nan, the gate allows 20; nothing was registered"
    )


@pytest.mark.parametrize("rows", [7, 100, 140, 300, 999, 2000])
def test_a_figure_that_loses_just_what_it_may_passes_however_it_is_rounded(rows):
    gate = GateSettings(min={"accuracy": 0.5}, max_drop={"int8": 0.01})
    for right in range(rows // 100, rows):
        before, after = right / rows, right / rows - 0.01
        assert drop_reason(gate, "int8", "accuracy", measured(accuracy=before), measured(accuracy=after)) is None
    check_bounds(gate, measured(accuracy=0.1 + 0.4 - 1e-16))
    assert drop_reason(gate, "int8", "accuracy", measured(accuracy=0.46), measured(accuracy=0.4499)) is not None


def figure(name, value, low, high):
    return Evaluation({name: value}, {name: (low, high)}, [], 1.0, rows=96)


def test_a_model_that_is_not_surely_better_than_no_model_is_told_so():
    reason = short_of_baseline("accuracy", figure("accuracy", 0.46, 0.366, 0.557), {"accuracy": 0.58, "mcc": 0.0})
    assert reason == (
        "accuracy 0.4600 (95 % interval 0.366 to 0.557) does not clear 0.5800, which an answer without a model gets on "
        "these 96 test rows"
    )
    assert short_of_baseline("accuracy", figure("accuracy", 0.62, 0.58, 0.7), {"accuracy": 0.58}) is not None
    assert short_of_baseline("accuracy", figure("accuracy", 0.62, 0.59, 0.7), {"accuracy": 0.58}) is None
    assert short_of_baseline("accuracy", figure("accuracy", 0.1, 0.05, 0.2), {}) is None


def test_an_error_clears_the_baseline_from_below():
    assert short_of_baseline("rmse", figure("rmse", 0.5, 0.4, 0.6), {"rmse": 0.7}) is None
    assert short_of_baseline("rmse", figure("rmse", 0.6, 0.5, 0.7), {"rmse": 0.65}) is not None
