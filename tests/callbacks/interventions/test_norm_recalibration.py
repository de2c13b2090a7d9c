"""Statistics estimated again."""

import torch
from torch import nn

from plasticity_lab.surgery.norm_statistics import update_bn
from tests.callbacks.interventions.arms import intervention, run
from tests.runs import state
from tests.test_contracts import EVERY_KIND, check_resumes


def test_recalibrated_statistics_are_those_of_the_data() -> None:
    norm = nn.BatchNorm2d(2)
    network = nn.Sequential(norm, nn.Dropout(0.5)).train()
    batches = [torch.randn(8, 2, 3, 3) + 5 for _ in range(4)]
    update_bn(network, batches)
    assert norm.running_mean is not None
    assert torch.allclose(
        norm.running_mean,
        torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0),
        atol=1e-5,
    )
    assert norm.running_var is not None
    assert torch.allclose(
        norm.running_var,
        torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0),
        atol=1e-5,
    )
    assert network.training
    assert norm.momentum == 0.1


def test_recalibration_changes_nothing_but_statistics() -> None:
    finished, plain = run(intervention("NormRecalibration", every="1ep")), run()
    for name, value in finished.model.named_parameters():
        assert torch.equal(value, plain.model.get_parameter(name))
    assert state(finished)["optimizer"] == state(plain)["optimizer"]
    assert not torch.equal(
        finished.model.network.norm.running_mean, plain.model.network.norm.running_mean
    )


def test_it_acts_where_a_resume_begins_with_a_validation() -> None:
    """From a checkpoint after an epoch's last batch; the clock stands at that batch."""
    every = {"trainer": {"callbacks+": [intervention("NormRecalibration", every="2ep")]}}
    check_resumes(every, EVERY_KIND, only="stepstep=8.ckpt")
