import pytest
import torch

from tunewright.job.errors import SettingsError
from tunewright.job.train.device.precision import Precision, choose_precision


def test_it_is_as_asked():
    assert choose_precision("bf16", "cpu") == Precision("bf16", "cpu")
    assert choose_precision("fp32", "cpu") == Precision("fp32", "cpu")


def test_bf16_is_taken_where_the_processor_multiplies_in_it(monkeypatch):
    for features, name in (({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda features=features: features)
        assert choose_precision("auto", "cpu").name == name


def test_tf32_needs_a_gpu_that_has_it():
    with pytest.raises(SettingsError) as caught:
        choose_precision("tf32", "cpu")
    assert str(caught.value) == (
        "train.precision is tf32, in which only GPUs from NVIDIA's Ampere on multiply, and there is none here; set "
        "auto, fp32 or bf16"
    )


def test_tf32_is_a_switch_of_training_alone():
    before = torch.get_float32_matmul_precision()
    with Precision("tf32", "cuda").training():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with Precision("bf16", "cpu").forward():
        assert torch.is_autocast_enabled("cpu")
    with Precision("fp32", "cpu").forward():
        assert not torch.is_autocast_enabled("cpu")
