import resource
import sys

import pytest
import torch

from tunewright.job.train.device.memory import memory_kept


def faults_of(rounds):
    """Pages that are asked of the system while tensors of 20 MiB come and go."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        kept = [torch.ones(5 * 2**20) for _ in range(4)]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is for glibc")
def test_memory_that_was_used_before_is_used_again():
    with memory_kept("cpu"):
        faults_of(3)
        again = faults_of(10)
    assert again < 20_000
