"""FIRE in a run."""

import pytest
import torch

from plasticity_lab.studies.state_hash import state_hash
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.callbacks.interventions.test_layer_reset import PEEK, remembered


def test_the_layers_named_become_isometries_and_no_others() -> None:
    fire = intervention("FIRE", at=["11st"], layers=["conv"], iterations=None)
    after = dict(run(fire, FROZEN).model.network.named_parameters())
    before = dict(run(FROZEN).model.network.named_parameters())
    # At each of 9 positions a kernel is a column of four, from one channel.
    kernel = before.pop("conv.weight")
    expected = kernel / kernel.norm(dim=0) * 4**0.5 / 9
    torch.testing.assert_close(after.pop("conv.weight"), expected)
    for name, value in before.items():
        assert torch.equal(after[name], value), name


@pytest.mark.parametrize("kind", ["reset", "keep"])
def test_what_the_optimizer_holds_of_these_weights_goes_or_stays(kind: str) -> None:
    fire = intervention("FIRE", at=["11st"], layers=["conv"], optimizer_state=kind)
    expected = remembered(run(PEEK))
    assert state_hash({}) not in expected.values()
    if kind == "reset":
        expected["conv.weight"] = state_hash({})
    assert remembered(run(fire, PEEK)) == expected
